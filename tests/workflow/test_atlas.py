"""From labels to an atlas, and from an atlas to the cells of other slides: `snakemake learn` and `snakemake apply`."""

import zipfile

import numpy as np
import pandas as pd
import pytest

from clusterfirst.io import read_json, read_metadata, write_json
from clusterfirst.learning.atlas import Atlas

from .conftest import copy_of, say

CLASSES = [{"name": "plasma cell", "colour": "#0000ff"}, {"name": "other", "colour": "#ff8000"}]
OWN = "results/atlas/cells.atlas"


@pytest.fixture(scope="module")
def taught(finished, tmp_path_factory):
    """The finished run of two slides; all clusters of one have names, and an atlas was learnt from them."""
    project = copy_of(finished, tmp_path_factory.mktemp("taught") / "copy")
    done = project.run("learn", "--dry-run")
    assert done.returncode != 0
    assert "nobody has exported labels of any slide" in done.stdout
    clusters = read_json(project.results("a") / "clusters.json")["clusters"]
    names = [{"do": "name", "leaves": one["leaves"], "class": CLASSES[one["id"] % 2]["name"]} for one in clusters]
    say(project, {"do": "classes", "classes": CLASSES}, *names)
    done = project.run("learn")
    assert done.returncode == 0, done.stdout
    return project


@pytest.fixture(scope="module")
def applied(taught, tmp_path_factory):
    """The same once the atlas was asked about both slides, and all that follows was made."""
    project = copy_of(taught, tmp_path_factory.mktemp("applied") / "copy")
    project.change({"apply": {"atlas": OWN, "max_novelty": 1, "min_probability": 0}, "export": {"formats": ["csv"]}})
    done = project.run()
    assert done.returncode == 0, done.stdout
    return project


def test_an_atlas_and_its_page_are_made_of_what_was_named(taught):
    atlas = Atlas.read(taught.folder / OWN)
    assert [entry["name"] for entry in atlas.classes] == ["other", "plasma cell"]
    assert (atlas.taught["slides"], atlas.measured["left_out"]) == (["a"], "strips")
    assert sum(atlas.taught["reviewed"].values()) == 0
    html = (taught.folder / "results/atlas/cells.html").read_text()
    assert "Strips of the one slide" in html
    assert "taken for" in html
    assert "data:image/jpeg" in html
    done = taught.run("--report", "report.zip")
    assert done.returncode == 0, done.stdout
    with zipfile.ZipFile(taught.folder / "report.zip") as file:
        assert b"page: what was learnt" in b"".join(file.read(name) for name in file.namelist())
    assert taught.jobs("learn") == set()


def test_every_slide_is_labelled_and_people_have_the_last_word(applied):
    for slide in "ab":
        learnt = pd.read_parquet(applied.results(slide) / "learnt.parquet")
        cells = pd.read_parquet(applied.results(slide) / "cells.parquet")
        assert learnt["cell_id"].equals(cells["cell_id"])
        assert set(learnt["label"]) == {"plasma cell", "other"}
        assert learnt["probability"].between(0.5, 1).all()
        named = cells["label_source"] == "cluster"
        assert (cells["label_source"][~named] == "learnt").all()
        assert cells["label"][~named].equals(learnt["label"][~named].astype(cells["label"].dtype))
        np.testing.assert_array_equal(cells["label_confidence"][~named], learnt["probability"][~named])
        assert set(cells["labelled_by"][~named]) <= {"atlas cells"}
        assert named.any() == (slide == "a")
        assert (applied.results(slide) / "annotated_by_label/overview.png").is_file()
    facts = read_metadata(applied.results("b") / "cells.parquet")
    assert facts["learnt"]["atlas"]["name"] == "cells"
    assert {entry["name"] for entry in facts["classes"]} == {"plasma cell", "other"}
    assert applied.jobs() == set()


def test_a_run_never_learns_unless_asked_to(applied, tmp_path):
    project = copy_of(applied, tmp_path / "copy")
    say(project, {"do": "cells", "rows": "0", "class": "other"})
    rules = {rule for rule, _ in project.jobs()}
    assert "label_cells" in rules
    done = project.run("--dry-run", "--quiet", "host")
    assert "learn_atlas" not in done.stdout
    assert "learn_atlas" in project.run("learn", "--dry-run", "--quiet", "host").stdout
    (project.folder / OWN).unlink()
    (project.results("b") / "learnt.parquet").unlink()
    done = project.run("apply", "--dry-run")
    assert done.returncode != 0
    assert "run `snakemake learn` first" in done.stdout


