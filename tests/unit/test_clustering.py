"""Grouping cells, and what is said of every group."""

import json
import logging
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist, pdist
from sklearn.cluster import DBSCAN as Reference

from clusterfirst import clustering
from clusterfirst.clustering import (
    NOISE,
    Clusters,
    by_size,
    cluster,
    clusterer,
    confidence,
    document,
    palette,
    representatives,
)
from clusterfirst.clustering.dbscan import DBSCAN, k_distance
from clusterfirst.clustering.neighbours import nearest


@pytest.fixture
def said(caplog, monkeypatch):
    """What the library logs, even if another test has set up its log file."""
    monkeypatch.setattr(logging.getLogger("clusterfirst"), "propagate", True)
    caplog.set_level(logging.WARNING, "clusterfirst.clustering")
    return lambda: " | ".join(record.getMessage() for record in caplog.records)


@pytest.fixture
def keys(settings) -> dict:
    return settings["clustering"]


BLOBS = {0: (120, (0, 0, 0)), 1: (80, (8, 0, 0)), 2: (50, (0, 8, 0))}
STRAYS = 25


def blobs() -> tuple[np.ndarray, np.ndarray]:
    """Three tight blobs, the smallest first, and strays scattered about them."""
    rng = np.random.default_rng(0)
    parts = [rng.normal(middle, 0.3, (size, 3)) for size, middle in reversed(BLOBS.values())]
    truth = np.repeat([*reversed(BLOBS), NOISE], [*(size for size, _ in reversed(BLOBS.values())), STRAYS])
    return np.vstack([*parts, rng.uniform(-6, 14, (STRAYS, 3))]).astype(np.float32), truth


def cloud(count: int = 300, features: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, features))


names = st.sampled_from([NOISE, 0, 1, 2, 5, 7, 1_000_000])


@hypothesis_settings(max_examples=200, deadline=None)
@given(st.lists(names, max_size=40))
def test_groups_are_renumbered_by_size_and_stay_the_same_groups(given_names):
    groups = np.array(given_names, int)
    renamed = by_size(groups)
    assert renamed.shape == groups.shape
    np.testing.assert_array_equal(renamed == NOISE, groups == NOISE)
    pairs = set(zip(groups.tolist(), renamed.tolist(), strict=True))
    assert len(pairs) == len(np.unique(groups)) == len(np.unique(renamed))
    ids, first, sizes = np.unique(renamed[renamed != NOISE], return_index=True, return_counts=True)
    np.testing.assert_array_equal(ids, np.arange(len(ids)))
    order = list(zip(-sizes, first, strict=True))
    assert order == sorted(order)


def test_of_groups_of_one_size_the_one_met_first_comes_first():
    np.testing.assert_array_equal(by_size(np.array([9, -1, 3, 3, 9, 4])), [0, -1, 1, 1, 0, 2])


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


@pytest.mark.parametrize(("count", "columns"), [(0, 0), (1, 0), (2, 1), (5, 4), (9, 6)])
def test_there_are_never_more_neighbours_than_other_points(count, columns):
    distances, indices = nearest(cloud(count), 6)
    assert distances.shape == indices.shape == (count, columns)


@pytest.mark.parametrize("min_samples", [2, 5, 9])
def test_the_curve_is_of_the_kth_other_point(min_samples):
    values = cloud(200)
    found = k_distance(values, min_samples=min_samples, eps=None)
    # Column 0 is the point itself.
    assert found.curve == pytest.approx(np.sort(np.sort(cdist(values, values), axis=1)[:, min_samples - 1]))
    assert found.k == min_samples - 1


@pytest.mark.parametrize("features", [2, 50])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
def test_the_share_of_the_curve_up_to_eps_is_the_share_of_cores(share, features):
    values = cloud(300, features)
    curve = k_distance(values, min_samples=5, eps=None).curve
    eps = curve[int(share * len(curve))]
    cores = Reference(eps=eps * (1 + 1e-9), min_samples=5).fit(values).core_sample_indices_
    assert len(cores) == np.count_nonzero(curve <= eps)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("features", [2, 50])
def test_a_cell_at_exactly_eps_belongs(features, kind, monkeypatch):
    fitted = []

    class Spy(Reference):
        def fit_predict(self, values):
            fitted.append(self)
            return super().fit_predict(values)

    monkeypatch.setattr("sklearn.cluster.DBSCAN", Spy)
    values = cloud(300, features).astype(kind)
    curve = k_distance(values, min_samples=5, eps=None).curve
    for eps in curve[::60]:
        DBSCAN(eps=eps, min_samples=5).fit(values)
    wanted = [np.count_nonzero(curve <= eps) for eps in curve[::60]]
    assert [len(found.core_sample_indices_) for found in fitted] == wanted


