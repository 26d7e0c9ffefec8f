"""Slides clustered together, trials of a sweep, presets, and what people say of the clusters: on typed nuclei."""

import json

import numpy as np
import pandas as pd
import pytest
import yaml

from clusterfirst.io import read_json
from clusterfirst.labels import model

from .. import chat_server as chat
from ..conftest import absent
from ..html import Page
from .conftest import copy_of

NUMBERS = (14, 26, 12)
"""Images of CoNSeP with few nuclei of two to three types."""


def typed(data, numbers=NUMBERS):
    """Rows of a sheet: images whose nuclei people have outlined and typed."""
    folder = data / "consep_train"
    rows = []
    for number in numbers:
        image, outlines = (folder / f"train_{number}.{suffix}" for suffix in ("png", "geojson"))
        if not image.is_file():
            absent(f"no file {image}")
        given = {"objects": outlines, "truth": outlines}
        rows.append({"slide": f"s{number}", "path": image, "tissue": "colon", "mpp": 0.25} | given)
    return rows


GIVEN = {"segmentation": {"model": "precomputed"}, "annotation": {"max_tiles": 1, "overview_px": 400}}
# Without UMAP and networks, which take most of the time.
QUICK = GIVEN | {"embedding": {"models": ["morphology"]}, "reduction": {"method": "pca"}}


def preset(repo, name, **change):
    """A preset, with outlines that are given, and sections changed."""
    config = yaml.safe_load((repo / f"config/presets/{name}.yaml").read_text()) | GIVEN
    return config | {section: config.get(section, {}) | values for section, values in change.items()}


@pytest.fixture(scope="module")
def cohort(repo, data, new_project):
    """The recommended setting, evaluated over three slides together."""
    project = new_project("cohort")
    project.write(typed(data), preset(repo, "recommended", clustering={"groups": 10}))
    done = project.run("all", "evaluate")
    assert done.returncode == 0, done.stdout
    return project


def documents(project):
    return {f"s{number}": read_json(project.results(f"s{number}") / "clusters.json") for number in NUMBERS}


def test_slides_clustered_together_share_clusters_and_keep_their_rows(cohort):
    group = cohort.results("groups/cohort")
    together = read_json(group / "clusters.json")
    facts = read_json(group / "reduction.json")
    assert list(facts["slides"]) == sorted(f"s{number}" for number in NUMBERS)
    umap, ids, start = np.load(group / "umap.npy"), together["cells"]["cluster_id"], 0
    for slide, own in sorted(documents(cohort).items()):
        size = own["counts"]["cells"]
        assert facts["slides"][slide] == size == len(pd.read_parquet(cohort.results(slide) / "masks.parquet"))
        assert own["cells"]["cluster_id"] == ids[start : start + size]
        np.testing.assert_array_equal(np.load(cohort.results(slide) / "umap.npy"), umap[start : start + size])
        assert [cluster["colour"] for cluster in own["clusters"]] == [
            cluster["colour"] for cluster in together["clusters"]
        ]
        start += size
    assert start == len(umap) == together["counts"]["cells"]
    assert together["counts"]["clusters"] == 10
    assert together["tree"]["groups"] == 10


def test_names_serve_all_slides_and_are_worth_more_than_one_class_for_all(cohort):
    figures = read_json(cohort.folder / "results/evaluation/evaluation.json")["pools"]["all slides"]["figures"]
    assert figures["units"]["value"] == 10
    assert figures["efficiency_10"]["value"] > figures["majority"]["value"]
    assert figures["efficiency_10"]["low"] <= figures["efficiency_10"]["value"] <= figures["efficiency_10"]["high"]
    for file in ("clusters.html", "clusters.csv", "label_efficiency.png", "confusion.png", "figures.png"):
        assert (cohort.folder / "results/evaluation" / file).stat().st_size > 1000
    told = read_json(cohort.results("groups/cohort") / "evaluation/validity.json")
    assert 0 <= told["spread"] <= 1
    assert told["mixing"] > 0


