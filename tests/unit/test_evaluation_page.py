"""Plots and page of an evaluation, and the scripts that make them from files, as the workflow runs them."""

import json
import runpy
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import shapely
from PIL import Image

from clusterfirst.evaluation import cluster_plots, page, pooled
from clusterfirst.evaluation.clusters import count
from clusterfirst.evaluation.truth import Truth
from clusterfirst.io import write_array, write_table
from clusterfirst.outlines import objects

from ..defaults import section
from ..html import Page
from ..made import clustering, geojson_feature, slide_facts

BLUE, ORANGE, GREY = (0, 114, 178), (213, 94, 0), (154, 154, 154)


def summary(clusters, names, slides=1, missed=None):
    one = count(
        np.array(clusters, int), Truth("points", np.array(names, object), missed or {}), np.zeros(len(clusters))
    )
    each = {f"s{number}": one for number in range(slides)}
    return pooled.summarise(each, dict.fromkeys(each, "all"), replicates=20)


def opened(path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


HALF = summary([0] * 10 + [1] * 10, ["a"] * 10 + ["b"] * 5 + ["c"] * 5)
EMPTY = summary([], [])


@pytest.mark.parametrize("pool", [HALF, EMPTY, summary(range(300), ["a", "b"] * 150)])
def test_plots_are_drawn_of_any_figures(pool, tmp_path):
    cluster_plots.efficiency({"s": pool.units}, pool.units, tmp_path / "efficiency.png", title="")
    cluster_plots.confusion(pool.units.confusion(25), pool.classes, tmp_path / "confusion.png", title="")
    cluster_plots.bars(pool, tmp_path / "bars.png", title="")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bars.png", "confusion.png", "efficiency.png"]
    for path in tmp_path.iterdir():
        assert opened(path).shape == (900, 1200, 3)


def test_the_curve_is_as_high_as_the_efficiency(tmp_path):
    cluster_plots.efficiency({}, HALF.units, tmp_path / "efficiency.png", title="title")
    picture = opened(tmp_path / "efficiency.png")[:790]  # without the legend
    flat = {
        colour: np.flatnonzero((picture == colour).all(axis=-1).sum(axis=1) > 400).mean() for colour in (BLUE, ORANGE)
    }
    # After two names 3/4, for ever; the most common class is 1/2. The axes are 0 at 783 and 1 at 38.
    assert 783 - flat[BLUE] == pytest.approx(0.75 * 745, abs=12)
    assert 783 - flat[ORANGE] == pytest.approx(0.5 * 745, abs=12)


def test_the_confusion_is_dark_where_cells_are(tmp_path):
    cluster_plots.confusion(np.array([[10, 0, 0], [0, 0, 9]]), ("a", "b"), tmp_path / "c.png", title="t", names=None)
    picture = opened(tmp_path / "c.png").astype(int)
    inside = picture[50:700, 150:1180]  # off the text, a quarter into each field
    rows, columns = (np.linspace(0, size, 2 * parts + 1)[1::2] for size, parts in ((650, 2), (1030, 3)))
    dark = [[inside[int(row) - 90, int(column) - 90, 0] < 50 for column in columns] for row in rows]
    assert dark == [[True, False, False], [False, False, True]]


def test_bars_are_as_long_as_figures_and_intervals_reach_from_low_to_high(tmp_path):
    figures = {"efficiency_25": pooled.Figure(0.5, 0.3, 0.8), "efficiency_all": pooled.Figure(1.0)}
    cluster_plots.bars(replace(HALF, figures=figures), tmp_path / "bars.png", title="t")
    picture = opened(tmp_path / "bars.png")[:820].astype(int)
    blue = (picture == BLUE).all(axis=-1)
    left, right = np.flatnonzero(blue.any(axis=0))[[0, -1]]
    unit = right - left
    short = blue[: np.flatnonzero(blue.any(axis=1))[0] + 8]  # the upper part of the first bar
    assert np.flatnonzero(short.any(axis=0))[-1] - left == pytest.approx(0.5 * unit, abs=3)
    # The line of the interval is the longest dark thing right of the axis; in its row stands the number, too.
    dark = (picture[:200, left + 5 :] < 60).all(axis=-1)
    columns = np.flatnonzero(dark[dark.sum(axis=1).argmax()]) + 5
    line = max(np.split(columns, np.flatnonzero(np.diff(columns) > 1) + 1), key=len)
    assert line[[0, -1]] == pytest.approx([0.3 * unit, 0.8 * unit], abs=8)


@pytest.fixture
def written(tmp_path):
    def write(slides, pool):
        Image.new("RGB", (4, 4)).save(tmp_path / "picture.png")
        page.write(
            tmp_path / "page.html",
            slides=slides,
            pools={"all slides": pool},
            pictures={"A <picture>": tmp_path / "picture.png"},
            without_truth={
                name: dict.fromkeys(
                    (
                        "clusters",
                        "share_of_largest",
                        "silhouette",
                        "davies_bouldin",
                        "calinski_harabasz",
                        "stability",
                        "spread",
                        "mixing",
                    )
                )
                for name in slides
            },
        )
        return Page((tmp_path / "page.html").read_text("utf-8"))

    return write


def test_the_page_says_the_headline_and_what_it_must_be_read_with(written):
    one = summary([0] * 30 + [1] * 10, ["a"] * 24 + ["b"] * 6 + ["b"] * 5 + [None] * 5, missed={"b": 5})
    text = written({"s": one}, one).text.replace("\N{NO-BREAK SPACE}", " ")
    assert "Naming all 2 clusters labels 83 % of the cells right." in text
    assert "most common class would be right for 69 %" in text
    assert "72 % of all true cells" in text
    assert "40 cells were detected; 35 of them have a truth, 5 have none" in text
    assert "Of 40 true cells, 5 were not detected: 5 b." in text


def test_with_more_clusters_than_names_both_are_told(written):
    many = summary([*range(30), *range(30)], ["a", "b"] * 30, slides=3)
    text = written({"s": many, "t": many}, many).text.replace("\N{NO-BREAK SPACE}", " ")
    assert "Naming the 25 largest of 30 clusters labels 83 % [83, 83] of the cells right." in text
    assert "Naming all 30 clusters labels 100 % [100, 100] right." in text
    assert "With 25 names given in each slide on its own, 83 % are right, as the mean over 2 slides." in text


def test_the_page_stands_alone_and_names_are_escaped(written):
    evil = summary([0, 0, 1], ["<script>alert(1)</script>", "a & b", "a & b"], missed={"<b>": 2})
    told = written({"<i>slide</i>": evil}, evil)
    assert not {"script", "b", "i", "u", "link"} & told.tags
    assert "<script>alert(1)</script>" in told.text
    assert "<i>slide</i>" in told.text
    assert "2 <b>" in told.text
    assert [source[:22] for source in told.sources] == ["data:image/png;base64,"]


def test_a_page_of_nothing_says_so(written):
    assert "No detected cell has a truth, so nothing can be said of the clusters." in written({"s": EMPTY}, EMPTY).text


# The scripts.


def run(repo, name, **given):
    """Run a script as Snakemake does, in this process."""
    stand_in = SimpleNamespace(threads=1, **given)
    runpy.run_path(str(repo / "workflow/scripts" / name), init_globals={"snakemake": stand_in}, run_name="__main__")


@pytest.fixture
def quiet():
    """Scripts send the log to a file, for good: give it back."""
    import logging
    import sys

    logger, hook = logging.getLogger("clusterfirst"), sys.excepthook
    before = logger.handlers[:], logger.level, logger.propagate
    yield
    for handler in logger.handlers:
        handler.close()
    logger.handlers[:], logger.level, logger.propagate = before
    sys.excepthook = hook
    logging.captureWarnings(False)


def make_slide(folder, name, offset, truth):
    """Two clusters of twenty cells each, a few of noise; the truth is that of the cluster but for one cell."""
    rng = np.random.default_rng(offset)
    corners = np.stack(np.meshgrid(np.arange(9), np.arange(5)), axis=-1).reshape(-1, 2) * 20.0
    cluster_id = np.array([0] * 20 + [1] * 20 + [-1] * 5)
    polygons = shapely.box(*corners.T, *(corners + 10).T)
    frame = pd.DataFrame({"geometry": polygons, "tile_id": "x0_y0", "score": np.nan, "truncated": False})
    (folder / name).mkdir()
    facts = {"slide": slide_facts(width=200, height=100).document()}
    write_table(objects.table(frame, mpp=0.5), folder / name / "masks.parquet", facts)
    values = rng.normal(np.where(cluster_id[:, None] == 1, 5, 0), 0.1, (45, 3))
    values[40:] = 50 * np.arange(1, 6)[:, None]
    write_array(values.astype(np.float32), folder / name / "umap.npy")
    settings = section("clustering", method="dbscan", eps=1.0, groups=None)
    clustering(cluster_id, settings=settings).write(folder / name / "clusters.json")
    classes = np.where(cluster_id == 1, "tumor", "immune")
    classes[0] = "tumor"
    if truth == "points.csv":
        rows = [f"{x + 5},{y + 5},{kind}" for (x, y), kind in zip(corners, classes, strict=True)]
        text = "\n".join(["x,y,class", *rows, "195,95,stroma"])
    elif truth == "regions.geojson":
        shapes = [shapely.box(0, 0, 200, 100), *shapely.box(*corners[20:].T, *(corners[20:] + 10).T)[:20]]
        text = json.dumps(
            [geojson_feature(shape, kind) for shape, kind in zip(shapes, ["immune", *["tumor"] * 20], strict=True)]
        )
    else:
        text = json.dumps({"cells": [{"cell_id": i, "class": kind} for i, kind in enumerate(classes[:40].tolist())]})
    (folder / name / truth).write_text(text)
    return folder / name / truth


def score(repo, folder, name, truth):
    """Run the script for a slide of `make_slide`; return what it wrote."""
    run(
        repo,
        "evaluate_slide_clusters.py",
        input=SimpleNamespace(
            cells=str(folder / "masks.parquet"),
            clusters=str(folder / "clusters.json"),
            truth=str(truth),
        ),
        output=SimpleNamespace(scores=str(folder / "scores.json"), truth=str(folder / "truth.parquet")),
        params=SimpleNamespace(given=section("given")),
        wildcards=SimpleNamespace(slide=name),
        log=[str(folder / "log")],
    )
    return json.loads((folder / "scores.json").read_text())


def test_a_region_is_a_truth_of_all_cells_in_it(repo, tmp_path, quiet):
    told = score(repo, tmp_path / "one", "one", make_slide(tmp_path, "one", 0, "regions.geojson"))
    assert told["summary"]["cells"] == {"detected": 45, "with_truth": 45, "true_not_detected": 0}
    assert told["truth"]["kind"] == "outlines and regions"
    assert {key: count for key, count in told["truth"]["tally"].items() if count} == {
        "regions": 1,
        "by_regions": 25,
        "outlines": 20,
        "by_outlines": 20,
    }
    assert told["counts"]["table"] == [[20, 0], [0, 20], [5, 0]]
    assert "1 region labels 25 cells, 20 outlines label 20 cells." in (tmp_path / "one" / "log").read_text()


def test_the_scripts_make_figures_table_plots_and_page_from_files(repo, tmp_path, quiet):
    slides = {"one": "points.csv", "two": "labels.json"}
    for offset, (name, truth) in enumerate(slides.items()):
        score(repo, tmp_path / name, name, make_slide(tmp_path, name, offset, truth))
    one, two = (json.loads((tmp_path / name / "scores.json").read_text()) for name in slides)
    assert (one["slide"], two["truth"]["kind"]) == ("one", "labels")
    assert one["truth"] == {"file": str(tmp_path / "one/points.csv"), "kind": "points"}
    assert one["summary"]["cells"] == {"detected": 45, "with_truth": 45, "true_not_detected": 1}
    assert one["summary"]["figures"]["efficiency_25"]["value"] == pytest.approx(39 / 45)
    assert two["summary"]["figures"]["efficiency_25"]["value"] == pytest.approx(39 / 40)
    validity = {"group": "cohort", **dict.fromkeys(key for _, key, _ in page._SHAPES), "clusters": 2}
    (tmp_path / "validity.json").write_text(json.dumps(validity))

    names = {"table": "t.csv", "scores": "e.json", "page": "p.html", "efficiency": "e.png"}
    names |= {"confusion": "c.png", "bars": "b.png"}
    run(
        repo,
        "pool_cluster_scores.py",
        input=SimpleNamespace(
            scores=[str(tmp_path / name / "scores.json") for name in slides],
            validity=[str(tmp_path / "validity.json")],
        ),
        output=SimpleNamespace(**{key: str(tmp_path / "all" / name) for key, name in names.items()}),
        params=SimpleNamespace(groups=dict.fromkeys(slides, "cohort"), tissues={"one": "colon", "two": "skin"}),
        log=[str(tmp_path / "log")],
    )
    assert sorted(path.name for path in (tmp_path / "all").iterdir()) == sorted(names.values())
    scores = json.loads((tmp_path / "all" / "e.json").read_text())
    assert list(scores["pools"]) == ["all slides", "tissue: colon", "tissue: skin"]
    assert scores["pools"]["all slides"]["figures"]["efficiency_25"]["value"] == pytest.approx(78 / 85)
    assert scores["pools"]["all slides"]["classes"]["stroma"]["not_detected"] == 1
    assert scores["mean_over_slides"]["efficiency_25"] == pytest.approx((39 / 45 + 39 / 40) / 2)
    assert scores["slides"]["two"]["truth"]["kind"] == "labels"
    assert scores["groups"]["cohort"]["clusters"] == 2
    table = pd.read_csv(tmp_path / "all" / "t.csv")
    assert table["slide"].tolist()[:4] == ["one", "two", "all slides", "all slides"]
    assert "Naming all 2 clusters" in (tmp_path / "all" / "p.html").read_text("utf-8")
