"""From many numbers per cell to few."""

import logging

import numpy as np
import pytest
from scipy.spatial.distance import cdist, pdist
from sklearn.neighbors import NearestCentroid

from clusterfirst import reduction
from clusterfirst.reduction import reduce, standardised

GROUPS, EACH, FEATURES = 3, 40, 20


def groups(seed: int = 0, *, apart: float = 12.0) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian groups, each off the origin along an axis of its own."""
    truth = np.repeat(np.arange(GROUPS), EACH)
    values = np.random.default_rng(seed).normal(size=(GROUPS * EACH, FEATURES))
    values[np.arange(len(truth)), truth] += apart
    return values.astype(np.float32), truth


def told_apart(coordinates: np.ndarray, truth: np.ndarray) -> float:
    return NearestCentroid().fit(coordinates, truth).score(coordinates, truth)


def some_cells(count: int, features: int = 6) -> np.ndarray:
    return np.random.default_rng(count).normal(size=(count, features)).astype(np.float32)


# UMAP compiles itself for some ten seconds at its first call.
@pytest.fixture(scope="module")
def reduced():
    return reduce(groups()[0])


@pytest.fixture
def said(caplog, monkeypatch):
    """What the library logs, even if another test has set up its log file."""
    monkeypatch.setattr(logging.getLogger("clusterfirst"), "propagate", True)
    caplog.set_level(logging.WARNING, "clusterfirst.reduction")
    return lambda: [record.getMessage() for record in caplog.records if record.name == "clusterfirst.reduction"]


def test_there_are_fifty_columns_and_a_plane_in_float32(reduced):
    assert reduced.values.shape == (GROUPS * EACH, 50)
    assert reduced.plane.shape == (GROUPS * EACH, 2)
    assert reduced.values.dtype == reduced.plane.dtype == np.float32
    assert np.isfinite(reduced.values).all()
    assert np.isfinite(reduced.plane).all()


def test_the_plane_is_not_the_first_two_columns(reduced):
    assert not np.allclose(reduced.values[:, :2], reduced.plane)


def test_same_seed_same_map(reduced):
    again = reduce(groups()[0])
    np.testing.assert_array_equal(again.values, reduced.values)
    np.testing.assert_array_equal(again.plane, reduced.plane)


def test_another_seed_another_map(reduced):
    assert not np.allclose(reduce(groups()[0], seed=1).plane, reduced.plane)


def test_groups_far_apart_stay_apart(reduced):
    truth = groups()[1]
    assert told_apart(reduced.values, truth) == 1
    assert told_apart(reduced.plane, truth) == 1


@pytest.mark.parametrize("components", [1, 7])
def test_components_are_as_many_as_wished(components):
    out = reduce(some_cells(30), components=components)
    assert out.values.shape == (30, components)
    assert out.plane.shape == (30, 2)


def test_the_metric_counts():
    # One direction per group and any length: near to the cosine, far to Euclid.
    truth = np.repeat([0, 1], 40)
    angles = np.where(truth, 0.1, 0.0) + np.random.default_rng(0).normal(0, 0.01, 80)
    lengths = np.random.default_rng(1).uniform(1, 100, 80)
    values = (lengths * [np.cos(angles), np.sin(angles)]).T.astype(np.float32)
    assert told_apart(reduce(values, metric="cosine", components=2).plane, truth) == 1
    assert told_apart(reduce(values, components=2).plane, truth) < 0.9


def test_standardising_keeps_a_loud_column_from_drowning_the_rest():
    values, truth = groups()
    values[:, -1] *= 1e5
    assert told_apart(reduce(values, standardise=True).plane, truth) > 0.95
    assert told_apart(reduce(values).plane, truth) < 0.8


@pytest.mark.parametrize("standardise", [False, True])
def test_the_embeddings_are_left_as_they_were(standardise):
    values = some_cells(20)
    before = values.copy()
    values.setflags(write=False)  # as a memory-mapped file is
    reduce(values, standardise=standardise)
    np.testing.assert_array_equal(values, before)


@pytest.mark.parametrize("standardise", [False, True])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5, 12, 52])
def test_any_number_of_cells_gives_finite_maps(count, standardise):
    out = reduce(some_cells(count), standardise=standardise)
    assert out.values.shape == (count, 50)
    assert out.plane.shape == (count, 2)
    assert out.values.dtype == out.plane.dtype == np.float32
    assert np.isfinite(out.values).all()
    assert np.isfinite(out.plane).all()


@pytest.mark.parametrize("count", [1, 2, 3, 4, 12])
def test_half_precision_embeddings_are_reduced_too(count):
    out = reduce(some_cells(count).astype(np.float16))
    assert out.values.dtype == out.plane.dtype == np.float32
    assert np.isfinite(out.values).all()


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_too_few_cells_for_umap_are_told_of(count, said):
    reduce(some_cells(count))
    assert said() == [f"{count} cells are too few for UMAP: their principal coordinates are used"]


@pytest.mark.parametrize("count", [4, 5, 12, 15])
def test_a_smaller_neighbourhood_is_told_of(count, said):
    reduce(some_cells(count), components=3)
    assert said() == [f"{count} cells: UMAP's n_neighbors is lowered from 15 to {count - 1}"]


def test_enough_cells_are_not_worth_a_word(said):
    reduce(some_cells(16), components=3)
    assert said() == []


@pytest.mark.parametrize("count", [2, 3])
def test_principal_coordinates_keep_the_distances_of_few_cells(count):
    values = some_cells(count)
    out = reduce(values)
    assert pdist(out.plane) == pytest.approx(pdist(values), rel=1e-5)
    assert pdist(out.values) == pytest.approx(pdist(values), rel=1e-5)
    assert out.values.std(axis=0).argmax() == 0


@pytest.mark.parametrize("count", [2, 3, 4, 8, 40])
def test_cells_that_are_all_alike_are_no_trouble(count):
    out = reduce(np.full((count, 6), 0.1, np.float32), standardise=True)
    assert np.isfinite(out.values).all()
    assert np.isfinite(out.plane).all()


@pytest.mark.parametrize("count", [1, 3, 30])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(count, bad):
    values = some_cells(count)
    values[-1, -1] = bad
    with pytest.raises(ValueError, match="not finite"):
        reduce(values)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, np.int64])
def test_standardised_columns_have_mean_0_and_variance_1(kind):
    scale, offset = np.array([1, 3, 100.0]), np.array([0, -70, 500.0])
    values = (np.random.default_rng(0).normal(size=(500, 3)) * scale * 4 + offset).astype(kind)
    out = standardised(values)
    assert out.dtype == np.float32
    assert out.mean(axis=0, dtype=float) == pytest.approx([0, 0, 0], abs=1e-5)
    assert out.var(axis=0, dtype=float) == pytest.approx([1, 1, 1], abs=1e-5)


def test_standardising_keeps_the_order_within_a_column():
    values = np.random.default_rng(0).normal(7, 3, (50, 4))
    np.testing.assert_array_equal(standardised(values).argsort(axis=0), values.argsort(axis=0))


@pytest.mark.parametrize("constant", [0, 0.1, -3, 1e-30, 0.1e20, -1.1e30, 3e38])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_a_column_that_does_not_vary_becomes_0(constant, kind):
    values = np.random.default_rng(0).normal(size=(997, 3)).astype(kind)
    values[:, 1] = constant
    out = standardised(values)
    assert (out[:, 1] == 0).all()
    assert out[:, [0, 2]].std(axis=0) == pytest.approx([1, 1], abs=1e-4)


def test_a_column_of_large_numbers_that_varies_is_not_taken_for_constant():
    values = 1e6 + np.random.default_rng(0).normal(size=(300, 1))
    assert standardised(values).std() == pytest.approx(1, abs=1e-4)


def test_one_cell_is_standardised_to_0():
    np.testing.assert_array_equal(standardised(np.array([[3.0, -1e30, 0.0]])), np.zeros((1, 3)))


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_neighbours_of_few_cells_are_exact(metric, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("the approximate search was called")

    monkeypatch.setattr("umap.umap_.nearest_neighbors", refuse)
    values = some_cells(60)
    indices, distances, _ = reduction._neighbours(values, 7, metric=metric, seed=0, threads=1)
    between = cdist(values, values, metric)
    assert distances == pytest.approx(np.sort(between, axis=1)[:, :7], abs=1e-5)
    assert np.take_along_axis(between, indices, axis=1) == pytest.approx(distances, abs=1e-5)
    np.testing.assert_array_equal(indices[:, 0], np.arange(60))


def test_the_exact_search_stops_at_its_limit(monkeypatch):
    monkeypatch.setattr(reduction, "_EXACT_ROWS", 29)
    monkeypatch.setattr("umap.umap_.nearest_neighbors", lambda *_, **__: "approximate")
    assert reduction._neighbours(some_cells(30), 5, metric="euclidean", seed=0, threads=1) == "approximate"
    assert len(reduction._neighbours(some_cells(29), 5, metric="euclidean", seed=0, threads=1)) == 3


# One test for all of it: the approximate search compiles itself for half a minute.
def test_many_cells_are_reduced_with_an_approximate_search(monkeypatch, reduced):
    values, truth = groups()
    exact, _, _ = reduction._neighbours(values, 15, metric="euclidean", seed=0, threads=1)
    monkeypatch.setattr(reduction, "_EXACT_ROWS", 10)
    found, _, _ = reduction._neighbours(values, 15, metric="euclidean", seed=0, threads=1)
    assert np.mean([len(np.intersect1d(a, b)) / 15 for a, b in zip(exact, found, strict=True)]) > 0.95
    out = reduce(values)
    assert out.values.shape == reduced.values.shape
    assert told_apart(out.values, truth) == 1
    assert told_apart(out.plane, truth) == 1
    np.testing.assert_array_equal(reduce(values).values, out.values)
