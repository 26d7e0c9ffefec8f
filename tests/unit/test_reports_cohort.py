"""The cohort page: its numbers against numbers found by hand, its pictures, and what it says."""

import base64
import dataclasses
import io
import re
from collections import Counter
from datetime import datetime

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from clusterfirst.clustering import palette
from clusterfirst.export import FORMATS
from clusterfirst.io import write_array, write_json, write_table
from clusterfirst.labels import GUESSES, SOURCES, LabelSource
from clusterfirst.plan.layout import SlideFolder
from clusterfirst.reports.cohort import classes, clusters, figures, page, pictures
from clusterfirst.reports.cohort.cohort import Cohort, Missing
from clusterfirst.slide.tissue import METRICS, UNREADABLE

from .. import made
from ..html import Page

BLUE, ORANGE, RED = "#0072b2", "#d55e00", "#ff0000"
EVIL = "<script>alert(1)</script>"
MADE = datetime(2026, 11, 21, 12, 0)
IDS = [0] * 50 + [1] * 15 + [-1] * 5


def tile(name, fraction, *, kept=True, magnification=1.0):
    facts = {"tile_id": name, "width": 1000, "height": 1000, "tissue_fraction": fraction}
    return facts | {"kept": kept, "magnification": magnification, "rejected_by": "" if kept else "bright_ratio"}


TILES = [tile("a", 0.4), tile("b", 1.0), tile("c", 1.0), tile("d", 0.6, kept=False)]
"""At 0.5 µm/px a tile is 0.25 mm². Tile c cannot be read."""


@pytest.fixture
def make(tmp_path, settings):
    """Write the results of a finished slide: 70 cells in two clusters, of them 5 noise."""

    def make(name="one", *, ids=IDS, tiles=TILES, model="instanseg", on=("a",), tissue="colon", **changed):
        folder = tmp_path / name
        folder.mkdir()
        facts = made.slide_facts(width=2000, height=2000, mpp=0.5).document()
        write_table(pd.DataFrame(tiles), folder / "filtered.parquet", {"slide": facts})
        (folder / "failed_tiles.csv").write_text("tile_id,rule,reason\nc,outline,broken\n")
        cells = pd.DataFrame({"tile_id": [on[place % len(on)] for place in range(len(ids))]})
        write_table(cells, folder / "masks.parquet", {"settings": {"model": model}, "weights_sha256": "f00"})
        made.clustering(ids, np.full(len(ids), 0.5)).write(folder / "clusters.json")
        used = settings | changed | {"slide": facts | {"name": name, "tissue": tissue}}
        (folder / "settings.yaml").write_text(yaml.safe_dump(used))
        write_array(np.random.default_rng(0).normal(size=(len(ids), 2)).astype(np.float32), folder / "umap2d.npy")
        (folder / "annotated").mkdir()
        overview = Image.new("RGB", (2600, 2000), RED)
        overview.paste("white", (0, 0, 2000, 2000))
        overview.save(folder / "annotated/overview.png")
        Image.new("RGB", (1165, 300), "white").save(folder / "annotated/gallery.png")
        return folder

    return make


BY_PEOPLE_AND_A_MODEL = ["cluster"] * 30 + ["proposed"] * 10


def label(folder, *, ids=IDS, file="first.json", colours=None, source=BY_PEOPLE_AND_A_MODEL):
    """40 cells of cluster 0 are called tumour, of them 10 by a model; 10 of cluster 1 are called lymphocyte."""
    names = np.array(["tumour"] * 40 + [None] * 10 + ["lymphocyte"] * 10 + [None] * 10, object)
    source = np.array([*source, *[None] * 10, *["reviewed"] * 10, *[None] * 10], object)
    classes = [{"name": name, "colour": shade} for name, shade in (colours or {"tumour": BLUE}).items()]
    write_table(
        pd.DataFrame({"cluster_id": ids, "label": names, "label_source": source}),
        folder / "cells.parquet",
        {"labels": {"file": file, "classes": classes}},
    )


