"""Regions that people drew around many cells: they label all cells in them, whatever else the file holds."""

import json
import logging

import geopandas
import numpy as np
import pytest
import shapely
from hypothesis import given as examples
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from clusterfirst.evaluation import regions, truth
from clusterfirst.io import ClusterfirstError

from .. import defaults
from ..made import cell_grid, geojson_feature, slide_facts

GIVEN = defaults.section("given", min_median_um2=0)
some = hypothesis_settings(max_examples=25, deadline=None)
many = hypothesis_settings(max_examples=100, deadline=None)
EDGE = 800
SLIDE = slide_facts(width=EDGE, height=EDGE)
CELLS = cell_grid(EDGE, step=20, size=8)
"""1,600 squares of 8 px, their middles 20 px apart: (10, 10), (30, 10), …"""

X, Y = shapely.get_coordinates(shapely.centroid(CELLS)).T


def told(tmp_path, features, cells=CELLS, name="truth.geojson"):
    path = tmp_path / name
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}), encoding="utf-8")
    return truth.read(path, cells, SLIDE, given=GIVEN)


def within(area, cells=CELLS):
    return shapely.contains(area, shapely.centroid(cells))


def named(answer, name):
    return answer.name == name


OUTER, INNER = shapely.box(100, 100, 500, 500), shapely.box(200, 200, 300, 300)


def test_a_region_labels_all_cells_in_it_and_no_other(tmp_path):
    answer = told(tmp_path, [geojson_feature(OUTER, "tumour")])
    assert (named(answer, "tumour") == within(OUTER)).all()
    assert (answer.kind, answer.missed) == ("regions", {})
    assert answer.tally.sentences() == ["1 region labels 400 cells."]


def test_what_is_said_of_a_region_is_said_in_the_log(tmp_path, caplog):
    logging.getLogger("clusterfirst").propagate = True
    with caplog.at_level("INFO"):
        told(tmp_path, [geojson_feature(OUTER, "tumour"), geojson_feature(CELLS[0], "stroma")])
    assert "1 region labels 400 cells, 1 outline labels 1 cell." in caplog.text


@pytest.mark.parametrize("order", [1, -1])
def test_the_inner_region_wins_whichever_comes_first(tmp_path, order):
    innermost = shapely.box(240, 240, 280, 280)
    nested = [(OUTER, "tumour"), (INNER, "necrosis"), (innermost, "tumour"), (shapely.box(0, 0, 800, 800), "tissue")]
    answer = told(tmp_path, [geojson_feature(*one) for one in nested[::order]])
    assert (named(answer, "necrosis") == within(INNER) & ~within(innermost)).all()
    assert (named(answer, "tumour") == within(OUTER) & ~(within(INNER) & ~within(innermost))).all()
    assert (named(answer, "tissue") == ~within(OUTER)).all()
    assert answer.tally.doubtful == 0


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize(
    "second",
    [
        shapely.box(400, 400, 700, 700),  # a corner in common
        shapely.box(100, 100, 500, 500),  # drawn twice
        shapely.box(300, 150, 560, 250),  # most of it inside
        shapely.box(102, 102, 502, 501),  # drawn twice, by hand
    ],
)
def test_cells_of_regions_that_contradict_each_other_are_left_out_and_counted(tmp_path, second, order, caplog):
    logging.getLogger("clusterfirst").propagate = True
    answer = told(tmp_path, [geojson_feature(OUTER, "a"), geojson_feature(second, "b")][::order])
    both = within(OUTER) & within(second)
    assert (named(answer, None) == ~(within(OUTER) ^ within(second))).all()
    assert answer.tally.doubtful == both.sum() > 0
    assert f"neither lies in the other: {both.sum()}." in caplog.text


def test_regions_of_one_class_may_overlap_and_the_pen_may_slip(tmp_path):
    second, slipped = shapely.box(400, 400, 700, 700), shapely.box(298, 102, 502, 180)
    answer = told(tmp_path, [geojson_feature(*one) for one in ((OUTER, "a"), (second, "a"), (slipped, "b"))])
    assert (named(answer, "b") == within(slipped)).all()
    assert (named(answer, "a") == (within(OUTER) | within(second)) & ~within(slipped)).all()
    assert answer.tally.doubtful == 0


