"""The options of drawing: boxes, texts, colours by class, legends, SVG."""

import base64
import io
from dataclasses import replace
from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import shapely
from PIL import Image

from clusterfirst.clustering import NOISE, palette
from clusterfirst.drawing import (
    Cells,
    Named,
    annotate_tiles,
    classes_key,
    overview,
    plot_umap,
    read_classes,
    select_cells,
    texts,
)
from clusterfirst.drawing.legends import WIDEST, legend_rows, shortened, typeface
from clusterfirst.drawing.selection import noted
from clusterfirst.io import write_table
from clusterfirst.slide.slide import Slide

from ..defaults import section
from ..made import clustering
from .test_annotation import opened

SIDE, MPP = 200, 0.5
GREY = 150
SVG = "{http://www.w3.org/2000/svg}"
POLYGONS = shapely.polygons(
    [[(x, y - 30), (x + 30, y), (x, y + 30), (x - 30, y)] for x, y in [(50, 50), (150, 50), (50, 150), (150, 150)]]
)
"""Four diamonds."""
CLUSTERS = clustering(
    [0, 1, NOISE, 1], [0.9, 0.85, 0.0, 1.0], colours=["#ff0000", "#0000ff"], representatives={0: [0], 1: [3]}
)
LONG = "an epithelial cell of the basal layer that touches the stroma, seen tangentially"[:80]
NAMED = Named(
    np.array(["T cell", None, LONG, "T cell"], object),
    np.array([None, None, "proposed", "proposed"], object),
    [{"name": "T cell", "colour": "#00ff00"}, {"name": LONG, "colour": "#ff00ff"}],
)


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    path = tmp_path_factory.mktemp("drawing") / "slide.png"
    Image.fromarray(np.full((SIDE, SIDE, 3), GREY, np.uint8)).save(path)
    with Slide(path, mpp=MPP) as opened_slide:
        yield opened_slide


TILE = pd.DataFrame([{"tile_id": "tile", "x": 0, "y": 0, "width": SIDE, "height": SIDE, "mpp": MPP}])


def chosen(colour="cluster", drop=False, named=NAMED, **parts) -> Cells:
    return select_cells(POLYGONS, replace(CLUSTERS, **parts), named, colour=colour, drop_unclassified=drop)[0]


def drawn(slide, folder, of=None, **options) -> np.ndarray:
    """The picture of the only tile, without legend if not asked for."""
    wished = section("annotation", **{"legend": False} | options)
    annotate_tiles(slide, TILE, chosen() if of is None else of, folder, wished)
    return opened(folder / "tile.png")


def has(picture: np.ndarray, shade: str, x: int, y: int, reach: int = 2) -> bool:
    """Whether there is the colour at a place, or beside it."""
    near = picture[y - reach : y + reach, x - reach : x + reach].astype(int)
    return bool((np.abs(near - palette.rgb(shade)).sum(axis=-1) < 12).any())


EDGE, CORNER = (80, 50), (80, 80)
"""Of the first diamond, and of its box."""


@pytest.mark.parametrize("shapes", [["polygons"], ["boxes"], ["polygons", "boxes"], []])
def test_cells_are_drawn_by_the_shapes_wished(shapes, slide, tmp_path):
    picture = drawn(slide, tmp_path, shapes=shapes, line_um=1.5)
    assert has(picture, "#ff0000", 65, 65) == ("polygons" in shapes), "on the slanting side"
    assert has(picture, "#ff0000", *CORNER) == ("boxes" in shapes)
    assert (picture == GREY).all() == (not shapes)


@pytest.mark.parametrize(
    ("colour", "shades"),
    [
        ("cluster", ["#ff0000", "#0000ff", palette.NOISE, "#0000ff"]),
        ("class", ["#00ff00", palette.NOISE, "#ff00ff", "#00ff00"]),
        ("label", ["#00ff00", palette.NOISE, palette.NOISE, palette.NOISE]),
        ("none", ["#009e73"] * 4),
    ],
)
def test_cells_have_the_colour_of_what_was_asked_for(colour, shades, slide, tmp_path):
    picture = drawn(slide, tmp_path, chosen(colour), line_um=1.5)
    for shade, (x, y) in zip(shades, [(80, 50), (180, 50), (80, 150), (180, 150)], strict=True):
        assert has(picture, shade, x, y), (x, y)