def read(folder, *, group=None, **given):
    return figures.read(folder, name=folder.name, group=group or folder.name, seconds=65.0, **given)


def written(folder, slides, missing=(), seconds=None):
    path = folder / "cohort.html"
    page.write(Cohort(folder, slides, missing, seconds or {}, "0.1.0", MADE), path)
    return path.read_text(encoding="utf-8")


def table_of(text, first, last):
    """Rows of the tables with such heads."""
    return [rows for rows in Page(text).tables if (rows[0][0], rows[0][-1]) == (first, last)]


# --- numbers -----------------------------------------------------------------------------------------------------


def test_tiles_are_counted_and_tissue_is_that_of_tiles_that_were_looked_at(make):
    slide = read(make())
    tiles = slide.tiles
    assert (tiles.kept, tiles.rejected, tiles.unreadable) == (2, 1, 1)
    assert tiles.tissue_mm2 == pytest.approx((0.4 + 1.0) * 0.25)
    assert figures.density(slide.cells, tiles.tissue_mm2) == pytest.approx(70 / 0.35)


def test_outlines_from_elsewhere_make_their_tile_count(make):
    assert read(make(model="precomputed", on=("a", "d"))).tiles.tissue_mm2 == pytest.approx((0.4 + 1.0 + 0.6) * 0.25)
    assert read(make("two", on=("a", "d"))).tiles.tissue_mm2 == pytest.approx(0.35)


def test_of_several_magnifications_tissue_is_counted_once(make):
    tiles = [*TILES, tile("a2", 0.5, magnification=0.5), tile("b2", 0.5, magnification=0.5)]
    assert read(make(tiles=tiles)).tiles.tissue_mm2 == pytest.approx(0.35)


def test_where_nothing_is_filtered_all_tissue_counts_that_can_be_read(make):
    measures = dict.fromkeys(METRICS, np.nan)
    tiles = [tile(name, fraction) | measures for name, fraction in (("a", 0.4), ("b", 1.0), ("c", 1.0), ("d", 0.0))]
    tiles[2] |= {"kept": False, "rejected_by": UNREADABLE}
    folder = make(tiles=tiles, filter=False)
    slide = read(folder)
    assert (slide.tiles.kept, slide.tiles.rejected, slide.tiles.unreadable) == (3, 0, 1)
    assert slide.tiles.tissue_mm2 == pytest.approx((0.4 + 1.0) * 0.25)
    (quality,) = table_of(written(folder.parent, [slide]), "slide", "time")
    assert quality[1][3:6] == ["3", "0", "1"]


def test_without_tissue_there_is_no_density(make):
    assert read(make(tiles=[tile("c", 1.0), tile("d", 0.3, kept=False)])).tiles.tissue_mm2 == 0
    assert figures.density(0, 0.0) is None


def test_shares_are_of_all_cells_noise_included(make):
    slide = read(make())
    assert slide.shares == pytest.approx({0: 50 / 70, 1: 15 / 70, -1: 5 / 70})
    assert slide.noise_share == pytest.approx(5 / 70)
    assert read(make("empty", ids=[])).shares == {}
    assert read(make("one_cluster", ids=[0] * 3)).shares == {0: 1}


def test_labels_are_counted_by_class_and_by_cluster(make):
    folder = make()
    label(folder)
    labels = read(folder, exported="first.json").labels
    assert labels.counts == {"tumour": 40, "lymphocyte": 10}
    assert (labels.cells, labels.guessed) == (50, {"proposed": 10})
    assert labels.by_cluster == {0: {"tumour": 40}, 1: {"lymphocyte": 10}}
    assert labels.classes == [{"name": "tumour", "colour": BLUE}, {"name": "lymphocyte", "colour": figures.GREY}]
    assert figures.class_of_cluster([read(folder)], 0) == ("tumour", 1.0)
    assert figures.class_of_cluster([read(folder)], -1) is None