@pytest.mark.parametrize("kind", ["GeoJSON", "GeoParquet"])
def test_holes_and_pieces_of_a_region_are_kept(tmp_path, kind):
    ring, island, elsewhere = OUTER.difference(INNER), shapely.box(230, 230, 270, 270), shapely.box(600, 20, 700, 120)
    area = shapely.union_all([ring, island, elsewhere])
    if kind == "GeoJSON":
        answer = told(tmp_path, [geojson_feature(area, "tumour"), geojson_feature(INNER, None)])
    else:
        frame = geopandas.GeoDataFrame({"class": ["tumour"]}, geometry=[area])
        frame.to_parquet(tmp_path / "a.parquet")
        answer = truth.read(tmp_path / "a.parquet", CELLS, SLIDE, given=GIVEN)
    assert (named(answer, "tumour") == within(area)).all()


def test_a_region_in_many_pieces_is_one_with_its_small_pieces_and_those_of_one_cell(tmp_path):
    bit, of_one, far = shapely.box(505, 305, 516, 317), shapely.box(522, 302, 538, 318), shapely.box(600, 20, 700, 120)
    area = shapely.MultiPolygon([OUTER, bit, of_one, far])
    answer = told(tmp_path, [geojson_feature(area, "tumour")])
    assert (named(answer, "tumour") == within(area)).all()
    assert within(bit).sum() == within(of_one).sum() == 1
    assert answer.tally.sentences() == [f"1 region labels {within(area).sum()} cells."]


@pytest.mark.parametrize("beside", [[], [geojson_feature(CELLS[0], None, "detection")]])
@pytest.mark.parametrize("name", ["tumour", "necrosis"])
@pytest.mark.parametrize("order", [1, -1])
def test_a_hole_makes_another_region_of_the_same_border(tmp_path, name, order, beside):
    both = [geojson_feature(OUTER.difference(INNER), "tumour"), geojson_feature(OUTER, name)]
    answer = told(tmp_path, [*both[::order], *beside])
    assert (named(answer, "tumour") == (within(OUTER) if name == "tumour" else within(OUTER) & ~within(INNER))).all()
    assert (named(answer, "necrosis") == (within(INNER) & (name == "necrosis"))).all()
    assert (answer.tally.regions, answer.tally.doubtful) == (2, 0)


def test_single_cells_beside_regions_are_still_checked_as_a_set(tmp_path, caplog):
    logging.getLogger("clusterfirst").propagate = True
    many = shapely.MultiPolygon([*CELLS[3::17], shapely.box(11, 21, 19, 29)])  # the last meets no cell
    drawn = [
        geojson_feature(OUTER, "tumour"),
        geojson_feature(many, "lymphocyte"),
        geojson_feature(CELLS[7], "plasma"),
        geojson_feature(CELLS[7].buffer(0.1), "stroma"),
        geojson_feature(OUTER, "tumour"),
    ]
    with caplog.at_level("INFO"):
        answer = told(tmp_path, drawn)
    assert (answer.name[3::17] == "lymphocyte").all()
    assert (answer.name[7], answer.missed) == ("plasma", {"lymphocyte": 1})
    assert (answer.tally.regions, answer.tally.outlines) == (2, len(CELLS[3::17]) + 2)
    assert "1 of 5 hold several outlines apart from each other: each is one cell (feature 2)" in caplog.text
    assert "1 of 5 are there already with another class: left out, the first class counts (feature 4)" in caplog.text
    assert "1 split, 0 repaired, 1 left out, 0 lost; 96 taken, beside 2 regions or points" in caplog.text


NOTHING = shapely.Polygon([(9, 9), (9, 9), (9, 9)])


