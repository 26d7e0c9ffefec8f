"""Targets for parts of a run."""

import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from clusterfirst.io import read_json

CHAIN = ["tile", "filter_tiles", "outline", "segment", "embed", "reduce", "cluster"]


@pytest.mark.parametrize(
    ("target", "rules"),
    [
        ("prepare", CHAIN[:2]),
        ("annotations", [*CHAIN, "annotate"]),
        ("representative_tiles", [*CHAIN, "representatives"]),
        ("representative_annotations", [*CHAIN, "representatives", "annotate_representatives"]),
    ],
)
def test_a_target_plans_the_stages_it_needs(new_project, tissue, target, rules):
    project = new_project(target)
    project.write([{"slide": name, "path": tissue / f"{name}.png", "mpp": 0.499} for name in "ab"])
    assert project.jobs(target) == {(rule, name) for rule in rules for name in "ab"}


def test_prepare_exports_tiles_where_they_are_wanted(new_project, tissue):
    project = new_project("export")
    config = {"tissues": {"ta": {"tiling": {"export": True}}}}
    rows = [{"slide": name, "path": tissue / f"{name}.png", "mpp": 0.499, "tissue": f"t{name}"} for name in "ab"]
    project.write(rows, config)
    jobs = project.jobs("prepare")
    assert ("export_tiles", "a") in jobs
    assert ("export_tiles", "b") not in jobs


def test_pictures_alone_are_drawn_again_and_nothing_else_is_allowed(copied):
    shutil.rmtree(copied.results("a") / "annotated")
    alone = ("annotations", "--allowed-rules", "annotations", "annotate")
    assert copied.jobs("annotations") == copied.jobs(*alone) == {("annotate", "a")}
    (copied.results("a") / "clusters.json").unlink()
    assert ("cluster", "a") in copied.jobs("annotations")
    refused = copied.run(*alone, "--dry-run")
    assert refused.returncode != 0
    assert "clusters.json" in refused.stdout


def test_representative_tiles_hold_the_typical_cells_of_every_cluster(copied):
    done = copied.run("representative_annotations")
    assert done.returncode == 0, done.stdout
    for slide in "ab":
        folder = copied.results(slide) / "representatives"
        cells = pd.read_csv(folder / "cells.csv")
        found = read_json(copied.results(slide) / "clusters.json")
        chosen = [(c["id"], cell) for c in found["clusters"] for cell in c["representatives"]]
        assert list(zip(cells["cluster_id"], cells["cell_id"], strict=True)) == chosen
        few = cells[cells["shown"]]
        assert set(few["cluster_id"]) == set(cells["cluster_id"])
        summary = read_json(folder / "summary.json")
        assert summary["tiles"]["fewest"]
        assert [tile["tile_id"] for tile in summary["tiles"]["chosen"]] == sorted(set(few["tile_id"]))
        assert [one["size"] for one in summary["clusters"]] == [one["size"] for one in found["clusters"]]
        assert all((folder / one["gallery"]).is_file() for one in summary["clusters"])
        assert len(list((folder / "gallery").glob("*.png"))) == len(summary["clusters"])
        for kind in ("tiles", "annotated"):
            assert {path.stem for path in (folder / kind).glob("*.png")} == set(few["tile_id"])
        for tile in set(few["tile_id"]):
            plain, drawn = (np.asarray(Image.open(folder / kind / f"{tile}.png")) for kind in ("tiles", "annotated"))
            assert drawn.shape[1] > plain.shape[1], "a legend"
            assert (plain != drawn[: plain.shape[0], : plain.shape[1]]).any()
    assert copied.jobs("representative_annotations") == set()


def test_all_that_is_wrong_with_targets_is_told_whatever_their_order(new_project, tissue, monkeypatch):
    """Snakemake keeps targets in a set."""
    project = new_project("wrong-targets")
    project.write([{"slide": "a", "path": tissue / "a.png", "mpp": 0.499}])
    told = set()
    for seed, targets in (("1", ("labels", "exports")), ("2", ("exports", "labels")), ("3", ("labels", "exports"))):
        monkeypatch.setenv("PYTHONHASHSEED", seed)
        done = project.run(*targets, "--dry-run")
        assert done.returncode != 0
        told.add(done.stdout[done.stdout.index("InputFunctionException") :])
    (text,) = told
    assert "nobody has exported labels" in text
    assert "there is nothing to export" in text


def test_times_are_tabulated_of_what_has_been_run(copied):
    (copied.results("b") / "annotated/overview.png").unlink()
    assert copied.jobs("benchmarks") == set()
    done = copied.run("benchmarks")
    assert done.returncode == 0, done.stdout
    table = pd.read_csv(copied.folder / "results/benchmarks.csv")
    stages = {slide: rows["stage"].tolist() for slide, rows in table.groupby("slide")}
    assert stages == {slide: [*CHAIN, "annotate"] for slide in "ab"}
    assert (table["seconds"] > 0).all()
    assert "Nothing to be done" in copied.run("benchmarks").stdout


def test_times_of_nothing_are_an_error_that_says_so(new_project, tissue):
    project = new_project("no-times")
    project.write([{"slide": "a", "path": tissue / "a.png", "mpp": 0.499}])
    done = project.run("benchmarks")
    assert done.returncode != 0
    assert "no stage of any slide has been run in results/" in done.stdout