def test_labels_that_are_out_of_date_are_said_to_be(make):
    folder = make()
    assert read(folder).notes == ()
    assert "were exported, but not given" in read(folder, exported="first.json").notes[0]
    label(folder)
    assert read(folder, exported="first.json").notes == ()
    assert "were exported since" in read(folder, exported="second.json").notes[0]
    label(folder, ids=IDS[::-1])
    stale = read(folder, exported="first.json")
    assert stale.labels is None
    assert "older than these clusters" in stale.notes[0]


def test_the_classes_of_people_come_before_those_of_models():
    facts = {
        "labels": {"classes": [{"name": "b", "colour": BLUE}]},
        "proposals": {"classes": [{"name": "a", "colour": RED}, {"name": "b", "colour": RED}]},
    }
    known = [{"name": "b", "colour": BLUE}, {"name": "a", "colour": RED}]
    assert figures.known_classes(facts, ["a"]) == known
    assert figures.known_classes({"labels": None, "classes": known}, []) == known


# --- pictures ----------------------------------------------------------------------------------------------------


def opened(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), int)


def test_thumbnails_leave_the_legend_out(make):
    whole = opened(pictures.thumbnail(SlideFolder(make()), size=(2000, 2000), drawn_px=3000, longest=100))
    assert whole.shape == (100, 100, 3)
    assert whole.min() > 240


def test_maps_have_the_colours_of_the_cells_and_noise_lies_below():
    rng = np.random.default_rng(0)
    plane = np.concatenate([rng.normal(0, 1, (500, 2)), rng.normal(9, 1, (500, 2))])
    number = np.repeat([0, 1], 500)
    drawn = opened(pictures.scatter(plane, number, {0: BLUE, 1: ORANGE}, side=200))
    blue, orange = ((drawn == palette.rgb(shade)).all(axis=-1) for shade in (BLUE, ORANGE))
    assert min(blue.sum(), orange.sum()) > 300
    # The first are at the lower left: y grows upwards.
    assert np.argwhere(blue)[:, 0].mean() > np.argwhere(orange)[:, 0].mean()
    assert np.argwhere(blue)[:, 1].mean() < np.argwhere(orange)[:, 1].mean()
    both = pictures.scatter(np.tile(plane, (2, 1)), np.repeat([0, -1], 1000), {0: BLUE, -1: palette.NOISE}, side=200)
    assert not (opened(both) == palette.rgb(palette.NOISE)).all(axis=-1).any()


def test_maps_of_nothing_and_of_cells_in_one_place_are_drawn():
    for plane in (np.empty((0, 2)), np.ones((5, 2))):
        drawn = opened(pictures.scatter(plane, np.zeros(len(plane), int), {0: BLUE}, side=50))
        assert drawn.shape == (50, 50, 3)
        assert (drawn == palette.rgb(BLUE)).all(axis=-1).any() == bool(len(plane))


def test_large_maps_show_a_sample_that_is_always_the_same():
    shown = pictures.sample(1000, most=100)
    assert len(set(shown)) == 100
    np.testing.assert_array_equal(shown, pictures.sample(1000, most=100))
    np.testing.assert_array_equal(pictures.sample(5), range(5))


# --- the page ----------------------------------------------------------------------------------------------------


def test_a_page_of_one_slide_without_labels(make):
    folder = make()
    text = written(folder.parent, [read(folder)])
    told = Page(text).text
    assert "Cohort of 1 slide" in told
    assert "No cell has a label yet" in told
    assert "make label RESULTS=" in told
    assert "Find slides" not in told
    (quality,) = table_of(text, "slide", "time")
    row = ["one", "colon", "0.500", "2", "1", "1", "0.35", "70", "200", "7.1", "1:05 min"]
    assert quality[1:] == [row]
    for source in Page(text).sources:
        assert source.startswith(("data:image/", "#")) or (folder.parent / source).exists(), source
    assert all(attributes["alt"] for name, attributes in Page(text).elements if name == "img")


