"""Figures of clusters without truth: shapes with known answers, and reasons where there is no figure."""

import numpy as np
import pytest
from sklearn import metrics

from clusterfirst.evaluation import validity


def blobs(rng, centres, each=30, spread=0.1):
    values = np.concatenate([rng.normal(centre, spread, (each, 2)) for centre in centres])
    return values, np.repeat(np.arange(len(centres)), each)


def test_shapes_are_measured_without_noise():
    rng = np.random.default_rng(0)
    values, cluster_id = blobs(rng, [(0, 0), (5, 0), (0, 5)])
    with_noise, ids = np.concatenate([values, rng.uniform(-9, 9, (10, 2))]), np.append(cluster_id, [-1] * 10)
    out = validity.shape(with_noise, ids)
    assert out["clusters"].value == 3
    assert out["noise_fraction"].value == pytest.approx(0.1)
    assert out["share_of_largest"].value == pytest.approx(0.9)
    assert out["silhouette"].value == pytest.approx(metrics.silhouette_score(values, cluster_id))
    assert out["davies_bouldin"].value == pytest.approx(metrics.davies_bouldin_score(values, cluster_id))
    assert out["calinski_harabasz"].value == pytest.approx(metrics.calinski_harabasz_score(values, cluster_id))
    assert out["silhouette"].value > 0.9


def test_only_the_25_largest_clusters_are_shared_out():
    out = validity.shape(np.zeros((60, 2)), np.repeat(np.arange(30), 2))
    assert (out["clusters"].value, out["share_of_largest"].value) == (30, pytest.approx(50 / 60))


def test_silhouettes_of_many_cells_are_those_of_a_seeded_sample(monkeypatch):
    values, cluster_id = blobs(np.random.default_rng(0), [(0, 0), (2, 0)], each=400, spread=0.5)
    whole = validity.shape(values, cluster_id)["silhouette"].value
    monkeypatch.setattr(validity, "_SAMPLE", 300)
    first, second, other = (validity.shape(values, cluster_id, seed=seed)["silhouette"].value for seed in (0, 0, 1))
    assert first == second != other
    assert first == pytest.approx(whole, abs=0.05)


@pytest.mark.parametrize(
    ("cluster_id", "reason"),
    [
        ([], "there are 0"),
        ([-1, -1, -1], "there are 0"),
        ([0, 0, 0, -1], "there are 1"),
        ([0, 1, 2, -1], "every cluster is a single cell"),
    ],
)
def test_what_cannot_be_measured_is_none_with_a_reason(cluster_id, reason):
    values = np.random.default_rng(0).normal(size=(len(cluster_id), 3))
    out = validity.shape(values, np.array(cluster_id, int))
    for key in ("silhouette", "davies_bouldin", "calinski_harabasz"):
        assert out[key].value is None
        assert reason in out[key].reason
    document = validity.document(out)
    assert document["silhouette"] is None
    assert reason in document["silhouette_reason"]
    assert (document["noise_fraction"] is None) == (not cluster_id)
    assert "clusters_reason" not in document


def test_clusters_that_come_again_are_stable_and_random_ones_are_not():
    rng = np.random.default_rng(0)
    values, cluster_id = blobs(rng, [(0, 0), (5, 0), (0, 5)])
    sizes = []

    def again(some):
        sizes.append(len(some))
        return 7 - (some[:, 0] > 2.5) * 2 - (some[:, 1] > 2.5)

    assert validity.stability(values, cluster_id, again, subsamples=4).value == 1
    assert sizes == [72] * 4
    by_chance = validity.stability(values, cluster_id, lambda some: rng.integers(0, 3, len(some))).value
    assert by_chance == pytest.approx(0, abs=0.05)


def test_stability_looks_at_other_cells_each_time_and_the_same_for_a_seed():
    values = np.arange(50.0)[:, None]
    seen = []
    for seed in (0, 0, 1):
        seen.append([])
        validity.stability(values, np.arange(50) % 2, lambda some: (seen[-1].append(some), some[:, 0])[1], seed=seed)
    assert all((one == other).all() for one, other in zip(seen[0], seen[1], strict=True))
    assert not (seen[0][0] == seen[0][1]).all()
    assert not (seen[0][0] == seen[2][0]).all()


@pytest.mark.parametrize(
    ("cluster_id", "subsamples", "reason"),
    [([0, 1] * 5, 0, "not asked for"), ([0], 5, "there are 1 cells"), ([0] * 9, 5, "one cluster"), ([], 5, "0 cells")],
)
def test_stability_that_means_nothing_is_none_with_a_reason(cluster_id, subsamples, reason):
    values = np.zeros((len(cluster_id), 2))
    out = validity.stability(values, np.array(cluster_id, int), lambda some: some[:, 0], subsamples=subsamples)
    assert out.value is None
    assert reason in out.reason


@pytest.mark.parametrize(
    ("sizes", "wanted"),
    [
        ([[10, 0], [0, 10]], 0),
        ([[10, 30], [10, 30]], 1),
        ([[10, 30], [100, 300]], 1),  # a large slide has more of every cluster
        ([[10, 0, 10], [0, 10, 10]], 0.5),
        ([[5, 5], [5, 5], [0, 0]], 1),
    ],
)
def test_spread_is_how_evenly_slides_share_clusters(sizes, wanted):
    assert validity.spread(np.array(sizes)).value == pytest.approx(wanted)


@pytest.mark.parametrize("sizes", [np.zeros((0, 0)), [[5, 5]], [[5, 5], [0, 0]], [[0], [0]]])
def test_spread_needs_two_slides(sizes):
    out = validity.spread(np.array(sizes))
    assert out.value is None
    assert "compares slides" in out.reason


def test_mixing_is_one_by_chance_and_the_number_of_slides_if_they_lie_apart(monkeypatch):
    rng = np.random.default_rng(0)
    values, place = blobs(rng, [(0, 0), (9, 9), (0, 9)], each=200)

    def of(slide):
        return validity.mixing({str(number): values[slide == number] for number in range(3)}).value

    assert of(rng.permutation(place)) == pytest.approx(1, abs=0.05)
    assert of(place) == pytest.approx(3, abs=0.02)
    # One slide has four cells in six, the others one each: (4² + 1 + 1) / 6² are expected of its own.
    unlike = {"a": values[:200], "b": values[200:250], "empty": values[:0], "c": values[400:450]}
    assert validity.mixing(unlike).value == pytest.approx(36 / 18, abs=0.02)
    monkeypatch.setattr(validity, "_SAMPLE", 150)
    assert of(place) == pytest.approx(3, abs=0.2)


@pytest.mark.parametrize(
    ("cells", "reason"), [([], "there are 0"), ([0, 3], "there are 1"), ([1, 1], "a single cell"), ([0, 0], "are 0")]
)
def test_mixing_needs_two_slides(cells, reason):
    out = validity.mixing({str(number): np.zeros((count, 2)) for number, count in enumerate(cells)})
    assert out.value is None
    assert reason in out.reason