def test_an_atlas_from_elsewhere_needs_neither_map_nor_clusters(taught, new_project, tissue):
    project = new_project("elsewhere")
    atlas = taught.folder / OWN
    config = {"tiling": {"tile_px": 256}, "apply": {"atlas": str(atlas)}}
    project.write([{"slide": "b", "path": tissue / "b.png", "mpp": 0.499}], config)
    done = project.run("apply")
    assert done.returncode == 0, done.stdout
    assert (project.results("b") / "learnt.parquet").is_file()
    assert not (project.results("b") / "umap.npy").exists()
    # Another content is told apart, whatever its date.
    project.change({"apply": {"atlas": str(atlas), "max_novelty": 0.9}})
    assert project.jobs("apply") == {("apply_atlas", "b")}
    project.write([{"slide": "b", "path": tissue / "b.png", "mpp": 0.25}], config)
    done = project.run("apply")
    assert done.returncode != 0
    assert "µm per pixel were 0.499, here they are 0.25" in done.stdout


def test_a_damaged_atlas_fails_its_slides_in_words_and_a_missing_one_before_anything_runs(applied, tmp_path):
    project = copy_of(applied, tmp_path / "copy")
    path = project.folder / OWN
    path.write_bytes(path.read_bytes()[:-100])
    done = project.run()
    assert done.returncode != 0
    assert "cannot be trusted, so it is not used" in done.stdout
    project.change({"apply": {"atlas": "nowhere.atlas"}})
    done = project.run("--dry-run")
    assert "apply.atlas: no file nowhere.atlas" in done.stdout
    project.change({"apply": {"atlas": None}})
    done = project.run("apply", "--dry-run")
    assert "apply.atlas names no atlas for any slide" in done.stdout


def test_only_what_is_new_to_an_atlas_is_clustered_and_named_and_taught_to_it(taught, tmp_path):
    project = copy_of(taught, tmp_path / "copy")
    novel = {
        "apply": {"atlas": OWN, "max_novelty": 0.5},
        "clustering": {"cells": "novel", "groups": 3},
        "reduction": {"method": "pca"},
    }
    project.change(novel)
    done = project.run()
    assert done.returncode == 0, done.stdout
    for slide in "ab":
        learnt = pd.read_parquet(project.results(slide) / "learnt.parquet")
        cells = pd.read_parquet(project.results(slide) / "cells.parquet")
        new = learnt["novelty"] > 0.5
        assert new.any() or slide == "a"
        assert ((cells["cluster_id"] >= 0) == new).all()
        assert cells["cluster_id"].nunique() <= 4
        assert (
            "look like nothing that atlas cells was taught" in (project.results(slide) / "logs/cluster.log").read_text()
        )
    clusters = read_json(project.results("b") / "clusters.json")
    assert {cell for one in clusters["clusters"] for cell in one["representatives"]} <= set(np.flatnonzero(new))
    say(
        project,
        {"do": "classes", "classes": [*CLASSES, {"name": "new", "colour": "#00ff00"}]},
        {"do": "name", "leaves": clusters["clusters"][0]["leaves"], "class": "new"},
        slide="b",
    )
    # The atlas is learnt anew from what is called novel by its elder: no circle.
    done = project.run("learn")
    assert done.returncode == 0, done.stdout
    atlas = Atlas.read(project.folder / OWN)
    assert [entry["name"] for entry in atlas.classes] == ["new", "other", "plasma cell"]
    done = project.run()
    assert done.returncode == 0, done.stdout
    cells = pd.read_parquet(project.results("b") / "cells.parquet")
    named = np.flatnonzero(np.array(clusters["cells"]["cluster_id"]) == 0)
    assert (cells["label"][named] == "new").all()
    assert (cells["label_source"][named] == "cluster").all()
    project.change({**novel, "apply": {"atlas": None}})
    assert "clustering.cells is novel, but to what?" in project.run("--dry-run").stdout
    project.change({**novel, "sweep": {"clustering.groups": [2, 3]}})
    assert "atlases are not asked in a sweep" in project.run("--dry-run").stdout


def test_blind_answers_teach_if_that_is_said(taught, tmp_path):
    project = copy_of(taught, tmp_path / "copy")
    (export,) = (project.results("a") / "labels").glob("*.json")
    about = {"slide": "a", "who": "Bob", "time": "2026-01-01", "cells_sha256": read_json(export)["cells_sha256"]}
    answers = [{"cell_id": cell, "class": CLASSES[cell % 2]["name"]} for cell in range(40)]
    write_json({"blind": about, "cells": answers}, project.results("a") / "labels/blind/2026.json")
    assert project.jobs("learn") == set()
    project.change({"learning": {"blind": True}})
    done = project.run("learn")
    assert done.returncode == 0, done.stdout
    assert sum(Atlas.read(project.folder / OWN).taught["reviewed"].values()) == 40
