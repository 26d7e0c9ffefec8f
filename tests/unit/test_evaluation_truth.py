"""Whom the truth means: hand-made cells with outlines, points and labels whose partners are known."""

import json

import numpy as np
import pytest
import shapely
from hypothesis import given as examples
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from clusterfirst.evaluation import truth
from clusterfirst.io import ClusterfirstError

from .. import defaults
from ..made import slide_facts

GIVEN = defaults.section("given", min_median_um2=0)

few = hypothesis_settings(max_examples=40, deadline=None)
NONE = np.empty(0, object)
CELLS = np.array([shapely.box(20 * i, 0, 20 * i + 10, 10) for i in range(4)], object)
"""Four squares of 10 px, 10 px apart."""


def assign(shapes, names=None, cells=CELLS, mpp=0.5):
    shapes = np.array([*shapes, None], object)[:-1]  # else NumPy would look into a list of one
    names = list("abcdefgh")[: len(shapes)] if names is None else names
    return truth.assign(cells, shapes, np.array(names, object), mpp=mpp)


def points(*xy):
    return [shapely.Point(one) for one in xy]


# Outlines.


def test_the_same_outlines_in_any_order_are_the_same_cells():
    found = assign(CELLS[[2, 0, 3, 1]])
    assert (found.kind, found.name.tolist(), found.missed) == ("outlines", ["b", "d", "a", "c"], {})


def test_a_nucleus_belongs_to_its_cell_and_a_cell_to_its_nucleus():
    nucleus, whole = shapely.box(3, 3, 7, 7), shapely.box(14, -6, 36, 16)  # IoU 0.16 and 0.21
    assert assign([nucleus, whole]).name.tolist() == ["a", "b", None, None]


@pytest.mark.parametrize(("shift", "wanted"), [(0, "a"), (4.9, "a"), (5, "a"), (5.1, None), (10, None), (-5.1, None)])
def test_half_of_the_smaller_one_must_be_shared(shift, wanted):
    found = assign([shapely.box(shift, 0, shift + 10, 10)])
    assert found.name.tolist() == [wanted, None, None, None]
    assert found.missed == ({} if wanted else {"a": 1})


def test_of_two_true_cells_under_one_found_one_the_better_match_is_found_and_the_other_missed():
    clump = np.array([shapely.box(0, 0, 30, 10)], object)
    found = assign([shapely.box(0, 0, 14, 10), shapely.box(14, 0, 30, 10)], ["a", "b"], cells=clump)
    assert (found.name.tolist(), found.missed) == (["b"], {"a": 1})


def test_of_two_pieces_of_a_true_cell_the_better_match_has_its_class():
    pieces = np.array([shapely.box(0, 0, 14, 10), shapely.box(14, 0, 30, 10)], object)
    found = assign([shapely.box(0, 0, 30, 10)], ["a"], cells=pieces)
    assert (found.name.tolist(), found.missed) == ([None, "a"], {})


def test_as_many_as_possible_find_a_partner():
    # The second outline would also do for the first cell, and better, but then the first outline had none.
    cells = np.array([shapely.box(0, 0, 20, 10), shapely.box(12, 0, 24, 10)], object)
    found = assign([shapely.box(0, 0, 8, 10), shapely.box(6, 0, 22, 10)], cells=cells)
    assert (found.name.tolist(), found.missed) == (["a", "b"], {})


# Points.


def test_a_point_means_the_cell_that_it_lies_in():
    found = assign(points((25, 5), (0, 0), (69, 9)))
    assert (found.kind, found.name.tolist(), found.missed) == ("points", ["b", "a", None, "c"], {})


def test_of_several_points_in_a_cell_the_one_nearest_its_middle_counts():
    found = assign(points((9, 9), (6, 5), (1, 5)), ["a", "b", "a"])
    assert (found.name.tolist(), found.missed) == (["b", None, None, None], {"a": 2})


@pytest.mark.parametrize(
    ("x", "mpp", "wanted"), [(13.9, 0.5, "a"), (14.1, 0.5, None), (11.9, 1.0, "a"), (12.1, 1.0, None)]
)
def test_a_point_beside_a_cell_means_it_up_to_two_micrometres(x, mpp, wanted):
    assert assign(points((x, 5)), mpp=mpp).name[0] == wanted


