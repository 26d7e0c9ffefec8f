"""Who is near whom, and the ways to group cells."""

import logging
import random
import sys
import types
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from sklearn.cluster import DBSCAN as Reference
from sklearn.cluster import KMeans as Theirs
from sklearn.metrics import adjusted_rand_score
from sklearn.metrics.cluster import pair_confusion_matrix

from clusterfirst.clustering import NOISE, dbscan, density, hdbscan, kmeans, leiden, lloyd, neighbours
from clusterfirst.clustering.dbscan import curve_of, reach
from clusterfirst.clustering.neighbours import effective_dimensions
from clusterfirst.clustering.numbering import by_size
from clusterfirst.io import ClusterfirstError

from .embeddings import BLOBS, blobs, cloud, moons


@pytest.fixture
def said(caplog, monkeypatch):
    """What the library logs, even if another test has set up its log file."""
    monkeypatch.setattr(logging.getLogger("clusterfirst"), "propagate", True)
    monkeypatch.setattr(logging.getLogger("clusterfirst"), "level", logging.INFO)
    caplog.set_level(logging.INFO, "clusterfirst.clustering")
    return lambda: " | ".join(record.getMessage() for record in caplog.records)


Points, nearest = (partial(one, seed=0) for one in (neighbours.Points, neighbours.nearest))
DBSCAN = partial(dbscan.DBSCAN, eps=None, min_samples=5)
HDBSCAN = partial(hdbscan.HDBSCAN, min_cluster_size=20, min_samples=5, groups=None)
KMeans = partial(kmeans.KMeans, fine=300, groups=None, seed=0)
Leiden = partial(leiden.Leiden, resolution=1.0, neighbors=15, seed=0)
METHODS = {
    "dbscan": DBSCAN,
    "hdbscan": HDBSCAN,
    "kmeans": lambda **keys: KMeans(**({"fine": 3} | keys)),
    "leiden": lambda **keys: Leiden(**({"resolution": 0.1} | keys)),
}


# Neighbours


def test_nearest_are_the_nearest_others():
    values = cloud(50)
    distances, indices = nearest(values, 6)
    between = cdist(values, values)
    np.fill_diagonal(between, np.inf)
    assert distances == pytest.approx(np.sort(between, axis=1)[:, :6])
    np.testing.assert_array_equal(indices, np.argsort(between, axis=1)[:, :6])


@pytest.mark.parametrize("features", [2, 50])
def test_a_point_is_not_its_own_neighbour_even_among_duplicates(features):
    values = np.repeat(cloud(4, features), 5, axis=0)
    distances, indices = nearest(values, 4)
    assert not (indices == np.arange(20)[:, None]).any()
    assert distances == pytest.approx(np.zeros((20, 4)), abs=1e-6)
    assert all(len(set(row)) == 4 for row in indices.tolist())


def test_a_point_lost_among_its_duplicates_drops_the_farthest():
    values = np.zeros((30, 3))
    distances, indices = nearest(values, 4)
    assert distances.shape == (30, 4)
    assert not (indices == np.arange(30)[:, None]).any()


@pytest.mark.parametrize(("count", "columns"), [(0, 0), (1, 0), (2, 1), (5, 4), (9, 6)])
def test_there_are_never_more_neighbours_than_other_points(count, columns):
    distances, indices = nearest(cloud(count), 6)
    assert distances.shape == indices.shape == (count, columns)


def test_neighbours_are_searched_for_once(monkeypatch):
    calls = []

    def counted(values, k, **keys):
        calls.append(k)
        return nearest(values, k, **keys)

    monkeypatch.setattr(neighbours, "nearest", counted)
    points = Points(cloud(40))
    wanted = nearest(points.values, 15)
    for k in (4, 9, 15, 1):
        distances, indices = points.nearest(k)
        np.testing.assert_array_equal(distances, wanted[0][:, :k])
        np.testing.assert_array_equal(indices, wanted[1][:, :k])
    # Fewer than the confidence asks for are found with them.
    assert calls == [15]
    assert points.nearest(20)[0].shape == (40, 20)
    assert calls == [15, 20]