def test_a_slip_of_the_mouse_beside_regions_is_told_and_a_lost_cell_is_refused(tmp_path, caplog):
    logging.getLogger("clusterfirst").propagate = True
    around = [geojson_feature(shapely.box(x, 100, x + 90, 190), "a") for x in range(0, 800, 100)]
    answer = told(tmp_path, [*around, geojson_feature(NOTHING, "a")])
    assert (answer.tally.regions, "1 of 9 have no area: dropped (feature 9)" in caplog.text) == (8, True)
    tiles = [geojson_feature(shapely.box(x, 100, x + 90, 190), "a", "tile") for x in range(0, 800, 4)]
    with pytest.raises(ClusterfirstError, match="1 of 2 cells would be lost"):
        told(tmp_path, [*tiles, *(geojson_feature(shape, "a", "detection") for shape in (NOTHING, CELLS[0]))])


def test_many_outlines_merged_into_one_annotation_label_all_of_their_cells(tmp_path):
    some = CELLS[3::17]
    answer = told(
        tmp_path, [geojson_feature(shapely.MultiPolygon(list(some)), "lymphocyte"), geojson_feature(OUTER, "a")]
    )
    assert (answer.name[3::17] == "lymphocyte").all()
    assert (named(answer, "lymphocyte").sum(), answer.tally.doubtful) == (len(some), 0)
    others = np.delete(np.arange(len(CELLS)), np.s_[3::17])
    assert (named(answer, "a")[others] == within(OUTER)[others]).all()


def test_what_qupath_calls_a_cell_is_never_a_region(tmp_path):
    boundary = shapely.box(400, 400, 460, 420)
    assert named(told(tmp_path, [geojson_feature(boundary, "a", "cell")]), "a").sum() == 1
    assert named(told(tmp_path, [geojson_feature(boundary, "a", "detection")]), "a").sum() == 3


def test_a_lasso_that_crosses_itself_keeps_both_of_its_loops(tmp_path):
    bow = shapely.Polygon([(100, 100), (500, 500), (500, 100), (100, 500)])
    answer = told(tmp_path, [geojson_feature(bow, "tumour")])
    assert (named(answer, "tumour") == within(shapely.make_valid(bow))).all()


def test_a_region_that_reaches_beyond_the_slide_labels_what_is_on_it(tmp_path):
    beyond = shapely.box(-300, 600, 400, 2000)
    assert (named(told(tmp_path, [geojson_feature(beyond, "a")]), "a") == within(beyond)).all()


def test_an_outlined_cell_and_a_point_win_over_the_region_around_them(tmp_path):
    cell, other = np.flatnonzero(within(OUTER))[[7, 90]]
    features = [
        geojson_feature(OUTER, "tumour"),
        geojson_feature(CELLS[cell].buffer(1), "lymphocyte"),
        geojson_feature(shapely.Point(X[other], Y[other]), "mitosis"),
    ]
    answer = told(tmp_path, features)
    assert (answer.name[cell], answer.name[other]) == ("lymphocyte", "mitosis")
    assert named(answer, "tumour").sum() == within(OUTER).sum() - 2
    assert answer.kind == "outlines and points and regions"
    assert answer.tally.sentences() == ["1 region labels 398 cells, 1 outline labels 1 cell, 1 point labels 1 cell."]


@pytest.mark.parametrize("kind", ["detection", "cell"])
def test_annotations_beside_detections_label_what_these_do_not(tmp_path, kind, caplog):
    logging.getLogger("clusterfirst").propagate = True
    inside = np.flatnonzero(within(OUTER))
    # The usual export: every object, of which some detections have a class; a region may hold a single cell.
    small = CELLS[0].buffer(3)
    features = [
        geojson_feature(OUTER, "tumour"),
        geojson_feature(INNER, None),
        geojson_feature(small, "stroma"),
        geojson_feature(shapely.Point(X[5], Y[5]), "mitosis"),
        *(geojson_feature(CELLS[row], "lymphocyte" if row in inside[:3] else None, kind) for row in inside),
    ]
    answer = told(tmp_path, features)
    assert (answer.name[inside[:3]] == "lymphocyte").all()
    assert (answer.name[inside[3:]] == "tumour").all()
    assert (answer.name[0], answer.name[5]) == ("stroma", "mitosis")
    assert answer.tally.unnamed == 1
    assert (
        "2 of 404 are regions, not cells as the others: cells in them take their class (feature 1, feature 3)"
        in caplog.text
    )