def test_a_persons_time_is_worth_more_asked_our_way(cohort, data, tmp_path):
    project = copy_of(cohort, tmp_path / "copy")
    rows = typed(data)
    # What nobody has typed is clustered with the others, and neither asked nor counted.
    del rows[0]["truth"]
    project.write(rows, yaml.safe_load((project.folder / "own.yaml").read_text()))
    project.change({"learning": {"random_features": 200, "names_first": 5, "seeds": 2, "person": {"seconds": 120}}})
    done = project.run("evaluate_naming")
    assert done.returncode == 0, done.stdout
    table = pd.read_csv(project.folder / "results/evaluation/naming.csv")
    judged = sum(len(pd.read_parquet(project.results(f"s{number}") / "masks.parquet")) for number in NUMBERS[1:])
    assert set(table["cells"]) == {judged}
    last = table[table["seconds"] <= 120].groupby(["method", "seed"])["right"].last().groupby("method").mean()
    assert last["names, then pages"] > last["names only"]
    assert "2 slides with a truth" in (project.folder / "results/evaluation/naming.html").read_text()
    assert project.jobs("evaluate_naming") == set()


def test_moving_rows_of_the_sheet_changes_nothing(cohort, data):
    own = yaml.safe_load((cohort.folder / "own.yaml").read_text())
    cohort.write(typed(data, NUMBERS[::-1]), own)
    assert cohort.jobs("all", "evaluate") == set()


def test_nothing_is_left_to_do_and_a_change_of_clustering_redoes_that_once_for_all(cohort):
    assert cohort.jobs("all", "evaluate") == set()
    before = (cohort.folder / "own.yaml").read_text()
    clustering = yaml.safe_load(before)["clustering"]
    cohort.change({"clustering": clustering | {"groups": 9}})
    shared = {(rule, f"s{number}") for rule in ("share_clusters", "annotate") for number in NUMBERS}
    assert cohort.jobs("all") == {("cluster", "groups/cohort")} | shared
    (cohort.folder / "own.yaml").write_text(before)


def test_the_published_setting_runs_and_is_evaluated(repo, data, new_project):
    """With outlines of people and self-supervised weights: Cellpose's and torchvision's cannot be had everywhere."""
    project = new_project("paper")
    project.write(typed(data, NUMBERS[:1]), preset(repo, "paper", embedding={"weights": {"resnet50": "augnet"}}))
    done = project.run("all", "evaluate")
    assert done.returncode == 0, done.stdout
    found = read_json(project.results(f"s{NUMBERS[0]}") / "clusters.json")
    assert found["settings"]["eps_source"] in ("knee", "quantile")
    figures = read_json(project.folder / "results/evaluation/evaluation.json")["pools"]["all slides"]["figures"]
    assert {"hungarian_tile", "hungarian_tile_one_cluster", "hungarian_tile_shuffled"} <= figures.keys()


SWEEP = {
    "reduction.n_neighbors": [10, 15, 30],
    "clustering.groups": [5, 10, 25],
    "clustering.scope": ["slide", "tissue"],
}


def test_a_sweep_computes_what_comes_before_it_once(data, new_project):
    project = new_project("plan-of-a-sweep")
    project.write(typed(data), GIVEN | {"sweep": SWEEP})
    jobs = project.jobs("sweep")
    slides = {f"s{number}" for number in NUMBERS}
    for rule in ("tile", "filter_tiles", "segment", "embed"):
        assert {slide for name, slide in jobs if name == rule} == slides
    count = {rule: sum(name == rule for name, _ in jobs) for rule in ("reduce", "cluster", "share_clusters")}
    # Three maps for each slide and three for all together; three times as many clusterings.
    assert count["reduce"] == 3 * (3 + 1)
    assert count["cluster"] == 9 * (3 + 1)
    assert count["share_clusters"] == 9 * 3
    # The ordinary results know nothing of it.
    assert not any("sweep/" in slide for _, slide in project.jobs("all"))


def test_a_trial_of_one_tissue_that_begins_one_of_another_is_its_own_only(data, new_project):
    project = new_project("beginnings")
    rows = typed(data, NUMBERS[:2])
    rows[0]["tissue"] = "skin"
    pcs = {"reduction.components": [5]}
    config = GIVEN | {"sweep": pcs, "tissues": {"skin": {"sweep": pcs | {"clustering.groups": [4]}}}}
    project.write(rows, config)
    scored = {slide for rule, slide in project.jobs("sweep") if rule == "evaluate_slide_clusters"}
    assert scored == {
        f"sweep/reduction_components~5/s{NUMBERS[1]}",
        f"sweep/reduction_components~5__clustering_groups~4/s{NUMBERS[0]}",
    }