def test_directions_are_counted_not_columns():
    rng = np.random.default_rng(0)
    flat = rng.normal(size=(5000, 3)) @ rng.normal(size=(3, 40))
    assert effective_dimensions(cloud(5000, 12)) == pytest.approx(12, abs=0.3)
    assert 1 < effective_dimensions(flat) <= 3
    assert effective_dimensions(np.ones((10, 4))) == 0


class Approximate:
    """Stands in for pynndescent, which compiles itself for a minute: every point among its own neighbours, in int32."""

    def __init__(self, values, **keys):
        self.keys = keys
        type(self).made = self
        between = cdist(values, values)
        k = keys["n_neighbors"]
        self.neighbor_graph = np.argsort(between, axis=1)[:, :k].astype(np.int32), np.sort(between, axis=1)[:, :k]


def test_many_points_in_many_directions_are_searched_approximately(monkeypatch, said):
    values = cloud(600, 20).astype(np.float32)
    exactly = nearest(values, 10)
    monkeypatch.setattr(neighbours, "_EXACT_CELLS", 500)
    monkeypatch.setitem(sys.modules, "pynndescent", types.SimpleNamespace(NNDescent=Approximate))
    distances, indices = nearest(values, 10, seed=3, threads=2)
    np.testing.assert_array_equal(indices, exactly[1])
    assert distances == pytest.approx(exactly[0])
    assert Approximate.made.keys == {"n_neighbors": 11, "random_state": 3, "n_jobs": 1}
    assert "approximately" in said()
    # In few directions, however many columns, a tree serves.
    del Approximate.made
    nearest(np.repeat(values[:, :5], 5, axis=1), 10)
    assert not hasattr(Approximate, "made")


# All methods


@pytest.mark.parametrize("method", METHODS)
def test_blobs_are_found(method):
    values, truth = blobs()
    values, truth = values[truth != NOISE], truth[truth != NOISE]
    groups = METHODS[method]().fit(Points(values))
    kept = groups != NOISE
    assert kept.mean() > 0.9
    assert adjusted_rand_score(truth[kept], groups[kept]) > 0.99


@pytest.mark.parametrize("method", ["dbscan", "hdbscan"])
def test_moons_are_found_by_density(method):
    values, truth = moons()
    groups = METHODS[method](**({"eps": 0.2} if method == "dbscan" else {})).fit(Points(values))
    kept = groups != NOISE
    assert kept.mean() > 0.95
    assert adjusted_rand_score(truth[kept], groups[kept]) == 1


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5, 6, 9, 20, 21])
@pytest.mark.parametrize("method", METHODS)
def test_few_cells_are_no_reason_to_fail(method, count):
    groups = METHODS[method]().fit(Points(cloud(count, 5).astype(np.float32)))
    assert groups.shape == (count,)
    assert np.issubdtype(groups.dtype, np.integer)
    assert (groups >= NOISE).all()


@pytest.mark.parametrize("method", METHODS)
def test_coinciding_cells_are_in_one_group(method):
    values = np.repeat(cloud(3, 4) * 10, 30, axis=0)
    groups = METHODS[method]().fit(Points(values))
    assert adjusted_rand_score(np.repeat([0, 1, 2], 30), groups) == 1
    assert len(np.unique(METHODS[method]().fit(Points(np.ones((40, 3)))))) == 1


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_makes_the_same_groups(method):
    values = cloud(700, 4).astype(np.float32)
    one, other = (METHODS[method]().fit(Points(values, threads=threads)) for threads in (1, 2))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("method", ["kmeans", "leiden"])
