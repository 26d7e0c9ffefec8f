"""From many numbers per cell to few."""

import logging
import os
import subprocess
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array
from scipy.spatial.distance import cdist, pdist
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score
from sklearn.neighbors import NearestCentroid

from clusterfirst import devices, reduction
from clusterfirst.io import ClusterfirstError
from clusterfirst.reduction import graph, layout, neighbours, umap
from clusterfirst.reduction.inputs import Block, SlideEmbedding

from ..defaults import section

GROUPS, EACH, FEATURES = 3, 40, 20


def groups(seed: int = 0, *, apart: float = 12.0, each: int = EACH) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian groups, each off the origin along an axis of its own."""
    truth = np.repeat(np.arange(GROUPS), each)
    values = np.random.default_rng(seed).normal(size=(len(truth), FEATURES))
    values[np.arange(len(truth)), truth] += apart
    return values.astype(np.float32), truth


def told_apart(coordinates: np.ndarray, truth: np.ndarray) -> float:
    return NearestCentroid().fit(coordinates, truth).score(coordinates, truth)


def some_cells(count: int, features: int = 6) -> np.ndarray:
    return np.random.default_rng(count).normal(size=(count, features)).astype(np.float32)


def slide(values: np.ndarray, *, name: str = "one", standardise: bool = False) -> SlideEmbedding:
    places = np.random.default_rng(len(values)).uniform(0, 500, (len(values), 2))
    return SlideEmbedding(name, values, places, (Block("model", 0, values.shape[1], standardise),))


def alone(values: np.ndarray, *, wants: bool = False, **settings) -> reduction.Reduced:
    return together([slide(values, standardise=wants)], **settings)


def together(slides, *, gpu=False, threads=1, **changes) -> reduction.Reduced:
    """Reduce with the defaults, but for the surroundings of cells, which are left out, and what is changed."""
    settings = section("reduction", **{"context_weight": 0, "components": 50, "clip": None} | changes)
    return reduction.reduce(slides, settings, gpu=gpu, threads=threads)


# The layout compiles itself for a second at its first call.
@pytest.fixture(scope="module")
def reduced():
    return alone(groups()[0])


@pytest.fixture
def said(caplog, monkeypatch):
    """What the library logs, even if another test has set up its log file."""
    monkeypatch.setattr(logging.getLogger("clusterfirst"), "propagate", True)
    caplog.set_level(logging.WARNING, "clusterfirst.reduction")
    return lambda: [record.getMessage() for record in caplog.records]


def test_there_are_fifty_columns_and_a_plane_in_float32(reduced):
    assert reduced.values.shape == (GROUPS * EACH, 50)
    assert reduced.plane.shape == (GROUPS * EACH, 2)
    assert reduced.values.dtype == reduced.plane.dtype == np.float32
    assert np.isfinite(reduced.values).all()
    assert np.isfinite(reduced.plane).all()


def test_what_was_done_is_reported(reduced):
    assert reduced.report == {
        "method": "umap",
        "cells": 120,
        "columns": 20,
        "fitted": 120,
        "transformed": 0,
        "neighbours": "exact",
        "device": "cpu",
    }


def test_the_plane_is_not_the_first_two_columns(reduced):
    assert not np.allclose(reduced.values[:, :2], reduced.plane)


def test_same_seed_same_map_on_any_number_of_threads(reduced):
    again = alone(groups()[0], threads=2)
    np.testing.assert_array_equal(again.values, reduced.values)
    np.testing.assert_array_equal(again.plane, reduced.plane)


def test_another_seed_another_map(reduced):
    assert not np.allclose(alone(groups()[0], seed=1).plane, reduced.plane)


def test_without_a_seed_groups_are_told_apart_too():
    values, truth = groups()
    assert told_apart(alone(values, seed=None, threads=2).values, truth) == 1


def test_groups_far_apart_stay_apart(reduced):
    truth = groups()[1]
    assert told_apart(reduced.values, truth) == 1
    assert told_apart(reduced.plane, truth) == 1


def test_slides_are_reduced_together_one_after_the_other(reduced):
    values, truth = groups()
    order = np.random.default_rng(0).permutation(len(values))
    parts = np.split(order, [0, 25, 26])
    out = together([slide(values[rows], name=str(number)) for number, rows in enumerate(parts)])
    assert told_apart(out.values, truth[order]) == 1
    np.testing.assert_allclose(
        np.sort(pdist(together([slide(values[order])]).values)), np.sort(pdist(out.values)), atol=1e-6
    )


@pytest.mark.parametrize("components", [1, 7])
def test_components_are_as_many_as_wished(components):
    out = alone(some_cells(30), components=components)
    assert out.values.shape == (30, components)
    assert out.plane.shape == (30, 2)


def test_the_metric_counts():
    # One direction per group and any length: near to the cosine, far to Euclid. Every one has its opposite, so that
    # all are centred as they are.
    truth = np.repeat([0, 1], 40)
    angles = np.where(truth, 0.1, 0.0) + np.random.default_rng(0).normal(0, 0.01, 80)
    lengths = np.random.default_rng(1).uniform(1, 100, 80)
    values = (lengths * [np.cos(angles), np.sin(angles)]).T.astype(np.float32)
    both = np.concatenate([values, -values])
    out = {metric: alone(both, metric=metric, components=2).plane[:80] for metric in ("cosine", "euclidean")}
    assert told_apart(out["cosine"], truth) == 1
    assert told_apart(out["euclidean"], truth) < 0.9


def test_standardising_keeps_a_loud_column_from_drowning_the_rest():
    values, truth = groups()
    values[:, -1] *= 1e5
    assert told_apart(alone(values, wants=True).plane, truth) > 0.95
    assert told_apart(alone(values).plane, truth) < 0.8


def test_the_context_tells_cells_apart_that_look_alike():
    # Two kinds of tissue, far from each other on the slide; a third of the cells looks the same in both.
    rng = np.random.default_rng(0)
    tissue = np.repeat([0, 1], 90)
    values = rng.normal(size=(180, 6)).astype(np.float32)
    typical = rng.random(180) > 1 / 3
    values[typical, 0] += np.where(tissue, 8, -8)[typical]
    places = rng.uniform(0, 100, (180, 2)) + tissue[:, None] * 1000
    cells = SlideEmbedding("one", values, places, (Block("model", 0, 6, True),))
    with_context = together([cells], context_weight=1.0, components=5)
    assert with_context.report["columns"] == 12
    assert told_apart(with_context.values[~typical], tissue[~typical]) == 1
    assert told_apart(together([cells], components=5).values[~typical], tissue[~typical]) < 0.8


def test_batches_are_corrected():
    values = np.random.default_rng(0).normal(size=(400, 6)).astype(np.float32)
    second = np.arange(400) >= 200
    values[:, 0] += np.where(np.arange(400) % 2, 10, 0)  # two classes
    values[second, 1] += 3
    parts = [slide(values[~second], name="a"), slide(values[second], name="b")]
    assert told_apart(together(parts, method="none").values, second) > 0.9
    assert told_apart(together(parts, method="none", batch_correction="harmony").values, second) < 0.8


@pytest.mark.parametrize("method", ["pca", "none"])
def test_the_layout_may_be_left_out(method):
    values, truth = groups()
    out = alone(values, method=method, components=4)
    assert out.values.shape == (120, {"pca": 4, "none": 20}[method])
    assert out.plane.shape == (120, 2)
    assert out.report["method"] == method
    assert told_apart(out.values, truth) == 1
    shrunk = pdist(values) / pdist(out.values)
    if method == "none":
        np.testing.assert_allclose(shrunk, shrunk[0], rtol=1e-3)
    else:
        np.testing.assert_allclose(out.values[:, :2], out.plane, atol=1e-6)


@pytest.mark.parametrize("wants", [False, True])
@pytest.mark.parametrize("kind", [np.float16, np.float32])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5, 12, 52])
def test_any_number_of_cells_gives_finite_maps(count, wants, kind):
    out = alone(some_cells(count).astype(kind), wants=wants, context_weight=0.5)
    assert out.values.shape == (count, 50)
    assert out.plane.shape == (count, 2)
    assert out.values.dtype == out.plane.dtype == np.float32
    assert np.isfinite(out.values).all()
    assert np.isfinite(out.plane).all()


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_too_few_cells_for_umap_are_told_of(count, said):
    assert alone(some_cells(count)).report["method"] == "pca"
    assert said() == [f"{count} cells are too few for UMAP: their principal coordinates are used"]


@pytest.mark.parametrize("count", [4, 5, 12, 15])
def test_a_smaller_neighbourhood_is_told_of(count, said):
    alone(some_cells(count), components=3)
    assert said() == [f"{count} cells: UMAP's n_neighbors is lowered from 15 to {count - 1}"]


def test_enough_cells_are_not_worth_a_word(said):
    alone(some_cells(16), components=3)
    assert said() == []


@pytest.mark.parametrize("count", [2, 3, 4, 8, 40])
def test_cells_that_are_all_alike_are_no_trouble(count):
    out = alone(np.full((count, 6), 0.1, np.float32), wants=True)
    assert np.isfinite(out.values).all()
    assert np.isfinite(out.plane).all()


def test_no_slide_at_all_is_refused():
    with pytest.raises(ClusterfirstError, match="no slide"):
        together([])


# A sample and the rest.


def test_the_rest_is_placed_among_the_sample():
    values, truth = groups(each=100, apart=9)
    out = alone(values, fit_cells=90, components=5)
    assert out.report["fitted"] == 90
    assert out.report["transformed"] == 210
    placed = np.setdiff1d(np.arange(300), umap._sample(300, 90, 0))
    centres = NearestCentroid().fit(np.delete(out.values, placed, axis=0), np.delete(truth, placed))
    assert centres.score(out.values[placed], truth[placed]) == 1
    found = KMeans(GROUPS, n_init=3, random_state=0).fit_predict(out.values)
    assert adjusted_rand_score(truth, found) == 1
    assert told_apart(out.plane, truth) == 1


def test_a_sample_is_the_same_every_time_and_chunks_change_nothing(monkeypatch):
    values, _ = groups()
    one = alone(values, fit_cells=50, components=3)
    monkeypatch.setattr(umap, "_CHUNK_ROWS", 7)
    np.testing.assert_allclose(alone(values, fit_cells=50, components=3).values, one.values, atol=1e-5)


def test_a_placed_cell_lies_at_the_weighted_mean_of_its_neighbours():
    places = np.array([[0, 0], [1, 0], [0, 1], [50, 50]], np.float32)
    values = np.array([[0.0], [1], [2], [100], [0.9], [-1]], np.float32)
    near = neighbours.Exact(values[:4], metric="euclidean", threads=1)
    (out,) = umap._placed(values, np.arange(4), [places], near, 3)
    np.testing.assert_array_equal(out[:4], places)
    weights = graph.memberships(np.array([[0.1, 0.9, 1.1], [1, 2, 3]]), own=False)
    expected = [
        np.average(places[[1, 0, 2]], axis=0, weights=weights[0]),
        np.average(places[[0, 1, 2]], axis=0, weights=weights[1]),
    ]
    np.testing.assert_allclose(out[4:], expected, rtol=1e-5)


def test_a_neighbour_that_was_not_found_counts_for_nothing():
    class Search:
        def of(self, others, k):
            return np.array([[1.0, 2.0, np.inf]]), np.array([[1, 2, -1]])

    places = np.array([[1, 0], [0, 1], [4, 4]], np.float32)
    (out,) = umap._placed(np.zeros((4, 1)), np.arange(3), [places], Search(), 3)
    weights = graph.memberships(np.array([[1.0, 2.0, np.inf]]), own=False)[0]
    np.testing.assert_allclose(out[3], np.average(places[[1, 2, 0]], axis=0, weights=weights), rtol=1e-6)
    assert weights[2] == 0


@given(st.integers(0, 50), st.one_of(st.none(), st.integers(4, 60)), st.integers(0, 5))
def test_a_sample_has_no_row_twice(count, wanted, seed):
    rows = umap._sample(count, wanted, seed)
    assert len(rows) == (count if wanted is None else min(count, wanted))
    assert (np.diff(rows) > 0).all()
    assert set(rows) <= set(range(count))


# Neighbours and their graph.


@pytest.mark.parametrize("few", [True, False])
@pytest.mark.parametrize("metric", ["euclidean", "cosine", "correlation", "manhattan"])
def test_neighbours_of_few_cells_are_exact(metric, few, monkeypatch):
    monkeypatch.setattr(neighbours, "_FEW_PAIRS", 3600 if few else 0)
    monkeypatch.setattr(neighbours, "_CHUNK_PAIRS", 500)
    values = some_cells(60)
    search = neighbours.search(values, asked=60, metric=metric, seed=0, threads=1)
    assert isinstance(search, neighbours.Few) == (few and metric != "manhattan")
    assert search.kind == "exact"
    distances, indices = search.among_themselves(7)
    between = cdist(values, values, {"manhattan": "cityblock"}.get(metric, metric))
    assert distances == pytest.approx(np.sort(between, axis=1)[:, :7], abs=1e-5)
    assert np.take_along_axis(between, indices, axis=1) == pytest.approx(distances, abs=1e-5)
    np.testing.assert_array_equal(indices[:, 0], np.arange(60))


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "correlation"])
def test_others_find_the_same_neighbours_in_both_ways(metric):
    values, others = some_cells(50), some_cells(20)
    few, many = neighbours.Few(values, metric=metric), neighbours.Exact(values, metric=metric, threads=1)
    for one, other in zip(few.of(others, 9), many.of(others, 9), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_a_cell_comes_first_among_its_neighbours_however_many_coincide_with_it():
    values = np.repeat(some_cells(4), 30, axis=0)
    distances, indices = neighbours.Few(values, metric="euclidean").among_themselves(15)
    np.testing.assert_array_equal(indices[:, 0], np.arange(120))
    assert not distances.any()
    assert (indices // 30 == np.arange(120)[:, None] // 30).all()


@pytest.mark.parametrize("metric", ["cosine", "correlation"])
def test_a_row_without_direction_is_at_1_from_all_others(metric):
    values = some_cells(10)
    values[[3, 7]] = 0
    distances, indices = neighbours.Few(values, metric=metric).among_themselves(10)
    np.testing.assert_allclose(distances[[3, 7], 1:], 1, atol=1e-12)
    assert (np.diff(distances, axis=1) >= 0).all()
    assert (np.sort(indices, axis=1) == np.arange(10)).all()


def test_neighbours_of_cells_that_coincide_do_not_depend_on_the_threads():
    from threadpoolctl import threadpool_limits

    values = np.repeat(some_cells(40, 40), 20, axis=0)[np.random.default_rng(0).permutation(800)]
    found = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            found.append(neighbours.Exact(values, metric="euclidean", threads=threads).among_themselves(15)[1])
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize(("rows", "asked", "kind"), [(30, 30, "exact"), (30, 31, "approximate"), (9, 100, "exact")])
def test_the_exact_search_stops_at_its_limit(monkeypatch, rows, asked, kind):
    monkeypatch.setattr(neighbours, "_FEW_PAIRS", 0)
    monkeypatch.setattr(neighbours, "_EXACT_PAIRS", 900)
    found = neighbours.search(some_cells(rows), asked=asked, metric="euclidean", seed=0, threads=1)
    assert found.kind == kind


@given(st.integers(1, 30), st.integers(2, 20), st.integers(0, 10**6))
def test_memberships_add_up_to_the_logarithm_of_the_neighbours(count, k, seed):
    distances = np.sort(np.random.default_rng(seed).gamma(3, 5, (count, k)), axis=1)
    new = graph.memberships(distances, own=False)
    np.testing.assert_allclose(new.sum(axis=1), np.log2(k), rtol=1e-4)
    assert (np.diff(new, axis=1) <= 0).all()
    np.testing.assert_allclose(graph.memberships(1e5 * distances, own=False), new, atol=1e-5)


@pytest.mark.parametrize("own", [True, False])
def test_memberships_are_umaps(own):
    from umap.umap_ import smooth_knn_dist

    values = np.repeat(some_cells(120), np.where(np.arange(120) < 20, 3, 1), axis=0)  # some coincide
    distances, _ = neighbours.Exact(values, metric="euclidean", threads=1).among_themselves(12)
    # umap-learn never counts the first of a row. Uncompiled: compiling takes ten seconds.
    rows = distances if own else np.pad(distances, ((0, 0), (1, 0)))
    sigma, rho = smooth_knn_dist.py_func(rows.astype(np.float32), 12.0, local_connectivity=float(own))
    expected = np.exp(-np.maximum(distances - rho[:, None], 0) / sigma[:, None])
    np.testing.assert_allclose(graph.memberships(distances, own=own), expected, atol=2e-4)


def test_an_edge_is_there_if_either_end_says_so():
    distances = np.array([[0, 1, 2], [0, 1, 3], [0, 2, 2.5], [0, 4, 5.0]])
    indices = np.array([[0, 1, 2], [1, 0, 2], [2, 0, 1], [3, 2, 0]])
    directed = np.zeros((4, 4))
    np.put_along_axis(directed, indices, graph.memberships(distances, own=True), axis=1)
    np.fill_diagonal(directed, 0)
    expected = directed + directed.T - directed * directed.T
    np.testing.assert_allclose(graph.fuzzy_graph(distances, indices).toarray(), expected, rtol=1e-6)
    assert expected[3, 2] == 1


@pytest.mark.parametrize("own", [True, False])
def test_memberships_of_odd_rows_are_in_0_to_1(own):
    far = np.array([[0.0, 0, 0], [0, 1, np.inf], [0, 5, 5], [0, 0, 1e-30], [0, 1e30, 2e30]])
    out = graph.memberships(far, own=own)
    assert ((out >= 0) & (out <= 1)).all()
    assert out[1, 2] == 0
    assert (out.max(axis=1) == 1).all()


# One test for all of it: the approximate search compiles itself for half a minute.
def test_many_cells_are_reduced_with_an_approximate_search(monkeypatch):
    values, truth = groups(each=60)
    exact = neighbours.Exact(values, metric="euclidean", threads=1)
    monkeypatch.setattr(neighbours, "_FEW_PAIRS", 0)
    monkeypatch.setattr(neighbours, "_EXACT_PAIRS", 10)
    search = neighbours.search(values, asked=1, metric="euclidean", seed=0, threads=1)
    for found, true in (
        (search.among_themselves(15), exact.among_themselves(15)),
        (search.of(values + 0.1, 15), exact.of(values + 0.1, 15)),
    ):
        shared = [len(np.intersect1d(a, b)) / 15 for a, b in zip(found[1], true[1], strict=True)]
        assert np.mean(shared) > 0.95
    out = alone(values, fit_cells=150)
    assert out.report["neighbours"] == "approximate"
    assert told_apart(out.values, truth) == 1
    assert told_apart(out.plane, truth) == 1
    np.testing.assert_array_equal(alone(values, fit_cells=150, threads=2).values, out.values)


# The layout.


@pytest.mark.parametrize("min_dist", [0.0, 0.001, 0.1, 0.5, 1.0])
def test_the_curve_is_umaps(min_dist):
    from umap.umap_ import find_ab_params

    assert layout.curve(min_dist) == pytest.approx(find_ab_params(1.0, min_dist), rel=1e-4)


@pytest.mark.parametrize("min_dist", [0.0, 0.1, 1.0])
def test_forces_are_umaps_gradient(min_dist):
    pulls, pushes = layout.forces(min_dist)
    a, b = layout.curve(min_dist)
    # Between two rows of the table, as the layout looks them up.
    square = np.ldexp(1.0, np.arange(-20, 12)) * (1 + 10.5 / 64)
    row = np.arange(20, 52) * 64 + 10
    power = square**b
    np.testing.assert_allclose(
        (pulls[row] + pulls[row + 1]) / 2, -2 * a * b * square ** (b - 1) / (1 + a * power), rtol=5e-4
    )
    np.testing.assert_allclose(
        (pushes[row] + pushes[row + 1]) / 2, 2 * b / ((0.001 + square) * (1 + a * power)), rtol=5e-4
    )


def test_a_force_is_looked_up_for_the_square_of_the_distance():
    """One edge, one step: both cells move towards each other as the gradient has it."""
    pulls, pushes = layout.forces(0.1)
    for apart in (1e-3, 0.3, 1.0, 7.0, 2000.0):
        places = np.array([[0, 0], [apart, 0]], np.float32)
        one = np.ones(1)
        ends = np.array([0], np.int32), np.array([1], np.int32)
        # No cell is pushed anywhere: what is pulled is looked at alone.
        layout._move(places, *ends, one, np.zeros(1), 1, pulls, 0 * pushes, np.uint64(0))
        a, b = layout.curve(0.1)
        step = min(4.0, 2 * a * b * apart ** (2 * b - 1) / (1 + a * apart ** (2 * b)))
        if apart < 1000:
            np.testing.assert_allclose(places, [[step, 0], [apart - step, 0]], rtol=1e-3, atol=1e-4)
        assert np.isfinite(places).all()


def neighbours_kept(before: np.ndarray, after: np.ndarray, k: int = 15) -> float:
    found = [neighbours.Few(one, metric="euclidean").among_themselves(k + 1)[1][:, 1:] for one in (before, after)]
    return np.mean([len(np.intersect1d(*pair)) / k for pair in zip(*found, strict=True)])


@pytest.mark.parametrize("dimensions", [2, 5])
def test_the_layout_is_as_good_as_umap_learns(dimensions):
    # Points along a closed curve in many dimensions, with some noise: a layout can be better or worse.
    rng = np.random.default_rng(0)
    angle = np.sort(rng.uniform(0, 2 * np.pi, 500))
    waves = np.stack([np.sin(n * angle + n * n) for n in range(1, 11)], axis=1)
    values = (waves + rng.normal(0, 0.1, waves.shape)).astype(np.float32)
    near = neighbours.Few(values, metric="euclidean").among_themselves(15)
    joined, start = graph.fuzzy_graph(*near), umap._start(values, dimensions, 0)
    ours = layout.lay_out(joined, start, min_dist=0.1, seed=0)
    theirs = umap._unseeded(joined, start, 0.1, 1)
    assert ours.shape == theirs.shape
    assert neighbours_kept(values, ours) > neighbours_kept(values, theirs) - 0.02
    assert neighbours_kept(values, theirs) > 0.3
    assert neighbours_kept(values, rng.permutation(ours)) < 0.1


def test_a_graph_without_edges_stays_where_it_starts():
    start = np.array([[0, 0], [5, 1], [1, 2]], np.float32)
    out = layout.lay_out(csr_array((3, 3)), start, min_dist=0.1, seed=0)
    np.testing.assert_allclose(out, [[0, 0], [10, 5], [2, 10]])


def test_few_cells_are_reduced_and_clustered_without_what_takes_long_to_import(repo):
    heavy = ("umap", "pynndescent", "sklearn", "pandas", "geopandas", "torch", "matplotlib")
    code = f"""
