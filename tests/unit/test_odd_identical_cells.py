"""Cells that are the same to the numbers are of one cluster, and there are no more clusters than different cells."""

import numpy as np
import pytest

from clusterfirst import reduction
from clusterfirst.clustering.clusters import NO_TYPICAL, cluster
from clusterfirst.clustering.numbering import by_size
from clusterfirst.coinciding import Coinciding
from clusterfirst.reduction.inputs import Block, SlideEmbedding

from ..defaults import section

METHODS = ["kmeans", "leiden", "hdbscan", "dbscan"]
ALONE = {"context_weight": 0.0}
"""What lies around a cell makes cells differ that look the same."""
TYPICAL = {"max_items": 3, "min_confidence": 0.0}


def repeated(different, copies, seed=0, width=5):
    """Rows of which some are equal, mixed, and the number of the kind of each."""
    rng = np.random.default_rng(seed)
    kinds = rng.normal(0, 10, (different, width)).astype(np.float32)
    kind = rng.permutation(np.repeat(np.arange(different), copies))
    return kinds[kind], kind


def embedding(values):
    places = np.arange(2.0 * len(values)).reshape(-1, 2)
    return SlideEmbedding("a", values, places, (Block("morphology", 0, values.shape[1], True),))


def kinds_in_clusters(kind, cluster_id):
    """The clusters of each kind of cell."""
    return [set(cluster_id[kind == one].tolist()) for one in range(kind.max() + 1)]


@pytest.mark.parametrize("count", [2, 400])
@pytest.mark.parametrize("method", METHODS)
def test_cells_that_are_all_the_same_are_one_cluster(method, count, caplog):
    found = cluster(np.full((count, 5), 3.25, np.float32), section("clustering", method=method), TYPICAL)
    assert set(found.cluster_id) == set(found.leaf_id) == {0}
    assert np.isfinite(found.confidence).all()
    assert f"of {count} cells, only 1 differ" in caplog.text


@pytest.mark.parametrize("different", [2, 3, 20, 24])
@pytest.mark.parametrize("method", METHODS)
def test_no_more_clusters_than_different_cells(method, different, caplog):
    values, kind = repeated(different, 40)
    found = cluster(values, section("clustering", method=method, groups=25, eps=None), NO_TYPICAL)
    clusters = kinds_in_clusters(kind, found.cluster_id)
    assert all(len(own) == 1 for own in clusters)
    assert len(set(found.cluster_id) - {-1}) <= different
    if method == "kmeans":
        assert len(set(found.cluster_id)) == different
    assert f"only {different} differ" in caplog.text


@pytest.mark.parametrize("reducer", ["umap", "pca", "none"])
@pytest.mark.parametrize("different", [1, 2, 3, 20])
def test_from_embeddings_to_clusters(reducer, different, caplog):
    """A layout would tear apart what is the same."""
    values, kind = repeated(different, 30, width=60)
    around = {} if different == 1 else ALONE
    reduced = reduction.reduce([embedding(values)], section("reduction", method=reducer, components=3, **around))
    assert len(Coinciding.among(reduced.values).different) == different
    assert len(np.unique(reduced.plane, axis=0)) == different
    assert f"only {different} differ in their embeddings" in caplog.text
    found = cluster(reduced.values, section("clustering", groups=25), NO_TYPICAL)
    assert len(set(found.cluster_id)) == different
    assert all(len(own) == 1 for own in kinds_in_clusters(kind, found.cluster_id))


def test_a_few_that_are_the_same_leave_the_others_where_they_are():
    rng = np.random.default_rng(1)
    values = rng.normal(size=(60, 4)).astype(np.float32)
    settings = section("reduction", components=2, **ALONE)
    plain = reduction.reduce([embedding(values)], settings)
    assert len(np.unique(plain.values, axis=0)) == 60
    values[7] = values[3]
    some = reduction.reduce([embedding(values)], settings)
    np.testing.assert_array_equal(some.values[7], some.values[3])
    assert len(np.unique(some.values, axis=0)) == 59


def test_rows_are_told_apart_as_numpy_does():
    values = np.random.default_rng(0).integers(-1, 2, (3000, 6)).astype(np.float32)
    alike = Coinciding.among(values)
    assert len(alike.different) == len(np.unique(values, axis=0))
    np.testing.assert_array_equal(values[alike.first], values)
    np.testing.assert_array_equal(values[alike.different][alike.number], values)
    assert (alike.first <= np.arange(3000)).all()
    np.testing.assert_array_equal(by_size(alike.first), by_size(np.unique(values, axis=0, return_inverse=True)[1]))


@pytest.mark.parametrize("shape", [(0, 3), (1, 3), (4, 0)])
def test_hardly_any_cells(shape):
    assert len(Coinciding.among(np.zeros(shape, np.float32)).different) == min(shape[0], 1)