def test_another_seed_makes_other_groups(method):
    values = cloud(700, 4)
    keys = {"fine": 20} if method == "kmeans" else {"resolution": 1.0}
    one, other = (METHODS[method](seed=seed, **keys).fit(Points(values)) for seed in (0, 1))
    assert 0.1 < adjusted_rand_score(one, other) < 0.999


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("coarser", [False, True])
def test_advice_names_a_key(method, coarser):
    fitted = METHODS[method]()
    fitted.fit(Points(cloud(60)))
    assert "`clustering." in fitted.advice(coarser=coarser)


# DBSCAN


@pytest.mark.parametrize("min_samples", [2, 5, 9])
def test_the_curve_is_of_the_kth_other_point(min_samples):
    values = cloud(200)
    curve = curve_of(Points(values), min_samples=min_samples)
    # Column 0 is the point itself.
    assert curve == pytest.approx(np.sort(np.sort(cdist(values, values), axis=1)[:, min_samples - 1]))


@pytest.mark.parametrize("features", [2, 50])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
def test_the_share_of_the_curve_up_to_eps_is_the_share_of_cores(share, features):
    values = cloud(300, features)
    curve = curve_of(Points(values), min_samples=5)
    eps = curve[int(share * len(curve))]
    cores = Reference(eps=eps * (1 + 1e-9), min_samples=5).fit(values).core_sample_indices_
    assert len(cores) == np.count_nonzero(curve <= eps)


def same_as_reference(values: np.ndarray, eps: float, min_samples: int, groups: np.ndarray) -> None:
    """Cores and noise are settled; a border cell may go to either of the clusters that reach it."""
    reference = Reference(eps=eps, min_samples=min_samples).fit(values)
    cores = reference.core_sample_indices_
    np.testing.assert_array_equal(groups == NOISE, reference.labels_ == NOISE)
    differing = pair_confusion_matrix(reference.labels_[cores], groups[cores]) if len(cores) else np.zeros((2, 2))
    assert differing[0, 1] == differing[1, 0] == 0
    between = cdist(values, values)
    for cell in np.setdiff1d(np.flatnonzero(groups != NOISE), cores):
        assert groups[cell] == groups[cores[between[cell, cores].argmin()]]


@hypothesis_settings(max_examples=60, deadline=None)
@given(
    count=st.integers(1, 60),
    features=st.integers(1, 4),
    min_samples=st.integers(2, 8),
    eps=st.floats(0.05, 3),
    seed=st.integers(0, 1000),
    copies=st.integers(1, 3),
)
def test_clusters_are_those_of_dbscan(count, features, min_samples, eps, seed, copies):
    values = np.repeat(cloud(count, features, seed), copies, axis=0)
    groups = DBSCAN(eps=eps, min_samples=min_samples).fit(Points(values))
    same_as_reference(values, eps, min_samples, groups)


@pytest.mark.parametrize("features", [2, 10, 50])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_clusters_of_many_cells_are_those_of_dbscan(features, share):
    values = np.vstack([cloud(400, features, seed) + 3 * seed for seed in range(3)]).astype(np.float32)
    eps = float(np.quantile(curve_of(Points(values), min_samples=5), share))
    same_as_reference(values.astype(float), eps * (1 + 1e-9), 5, DBSCAN(eps=eps).fit(Points(values)))


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("features", [2, 50])
def test_a_cell_at_exactly_eps_belongs(features, kind):
    values = cloud(300, features).astype(kind)
    curve = curve_of(Points(values), min_samples=5)
    for eps in curve[::60]:
        groups = DBSCAN(eps=float(eps), min_samples=5).fit(Points(values))
        assert np.count_nonzero(groups != NOISE) >= np.count_nonzero(curve <= eps) > 0


def test_the_curve_of_many_cells_is_thinned_and_keeps_its_ends():
    values = cloud(3000, 2)
    whole = np.sort(nearest(values, 4)[0][:, -1])
    curve = curve_of(Points(values), min_samples=5)
    assert len(curve) == 2000
    assert curve[[0, -1]] == pytest.approx(whole[[0, -1]])
    assert (np.diff(curve) >= 0).all()