def test_cells_without_a_class_are_dropped(slide, tmp_path):
    cells, rows = select_cells(POLYGONS, CLUSTERS, NAMED, colour="cluster", drop_unclassified=True)
    assert rows.tolist() == cells.cell_id.tolist() == [0, 2, 3]
    picture = drawn(slide, tmp_path, cells)
    assert (picture[:100, 100:] == GREY).all()
    assert not (picture[100:, 100:] == GREY).all()


def test_before_anybody_named_a_class_the_legend_says_so_and_nothing_fails(slide, tmp_path, caplog):
    nobody = Named(np.full(4, None, object), np.ones(4, bool), [])
    cells = chosen("class", drop=True, named=nobody)
    assert (len(cells), cells.note) == (0, "no cell has a class yet")
    assert (drawn(slide, tmp_path, cells) == GREY).all()
    overview(slide, cells, tmp_path / "overview.png", title="", longest=200)
    plot_umap(np.zeros((0, 2)), cells, tmp_path / "umap.png", title="")
    assert chosen("class", named=nobody).key.none == "no class"


def test_typical_cells_have_a_wider_light_line_under_the_coloured_one(slide, tmp_path):
    plain = drawn(slide, tmp_path)
    light = drawn(slide, tmp_path, cells="typical")
    assert (light > 240).all(axis=-1).sum() > 1.3 * (plain > 240).all(axis=-1).sum() > 0
    assert has(light, "#ff0000", *EDGE, reach=3)
    assert CLUSTERS.typical_rows.tolist() == [0, 3]


@pytest.mark.parametrize(
    ("parts", "wanted"),
    [
        (["cluster"], ["0", "1", "noise", "1"]),
        (["confidence", "cluster"], ["0.90 · 0", "0.85 · 1", "0.00 · noise", "1.00 · 1"]),
        (["class"], ["T cell", "", f"{LONG}?", "T cell?"]),
        (["class", "cluster"], ["T cell · 0", "1", f"{LONG}? · noise", "T cell? · 1"]),
    ],
)
def test_what_is_written_beside_a_cell(parts, wanted):
    cells = chosen()
    assert [cells.text(row, parts) for row in range(4)] == wanted


def written(plain: np.ndarray, told: np.ndarray) -> list[bool]:
    """Whether there is text in each quarter of a picture."""
    changed = (plain != told).any(axis=-1)
    half = SIDE // 2
    return [bool(changed[y : y + half, x : x + half].any()) for y in (0, half) for x in (0, half)]


def test_text_has_the_colour_of_its_cell_but_darker_and_a_light_edge(slide, tmp_path):
    plain, told = drawn(slide, tmp_path), drawn(slide, tmp_path, text=["cluster"], text_scale=2)
    changed = (plain != told).any(axis=-1)
    for half, shade in ((np.s_[:, :100], "#ff0000"), (np.s_[:100, 100:], "#0000ff")):
        letters = told[half][changed[half]].astype(int)
        assert (np.abs(letters - palette.rgb(palette.dark(shade))).sum(axis=-1) < 12).any(), shade
        assert (letters > 225).all(axis=-1).any()
    assert written(plain, told) == [True] * 4


def test_dark_colours_can_be_read_on_white_and_keep_their_hue():
    assert palette.dark("#000000") == "#000000"
    assert palette.dark("#0000ff") == "#0000ff"
    red, green, blue = palette.rgb(palette.dark("#f0e442"))
    assert red > green > 2 * blue
    assert red < 150


def labels(slide, folder, **options) -> list[str]:
    """Texts of a tile, of whose cells each has another one."""
    cells = chosen(cluster_id=np.array([0, 1, 0, 1]), confidence=np.array([0.1, 0.2, 0.3, 0.4]))
    root = svg_of(slide, folder, cells, text=["confidence"], **options)
    return [one.text for one in root.iterfind(f"{SVG}g[@id='labels']/{SVG}text")]


