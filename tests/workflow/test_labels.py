"""From what people said in the labelling app to labels of all cells: `snakemake labels`."""

import gzip
import json
import zipfile
from xml.etree import ElementTree

import geopandas
import numpy as np
import pyarrow.parquet as pq
import pytest
import shapely
from PIL import Image

from clusterfirst.clustering import palette
from clusterfirst.io import read_json, read_metadata, write_json
from clusterfirst.outlines import foreign
from clusterfirst.slide.facts import SlideFacts

from .. import defaults
from .conftest import copy_of, say

BLUE, ORANGE = "#0000ff", "#ff8000"
CLASSES = [{"name": "plasma cell", "colour": BLUE}, {"name": "other", "colour": ORANGE}]
RULES = {("label_cells", "a"), ("annotate_labels", "a"), ("export_qupath", "a")}
BESIDE = (
    *("cluster_id", "leaf_id", "confidence", "umap_x", "umap_y"),
    *("label", "label_source", "labelled_by", "label_confidence"),
)


@pytest.fixture(scope="module")
def labelled(finished, tmp_path_factory):
    """The finished run of two slides, of which one was labelled, and what became of that."""
    project = copy_of(finished, tmp_path_factory.mktemp("labelled") / "copy")
    found = read_json(project.results("a") / "clusters.json")
    first = found["clusters"][0]
    rows = np.flatnonzero(np.array(found["cells"]["cluster_id"]) == 0).tolist()
    others = np.flatnonzero(np.array(found["cells"]["cluster_id"]) == 1).tolist()
    say(
        project,
        {"do": "classes", "classes": CLASSES},
        {"do": "name", "leaves": first["leaves"], "class": "plasma cell"},
        {"do": "cells", "rows": str(rows[0]), "class": "other"},
        {"do": "cells", "rows": str(others[0]), "class": "other"},
        {"do": "confirm", "rows": str(rows[1])},
    )
    assert project.jobs() == project.jobs("labels") == RULES, "of labels nothing else depends"
    done = project.run("labels")
    assert done.returncode == 0, done.stdout
    return project, rows, others


@pytest.fixture
def copied(labelled, tmp_path):
    """The labelled run, to be tampered with."""
    return copy_of(labelled[0], tmp_path / "copy")


def test_without_exports_the_target_says_what_to_do(finished):
    done = finished.run("labels", "--dry-run")
    assert done.returncode != 0
    assert "nobody has exported labels of any slide of slides.csv yet" in done.stdout
    assert "press Export" in done.stdout
    assert finished.jobs() == set()
    assert finished.jobs("results/a/cells.parquet") == {("label_cells", "a")}


def test_every_cell_has_its_label_beside_all_else_that_is_known(labelled):
    project, rows, others = labelled
    folder = project.results("a")
    cells, masks = (geopandas.read_parquet(folder / name) for name in ("cells.parquet", "masks.parquet"))
    assert cells[masks.columns].equals(masks)
    assert [name for name in cells.columns if name not in masks.columns] == list(BESIDE)
    found = read_json(folder / "clusters.json")["cells"]
    for name in ("cluster_id", "leaf_id"):
        assert cells[name].tolist() == found[name]
    np.testing.assert_allclose(cells["confidence"], found["confidence"], atol=1e-6)
    np.testing.assert_array_equal(cells[["umap_x", "umap_y"]], np.load(folder / "umap2d.npy"))
    wanted = dict.fromkeys(rows, "plasma cell") | {rows[0]: "other", others[0]: "other"}
    assert cells["label"].dropna().to_dict() == wanted
    assert cells["label_source"][[*rows[:3], others[0]]].tolist() == ["exception", "reviewed", "cluster", "exception"]
    assert set(cells["labelled_by"].dropna()) == {"Ada"}
    assert cells["labelled_by"].notna().equals(cells["label"].notna())
    assert pq.read_schema(folder / "cells.parquet").field("label").type == "string"
    assert cells["label_confidence"].isna().all()
    facts = read_metadata(folder / "cells.parquet")
    assert facts["classes"] == facts["labels"]["classes"] == CLASSES
    assert facts["proposals"] is None
    assert facts["slide"] == read_metadata(folder / "masks.parquet")["slide"]
    assert (facts["labels"]["who"], facts["labels"]["clustered_since"]) == ("Ada", False)
    assert not (project.results("b") / "cells.parquet").exists()


def test_qupath_gets_detections_with_classes_and_colours(labelled):
    project, rows, _ = labelled
    path = project.results("a") / "cells.geojson.gz"
    cells = geopandas.read_parquet(project.results("a") / "cells.parquet")
    with gzip.open(path) as file:
        back = geopandas.read_file(file, engine="pyogrio").set_crs(None, allow_override=True)
    assert set(back["objectType"]) == {"detection"}
    assert (back.geometry.area - cells.geometry.area).abs().max() < 0.5
    told = [json.loads(one) if isinstance(one, str) else one for one in back["classification"]]
    assert told[rows[0]] == {"name": "other", "color": [255, 128, 0]}
    assert told[rows[2]] == {"name": "plasma cell", "color": [0, 0, 255]}
    facts = SlideFacts.of(project.results("a") / "masks.parquet")
    again = foreign.read(path, facts, given=defaults.section("given"))
    assert again["name"].tolist() == [*cells["label"].astype(object).where(cells["label"].notna(), None)]