def test_given_eps_is_used():
    tiny, huge = (DBSCAN(eps=eps) for eps in (1e-6, 1e6))
    assert (tiny.fit(Points(cloud(100))) == NOISE).all()
    assert len(np.unique(huge.fit(Points(cloud(100))))) == 1
    assert (huge.report()["eps"], huge.report()["eps_source"]) == (1e6, "given")


def test_the_knee_parts_blobs_from_strays():
    values, truth = blobs()
    method = DBSCAN()
    groups = by_size(method.fit(Points(values)))
    assert method.report()["eps_source"] == "knee"
    assert set(groups.tolist()) == {NOISE, 0, 1, 2}
    for number in BLOBS:
        assert np.mean(groups[truth == number] == number) > 0.95
    assert np.mean(groups[truth == NOISE] == NOISE) > 0.8


def knee(values: np.ndarray) -> tuple[float, str]:
    return reach(curve_of(Points(values), min_samples=5))


def test_the_knee_does_not_depend_on_the_scale():
    values = blobs()[0].astype(float)
    assert knee(values * 1000)[0] == pytest.approx(1000 * knee(values)[0])


def test_without_a_knee_eps_is_a_quantile_and_that_is_said(said):
    values = cloud(8)
    eps, source = reach(curve_of(Points(values), min_samples=3))
    assert source == "quantile"
    assert eps == pytest.approx(np.quantile(np.sort(cdist(values, values), axis=1)[:, 2], 0.9))
    assert "no knee" in said()


def test_a_knee_is_not_worth_a_word(said):
    knee(blobs()[0])
    assert said() == ""


def test_of_several_eps_the_one_that_tells_most_is_taken_and_all_are_written_down(said):
    values, _ = blobs()
    method = DBSCAN(eps=[100, 0.5, 1e-3])
    groups = method.fit(Points(values))
    np.testing.assert_array_equal(groups, DBSCAN(eps=0.5).fit(Points(values)))
    report = method.report()
    assert (report["eps"], report["eps_source"]) == (0.5, "list")
    assert [tried["eps"] for tried in report["eps_tried"]] == [1e-3, 0.5, 100]
    nothing, right, everything = report["eps_tried"]
    assert (nothing["clusters"], nothing["noise_fraction"], nothing["explained"]) == (0, 1, 0)
    assert (everything["clusters"], everything["noise_fraction"], everything["explained"]) == (1, 0, 0)
    assert right["clusters"] == 3
    assert right["explained"] > 0.5
    assert said().count("of the variance") == 3


# HDBSCAN


def test_strays_are_noise_to_hdbscan():
    values, truth = blobs()
    groups = HDBSCAN().fit(Points(values))
    assert np.mean(groups[truth == NOISE] == NOISE) > 0.7


def test_no_group_of_hdbscan_is_smaller_than_wished():
    groups = HDBSCAN(min_cluster_size=30, groups=5).fit(Points(cloud(800, 2)))
    _, sizes = np.unique(groups[groups != NOISE], return_counts=True)
    assert len(sizes) > 1
    assert sizes.min() >= 30


def test_for_joining_hdbscan_takes_the_finest_groups():
    rng = np.random.default_rng(0)
    middles = np.array([[0, 0], [1, 0], [0, 30], [1, 30]])
    values = np.vstack([rng.normal(middle, 0.25, (100, 2)) for middle in middles])
    lasting, finest = (HDBSCAN(groups=groups).fit(Points(values)) for groups in (None, 3))
    assert lasting.max() + 1 == 2
    assert finest.max() + 1 >= 4
    # Every fine group lies within one of the lasting ones.
    assert all(len(np.unique(lasting[finest == group])) == 1 for group in range(finest.max() + 1))


# Density where a tree cannot serve