def test_densities_and_their_total_are_cells_over_tissue(make):
    one, two = make(), make("two", tiles=[tile("a", 1.0)])
    label(one), label(two)
    text = written(one.parent, [read(one), read(two)])
    densities, counts = table_of(text, "slide", "lymphocyte")
    assert counts[1:] == [
        ["one", "colon", "0.35", "40", "10"],
        ["two", "colon", "0.25", "40", "10"],
        ["all", "", "0.60", "80", "20"],
    ]
    assert [row[3:] for row in densities[1:]] == [["114.3", "28.6"], ["160.0", "40.0"], ["133.3", "33.3"]]
    assert "20.0 % of the labels were proposed by a model" in Page(text).text


def test_the_headline_tells_what_people_said_from_what_a_model_proposed(make):
    folder = make()
    label(folder)
    text = written(folder.parent, [read(folder)])
    headline = re.findall("<dt>(.*?)</dt><dd>(.*?)</dd>", text)
    assert headline[-2:] == [("of cells labelled by people", "57.1 %"), ("only proposed by a model", "14.3 %")]
    (table,) = table_of(text, "slide", "share of each class among all cells")
    assert [row[:3] for row in table] == [["slide", "by people, %", "proposed, %"], ["one", "57.1", "14.3"]]


def test_another_source_of_labels_needs_no_other_words_on_the_page(make, monkeypatch):
    foretold = LabelSource("predictions", "foretold", guess="foretold", about="foretold by another")
    monkeypatch.setattr(figures, "SOURCES", (*SOURCES, foretold))
    for module in (figures, classes, page):
        monkeypatch.setattr(module, "GUESSES", GUESSES | {foretold.guess: foretold.about})
    folder = make()
    label(folder, source=["cluster"] * 20 + ["foretold"] * 10 + ["proposed"] * 10)
    facts = {"predictions": {"classes": [{"name": "tumour", "colour": RED}]}}
    assert figures.known_classes(facts, []) == facts["predictions"]["classes"]
    text = written(folder.parent, [read(folder)])
    headline = re.findall("<dt>(.*?)</dt><dd>(.*?)</dd>", text)
    assert headline[-3:] == [
        ("of cells labelled by people", "42.9 %"),
        ("only proposed by a model", "14.3 %"),
        ("only foretold by another", "14.3 %"),
    ]
    assert "20.0 % of the labels were foretold by another, and not looked at by a person." in Page(text).text
    (table,) = table_of(text, "slide", "share of each class among all cells")
    heads = ["slide", "by people, %", "proposed, %", "foretold, %"]
    assert [row[:4] for row in table] == [heads, ["one", "42.9", "14.3", "14.3"]]


def with_classes(slide, names):
    """The same slide with a cell of each class."""
    classes = [{"name": name, "colour": BLUE} for name in names]
    counts = dict.fromkeys(names, 1)
    return dataclasses.replace(slide, labels=figures.Labels(classes, counts, Counter(), {0: Counter(counts)}))


MANY = [f"class {number}" for number in range(19)]


def test_many_classes_of_few_slides_are_rows(make):
    slides = [with_classes(read(make(name)), MANY) for name in ("one", "two")]
    densities, counts = table_of(written(slides and make("x").parent, slides), "class", "all")
    assert densities[0] == ["class", "one", "two", "all"]
    assert densities[1] == ["class 0", "2.9", "2.9", "2.9"]
    assert counts[1:] == [[name, "1", "1", "2"] for name in MANY]


def test_many_classes_of_many_slides_go_into_tables_that_fit_on_paper_and_have_the_same_columns(make, monkeypatch):
    monkeypatch.setattr(classes, "_SLIDES_ACROSS", 1)
    slides = [with_classes(read(make(name)), MANY) for name in ("one", "two")]
    read_ = Page(written(make("x").parent, slides))
    tables = [rows for rows in read_.tables if rows[0][:3] == ["slide", "tissue", "mm²"]]
    assert [len(rows[0]) - 3 for rows in tables] == [8, 8, 3] * 2
    assert [a.get("class") for _, a in read_.elements].count("same") == 2