def test_no_more_texts_than_wished_and_these_first(slide, tmp_path):
    told = [labels(slide, tmp_path, max_labels=most) for most in (0, 1, 3, None)]
    assert told == [[], ["0.10"], ["0.10", "0.20", "0.30"], ["0.10", "0.20", "0.30", "0.40"]]


def test_texts_by_lot_differ_by_seed_and_stay_the_same_for_one(slide, tmp_path):
    by_lot = [labels(slide, tmp_path, max_labels=2, label_seed=seed) for seed in (*range(9), *range(9))]
    assert by_lot[:9] == by_lot[9:]
    assert {len(one) for one in by_lot} == {2}
    assert len(set(map(frozenset, by_lot))) > 2


def test_text_grows_with_its_scale(slide, tmp_path):
    plain = drawn(slide, tmp_path)
    dark = [
        np.count_nonzero((plain != drawn(slide, tmp_path, text=["cluster"], text_scale=scale)).any(axis=-1))
        for scale in (0.7, 1, 2)
    ]
    assert dark[0] < dark[1] < dark[2] / 2


def placed(boxes, words, *, size=(300, 200), most=None):
    boxes = np.array(boxes, float).reshape(-1, 4)
    return texts.place(boxes, words, size, scale=1, most=most, order=range(len(boxes)))


def rectangles(found) -> np.ndarray:
    return np.array(
        [
            (
                one.x,
                one.y - 0.8 * one.size,
                one.x + texts.typeface(one.size).getlength(one.words),
                one.y + 0.24 * one.size,
            )
            for one in found
        ]
    )


def test_texts_do_not_overlap_and_lie_inside():
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, (280, 180), (300, 2))
    found = placed(np.hstack([corners, corners + 12]), [f"cluster {number}" for number in range(300)])
    assert 15 < len(found) < 300
    boxes = rectangles(found)
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] <= (300, 200)).all()
    for place, one in enumerate(boxes):
        others = np.delete(boxes, place, axis=0)
        meets = (one[:2] < others[:, 2:] - 1e-6).all(axis=1) & (one[2:] > others[:, :2] + 1e-6).all(axis=1)
        assert not meets.any()


def test_a_text_stands_to_the_right_or_to_the_left_at_the_right_border():
    (inside,) = placed([(50, 50, 80, 80)], ["12"])
    (border,) = placed([(270, 50, 299, 80)], ["12"])
    assert inside.x > 80
    assert border.x + texts.typeface(12).getlength("12") < 270


def test_a_crowded_cell_goes_without_a_text_rather_than_over_another():
    assert len(placed([(0, 0, 290, 190)] * 5, ["a very long text"] * 5)) < 5
    assert placed([(10, 10, 20, 20)], [""]) == []


def test_a_tile_has_a_legend_and_a_scale_bar_beside_it(slide, tmp_path):
    bare, told = drawn(slide, tmp_path), drawn(slide, tmp_path, legend=True)
    np.testing.assert_array_equal(told[:SIDE, :SIDE], bare)
    beside = told[:, SIDE:]
    for shade in ("#ff0000", "#0000ff", palette.NOISE):
        assert (beside == palette.rgb(shade)).all(axis=-1).sum() > 100
    # A sixth of 100 µm: 10 µm, 20 px; both end pixels are drawn.
    rows = (beside == 0).all(axis=-1).sum(axis=1)
    assert (rows == 21).any()


@pytest.mark.parametrize("rows", [1, 12, 30])
def test_long_names_do_not_squeeze_the_map(rows, tmp_path):
    names = [f"{LONG[:-3]} {number}" for number in range(rows)]
    key = classes_key([{"name": name, "colour": palette.colour(place)} for place, name in enumerate(names)])
    number = np.repeat(np.arange(rows), 5)
    cells = Cells.of_clusters(np.full(len(number), shapely.box(0, 0, 1, 1)), number, key)
    plot_umap(np.random.default_rng(0).normal(size=(len(number), 2)), cells, tmp_path / "umap.png", title=LONG)
    picture = opened(tmp_path / "umap.png")
    frame = np.flatnonzero((picture < 128).all(axis=-1).mean(axis=0) > 0.5)
    assert frame[-1] - frame[0] > 0.55 * picture.shape[1]
    assert (picture[:2] == 255).all()
    assert (picture[-2:] == 255).all(), "no row is cut off"