@pytest.mark.parametrize("method", ["dbscan", "hdbscan"])
def test_in_too_many_directions_a_sample_is_grouped_and_the_others_join(method, monkeypatch, said):
    rng = np.random.default_rng(0)
    middles = rng.normal(size=(4, 30)) * 10
    truth = np.repeat(np.arange(4), 150)
    values = middles[truth] + rng.normal(size=(600, 30))
    values = np.vstack([values, np.full((1, 30), 1e4)])
    monkeypatch.setattr(neighbours.Points, "searchable", lambda points: len(points) <= 300)
    monkeypatch.setattr(neighbours.Points, "nearest", lambda points, k: exact(points.values, k))
    monkeypatch.setattr(density, "_SAMPLE", 300)
    fitted = METHODS[method]()
    groups = fitted.fit(Points(values))
    assert "300 of them" in said()
    assert fitted.report()["fitted"] == 300
    kept = groups[:-1] != NOISE
    assert kept.mean() > 0.9
    assert adjusted_rand_score(truth[kept], groups[:-1][kept]) == 1
    if method == "dbscan":
        assert groups[-1] == NOISE


def exact(values: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    between = cdist(values, values)
    np.fill_diagonal(between, np.inf)
    return np.sort(between, axis=1)[:, :k], np.argsort(between, axis=1)[:, :k]


# k-means


def test_k_means_makes_as_many_groups_as_wished_and_no_more_than_cells():
    values = cloud(100)
    assert len(np.unique(KMeans(fine=17).fit(Points(values)))) == 17
    assert len(np.unique(KMeans(fine=300).fit(Points(values)))) == 100
    assert len(np.unique(KMeans(fine=3, groups=10).fit(Points(values)))) == 10


def test_many_cells_are_split_by_batches(monkeypatch):
    values, truth = blobs()
    values, truth = values[truth != NOISE], truth[truth != NOISE]
    monkeypatch.setattr(kmeans, "_FEW_CELLS", 100)
    monkeypatch.setattr(kmeans, "_FULL_CELLS", 100)
    groups = KMeans(fine=3).fit(Points(values))
    assert adjusted_rand_score(truth, groups) == 1
    np.testing.assert_array_equal(KMeans(fine=3).fit(Points(values, threads=2)), groups)


@pytest.mark.parametrize("few", [0, 10_000])
def test_groups_are_found_with_scikit_learn_and_without(few, monkeypatch):
    values, truth = blobs()
    values, truth = values[truth != NOISE], truth[truth != NOISE]
    monkeypatch.setattr(kmeans, "_FEW_CELLS", few)
    groups = KMeans(fine=3).fit(Points(values))
    assert adjusted_rand_score(truth, groups) == 1
    np.testing.assert_array_equal(KMeans(fine=3).fit(Points(values, threads=2)), groups)


# Leiden


def test_a_higher_resolution_makes_more_groups():
    points = Points(cloud(600, 3))
    counts = [len(np.unique(Leiden(resolution=resolution).fit(points))) for resolution in (0.1, 1, 5)]
    assert counts == sorted(set(counts))


def test_leiden_leaves_the_random_numbers_of_others_alone():
    random.seed(5)
    wanted = random.random()
    random.seed(5)
    Leiden().fit(Points(cloud(50)))
    assert random.random() == wanted


def test_without_igraph_the_user_is_told_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "igraph", None)
    with pytest.raises(ClusterfirstError, match=r"clusterfirst\[leiden\]"):
        Leiden().fit(Points(cloud(50)))


# On a GPU: cuML has never run here; these are stand-ins that see what it would be asked


class OnGpu:
    """Stands in for any of cuML's classes: keeps what it was made with, and answers like the CPU."""

    asked: dict

    def __init__(self, **keys):
        type(self).asked = keys

    def fit(self, values):
        self.values = values
        return self

    def fit_predict(self, values):
        return np.arange(len(values)) % 2

    def kneighbors(self, values):
        between = cdist(values, self.values)
        k = self.asked["n_neighbors"]
        return np.sort(between, axis=1)[:, :k], np.argsort(between, axis=1)[:, :k]