def test_classes_that_no_cell_has_are_named_once(make):
    folder = make()
    label(folder, colours=dict.fromkeys(["nerve", "tumour", "fat", "lymphocyte"], BLUE))
    text = written(folder.parent, [read(folder)])
    assert "No cell is called nerve or fat." in Page(text).text
    assert text.count("nerve") == 1
    for table in table_of(text, "slide", "lymphocyte"):
        assert table[0] == ["slide", "tissue", "mm²", "tumour", "lymphocyte"]


def test_long_names_of_classes_are_told_in_full(make):
    long = "atypical cell " * 5
    text = written(make("x").parent, [with_classes(read(make()), [long])])
    named = [a["title"] for _, a in Page(text).elements if a.get("class") == "name"]
    assert named == [long] * 3


def test_commands_are_marked_as_such(make):
    folder = make()
    text = written(folder.parent, [read(folder, exported="first.json")])
    assert "run <code>snakemake labels</code>, then <code>snakemake cohort</code>" in text
    assert "both with the same <code>--configfile</code>" in text
    assert "`" not in Page(text.split("<script>")[0] + "</body></html>").text


def test_every_export_has_a_link(make):
    formats = {one.file for one in FORMATS.values()}
    assert {*formats, SlideFolder.labelled_cells, "nuclei_mask.tiff", "tiles/", "representatives/summary.json"} <= {
        file for _, file in page._FILES
    }


def shared(make, folder, names=("one", "two")):
    """Slides that share clusters, and the files of their group."""
    group = folder / "groups/cohort"
    group.mkdir(parents=True)
    slides = [read(make(name, tissue=f"t{name}"), group="groups/cohort") for name in names]
    write_array(np.random.default_rng(0).normal(size=(70 * len(names), 2)), group / "umap2d.npy")
    made.clustering(IDS * len(names)).write(group / "clusters.json")
    write_json({"slides": dict.fromkeys(names, 70)}, group / "reduction.json")
    return slides


def test_shared_clusters_have_their_colours_and_one_map(make, tmp_path):
    text = written(tmp_path, shared(make, tmp_path), seconds={"groups/cohort": 7})
    told = Page(text).text
    assert "All slides together" in told
    assert "2 slides share 2 clusters" in told
    assert "clusters of their own" not in told
    assert all(palette.colour(number) in text for number in (0, 1))
    assert [a["alt"] for _, a in Page(text).elements if "Map of" in a.get("alt", "")] == [
        "Map of 140 cells by cluster",
        "Map of 140 cells by tissue",
        "Map of 140 cells by slide",
    ]
    (clusters,) = table_of(text, "cluster", "confidence")
    assert clusters[1] == ["0", "100", "71.4", "71.4 to 71.4", "2", "0.50"]