import sys
import numpy as np
from clusterfirst import reduction
from clusterfirst.clustering.clusters import NO_TYPICAL, cluster
from clusterfirst.reduction.inputs import Block, SlideEmbedding
rng = np.random.default_rng(0)
slide = SlideEmbedding("one", rng.normal(size=(99, 6)), rng.uniform(0, 9, (99, 2)), (Block("model", 0, 6, True),))
reduced = reduction.reduce([slide], {section("reduction")!r})
assert len(cluster(reduced.values, {section("clustering")!r}, NO_TYPICAL).representatives) == 25
print([name for name in {heavy} if name in sys.modules])
"""
    environment = os.environ | {"PYTHONPATH": str(repo / "workflow/scripts")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# GPU: there is none in tests; stand-ins show what would be asked of it.


def gpus(monkeypatch, count):
    """Stand in for CuPy that sees so many GPUs, or fails; and for cuML."""

    def counted():
        if isinstance(count, Exception):
            raise count
        return count

    cupy = ModuleType("cupy")
    cupy.cuda = SimpleNamespace(runtime=SimpleNamespace(getDeviceCount=counted))
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    for name in ("cuml", "cuml.manifold", "cuml.neighbors"):
        module = ModuleType(name)
        module.__spec__ = ModuleSpec(name, None)
        monkeypatch.setitem(sys.modules, name, module)
    return sys.modules["cuml.manifold"], sys.modules["cuml.neighbors"]


@pytest.mark.parametrize(
    ("count", "gpu", "use"), [(1, "auto", True), (1, True, True), (1, False, False), (0, "auto", False)]
)
def test_rapids_are_used_where_cuda_counts_a_gpu(monkeypatch, count, gpu, use):
    gpus(monkeypatch, count)
    assert devices.rapids(gpu) is use


def test_rapids_without_a_driver_or_without_cuml(monkeypatch):
    gpus(monkeypatch, RuntimeError("cudaErrorInsufficientDriver"))
    assert devices.rapids("auto") is False
    with pytest.raises(ClusterfirstError, match="cudaErrorInsufficientDriver"):
        devices.rapids(True)
    # An extra: `gpu: true` insists on what torch computes.
    monkeypatch.setitem(sys.modules, "cuml", None)
    assert devices.rapids("auto") is False
    assert devices.rapids(True) is False


def test_a_demanded_gpu_that_is_not_there_is_an_error(monkeypatch):
    gpus(monkeypatch, 0)
    with pytest.raises(ClusterfirstError, match="gpu: true"):
        alone(some_cells(20), gpu=True)


def test_on_a_gpu_all_cells_are_laid_out_by_cuml(monkeypatch):
    manifold, neighbors = gpus(monkeypatch, 1)
    asked = []

    class UMAP:
        def __init__(self, **options):
            self.options = options
            asked.append(options)

        def fit_transform(self, values):
            return np.zeros((len(values), self.options["n_components"]), np.float32)

    class NearestNeighbors:
        def __init__(self, **options):
            self.search = neighbours.Exact(np.empty((1, 1)), metric=options["metric"], threads=1)
            self.k = options["n_neighbors"]

        def fit(self, values):
            self.search = neighbours.Exact(values, metric="euclidean", threads=1)
            return self

        def kneighbors(self, values):
            return self.search.of(values, self.k)

    manifold.UMAP, neighbors.NearestNeighbors = UMAP, NearestNeighbors
    out = alone(some_cells(60), gpu="auto", fit_cells=20, components=7, seed=3)
    assert out.values.shape == (60, 7)
    assert out.report["fitted"] == 60
    assert out.report["device"] == "cuda"
    assert [options["n_components"] for options in asked] == [7, 2]
    assert all(options["random_state"] == 3 and options["n_neighbors"] == 15 for options in asked)
    indices, distances = asked[0]["precomputed_knn"]
    assert indices.dtype.kind == "i"
    assert (distances[:, 0] == 0).all()