def test_regions_say_what_detections_without_any_class_are(tmp_path):
    features = [geojson_feature(OUTER, "tumour"), *(geojson_feature(cell, None, "detection") for cell in CELLS[:50])]
    assert (named(told(tmp_path, features), "tumour") == within(OUTER)).all()


def test_a_region_without_a_class_says_nothing_and_that_is_told(tmp_path):
    answer = told(tmp_path, [geojson_feature(OUTER, None), geojson_feature(INNER, "a")])
    assert (named(answer, "a") == within(INNER)).all()
    assert (answer.name[~within(INNER)] == None).all()  # noqa: E711 (element by element)
    assert answer.tally.sentences() == [
        "1 region labels 25 cells.",
        "Regions without a class, or of class Region*, which say nothing: 1.",
    ]


@pytest.mark.parametrize("beside", [[], [geojson_feature(CELLS[0], None, "detection")]])
@pytest.mark.parametrize("frame", [OUTER, shapely.box(203, 203, 217, 217)])
def test_a_frame_of_class_region_star_is_no_class_of_cells(tmp_path, frame, beside):
    answer = told(tmp_path, [geojson_feature(frame, "Region*"), geojson_feature(INNER, "a"), *beside])
    assert (named(answer, "a") == within(INNER)).all()
    assert set(answer.name) == {None, "a"}
    assert (answer.missed, answer.tally.unnamed, answer.tally.regions) == ({}, 1, 1)


def test_what_qupath_ignores_is_cut_out_of_the_region_around_it(tmp_path):
    cell = np.flatnonzero(within(OUTER))[0]
    features = [
        geojson_feature(OUTER, "a"),
        geojson_feature(INNER, "Ignore*"),
        geojson_feature(CELLS[cell], "Artefact*"),
    ]
    answer = told(tmp_path, features)
    wanted = within(OUTER) & ~within(INNER)
    wanted[cell] = False
    assert (named(answer, "a") == wanted).all()
    assert set(answer.name) == {None, "a"}
    assert answer.missed == {}
    assert "their class ends in *, which QuPath ignores: 26." in " ".join(answer.tally.sentences())


def test_a_star_is_part_of_the_name_of_a_detection_and_in_a_table(tmp_path):
    assert told(tmp_path, [geojson_feature(CELLS[3], "CD8*", "detection")]).name[3] == "CD8*"
    (tmp_path / "a.csv").write_text(f"x,y,class\n{X[3]},{Y[3]},CD8*\n")
    assert truth.read(tmp_path / "a.csv", CELLS, SLIDE, given=GIVEN).name[3] == "CD8*"


# What is a region.


def box(x, y, width, height):
    return shapely.box(x, y, x + width, y + height)


@pytest.mark.parametrize(
    ("own", "drawn"),
    [
        ([box(0, 0, 4, 8), box(4, 0, 4, 8)], box(0, 0, 8, 8)),  # one nucleus, found in two pieces
        ([box(0, 0, 8, 8), box(9, 0, 8, 8)], box(-1, -1, 19, 10)),  # two that touch
        ([box(0, 0, 30, 30)], box(-1, -1, 32, 32)),  # a giant cell
        ([box(0, 0, 30, 30), box(31, 0, 2, 2), box(31, 9, 2, 2)], box(-1, -1, 35, 32)),  # the same, with crumbs
        ([box(0, 0, 16, 30), box(16, 0, 16, 30)], box(0, 0, 32, 30)),  # the same, found in halves
        ([box(0, 0, 8, 8)], box(-10, -10, 30, 30)),  # a cell, and a nucleus of ours
        ([], box(0, 0, 60, 60)),  # a giant cell that nobody found
    ],
)
def test_the_outline_of_a_cell_is_none(own, drawn):
    cells = np.array([*own, *shapely.affinity.translate(shapely.GeometryCollection(list(CELLS)), 200, 200).geoms])
    assert not regions.find(np.array([drawn]), regions.Places(cells))[0]


