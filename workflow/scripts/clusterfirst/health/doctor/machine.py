"""Python, packages, OpenSlide, processors and GPUs."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from .findings import Finding, setup, tried, tried_command

_PYTHON = (3, 11)
_HEAVY = ("numpy", "pyarrow", "cv2", "shapely", "geopandas", "sklearn", "numba", "umap", "torch", "torchvision")
_MEMORY_GB = 8
"""`outline` asks for about this much with eight threads."""

_IMPORTS = """
import importlib, sys
for name in sys.argv[1:]:
    print(name, flush=True)
    importlib.import_module(name)
print("all", flush=True)
"""
_OPENSLIDE = """
import sys, tempfile, numpy, openslide, tifffile
with tempfile.TemporaryDirectory() as folder:
    path = folder + "/tiny.tiff"
    image = numpy.full((64, 64, 3), 200, numpy.uint8)
    tifffile.imwrite(path, image, tile=(32, 32), photometric="rgb")
    with openslide.OpenSlide(path) as slide:
        assert numpy.asarray(slide.read_region((8, 8), 0, (16, 16)))[..., :3].min() == 200
print(openslide.__library_version__)
"""
_TORCH = """
import torch
from clusterfirst.devices import computes_bf16
print(torch.__version__, torch.version.cuda)
for number in range(torch.cuda.device_count()):
    device = torch.device("cuda", number)
    ones = torch.ones(256, 256, device=device)
    assert float((ones @ ones).sum()) == 256**3
    free, total = torch.cuda.mem_get_info(device)
    how = "float32"
    if computes_bf16(device):
        half = ones.bfloat16()
        assert float((half @ half)[0, 0]) == 256
        how = "bfloat16"
    print(f"device\\t{torch.cuda.get_device_name(device)}, {how}, {free / 2**30:.0f} of {total / 2**30:.0f} GiB free")
if not torch.cuda.device_count():
    torch.zeros(1, device="cuda")
"""
_CUML = """
import cuml, cupy
assert cupy.cuda.runtime.getDeviceCount()
points = cupy.random.default_rng(0).random((200, 3)).astype("float32")
assert cuml.cluster.KMeans(n_clusters=3, random_state=0).fit(points).labels_.shape == (200,)
assert cuml.UMAP(n_components=2, n_neighbors=5, n_epochs=10).fit_transform(points).shape == (200, 2)
print(cuml.__version__)
"""


def python() -> Iterator[Finding]:
    """The interpreter, and where it is."""
    found = f"{platform.python_version()} ({sys.executable})"
    if sys.version_info < _PYTHON:
        wanted = ".".join(map(str, _PYTHON))
        yield Finding(
            "problem",
            "Python",
            found,
            f"make .venv again with {wanted} or newer: `rm -rf .venv`, then `make demo PYTHON=python3.12`",
        )
    else:
        yield Finding("ok", "Python", found)


def processors() -> Iterator[Finding]:
    """Cores that may be used, and memory."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    text = f"{cores} cores, {memory:.0f} GiB of memory"
    if memory < _MEMORY_GB:
        advice = "run on a larger machine, or with `--cores 1` on small slides"
        yield Finding("note", "processor", f"{text}: little", advice)
    else:
        yield Finding("ok", "processor", text)


def packages(pyproject: Path) -> Iterator[Finding]:
    """Whether what pyproject.toml wants is installed, in a version that will do."""
    import tomllib

    from packaging.requirements import Requirement

    wanted = tomllib.loads(pyproject.read_text("utf-8"))["project"]["dependencies"]
    wrong = []
    for requirement in map(Requirement, wanted):
        if requirement.marker and not requirement.marker.evaluate():
            continue
        try:
            version = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            wrong.append(f"{requirement.name} is missing")
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            wrong.append(f"{requirement.name} is {version}, wanted {requirement.specifier}")
    if wrong:
        yield Finding("problem", "packages", "; ".join(wrong), setup())
    else:
        yield Finding("ok", "packages", f"{len(wanted)} of pyproject.toml installed, in versions that will do")


def imports(names: tuple[str, ...] = _HEAVY, *, timeout_s: float = 300) -> Iterator[Finding]:
    """Whether the packages with compiled code can be loaded, all in one process as the jobs do."""
    left, broken = list(names), False
    while left:
        done = tried(_IMPORTS, *left, timeout_s=timeout_s)
        if not done.why:
            break
        reached = done.output.split()
        name = reached[-1] if reached else left[0]
        yield Finding("problem", f"import {name}", done.why, setup())
        left, broken = left[left.index(name) + 1 :] if name in left else [], True
    if not broken:
        yield Finding("ok", "imports", ", ".join(names))


def openslide() -> Iterator[Finding]:
    """Whether OpenSlide opens and reads a slide."""
    done = tried(_OPENSLIDE)
    if done.why:
        yield Finding("problem", "OpenSlide", f"cannot read a slide made for the purpose: {done.why}", setup())
    else:
        yield Finding("ok", "OpenSlide", f"{done.output.strip()} reads")


def gpu(wanted: str | bool) -> Iterator[Finding]:
    """The GPUs of this machine: whether the driver knows them, and whether torch and cuML compute on them.

    Parameters
    ----------
    wanted
        `gpu` of the config.
    """
    if wanted is False:
        yield Finding("ok", "GPU", "none is wanted (`gpu: false` in the config)")
        return
    driver = tried_command(["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"])
    known = [] if driver.why else [line.strip() for line in driver.output.splitlines() if line.strip()]
    computed = tried(_TORCH, timeout_s=180)
    devices = [line.partition("\t")[2] for line in computed.output.splitlines() if line.startswith("device\t")]
    if known:
        yield Finding("ok", "driver", "; ".join(known))
    if not computed.why:
        yield Finding("ok", "GPU", f"torch computes on {'; '.join(devices)}")
        yield from _cuml()
        return
    level = "problem" if wanted is True else "note"
    if known:
        version = (computed.output.splitlines() or ["torch"])[0]
        text = f"the driver knows {len(known)}, but torch ({version}) cannot compute: {computed.why}"
        advice = "the driver must know the CUDA version that torch brings: mend or renew it, or set `gpu: false`"
    else:
        text = "this machine has none that can be used" + (f" (nvidia-smi: {driver.why})" if _has_nvidia() else "")
        advice = "networks run on the processor here"
        if _has_slurm():
            level, advice = "note", "fine where you only submit jobs: they are given GPUs by Slurm"
        elif wanted is True:
            advice = "`gpu: true` in the config insists on one: run where there is one, or set `gpu: auto`"
    yield Finding(level, "GPU", text, advice)


def _has_nvidia() -> bool:
    return shutil.which("nvidia-smi") is not None


def _has_slurm() -> bool:
    return shutil.which("sinfo") is not None


def _cuml() -> Iterator[Finding]:
    """Whether cuML computes; that it can be imported says nothing."""
    try:
        importlib.metadata.version("cuml-cu13")
    except importlib.metadata.PackageNotFoundError:
        advice = "for very large cohorts install the extra `rapids` (requirements/README.md)"
        yield Finding("note", "cuML", "not installed: UMAP and clustering run on the processor", advice)
        return
    done = tried(_CUML, timeout_s=300)
    if done.why:
        advice = (
            "its CUDA must suit the driver; or uninstall cuml-cu13 and cupy-cuda13x: the processor does as well, slower"
        )
        yield Finding("problem", "cuML", f"installed, but cannot compute: {done.why}", advice)
    else:
        yield Finding("ok", "cuML", f"{done.output.strip()} computes")