@pytest.mark.parametrize("name", ["_hidden", "$x_1$ cell", "a\\b"])
def test_names_are_written_as_people_wrote_them(name, tmp_path):
    cells = Cells.of_clusters(
        np.full(3, POLYGONS[0]), np.zeros(3, int), classes_key([{"name": name, "colour": "#123456"}])
    )
    plot_umap(np.zeros((3, 2)), cells, tmp_path / "umap.png", title=name)
    beside = opened(tmp_path / "umap.png")[100:, 980:]
    assert (beside == palette.rgb("#123456")).all(axis=-1).any()


def widths(text: str) -> list[float]:
    """Of the lines of a text, over the size of the type."""
    return [typeface(20).getlength(line) / 20 for line in text.split("\n")]


@pytest.mark.parametrize("name", [LONG, "W" * 80, "W" * 40 + " keratinising cell", "short", "a b"])
def test_legend_rows_are_never_wide_and_keep_their_numbers(name):
    key = classes_key([{"name": name, "colour": "#000000"}, {"name": "short", "colour": "#111111"}])
    (_, first), (_, second) = legend_rows(np.array([0, 0, 0, 1]), key)
    assert max(widths(first)) <= WIDEST
    assert first.count("\n") <= 1
    assert first.endswith(": 3 (75%)")
    assert second == "short: 1 (25%)"
    if len(name) < 10:
        assert first == f"{name}: 3 (75%)"


def test_a_legend_of_many_long_names_has_a_line_for_each():
    assert shortened("abcdefghij", 5) == "ab…ij"
    many = classes_key([{"name": f"{LONG} {number}", "colour": "#000000"} for number in range(25)])
    rows = [text for _, text in legend_rows(np.arange(25), many)]
    assert all("\n" not in text and "…" in text for text in rows)
    assert len(set(rows)) == 25
    assert max(max(widths(text)) for text in rows) <= WIDEST


def test_pictures_tell_what_a_model_proposed(slide, tmp_path):
    said = [text.replace("\xa0", " ") for _, text in noted(chosen("class"))]
    assert "T cell: 2 (50%), 1 proposed" in said
    assert not any("proposed" in text for colour in ("cluster", "label") for _, text in noted(chosen(colour)))
    green = (np.abs(drawn(slide, tmp_path, chosen("class"), line_um=1.5) - np.array([0, 255, 0])) < 20).all(axis=-1)
    ours, proposed = green[:100, :100].sum(), green[100:, 100:].sum()
    assert 0.4 * ours < proposed < 0.85 * ours, "dashed"
    root = svg_of(slide, tmp_path, chosen("class"), legend=True)
    dashed = [one.get("data-cell-id") for one in root.iter(f"{SVG}g") if one.get("stroke-dasharray")]
    assert sorted(dashed) == ["2", "3"]
    assert "dashed: proposed by a model" in [one.text for one in root.iter(f"{SVG}text")]


def test_outlines_have_a_light_rim(slide, tmp_path):
    picture = drawn(slide, tmp_path)
    rim = (picture > GREY + 40).all(axis=-1)
    assert rim[50:, :50].any()
    assert (picture[40:60, 40:60] == GREY).all(), "the inside of the cell is left as it is"
    assert has(picture, "#ff0000", *EDGE)


def svg_of(slide, folder, of=None, **options) -> ET.Element:
    drawn(slide, folder, of, svg=True, **options)
    return ET.parse(folder / "tile.svg").getroot()