def test_pictures_have_the_colours_of_the_classes_and_a_legend(labelled):
    project, *_ = labelled
    folder = project.results("a") / "annotated_by_label"
    by_cluster = project.results("a") / "annotated"
    tiles = {path.name for path in by_cluster.glob("x*.png")}
    assert {path.name for path in folder.glob("*.png")} == tiles | {"overview.png", "umap.png"}
    overview = np.asarray(Image.open(folder / "overview.png"))
    for shade in (BLUE, ORANGE, palette.NOISE):
        assert (overview == palette.rgb(shade)).all(axis=-1).sum() > 200, "a square in the legend"

    def blue(place):
        """Where a picture is bluer than tissue is."""
        picture = np.asarray(Image.open(place).convert("RGB"), int)
        return picture[..., 2] - picture[..., :2].max(axis=-1) > 100

    facts = read_metadata(project.results("a") / "masks.parquet")["slide"]
    cells = geopandas.read_parquet(project.results("a") / "cells.parquet").query("label == 'plasma cell'")
    inside = np.zeros((facts["height"], facts["width"]), bool)
    y, x = np.indices(inside.shape)
    for cell in cells.geometry:
        inside |= shapely.contains_xy(cell, x + 0.5, y + 0.5)
    assert blue(folder / "overview.png")[: facts["height"], : facts["width"]][inside].mean() > 0.9
    assert blue(by_cluster / "overview.png")[: facts["height"], : facts["width"]][inside].mean() < 0.5
    assert sum(blue(place).sum() for place in folder.glob("x*.png")) > 0.1 * inside.sum()


def test_classes_are_drawn_where_they_are_asked_for_and_their_lack_is_told(copied, labelled):
    _, rows, others = labelled
    drawing = {"colour": "class", "text": ["class"], "shapes": ["polygons", "boxes"], "svg": True}
    second = {"cells": "all", "colour": "none", "text": ["confidence"], "shapes": ["boxes"], "drop_unclassified": True}
    copied.change({"annotation": drawing, "representatives": {"annotation": second}})
    planned = copied.jobs("annotations", "representative_annotations")
    assert planned == {("label_cells", "b")} | {
        (rule, slide) for rule in ("annotate", "representatives", "annotate_representatives") for slide in "ab"
    }
    done = copied.run("annotations", "representative_annotations")
    assert done.returncode == 0, done.stdout

    def cells_in(folder):
        """Elements of cells in all SVGs of a folder, by cell id; of those on several tiles, one."""
        roots = [ElementTree.parse(path).getroot() for path in folder.glob("x*.svg")]
        return {int(one.get("data-cell-id")): one for root in roots for one in root.iter() if one.get("data-cell-id")}

    first = cells_in(copied.results("a") / "annotated")
    cells = geopandas.read_parquet(copied.results("a") / "cells.parquet")
    assert {row: one.get("data-class") for row, one in first.items()} == dict(
        cells["label"].astype(object).where(cells["label"].notna(), None).items()
    )
    few = cells_in(copied.results("a") / "representatives/annotated")
    assert few
    assert set(few) <= {*rows, others[0]}, "those with a class only"
    assert all([part.tag.split("}")[1] for part in one] == ["title", "rect"] for one in few.values())
    assert set(cells_in(copied.results("b") / "representatives/annotated")) == set()
    log = (copied.results("b") / "logs/annotate.log").read_text()
    assert "no cell has a class yet: name clusters in the labelling app" in log
    assert copied.jobs("annotations", "representative_annotations") == set()


def test_a_second_run_has_nothing_to_do_and_a_new_export_does_only_labels_again(copied, labelled):
    _, rows, others = labelled
    assert copied.jobs() == copied.jobs("labels") == set()
    say(copied, {"do": "undo"}, {"do": "cells", "rows": str(others[1]), "class": "plasma cell"})
    assert copied.jobs() == copied.jobs("labels") == RULES
    done = copied.run("labels", "--until", "label_cells")
    assert done.returncode == 0, done.stdout
    cells = geopandas.read_parquet(copied.results("a") / "cells.parquet")
    assert cells["label"][others[1]] == "plasma cell"
    assert cells["label_source"][rows[1]] == "cluster"
    assert ("label_cells", "a") not in copied.jobs("labels")


def test_labels_stay_with_their_cells_when_those_are_clustered_anew_and_other_cells_are_an_error(copied, labelled):
    folder = copied.results("a")
    before = geopandas.read_parquet(folder / "cells.parquet")["label"]
    found = read_json(folder / "clusters.json")
    found["cells"]["leaf_id"] = found["cells"]["leaf_id"][::-1]
    write_json(found, folder / "clusters.json", indent=None)
    done = copied.run("results/a/cells.parquet", "--allowed-rules", "label_cells")
    assert done.returncode == 0, done.stdout
    assert "labels stay with their cells" in (folder / "logs/label_cells.log").read_text()
    assert geopandas.read_parquet(folder / "cells.parquet")["label"].equals(before)
    assert read_metadata(folder / "cells.parquet")["labels"]["clustered_since"]

    masks = pq.read_table(folder / "masks.parquet")
    moved = masks.set_column(masks.column_names.index("x"), "x", pq.read_table(folder / "masks.parquet")["y"])
    pq.write_table(moved, folder / "masks.parquet")
    done = copied.run("results/a/cells.parquet", "--allowed-rules", "label_cells", "--retries", "0")
    assert done.returncode != 0
    assert "are of other cells: the slide was segmented again since" in done.stdout


def test_status_and_report_know_of_labels(copied):
    text = copied.run("status", "--quiet", "rules", "host", "progress").stdout
    assert "label_cells" in text, text
    assert "Everything is there" in text
    say(copied, {"do": "undo"})
    text = copied.run("status", "--quiet", "rules", "host", "progress").stdout
    assert "Everything is there" not in text
    done = copied.run("--report", "report.zip")
    assert done.returncode == 0, done.stdout
    with zipfile.ZipFile(copied.folder / "report.zip") as file:
        told = b"".join(file.read(name) for name in file.namelist())
    assert b"overview by label" in told
    assert b"in the colour of the class that people, or else the model, gave it" in told
