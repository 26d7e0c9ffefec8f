"""What simulated people get right in their time."""

import numpy as np
import pytest

from clusterfirst.evaluation import naming, naming_curves
from clusterfirst.evaluation.naming import DOUBT, METHODS, NAMES, OURS, RANDOM, Cells

from .test_learning import blobs

PERSON = {
    "seconds": 120,
    "name_seconds": 4,
    "page_cells": 12,
    "page_seconds": 4,
    "correction_seconds": 1,
    "cell_seconds": 1.5,
}
SETTINGS = {"random_features": 50, "names_first": 4, "seeds": 2, "person": PERSON}


def cells(seed=0, count=400, clusters=6):
    """Cells of three classes on three slides, in clusters that are right for most of them."""
    rng = np.random.default_rng(seed)
    rows, truth = blobs(rng, count, apart=2.0)
    cluster = np.where(
        rng.random(count) < 0.8, 2 * truth + rng.integers(2, size=count), rng.integers(clusters, size=count)
    )
    slide = np.sort(rng.integers(3, size=count))
    return Cells(rows, truth, cluster, slide, 3, ("a", "b", "c"), np.bincount(cluster, minlength=clusters))


def test_only_cells_with_a_truth_are_counted_and_all_make_a_cluster_large():
    rows = np.arange(12.0).reshape(6, 2)
    said = [(2, ["tumour", None]), (1, None), (3, [None, "stroma", "tumour"])]
    known = Cells.known(rows, np.array([0, 0, 0, 1, 1, -1]), said)
    assert known.classes == ("stroma", "tumour")
    np.testing.assert_array_equal(known.rows, rows[[0, 4, 5]])
    assert (known.truth.tolist(), known.cluster.tolist(), known.slide.tolist()) == ([1, 0, 1], [0, 1, -1], [0, 1, 1])
    assert (known.slides, known.sizes.tolist()) == (2, [3, 2])


def test_nobody_said_anything():
    known = Cells.known(np.zeros((2, 3)), np.array([0, 0]), [(2, [None, None])])
    assert len(known.truth) == 0
    assert known.on_slides(np.ones(0, bool)).tolist() == [0]


def test_clusters_are_named_by_size_and_by_what_most_of_their_cells_are():
    truth, cluster = np.array([0, 0, 1, 1, 1, 0]), np.array([0, 0, 0, 1, 1, -1])
    one = Cells(np.zeros((6, 1)), truth, cluster, np.zeros(6, int), 1, ("a", "b"), np.array([3, 9, 4]))
    order, names = one.names()
    # Nobody knows what the cells of cluster 2 are.
    assert (order.tolist(), names.tolist()) == ([1, 0], [1, 0])


def test_names_alone_are_label_efficiency():
    moments = list(naming.spend(NAMES, cells(), SETTINGS, seed=0))
    assert [moment.seconds for moment in moments] == [4 * number for number in range(7)]
    assert moments[0].right.sum() == 0
    assert moments[-1].right.sum() == sum(
        np.bincount(cells().truth[cells().cluster == number]).max() for number in range(6)
    )


@pytest.mark.parametrize("method", [OURS, DOUBT, RANDOM])
def test_with_time_enough_all_is_right(method):
    settings = SETTINGS | {"person": PERSON | {"seconds": 1e9}}
    moments = list(naming.spend(method, cells(count=100), settings, seed=0))
    assert moments[-1].right.sum() == 100
    seconds = [moment.seconds for moment in moments]
    assert seconds == sorted(seconds)


def test_a_page_costs_looking_and_each_correction():
    one = cells()
    *names, first, second = list(naming.spend(OURS, one, SETTINGS, seed=0))[:6]
    assert [moment.seconds for moment in names] == [0, 4, 8, 12]
    assert names[0].right.sum() == 0
    assert (first.seconds, first.answers) == (16, 4)
    assert second.answers == 4 + 12
    # At least one cell was wrong, and at most all were.
    assert 16 + 4 <= second.seconds <= 16 + 4 + 12
    assert second.seconds == int(second.seconds)


def test_single_cells_cost_the_same_each():
    for moment in naming.spend(DOUBT, cells(), SETTINGS, seed=0):
        assert moment.seconds == 1.5 * moment.answers


def test_time_ends_with_what_was_begun_before_it_was_over():
    seconds = [moment.seconds for moment in naming.spend(OURS, cells(), SETTINGS, seed=0)]
    assert seconds[-2] < PERSON["seconds"] <= seconds[-1]


def test_the_same_seed_says_the_same_whatever_the_threads():
    assert naming.simulate(cells(), SETTINGS, threads=1) == naming.simulate(cells(), SETTINGS, threads=2)


def test_answers_end_above_names_alone():
    curves = naming_curves.Curves([document(cells(seed)) for seed in range(3)])
    ours, names = (curves.right(method, [PERSON["seconds"]]).sum() for method in (OURS, NAMES))
    assert ours > names


def document(one, group="g"):
    everyone = one.on_slides(np.ones(len(one.truth), bool)).tolist()
    slides = [f"s{number}" for number in range(one.slides)]
    runs = naming.simulate(one, SETTINGS)
    return {"group": group, "slides": slides, "cells": everyone, "person": PERSON, "runs": runs}


def test_until_an_answer_is_learnt_what_was_before_counts():
    run = {"method": NAMES, "seed": 0, "seconds": [4.0, 8.0], "answers": [1, 2], "right": [[1, 0], [2, 3]]}
    runs = [{**run, "method": method} for method in METHODS]
    one = {"group": "g", "slides": ["a", "b"], "cells": [4, 4], "person": PERSON, "runs": runs}
    curves = naming_curves.Curves([one])
    assert curves.right(NAMES, [0, 4, 7.9, 8, 99]).sum(axis=1).tolist() == [0, 1, 1, 5, 5]


def test_an_interval_is_of_slides_and_of_one_slide_there_is_none():
    curves = naming_curves.Curves([document(cells())])
    (told,) = curves.figures(curves.right(OURS, [100]))
    assert 0 < told.low < told.value < told.high <= 1
    curves.cells = np.array([400, 0, 0])
    (told,) = curves.figures(np.array([[200, 0, 0]]))
    assert (told.value, told.low) == (0.5, None)


def test_table_plot_and_page_tell_of_all_groups(tmp_path):
    curves = naming_curves.Curves([document(cells(), "one"), document(cells(1), "two")])
    table = naming_curves.table(curves)
    assert set(table["method"]) == set(METHODS)
    assert set(table["group"]) == {"one", "two"}
    assert (table["right"] <= table["cells"]).all()
    naming_curves.plot(curves, tmp_path / "naming.png")
    naming_curves.write_page(curves, tmp_path / "naming.png", tmp_path / "naming.html")
    page = (tmp_path / "naming.html").read_text()
    assert "2 groups that are named apart" in page
    assert all(method in page for method in METHODS)
    assert "nan" not in page