def test_a_sweep_compares_its_trials_and_writes_down_the_best(data, new_project):
    project = new_project("sweep")
    pca = {"method": "pca"}
    rows = typed(data, NUMBERS[:2])
    # However the folder is written, the truth is found.
    config = GIVEN | {"results": "./results/", "reduction": pca}
    project.write(rows, config | {"sweep": {"clustering.groups": [1, 8], "clustering.scope": ["tissue"]}})
    done = project.run("sweep")
    assert done.returncode == 0, done.stdout
    folder = project.folder / "results/sweep"
    table = pd.read_csv(folder / "sweep.csv")
    assert table[table["tissue"] == "colon"]["clustering.groups"].tolist() == [1, 8]
    one, eight = table.loc[table["tissue"] == "colon", "efficiency_25"]
    assert one < eight
    assert table.loc[0, "efficiency_25"] == pytest.approx(table.loc[0, "majority"])
    best = yaml.safe_load((folder / "best.yaml").read_text())
    assert best == {"tissues": {"colon": {"clustering": {"scope": "tissue", "groups": 8}}}}
    assert "<table>" in (folder / "sweep.html").read_text()
    # The block can be laid over the configuration as it is; then everything up to the trial is there already.
    project.change(best | {"sweep": {}})
    planned = {rule for rule, _ in project.jobs("all")}
    assert "segment" not in planned
    assert "cluster" in planned


def test_slides_that_are_clustered_together_need_the_same_settings(data, new_project):
    project = new_project("unlike")
    rows = typed(data, NUMBERS[:2])
    rows[0]["tissue"] = "skin"
    config = GIVEN | {"clustering": {"scope": "cohort"}, "tissues": {"skin": {"reduction": {"n_neighbors": 7}}}}
    project.write(rows, config)
    done = project.run("--dry-run")
    assert done.returncode != 0
    assert f"config: reduction.n_neighbors is 7 for slide s{NUMBERS[0]}, but 15 for slide s{NUMBERS[1]}" in done.stdout
    project.write([row | {"tissue": ""} for row in rows], GIVEN | {"clustering": {"scope": "tissue"}})
    done = project.run("--dry-run")
    assert f"clustering.scope is tissue, but slide s{NUMBERS[0]} has none" in done.stdout
    named = [row | {"tissue": name} for row, name in zip(rows, ("head/neck", "head-neck"), strict=True)]
    project.write(named, GIVEN | {"clustering": {"scope": "tissue"}})
    assert "tissues 'head/neck', 'head-neck' are written the same" in project.run("--dry-run").stdout


def test_without_a_sweep_or_a_truth_it_is_said_what_is_missing(data, new_project):
    project = new_project("nothing")
    (row,) = typed(data, NUMBERS[:1])
    project.write([row | {"truth": ""}], GIVEN)
    assert "there is nothing to sweep: list values under `sweep:`" in project.run("--dry-run", "sweep").stdout
    assert "no slide has a truth to be scored against" in project.run("--dry-run", "evaluate").stdout


def test_a_truth_of_points_is_enough(data, new_project):
    project = new_project("points")
    folder = data / "consep_train"
    features = json.loads((folder / f"train_{NUMBERS[0]}.geojson").read_text())["features"]
    lines = ["x,y,class"]
    for feature in features:
        ring = np.array(feature["geometry"]["coordinates"][0])
        x, y = ring[:-1].mean(axis=0)
        lines.append(f"{x},{y},{feature['properties']['classification']['name']}")
    (project.folder / "points.csv").write_text("\n".join(lines))
    (row,) = typed(data, NUMBERS[:1])
    project.write(
        [row | {"truth": "points.csv"}], GIVEN | {"reduction": {"method": "pca"}, "clustering": {"groups": 5}}
    )
    done = project.run("evaluate")
    assert done.returncode == 0, done.stdout
    told = read_json(project.results(row["slide"]) / "evaluation/clusters.json")
    assert told["truth"]["kind"] == "points"
    judged = told["summary"]["cells"]
    assert judged["with_truth"] + judged["true_not_detected"] == len(features)
    assert judged["with_truth"] > 0.9 * len(features)