def test_cells_of_a_map_stay_with_their_slides_when_the_sheet_changes(make, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(pictures, "scatter", lambda plane, number, colours: drawn.append(number) or b"")
    names = ("one", "two", "three")
    slides = shared(make, tmp_path, names)
    legend = Page(written(tmp_path, slides[::-1])).text.split("By slide")[1]
    assert legend.lstrip().startswith("onetwothree")
    np.testing.assert_array_equal(drawn[-1], np.repeat([0, 1, 2], 70))
    assert clusters._GONE in Page(written(tmp_path, slides[:2])).text


def test_captions_say_what_colours_cells(make):
    slides = [read(make(name)) for name in ("one", "two")]
    for slide, kind in zip(slides, ("class", "none"), strict=True):
        slide.settings["annotation"] |= {"colour": kind}
    text = written(make("x").parent, slides)
    assert "Cells are coloured alike or by class." in Page(text).text
    assert page._OWN not in Page(text).text
    assert "Overview of one, cells coloured by class" in text


def test_results_from_before_colours_could_be_chosen_are_coloured_by_cluster(make):
    slide = read(make())
    del slide.settings["annotation"]["colour"]
    assert "Cells are coloured by cluster." in Page(written(make("x").parent, [slide])).text


def test_own_clusters_are_not_made_to_look_comparable(make):
    slides = [read(make(name)) for name in ("one", "two", "three")]
    text = written(slides and make("x").parent, slides)
    assert "has nothing to do with cluster 3 of another" in Page(text).text
    assert "the same colour on two slides does not mean the same cells" in Page(text).text
    bars = [a["style"] for _, a in Page(text).elements if a.get("class") == "bar"]
    beside, own = bars[:3], bars[3:]
    assert not any(palette.colour(number) in style for style in beside for number in (0, 1))
    assert all(palette.colour(0) in style for style in own)


def test_bars_are_as_long_as_shares(make):
    slide = read(make())
    assert clusters._shares(slide).count("linear-gradient") == 1
    stops = re.findall(r"(#\w+|transparent) ([\d.]+)% ([\d.]+)%", clusters._shares(slide))
    assert [(shade, float(low), float(high)) for shade, low, high in stops] == [
        (palette.colour(0), 0, 71.43),
        (palette.colour(1), 71.43, 92.86),
        (palette.NOISE, 92.86, 100),
        ("transparent", 100, 100),
    ]


def test_slides_that_are_missing_are_named_with_the_reason(make):
    folder = make()
    missing = [Missing("two", "outline", "failed", f"broken {EVIL}"), Missing("three", "tile", "waiting", "")]
    text = written(folder.parent, [read(folder)], missing)
    assert table_of(text, "slide", "why")[0][1:] == [
        ["two", "outline", "failed", f"broken {EVIL}"],
        ["three", "tile", "waiting", ""],
    ]
    assert "2 of 3 slides are not finished" in Page(text).text


def test_of_many_slides_there_are_tables_and_no_pictures(make, monkeypatch):
    monkeypatch.setattr(page, "THUMBNAILS", 1)
    monkeypatch.setattr(clusters, "DETAILS", 1)
    slides = [read(make(name)) for name in ("one", "two", "three")]
    read_ = Page(written(make("x").parent, slides))
    assert "tables and no thumbnails" in read_.text
    assert "Maps and galleries of the first 1 slides" in read_.text
    alts = [attributes["alt"] for name, attributes in read_.elements if name == "img"]
    assert alts == ["Map of 70 cells by cluster", "Typical cells of each cluster on one"]


def test_nothing_that_people_write_becomes_code(make):
    folder = make(tissue=EVIL)
    label(folder, colours={EVIL: BLUE, "tumour": f'{RED}"><script>alert(2)</script>'})
    slide = dataclasses.replace(read(folder), notes=(EVIL,))
    text = written(folder.parent, [slide], [Missing(EVIL, EVIL, EVIL, EVIL)])
    assert text.count("<script") == 1
    assert "alert(2)" in text
    assert Page(text).text.count(EVIL) >= 7
    assert "sort(table, head)" in re.search("<script>(.*?)</script>", text, flags=re.S)[1]


def test_pictures_are_inside_and_small(make):
    text = written(make().parent, [read(make("two"))])
    sizes = [len(base64.b64decode(source.split(",")[1])) for source in Page(text).sources if source.startswith("data:")]
    assert len(sizes) == 3
    assert max(sizes) < 200_000


def test_a_slide_without_cells_has_its_place(make):
    text = written(make("x").parent, [read(make("none", ids=[]))])
    (quality,) = table_of(text, "slide", "time")
    assert quality[1][-4:] == ["0", "0", "–", "1:05 min"]


def test_settings_that_differ_are_counted(make):
    slides = [read(make(name)) for name in ("one", "two")]
    slides[1].settings["clustering"]["method"] = "leiden"
    (made,) = table_of(written(make("x").parent, slides), "setting", "key")
    assert ["clustered by", "kmeans (1); leiden (1)", "clustering.method"] in made