def test_every_cell_is_an_element_of_the_svg(slide, tmp_path):
    root = svg_of(slide, tmp_path, shapes=["polygons", "boxes"])
    cells = {one.get("data-cell-id"): one for one in root.iter(f"{SVG}g") if one.get("data-cell-id")}
    assert sorted(cells) == ["0", "1", "2", "3"]
    assert [cells[str(row)].get("class") for row in range(4)] == [
        "cell cluster-0",
        *["cell cluster-1", "cell noise", "cell cluster-1"],
    ]
    assert cells["0"].get("data-class") == "T cell"
    assert cells["1"].get("data-class") is None
    assert cells["0"].find(f"{SVG}title").text == "cell 0, cluster 0, confidence 0.90, T cell"
    assert cells["2"].find(f"{SVG}title").text == f"cell 2, noise, confidence 0.00, {LONG} (proposed)"
    assert cells["0"].find(f"{SVG}path").get("d") == "m50,20l30,30 -30,30 -30,-30z"
    assert cells["0"].find(f"{SVG}rect").attrib == {"x": "20", "y": "20", "width": "60", "height": "60"}
    groups = {one.get("data-name"): one.get("stroke") for one in root.iter(f"{SVG}g") if one.get("data-name")}
    assert groups == {"noise": palette.NOISE, "cluster 0": "#ff0000", "cluster 1": "#0000ff"}


def test_the_svg_holds_the_tile_itself(slide, tmp_path):
    root = svg_of(slide, tmp_path)
    image = root.find(f"{SVG}image")
    data = image.get("{http://www.w3.org/1999/xlink}href").removeprefix("data:image/jpeg;base64,")
    inside = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
    assert inside.shape == (SIDE, SIDE, 3)
    assert np.abs(inside.astype(int) - GREY).max() < 5
    assert (root.get("width"), root.get("viewBox")) == (str(SIDE), f"0 0 {SIDE} {SIDE}")


def test_texts_and_legend_of_the_svg_are_those_of_the_picture(slide, tmp_path):
    root = svg_of(slide, tmp_path, text=["class"], legend=True)
    picture = opened(tmp_path / "tile.png")
    assert (root.get("width"), root.get("height")) == (str(picture.shape[1]), str(picture.shape[0]))
    said = [one.text for one in root.iter(f"{SVG}text")]
    assert {"T cell", "T cell?"} <= set(said)
    assert [one.get("fill") for one in root.iterfind(f"{SVG}g[@id='labels']/{SVG}text")][:1] == [
        palette.dark("#ff0000")
    ]
    assert {"tile", "cluster 0: 1 (25%)", "noise: 1 (25%)", "10 µm"} <= set(said)


@pytest.mark.parametrize("name", ["<b>&\"'</b>", "µ ≥ Zelle", "a\x0bb\x00"])
def test_any_name_makes_a_valid_svg(name, slide, tmp_path):
    named = Named(np.full(4, name, object), np.ones(4, bool), [{"name": name, "colour": "#00ff00"}])
    root = svg_of(slide, tmp_path, chosen("class", named=named), text=["class"], legend=True)
    wanted = "".join(letter for letter in name if letter >= " ")
    assert [one.get("data-class") for one in root.iter(f"{SVG}g") if one.get("data-cell-id")] == [wanted] * 4


def test_a_tile_without_cells_is_a_valid_svg(slide, tmp_path):
    root = svg_of(
        slide, tmp_path, Cells.of_clusters(np.empty(0, object), np.empty(0, int)), legend=True, text=["cluster"]
    )
    assert not [one for one in root.iter(f"{SVG}g") if one.get("data-cell-id")]


def test_classes_are_read_with_their_colours(tmp_path):
    columns = {
        "label": pa.array(["a", None, "b", "c"], pa.string()),
        "label_source": pa.array(["cluster", None, "proposed", "reviewed"], pa.string()),
    }
    classes = [{"name": name, "colour": f"#{3 * colour}"} for name, colour in (("a", "11"), ("b", "22"), ("c", "33"))]
    write_table(pa.table(columns), tmp_path / "cells.parquet", {"classes": classes})
    named = read_classes(tmp_path / "cells.parquet")
    assert named.name.tolist() == ["a", None, "b", "c"]
    assert named.guess.tolist() == [None, None, "proposed", None]
    assert named.classes == classes
