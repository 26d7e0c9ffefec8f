"""What surrounds a cell, and what differs between slides."""

import logging
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import cdist

from clusterfirst.io import ClusterfirstError
from clusterfirst.reduction import batches, context

# Whole numbers: ties and coincidences, and distances that both ways of computing get exactly.
PLACES = arrays(np.int64, st.tuples(st.integers(0, 25), st.just(2)), elements=st.integers(0, 12)).map(
    lambda whole: whole.astype(float)
)


def append(features, places, *, neighbours=10, radius_um=None, weight, threads=1) -> np.ndarray:
    how = {"neighbours": neighbours, "radius_um": radius_um, "weight": weight}
    return context.append(features, places, **how, threads=threads)


def features_of(places: np.ndarray, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(len(places), 3)).astype(np.float32)


@pytest.fixture(params=[1, 4, 10_000])
def rows_at_once(request, monkeypatch):
    monkeypatch.setattr(context, "_CHUNK_ROWS", request.param)


@given(PLACES, st.floats(0.5, 20), st.sampled_from([1, 4, 10_000]))
def test_all_cells_within_a_radius(places, radius, chunk):
    features = features_of(places)
    near = cdist(places, places) <= radius
    np.fill_diagonal(near, False)
    expected = np.zeros_like(features)
    for row, others in enumerate(near):
        if others.any():
            expected[row] = features[others].mean(axis=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(context, "_CHUNK_ROWS", chunk)
        out = append(features, [places], radius_um=radius, weight=1.0)
    np.testing.assert_array_equal(out[:, :3], features)
    np.testing.assert_allclose(out[:, 3:], expected, atol=1e-6)


@given(st.integers(0, 40), st.integers(1, 12), st.integers(0, 10**6), st.sampled_from([1, 4, 10_000]))
def test_the_nearest_cells(count, k, seed, chunk):
    places = np.random.default_rng(seed).uniform(0, 100, (count, 2))
    features = features_of(places, seed)
    distances = cdist(places, places)
    np.fill_diagonal(distances, np.inf)
    nearest = distances.argsort(axis=1)[:, : min(k, max(0, count - 1))]
    expected = features[nearest].mean(axis=1) if nearest.size else np.zeros_like(features)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(context, "_CHUNK_ROWS", chunk)
        out = append(features, [places], neighbours=k, weight=1.0)
    np.testing.assert_allclose(out[:, 3:], expected, atol=1e-6)


@given(PLACES, st.integers(1, 5))
def test_a_cell_is_not_its_own_neighbour_where_cells_coincide(places, k):
    if len(places) < 2:
        return
    features = np.eye(len(places), dtype=np.float32)
    out = append(features, [places], neighbours=k, weight=1.0)[:, len(places) :]
    assert (np.diag(out) == 0).all()
    np.testing.assert_allclose(out.sum(axis=1), 1, atol=1e-6)
    k = min(k, len(places) - 1)
    distances = cdist(places, places)
    np.fill_diagonal(distances, np.inf)
    farthest = np.where(out > 0, distances, 0).max(axis=1)
    np.testing.assert_allclose(farthest, np.sort(distances, axis=1)[:, k - 1])


@pytest.mark.parametrize("options", [{"neighbours": 3}, {"radius_um": 30.0}])
def test_slides_do_not_see_each_other(rows_at_once, options):
    rng = np.random.default_rng(0)
    places = [rng.uniform(0, 100, (count, 2)) for count in (20, 0, 1, 15)]
    features = [features_of(one, seed) for seed, one in enumerate(places)]
    together = append(np.concatenate(features), places, weight=0.5, **options)
    alone = [append(mine, [one], weight=0.5, **options) for mine, one in zip(features, places, strict=True)]
    np.testing.assert_array_equal(together, np.concatenate(alone))


def test_the_weight_scales_the_context_and_none_adds_nothing():
    places = np.random.default_rng(0).uniform(0, 100, (20, 2))
    features = features_of(places)
    one, half = (append(features, [places], weight=weight) for weight in (1.0, 0.5))
    np.testing.assert_allclose(half[:, 3:], one[:, 3:] / 2, rtol=1e-6)
    assert one.dtype == np.float32
    assert append(features, [places], weight=0) is features


@pytest.fixture
def said(caplog):
    caplog.set_level(logging.WARNING, "clusterfirst")
    return lambda: [record.getMessage() for record in caplog.records]


def two_slides(count: int) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Two classes on two slides, in unlike shares; the second slide is stained otherwise."""
    rng = np.random.default_rng(0)
    kind = rng.random(count) < np.where(np.arange(count) < count // 2, 0.5, 0.3)
    features = rng.normal(size=(count, 6))
    features[:, 0] += 8 * kind
    features[count // 2 :, 1] += 3
    features -= features.mean(axis=0) if count else 0
    return features.astype(np.float32), kind, [count // 2, count - count // 2]


def test_harmony_takes_out_the_slide_and_leaves_the_classes(said):
    features, kind, sizes = two_slides(1200)
    out = batches.harmony(features, sizes, seed=0)
    second = np.arange(1200) >= sizes[0]
    assert out.dtype == np.float32
    assert out.shape == features.shape
    for one in (kind, ~kind):
        before, after = (
            np.linalg.norm(values[one & second].mean(axis=0) - values[one & ~second].mean(axis=0))
            for values in (features, out)
        )
        assert before > 2.8
        assert after < before / 4
    assert np.linalg.norm(out[kind].mean(axis=0) - out[~kind].mean(axis=0)) > 6
    assert said() == []


def test_harmony_is_the_same_every_time_on_any_number_of_threads():
    features, _, sizes = two_slides(300)
    np.testing.assert_array_equal(
        batches.harmony(features, sizes, seed=0), batches.harmony(features, sizes, seed=0, threads=2)
    )


@pytest.mark.parametrize("sizes", [[0, 200, 0], [0], [], [1, 1], [30, 29]])
def test_one_slide_or_hardly_any_cells_are_not_corrected(sizes, said):
    features, _, _ = two_slides(sum(sizes))
    assert batches.harmony(features, sizes, seed=0) is features
    (line,) = said()
    assert line.endswith("nothing is corrected")


@pytest.mark.parametrize("sizes", [[30, 30], [1, 99], [5, 0, 90]])
def test_few_cells_are_corrected_with_a_warning(sizes, said):
    features, _, _ = two_slides(sum(sizes))
    assert np.isfinite(batches.harmony(features, sizes, seed=0)).all()
    assert [line.split(":")[0] for line in said()] == [f"no slide has more than {max(sizes)} cells"]


def test_cells_that_are_all_alike_survive_harmony():
    assert np.isfinite(batches.harmony(np.zeros((240, 4), np.float32), [120, 120], seed=0)).all()


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "harmonypy", None)
    with pytest.raises(ClusterfirstError, match=r"clusterfirst\[harmony\]"):
        batches.harmony(np.zeros((240, 4), np.float32), [120, 120], seed=0)