def test_the_curve_of_many_cells_is_thinned_and_keeps_its_ends():
    values = cloud(3000, 2)
    whole = np.sort(nearest(values, 4)[0][:, -1])
    found = k_distance(values, min_samples=5, eps=None)
    assert len(found.curve) == 2000
    assert found.curve[[0, -1]] == pytest.approx(whole[[0, -1]])
    assert (np.diff(found.curve) >= 0).all()


def test_given_eps_is_used():
    found = k_distance(cloud(100), min_samples=5, eps=0.25)
    assert (found.eps, found.source) == (0.25, "given")
    tiny, huge = (DBSCAN(eps=eps).fit(cloud(100)) for eps in (1e-6, 1e6))
    assert (tiny == NOISE).all()
    assert (huge == 0).all()


def test_the_knee_parts_blobs_from_strays(keys):
    values, truth = blobs()
    clusters = cluster(values, keys)
    assert clusters.clusterer.report()["eps_source"] == "knee"
    assert set(clusters.cluster_id.tolist()) == {NOISE, 0, 1, 2}
    for number in BLOBS:
        assert np.mean(clusters.cluster_id[truth == number] == number) > 0.95
    assert np.mean(clusters.cluster_id[truth == NOISE] == NOISE) > 0.8


def test_the_knee_does_not_depend_on_the_scale():
    values = blobs()[0].astype(float)
    eps = k_distance(values, min_samples=5, eps=None).eps
    assert k_distance(values * 1000, min_samples=5, eps=None).eps == pytest.approx(1000 * eps)


def test_without_a_knee_eps_is_a_quantile_and_that_is_said(said):
    values = cloud(8)
    found = k_distance(values, min_samples=3, eps=None)
    assert found.source == "quantile"
    assert found.eps == pytest.approx(np.quantile(np.sort(cdist(values, values), axis=1)[:, 2], 0.9))
    assert "no knee" in said()


def test_a_knee_is_not_worth_a_word(said):
    k_distance(blobs()[0], min_samples=5, eps=None)
    assert said() == ""


@pytest.fixture(scope="module")
def neighbours_by_a_border() -> tuple[np.ndarray, np.ndarray]:
    """Two clusters side by side, parted at x = 0."""
    values = np.random.default_rng(0).uniform((-10, -5), (10, 5), (1500, 2))
    return values, by_size((values[:, 0] > 0).astype(int))


def test_confidence_lies_between_0_and_1_and_noise_has_0():
    values, truth = blobs()
    sure = confidence(values, truth)
    assert sure.shape == truth.shape
    assert (sure[truth == NOISE] == 0).all()
    assert (sure[truth != NOISE] > 0).all()
    assert sure.max() <= 1


def test_confidence_is_higher_in_the_middle_than_at_the_border_to_another_cluster(neighbours_by_a_border):
    values, number = neighbours_by_a_border
    sure = confidence(values, number)
    from_border = np.abs(values[:, 0])
    middle = (from_border > 3) & (from_border < 7) & (np.abs(values[:, 1]) < 3)
    border = (from_border < 0.3) & (np.abs(values[:, 1]) < 3)
    assert sure[middle].mean() > sure[border].mean() + 0.3


def test_confidence_falls_towards_the_fringe_of_a_lone_cluster():
    values = cloud(500, 2)
    sure = confidence(values, np.zeros(500, int))
    away = np.linalg.norm(values, axis=1)
    assert sure[away < 0.5].mean() > sure[away > 2.5].mean() + 0.2


@pytest.mark.parametrize("factor", [1e-3, 1e3])
def test_stretching_the_embedding_leaves_confidence_alone(factor, neighbours_by_a_border):
    values, number = neighbours_by_a_border
    assert confidence(values * factor, number) == pytest.approx(confidence(values, number), abs=1e-6)


def test_moving_the_embedding_leaves_confidence_alone(neighbours_by_a_border):
    values, number = neighbours_by_a_border
    assert confidence(values + np.array([100, -37.5]), number) == pytest.approx(confidence(values, number), abs=1e-6)


