"""Segmentation in the workflow: shards, damage, outlines from elsewhere, scores."""

import base64
import gzip
import json
import os
import signal
import subprocess
import time

import geopandas
import numpy as np
import openslide
import pandas as pd
import pytest
from PIL import Image
from shapely.geometry import mapping

from clusterfirst import weights
from clusterfirst.io import read_json, read_metadata
from clusterfirst.slide.tissue import METRICS

from .conftest import SMALL
from .test_runs import wait_for


def test_a_killed_shard_alone_is_done_again_and_shards_change_nothing(finished, new_project, tissue):
    """Kill everything at once with SIGKILL, as a power cut would, then start again."""
    project = new_project("shards")
    config = SMALL | {"segmentation": {"shards": 3}}
    project.write([{"slide": "a", "path": tissue / "a.png", "tissue": "ta", "mpp": 0.499}], config)
    outlines, logs = (project.results("a") / folder for folder in ("outlines", "logs"))

    def taken_note_of():
        """What Snakemake knows to be whole; a shard that was written a moment before the cut is done again."""
        marks = project.folder / ".snakemake/incomplete"
        begun = {base64.b64decode(path.name, b"-_").decode() for path in marks.iterdir()} if marks.is_dir() else set()
        written = outlines.glob("[0-9]*.parquet")
        return [path for path in written if path.relative_to(project.folder).as_posix() not in begun]

    def one_is_done_and_another_at_work():
        # In whatever order the scheduler took them.
        done = {path.stem for path in taken_note_of()}
        begun = {
            log.stem.removeprefix("outline-") for log in logs.glob("outline-*") if "computing on" in log.read_text()
        }
        return done and begun - done

    command = [*project.command, "--until", "segment"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True) as run:
        wait_for(one_is_done_and_another_at_work, seconds=120)
        time.sleep(1.0)
        os.killpg(run.pid, signal.SIGKILL)
    before = {path.name: path.stat().st_mtime_ns for path in taken_note_of()}
    assert 0 < len(before) < 3
    assert project.run("--until", "segment").returncode == 0
    after = {path.name: path.stat().st_mtime_ns for path in outlines.glob("[0-9]*.parquet")}
    assert after.keys() == {f"{number}-of-3.parquet" for number in (1, 2, 3)}
    assert before.items() <= after.items()
    one_shard = finished.results("a") / "masks.parquet"
    assert (project.results("a") / "masks.parquet").read_bytes() == one_shard.read_bytes()


@pytest.fixture(scope="module")
def mixed_run(finished, new_project, tissue, damaged):
    """Project and run: a damaged slide, unfiltered; the same with no damage allowed; outlines from elsewhere."""
    project = new_project("mixed")
    cells = geopandas.read_parquet(finished.results("a") / "masks.parquet")
    features = [{"type": "Feature", "geometry": mapping(polygon), "properties": {}} for polygon in cells.geometry]
    outlines = project.folder / "outlines.geojson.gz"
    outlines.write_bytes(gzip.compress(json.dumps({"type": "FeatureCollection", "features": features}).encode()))
    given = {"objects": "outlines.geojson.gz", "truth": "outlines.geojson.gz", "tissue": "given"}
    rows = [
        {"slide": "damaged", "path": damaged, "tissue": "tolerant"},
        {"slide": "strict", "path": damaged},
        {"slide": "given", "path": tissue / "a.png", "mpp": 0.499} | given,
    ]
    tissues = {
        "tolerant": {"filter": False, "segmentation": {"max_failed_tiles": 0.2}},
        "given": {"segmentation": {"model": "precomputed"}, "export": {"nuclei_mask": True}},
    }
    project.write(rows, SMALL | {"tissues": tissues})
    return project, project.run("--keep-going", "all", "evaluate_segmentation")


@pytest.fixture
def mixed(mixed_run):
    return mixed_run[0]


def test_damage_beyond_what_is_allowed_fails_its_slide_alone_and_says_how_to_go_on(mixed_run):
    project, done = mixed_run
    assert done.returncode != 0
    assert "failed: strict (segment)" in done.stdout
    assert "more than `segmentation.max_failed_tiles` (0.01) allows" in done.stdout
    assert not (project.results("strict") / "masks.parquet").exists()
    assert "failed: damaged" not in done.stdout


def test_a_damaged_slide_is_finished_without_the_tiles_that_cannot_be_read(mixed):
    folder = mixed.results("damaged")
    failed = pd.read_csv(folder / "failed_tiles.csv")
    assert failed["tile_id"].tolist() == ["x000256_y000256"]
    assert failed["rule"].tolist() == ["filter_tiles"]
    assert failed["reason"].str.contains("cannot be read at x 256, y 256").all()
    assert read_metadata(folder / "masks.parquet")["failed_tiles"] == failed["tile_id"].tolist()
    cells = geopandas.read_parquet(folder / "masks.parquet")
    assert len(cells) > 50
    assert not cells["tile_id"].isin(failed["tile_id"]).any()
    assert (folder / "annotated/overview.png").exists()