@pytest.fixture
def cuml(monkeypatch):
    package = types.ModuleType("cuml")
    package.cluster, package.neighbors = types.ModuleType("cuml.cluster"), types.ModuleType("cuml.neighbors")
    for name in ("DBSCAN", "HDBSCAN", "KMeans"):
        setattr(package.cluster, name, type(name, (OnGpu,), {}))
    package.neighbors.NearestNeighbors = type("NearestNeighbors", (OnGpu,), {})
    for name, module in {"cuml": package, "cuml.cluster": package.cluster, "cuml.neighbors": package.neighbors}.items():
        monkeypatch.setitem(sys.modules, name, module)
    return package


@pytest.mark.parametrize(
    ("method", "name", "asked"),
    [
        ("dbscan", "DBSCAN", {"eps": 0.5, "min_samples": 5}),
        ("hdbscan", "HDBSCAN", {"min_cluster_size": 20, "min_samples": 5, "cluster_selection_method": "eom"}),
        ("kmeans", "KMeans", {"n_clusters": 3, "random_state": 0}),
    ],
)
def test_on_a_gpu_cuml_is_asked(method, name, asked, cuml):
    fitted = METHODS[method](**({"eps": 0.5} if method == "dbscan" else {}))
    groups = fitted.fit(Points(cloud(50), gpu=True))
    np.testing.assert_array_equal(groups, np.arange(50) % 2)
    assert getattr(cuml.cluster, name).asked.items() >= asked.items()


def test_neighbours_from_a_gpu_are_the_same_others(cuml):
    values = cloud(50)
    for found, wanted in zip(nearest(values, 6, gpu=True), nearest(values, 6), strict=True):
        assert found == pytest.approx(wanted)
    assert cuml.neighbors.NearestNeighbors.asked == {"n_neighbors": 7}


def squares_within(values, groups):
    return sum(np.square(values[groups == one] - values[groups == one].mean(axis=0)).sum() for one in np.unique(groups))


@pytest.mark.parametrize("count", [2, 25, 120])
def test_k_means_is_as_good_as_scikit_learns(count):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(900, 5)) + 6 * rng.normal(size=(30, 5))[rng.integers(30, size=900)] + 1000
    found = [lloyd.k_means(values, count, seed=seed) for seed in range(3)]
    assert all(len(np.unique(one)) == count for one in found)
    theirs = [Theirs(count, n_init=1, random_state=seed).fit(values).inertia_ for seed in range(3)]
    ours = [squares_within(values, one) for one in found]
    assert np.mean(ours) < 1.03 * np.mean(theirs)
    # No point would be better off elsewhere, but for what the last step moved.
    centres = np.stack([values[found[0] == one].mean(axis=0) for one in range(count)])
    nearest = ((values[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
    assert (nearest == found[0]).mean() > 0.99
    np.testing.assert_array_equal(lloyd.k_means(values, count, seed=0), found[0])
    assert (found[0] != found[1]).any()


def test_k_means_of_points_that_coincide_parts_none_of_them():
    values = np.repeat(np.random.default_rng(0).normal(size=(7, 3)), 9, axis=0)
    groups = lloyd.k_means(values, 12, seed=0)
    assert [len(np.unique(one)) for one in groups.reshape(7, 9)] == [1] * 7
    assert len(np.unique(groups)) == 7
    assert len(np.unique(lloyd.k_means(np.ones((5, 2)), 5, seed=0))) == 1


def test_a_group_that_lost_its_points_takes_the_one_that_is_worst_off():
    points = np.array([[0.0], [1], [2], [10]])
    moved = lloyd._means(points, np.array([0, 0, 0, 0]), np.square(points[:, 0] - 1), 2)
    np.testing.assert_allclose(moved, [[1], [10]])