def test_what_an_outline_around_two_cells_leaves_out_is_told(tmp_path):
    cells = np.array([box(0, 0, 8, 8), box(9, 0, 8, 8), *CELLS[100:]])
    answer = told(tmp_path, [geojson_feature(box(-1, -1, 19, 10), "a")], cells)
    assert named(answer, "a").sum() == 1
    assert answer.tally.is_plain
    assert answer.tally.sentences() == [
        "Cells left out, because the outline that covers them means one cell, and that is another: 1."
    ]


@pytest.mark.parametrize(
    ("drawn", "held"), [(box(400, 400, 30, 30), 1), (box(400, 400, 60, 20), 3), (box(403, 403, 17, 34), 2)]
)
def test_a_small_region_is_one_from_two_cells_on(drawn, held):
    assert within(drawn).sum() == held
    assert regions.find(np.array([drawn]), regions.Places(CELLS))[0] == (held > 1)


def test_an_area_that_no_cell_can_have_is_a_region_and_no_missed_cell(tmp_path):
    answer = told(
        tmp_path, [geojson_feature(box(400, 400, 300, 300), "glass"), geojson_feature(CELLS[0], "a")], CELLS[:9]
    )
    assert (answer.missed, answer.tally.empty) == ({}, 1)
    assert "Regions that hold no cell: 1." in answer.tally.sentences()


def test_where_there_are_no_cells_nothing_is_a_region():
    assert not regions.find(np.array([OUTER]), regions.Places(np.empty(0, object)))[0]


@pytest.mark.parametrize(
    ("areas", "cells", "warned"),
    [
        ([box(10, 10, 380, 100), box(10, 150, 300, 240)], CELLS, True),
        ([box(10, 10, 380, 100), box(10, 150, 300, 260)], CELLS, False),
        ([box(10, 10, 380, 380)], CELLS[(X < 400) & (Y < 400)], False),
    ],
)
def test_regions_that_all_lie_in_the_first_quarter_of_the_cells_are_told(areas, cells, warned, tmp_path, caplog):
    logging.getLogger("clusterfirst").propagate = True
    told(tmp_path, [geojson_feature(area, "a") for area in areas], cells)
    assert ("are these µm, or pixels of a lower resolution?" in caplog.text) == warned


# Where outlines are scored.


@pytest.mark.parametrize("region", [OUTER, shapely.box(-50, -50, 900, 900), shapely.box(100, 100, 160, 160)])
@pytest.mark.parametrize("found", [CELLS, CELLS[:0]])
def test_a_region_around_true_outlines_is_no_true_nucleus(tmp_path, region, found, caplog):
    logging.getLogger("clusterfirst").propagate = True
    features = [geojson_feature(region, "Region*"), *(geojson_feature(cell, None) for cell in CELLS)]
    (tmp_path / "a.geojson").write_text(json.dumps(features))
    outlines = truth.read_outlines(tmp_path / "a.geojson", found, SLIDE, given=GIVEN)
    assert shapely.equals(outlines, CELLS).all()
    told = [record.getMessage() for record in caplog.records if "regions," in record.getMessage()]
    assert len(told) == 1
    assert "1 of 1,601 are regions, not cells as the others: left out (feature 1)" in told[0]


def test_a_region_beside_few_true_outlines_is_told_by_the_cells_found(tmp_path):
    features = [geojson_feature(OUTER, "a"), geojson_feature(INNER, "b"), geojson_feature(CELLS[0], "a")]
    (tmp_path / "a.geojson").write_text(json.dumps(features))
    outlines = truth.read_outlines(tmp_path / "a.geojson", CELLS, SLIDE, given=GIVEN)
    assert shapely.equals(outlines, CELLS[:1]).all()


def test_nuclei_that_were_found_in_crumbs_are_still_missed(tmp_path):
    corners = shapely.bounds(CELLS)[:, :2]
    crumbs = np.concatenate([shapely.box(*(corners + at).T, *(corners + at + 2).T) for at in (0, 3, 6)])
    (tmp_path / "a.geojson").write_text(json.dumps([geojson_feature(cell, None) for cell in CELLS]))
    assert len(truth.read_outlines(tmp_path / "a.geojson", crumbs, SLIDE, given=GIVEN)) == len(CELLS)