def test_a_slide_that_is_not_filtered_keeps_all_tiles_that_can_be_read_and_looks_for_cells_in_them(mixed):
    folder, filtered = mixed.results("damaged"), mixed.results("strict")
    tiles, judged = (pd.read_parquet(one / "filtered.parquet") for one in (folder, filtered))
    damaged = tiles["tile_id"] == "x000256_y000256"
    assert tiles["rejected_by"].tolist() == ["unreadable" if one else "" for one in damaged]
    assert (tiles["kept"] == (tiles["rejected_by"] == "")).all()
    assert tiles.dtypes.equals(judged.dtypes)
    assert tiles[[*METRICS]].isna().all(axis=None)
    assert judged.loc[judged["kept"], [*METRICS]].notna().all(axis=None)
    facts = read_metadata(folder / "filtered.parquet")
    assert (facts["settings"], facts["kept"], [*facts["unreadable"]]) == (False, 11, ["x000256_y000256"])
    assert np.sum(facts["histogram"]) > 0
    assert (folder / "filtered.png").stat().st_size > 1000
    assert "filter: false\n" in (folder / "settings.yaml").read_text()
    assert {path.stem for path in (folder / "annotated").glob("x*.png")} == set(tiles.loc[tiles["kept"], "tile_id"])
    assert mixed.jobs("results/damaged/annotated") == set()


def test_outlines_from_elsewhere_go_through_the_whole_workflow(mixed, finished):
    cells = geopandas.read_parquet(mixed.results("given") / "masks.parquet")
    original = geopandas.read_parquet(finished.results("a") / "masks.parquet")
    assert len(cells) == len(original)
    np.testing.assert_allclose(sorted(cells.geometry.area), sorted(original.geometry.area))
    assert not (mixed.results("given") / "outlines").exists()
    assert len(read_json(mixed.results("given") / "clusters.json")["cells"]["cluster_id"]) == len(cells)


def test_scores_of_all_slides_with_a_truth_are_pooled(mixed):
    scores = read_json(mixed.results("given") / "evaluation/segmentation.json")
    assert scores["objects"]["found"] == scores["objects"]["truth"] == scores["thresholds"][-1]["hits"] > 100
    table = pd.read_csv(mixed.folder / "results/evaluation/segmentation.csv")
    assert table["slide"].tolist()[0] == "given"
    assert (mixed.folder / "results/evaluation/segmentation.png").stat().st_size > 5000


def test_the_mask_of_nuclei_opens_as_a_slide(mixed):
    cells = geopandas.read_parquet(mixed.results("given") / "masks.parquet")
    with openslide.OpenSlide(mixed.results("given") / "nuclei_mask.tiff") as mask:
        assert mask.dimensions == (700, 600)
        white = np.asarray(mask.read_region((0, 0), 0, mask.dimensions))[..., 0] == 255
    assert white.sum() == pytest.approx(cells.geometry.union_all().area, rel=0.02)


def test_scoring_without_a_truth_says_which_column_to_fill(copied):
    done = copied.run("--dry-run", "evaluate_segmentation")
    assert done.returncode != 0
    assert "column 'truth' of slides.csv" in done.stdout


def test_outlines_from_elsewhere_must_be_named_in_the_sheet(new_project, tissue):
    project = new_project("nothing-given")
    rows = [{"slide": "a", "path": tissue / "a.png", "mpp": 0.499}]
    project.write(rows, {"segmentation": {"model": "precomputed"}})
    done = project.run("--dry-run")
    assert done.returncode != 0
    assert "slide a has no file in column objects" in done.stdout


def test_cellpose_runs_with_a_file_of_weights(new_project, tissue, random_cpsam):
    """Random ones: what it outlines is nonsense, how it gets there is not."""
    project = new_project("cellpose")
    small = project.folder / "small.png"
    Image.open(tissue / "a.png").crop((100, 100, 340, 340)).save(small)
    segmentation = {"model": "cellpose", "weights": str(random_cpsam), "flow_threshold": 0, "cellprob_threshold": -6}
    project.write([{"slide": "small", "path": small, "mpp": 0.499}], {"segmentation": segmentation, "gpu": False})
    done = project.run("--until", "segment")
    assert done.returncode == 0, done.stdout
    masks = project.results("small") / "masks.parquet"
    assert read_metadata(masks)["weights_sha256"] == weights.sha256(random_cpsam)
    assert set(geopandas.read_parquet(masks).geometry.geom_type) <= {"Polygon"}
    assert "the network was at work" in (project.results("small") / "logs/outline-1-of-1.log").read_text()
