"""Inputs that are replaced by others with older dates, as `rsync -a` does, and inputs that are merely touched."""

import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image, ImageDraw
from shapely import Point, to_geojson

from .conftest import copy_of

SMALL = {"tiling": {"tile_px": 256}, "filter": False, "segmentation": {"model": "precomputed"}, "gpu": False}
CELLS = "results/a/masks.parquet"
OLD, NEW = (1_500_000_000,) * 2, (4_000_000_000,) * 2


def write(folder, nuclei):
    """A slide, and its outlines."""
    random = np.random.default_rng(nuclei)
    image = Image.fromarray(random.integers(200, 240, (300, 300, 3), np.uint8))
    draw, features = ImageDraw.Draw(image), []
    for number in range(nuclei):
        x, y = 30 + 40 * (number % 6), 30 + 40 * (number // 6)
        draw.ellipse((x - 8, y - 8, x + 8, y + 8), "purple")
        geometry = json.loads(to_geojson(Point(x, y).buffer(8)))
        features.append({"type": "Feature", "geometry": geometry, "properties": {"objectType": "detection"}})
    folder.mkdir(exist_ok=True)
    image.save(folder / "a.png")
    (folder / "a.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))


@pytest.fixture(scope="module")
def outlined(new_project):
    project = new_project("outlined")
    write(project.folder, 30)
    project.write([{"slide": "a", "path": "a.png", "mpp": 0.5, "objects": "a.geojson"}], SMALL)
    done = project.run(CELLS)
    assert done.returncode == 0, done.stdout
    return project


@pytest.fixture
def project(outlined, tmp_path):
    return copy_of(outlined, tmp_path / "copy")


def put(project, name, times):
    """Put another file in the place of one."""
    write(project.folder / "other", 20)
    shutil.copy(project.folder / "other" / name, project.folder / name)
    os.utime(project.folder / name, times)


def test_outlines_that_were_replaced_are_read_again_and_everybody_says_so(project):
    put(project, "a.geojson", OLD)
    assert project.jobs(CELLS) == {("segment", "a")}
    told = project.run("status", "--quiet", "rules", "host", "progress").stdout
    assert "segment: a.geojson holds something else than when it was read" in told
    (line,) = [line for line in project.run(CELLS, "--summary").stdout.splitlines() if line.startswith(CELLS)]
    assert "params changed" in line
    done = project.run(CELLS)
    assert done.returncode == 0, done.stdout
    assert project.jobs(CELLS) == set()


def test_a_slide_that_was_replaced_is_cut_again(project):
    put(project, "a.png", OLD)
    assert {("tile", "a"), ("filter_tiles", "a"), ("segment", "a")} <= project.jobs(CELLS)


def test_files_that_were_copied_anew_are_not_read_again(project):
    # Beyond what Snakemake itself would hash.
    for name in ("a.png", "a.geojson"):
        os.utime(project.folder / name, NEW)
    assert project.jobs(CELLS, "--max-checksum-file-size", "0") == set()


def test_results_of_an_earlier_version_are_made_again_only_for_another_file(project):
    (project.folder / ".snakemake/contents.json").unlink()
    for record in filter(os.path.isfile, (project.folder / ".snakemake/metadata").rglob("*")):
        known = json.loads(record.read_text())
        known["params"] = [text for text in known["params"] if not text.startswith("{'contents")]
        record.write_text(json.dumps(known))
    assert project.jobs(CELLS) == set()
    put(project, "a.geojson", OLD)
    assert project.jobs(CELLS) == {("segment", "a")}