def test_regions_alone_are_not_scored_as_outlines(tmp_path):
    (tmp_path / "a.geojson").write_text(json.dumps([geojson_feature(OUTER, "a"), geojson_feature(INNER, "b")]))
    with pytest.raises(ClusterfirstError, match=r"the outlines .* hold many cells each.*snakemake evaluate"):
        truth.read_outlines(tmp_path / "a.geojson", CELLS, SLIDE, given=GIVEN)


# At random.


def drawn_at_random(rng):
    """Random stars, some with a hole or a second piece; they lie in, over and beside each other."""
    angle = np.sort(rng.uniform(0, 2 * np.pi, 12))
    radius = rng.uniform(60, 250) * rng.uniform(0.7, 1, 12)
    star = shapely.Polygon(rng.uniform(100, 700, 2) + radius[:, None] * np.column_stack([np.cos(angle), np.sin(angle)]))
    star = shapely.make_valid(star)
    if rng.random() < 0.4:
        star = star.difference(star.centroid.buffer(rng.uniform(10, 50)))
    return star if rng.random() < 0.6 else shapely.union_all([star, shapely.box(*(rng.uniform(0, 700, 2)), 760, 770)])


def lies_in(inner, outer):
    shared = inner.intersection(outer).area
    return (outer.covers(inner) and inner.area < outer.area) or (shared / inner.area >= 0.95 > shared / outer.area)


@many
@examples(st.integers(0, 2**32 - 1))
def test_every_cell_has_the_class_of_the_innermost_region_that_its_centroid_lies_in(seed):
    rng = np.random.default_rng(seed)
    centres = rng.uniform(0, EDGE, (300, 2))
    cells = shapely.buffer(shapely.points(centres), rng.uniform(3, 6, 300), quad_segs=3)
    areas = np.array([drawn_at_random(rng) for _ in range(rng.integers(1, 7))], object)
    names = rng.choice(["a", "b", "c"], len(areas)).astype(object)
    found = regions.spread(areas, names, regions.Places(cells))

    pieces, owner = shapely.get_parts(areas, return_index=True)
    for cell, point in enumerate(shapely.centroid(cells)):
        around = pieces[shapely.contains(pieces, point)]
        classes = names[owner[shapely.contains(pieces, point)]]
        inner = np.argmin(shapely.area(around)) if len(around) else None
        others = [piece for piece, name in zip(around, classes, strict=True) if name != classes[inner]]
        inside = [lies_in(around[inner], other) for other in others]
        assert found.doubtful[cell] == (not all(inside))
        if not len(around) or not all(inside):
            assert found.region[cell] == -1
        else:
            assert names[found.region[cell]] == classes[inner]


@some
@examples(st.integers(0, 2**32 - 1))
def test_regions_change_nothing_of_what_outlines_and_points_say(tmp_path_factory, seed):
    rng = np.random.default_rng(seed)
    folder = tmp_path_factory.mktemp("truth")
    chosen = rng.choice(len(CELLS), 30, replace=False)
    single = [geojson_feature(CELLS[row].buffer(rng.uniform(-2, 3)), rng.choice(["x", "y"])) for row in chosen[:20]]
    single += [geojson_feature(shapely.Point(X[row], Y[row]), "z") for row in chosen[20:]]
    areas = np.array([drawn_at_random(rng) for _ in range(3)], object)
    # One may be as small as a cell, or be of pieces that are.
    parts, owner = shapely.get_parts(areas, return_index=True)
    large = shapely.area(parts) * regions.find(parts, regions.Places(CELLS))
    areas = areas[2 * np.bincount(owner, large, len(areas)) > shapely.area(areas)]
    around = [geojson_feature(area, rng.choice(["a", "b"])) for area in areas]
    alone, both = told(folder, single), told(folder, [*around, *single])
    said = alone.name != None  # noqa: E711 (element by element)
    assert (both.name[said] == alone.name[said]).all()
    assert both.missed == alone.missed
    assert alone.tally.by_regions == 0
    assert set(both.name[~said]) <= {None, "a", "b"}