def test_confidence_is_the_formula_of_its_docstring():
    values, truth = blobs()
    sure = confidence(values, truth)
    between = cdist(values, values)
    np.fill_diagonal(between, np.inf)
    near = np.argsort(between, axis=1)[:, :15]
    farthest = np.sort(between, axis=1)[:, 14]
    cell = 17
    usual = np.median(farthest[truth == truth[cell]])
    agreement = np.mean(truth[near[cell]] == truth[cell])
    assert sure[cell] == pytest.approx(agreement * min(1, 2 * usual / (usual + farthest[cell])), rel=1e-5)


def test_coinciding_cells_are_as_sure_as_can_be():
    np.testing.assert_array_equal(confidence(np.ones((20, 3)), np.zeros(20, int)), np.ones(20))


@pytest.fixture(scope="module")
def among_others() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """400 members of a cluster, scattered among 200 rows of others."""
    rng = np.random.default_rng(2)
    number = rng.permutation(np.repeat([0, 1], [400, 200]))
    values = rng.normal(size=(600, 4))
    values[number == 1] += 20
    return values, number, confidence(values, number)


def choose(among_others, wanted: int) -> np.ndarray:
    values, number, sure = among_others
    return representatives(values, np.flatnonzero(number == 0), sure, wanted)


@pytest.mark.parametrize("wanted", [1, 2, 12, 300, 399, 400, 1000])
def test_representatives_are_distinct_members_and_as_many_as_wished(wanted, among_others):
    chosen = choose(among_others, wanted)
    assert len(chosen) == len(set(chosen.tolist())) == min(wanted, 400)
    assert (among_others[1][chosen] == 0).all()


def test_the_first_representative_lies_near_the_middle(among_others):
    values, number, _ = among_others
    members = values[number == 0]
    away = np.linalg.norm(members - members.mean(axis=0), axis=1)
    first = np.linalg.norm(values[choose(among_others, 12)[0]] - members.mean(axis=0))
    assert np.mean(away < first) < 0.03


def test_representatives_are_spread_over_the_cluster(among_others):
    values, number, _ = among_others
    members = values[number == 0]
    middle = members[np.linalg.norm(members - members.mean(axis=0), axis=1).argsort()[:12]]
    assert pdist(values[choose(among_others, 12)]).mean() > 2 * pdist(middle).mean()


def test_representatives_are_of_the_surer_half(among_others):
    _, number, sure = among_others
    assert sure[choose(among_others, 12)].min() >= np.median(sure[number == 0])


def test_more_representatives_begin_with_the_same_ones(among_others):
    np.testing.assert_array_equal(choose(among_others, 12)[:5], choose(among_others, 5))


def test_a_large_cluster_is_thinned_before_it_is_searched(monkeypatch, among_others):
    monkeypatch.setattr(clustering, "_CANDIDATES", 30)
    chosen = choose(among_others, 12)
    assert len(set(chosen.tolist())) == 12
    assert (among_others[1][chosen] == 0).all()


def test_representatives_of_coinciding_cells_are_distinct():
    chosen = representatives(np.ones((9, 2)), np.arange(2, 9), np.ones(9), 5)
    assert len(set(chosen.tolist())) == 5
    assert chosen.min() >= 2


CASES = {
    "no cells": (np.empty((0, 50), np.float32), None),
    "one cell": (cloud(1, 50), None),
    "two cells": (cloud(2, 50), None),
    "few cells": (cloud(4, 50), None),
    "all noise": (cloud(60), 1e-9),
    "one cluster": (cloud(60), 100.0),
    "all alike": (np.ones((30, 3), np.float32), None),
    "many clusters": (np.repeat(np.arange(70.0)[:, None] * 10, 6, axis=0) + cloud(420, 1) / 10, 1.0),
    "blobs": (blobs()[0], None),
}


def written(values, keys, eps=None, cell_id=None) -> tuple[Clusters, dict]:
    used = keys | {"eps": eps}
    clusters = cluster(values, used)
    return clusters, document(clusters, used, np.arange(len(values)) if cell_id is None else cell_id)


@pytest.mark.parametrize("case", CASES)
def test_the_document_adds_up_and_is_json(case, keys):
    values, eps = CASES[case]
    clusters, found = written(values, keys, eps)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    ids = np.array(found["cells"]["cluster_id"], int)
    counts = found["counts"]
    assert counts["cells"] == len(values) == len(ids) == len(found["cells"]["confidence"])
    assert counts["noise"] == np.count_nonzero(ids == NOISE)
    assert counts["noise_fraction"] == (counts["noise"] / len(values) if len(values) else 0)
    assert counts["clusters"] == len(found["clusters"])
    assert sum(entry["size"] for entry in found["clusters"]) + counts["noise"] == len(values)
    np.testing.assert_array_equal(clusters.cluster_id, ids)