def test_what_a_model_calls_shared_clusters_goes_to_the_cells_of_each_slide(cohort, tmp_path):
    project = copy_of(cohort, tmp_path / "copy")
    files = [f"results/s{number}/cells.parquet" for number in NUMBERS]
    with chat.running() as server:
        own = {"per_cluster": 1, "model": "seer-1", "base_url": server.url, "key_variable": None}
        project.change({"classify": own})
        done = project.run(*files)
        assert done.returncode == 0, done.stdout
        assert len(server.asked) == 10, "once for all slides"
    told = model.read(project.results("groups/cohort") / "classes.json")
    assert len({found.name for found in told.clusters.values()}) > 2
    for slide in (f"s{number}" for number in NUMBERS):
        cells = pd.read_parquet(project.results(slide) / "cells.parquet", columns=["cluster_id", "label"])
        wanted = [told.clusters[number].name if number >= 0 else None for number in cells["cluster_id"]]
        assert [None if pd.isna(label) else label for label in cells["label"]] == wanted
    assert project.jobs(*files) == set()
    clustering = yaml.safe_load((project.folder / "own.yaml").read_text())["clustering"]
    project.change({"clustering": clustering | {"groups": 9}})
    assert {("classify_clusters", "groups/cohort"), ("label_cells", "s14")} <= project.jobs(*files), "others are meant"


def test_the_cohort_page_compares_slides_that_share_clusters(cohort):
    done = cohort.run("cohort")
    assert done.returncode == 0, done.stdout
    read = Page((cohort.folder / "results/cohort.html").read_text(encoding="utf-8"))
    assert "3 slides share 10 clusters" in read.text
    (table,) = [rows for rows in read.tables if rows[0][0] == "cluster"]
    together = read_json(cohort.results("groups/cohort") / "clusters.json")
    shown = {int(row[0]): int(row[1].replace(",", "")) for row in table[1:]}
    assert shown == {cluster["id"]: cluster["size"] for cluster in together["clusters"]}
    alts = [attributes["alt"] for name, attributes in read.elements if name == "img"]
    assert [alt for alt in alts if alt.startswith("Map of")] == [
        f"Map of {together['counts']['cells']:,} cells by {word}" for word in ("cluster", "slide")
    ]


def test_labels_are_carried_to_slides_that_taught_nothing(cohort, data, tmp_path):
    project = copy_of(cohort, tmp_path / "copy")
    config = yaml.safe_load((project.folder / "own.yaml").read_text())
    project.write(typed(data), config)
    done = project.run("evaluate_transfer", "--dry-run")
    assert done.returncode != 0
    assert "no slide with a truth has split teach" in done.stdout
    rows = [row | {"split": split} for row, split in zip(typed(data), ("teach", "teach", "test"), strict=True)]
    project.write([row | {"patient": "p"} for row in rows], config)
    assert (
        "slides of patient 'p' are on both sides of the split" in project.run("evaluate_transfer", "--dry-run").stdout
    )
    project.write(rows, config)
    project.change({"learning": {"random_features": 100, "reviewed": [30], "seeds": 2}})
    done = project.run("evaluate_transfer")
    assert done.returncode == 0, done.stdout
    table = pd.read_csv(project.folder / "results/evaluation/transfer.csv")
    assert len(table) == 2 + 2 * (1 + 3 * 2 + 1)
    assert table["right"].between(0, 1).all()
    mean = table.groupby("method")["right"].mean()
    # Three quarters of these cells are of one class: more is hardly to be had from the few that teach.
    assert mean["every cell reviewed"] >= mean["the commonest class for all"]
    known = table["ece"].notna()
    assert set(table["method"][~known]) == {"the commonest class for all", "nearest named cluster"}
    assert "of 1 other slides tested" in (project.folder / "results/evaluation/transfer.html").read_text()
    assert project.jobs("evaluate_transfer") == set()