def test_a_point_inside_wins_over_a_nearer_one_outside():
    flat = np.array([shapely.box(0, 0, 100, 2)], object)
    found = assign(points((50, 3), (1, 1)), cells=flat)
    assert (found.name.tolist(), found.missed) == (["b"], {"a": 1})


def test_a_point_between_two_cells_means_the_free_one():
    close = np.array([shapely.box(0, 0, 10, 10), shapely.box(13, 0, 23, 10)], object)
    found = assign(points((11, 5), (5, 5)), cells=close)  # 1 px from the first cell, 2 px from the second
    assert (found.name.tolist(), found.missed) == (["b", "a"], {})


def test_points_mean_cells_that_no_outline_has():
    found = assign([CELLS[0], *points((5, 5), (25, 5))])
    assert (found.kind, found.name.tolist(), found.missed) == (
        "outlines and points",
        ["a", "c", None, None],
        {"b": 1},
    )


# Both.


@pytest.mark.parametrize(
    ("cells", "shapes"), [(NONE, NONE), (CELLS, NONE), (NONE, CELLS), (NONE, np.array(points((1, 1))))]
)
def test_where_either_side_is_empty_nobody_has_a_partner(cells, shapes):
    found = assign(shapes, ["a"] * len(shapes), cells=cells)
    assert found.name.tolist() == [None] * len(cells)
    assert found.missed == ({"a": len(shapes)} if len(shapes) else {})


@few
@examples(st.integers(0, 2**32 - 1))
def test_every_true_cell_is_found_once_or_missed_and_order_is_nothing(seed):
    rng = np.random.default_rng(seed)
    # Seven-sided cells at random, so that no two distances are the same.
    cells, others = (
        np.array(
            [shapely.Point(xy).buffer(rng.uniform(2, 6), quad_segs=3) for xy in rng.uniform(0, 60, (12, 2))], object
        )
        for _ in range(2)
    )
    shapes = np.concatenate([others, points(*rng.uniform(0, 60, (12, 2)))])
    names = rng.choice(list("abc"), len(shapes)).astype(object)
    found = truth.assign(cells, shapes, names, mpp=0.5)
    given = np.array([name for name in found.name if name is not None])
    for name in "abc":
        assert (given == name).sum() + found.missed.get(name, 0) == (names == name).sum()
    order, shuffle = rng.permutation(len(shapes)), rng.permutation(len(cells))
    again = truth.assign(cells[shuffle], shapes[order], names[order], mpp=0.5)
    assert again.name.tolist() == found.name[shuffle].tolist()
    assert again.missed == found.missed


# Files.


def test_files_of_points_outlines_and_labels_are_read(tmp_path):
    (tmp_path / "points.csv").write_text("x,y,class\n5,5,a\n99,90,b\n")
    (tmp_path / "labels.json").write_text(json.dumps({"0": "a", "3": "b"}))
    feature = {"geometry": shapely.geometry.mapping(CELLS[1]), "properties": {"classification": {"name": "a"}}}
    (tmp_path / "outlines.json").write_text(json.dumps([feature]))
    wanted = {
        "points.csv": ("points", ["a", None, None, None], {"b": 1}),
        "labels.json": ("labels", ["a", None, None, "b"], {}),
        "outlines.json": ("outlines", [None, "a", None, None], {}),
    }
    for name, (kind, names, missed) in wanted.items():
        read = truth.read(tmp_path / name, CELLS, slide_facts(width=100, height=100), given=GIVEN)
        assert (read.kind, read.name.tolist(), read.missed) == (kind, names, missed)


def test_labels_of_other_cells_are_an_error(tmp_path):
    (tmp_path / "labels.json").write_text('{"4": "a"}')
    with pytest.raises(ClusterfirstError, match="1 of 1 cell ids are none of the slide's 4 cells"):
        truth.read(tmp_path / "labels.json", CELLS, slide_facts(width=100, height=100), given=GIVEN)


def test_real_outlines_find_themselves_and_their_middles_find_nearly_all(data):
    from clusterfirst.outlines.foreign import read_truth

    slide = slide_facts(width=1000, height=1000, mpp=0.25)
    frame = read_truth(data / "consep_train" / "train_1.geojson", slide, given=GIVEN)
    cells, names = frame.geometry.to_numpy(), frame["name"].to_numpy()
    assert truth.assign(cells, cells, names, mpp=0.25).name.tolist() == names.tolist()
    middles = truth.assign(cells, shapely.centroid(cells), names, mpp=0.25)
    assert (middles.name == names).mean() > 0.98