@pytest.mark.parametrize("case", CASES)
def test_clusters_are_numbered_by_size_and_described(case, keys):
    values, eps = CASES[case]
    clusters, found = written(values, keys, eps)
    for number, entry in enumerate(found["clusters"]):
        members = clusters.cluster_id == number
        assert entry["id"] == number
        assert entry["size"] == np.count_nonzero(members) > 0
        assert entry["colour"] == palette.colour(number)
        assert entry["mean_confidence"] == pytest.approx(clusters.confidence[members].mean(), abs=1e-4)
        assert members[entry["representatives"]].all()
        assert len(entry["representatives"]) == min(keys["representatives"], entry["size"])
    sizes = [entry["size"] for entry in found["clusters"]]
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize(("case", "count"), [("all noise", 0), ("one cluster", 1), ("all alike", 1), ("blobs", 3)])
def test_the_number_of_clusters_is_as_the_data_has_it(case, count, keys):
    assert written(CASES[case][0], keys, CASES[case][1])[1]["counts"]["clusters"] == count


def test_seventy_groups_are_seventy_clusters(keys):
    found = written(*CASES["many clusters"][:1], keys, 1.0)[1]
    assert found["counts"]["clusters"] == 70
    assert found["counts"]["noise"] == 0


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("no cells", "there are no cells"),
        ("one cell", "100 % of the cells are noise"),
        ("all noise", "100 % of the cells are noise"),
        ("one cluster", "one cluster only"),
    ],
)
def test_a_result_of_no_use_is_told_of(case, words, keys, said):
    written(CASES[case][0], keys, CASES[case][1])
    assert words in said()


def test_a_good_result_is_not_warned_of(keys, said):
    written(*CASES["blobs"][:1], keys)
    assert said() == ""


def test_the_document_names_cells_by_their_ids(keys):
    values, _ = blobs()
    cell_id = np.arange(len(values)) * 10 + 5
    clusters, found = written(values, keys, cell_id=cell_id)
    assert found["cells"]["cell_id"] == cell_id.tolist()
    assert found["clusters"][1]["representatives"] == cell_id[clusters.representatives[1]].tolist()


@pytest.mark.parametrize(("eps", "source"), [(None, "knee"), (0.6, "given")])
def test_the_document_tells_the_settings_and_the_eps_that_was_used(eps, source, keys):
    clusters, found = written(blobs()[0], keys, eps)
    assert found["settings"].items() >= (keys | {"eps": clusters.clusterer.k_distance.eps}).items()
    assert found["settings"]["eps_source"] == source
    assert eps is None or found["settings"]["eps"] == eps


def test_the_backend_takes_its_own_keys(keys):
    found = clusterer("dbscan", keys | {"eps": 0.3, "min_samples": 7})
    assert (found.eps, found.min_samples) == (0.3, 7)


def test_a_method_nobody_knows_is_refused(keys):
    with pytest.raises(KeyError):
        clusterer("astrology", keys)


def distance(one: str, other: str) -> float:
    return float(np.linalg.norm(np.subtract(palette.rgb(one), palette.rgb(other))))


def test_two_hundred_colours_are_colours():
    assert all(re.fullmatch("#[0-9a-f]{6}", palette.colour(number)) for number in range(-1, 200))


def test_the_first_colours_are_well_apart():
    first = [palette.colour(number) for number in range(12)]
    assert min(distance(a, b) for i, a in enumerate(first) for b in first[:i]) > 45


def test_no_two_of_a_hundred_clusters_share_a_colour():
    assert len({palette.colour(number) for number in range(100)}) == 100


def test_clusters_after_each_other_differ_plainly():
    assert min(distance(palette.colour(number), palette.colour(number + 1)) for number in range(199)) > 60


def test_no_cluster_is_as_grey_as_noise():
    assert palette.colour(NOISE) == palette.NOISE
    assert min(distance(palette.colour(number), palette.NOISE) for number in range(200)) > 40


def test_rgb_takes_a_colour_apart():
    assert palette.rgb("#0a80ff") == (10, 128, 255)
