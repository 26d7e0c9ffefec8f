"""Embeddings of several slides and models made comparable."""

import json
import tracemalloc

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import pdist
from sklearn.decomposition import PCA

from clusterfirst.io import ClusterfirstError, write_table
from clusterfirst.reduction import inputs, linear, preparation
from clusterfirst.reduction.inputs import Block, SlideEmbedding, share

from ..made import slide_facts


def prepare(slides, *, standardise="auto", clip=None, pca=50, balance=None) -> np.ndarray:
    return preparation.prepare(slides, standardise=standardise, clip=clip, pca=pca, balance=balance or {})


def embedded(values, *, blocks=None, slide="one", positions=None) -> SlideEmbedding:
    values = np.asarray(values)
    blocks = blocks or (Block("morphology", 0, values.shape[1], True),)
    positions = np.zeros((len(values), 2)) if positions is None else np.asarray(positions, float)
    return SlideEmbedding(slide, values, positions, tuple(blocks))


def numbers(count: int, columns: int, seed: int = 0) -> np.ndarray:
    """Columns of very different size and place, correlated."""
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(count, columns)) @ rng.normal(size=(columns, columns))) * rng.uniform(
        0.1, 50, columns
    ) + rng.uniform(-100, 100, columns)


def power(features: np.ndarray) -> float:
    return float((features.astype(float) ** 2).sum(axis=1).mean())


TWO = (Block("morphology", 0, 4, True), Block("resnet50", 4, 14, False))


@pytest.fixture(params=[1, 7, 10**6])
def rows_at_once(request, monkeypatch):
    """Chunks of a row or two, of some, and of all."""
    monkeypatch.setattr(linear, "_CHUNK_VALUES", 6 * request.param)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_standardised_over_all_slides_together(rows_at_once, kind):
    whole = numbers(60, 6).astype(kind)
    slides = [embedded(whole[:10], slide="a"), embedded(whole[10:11], slide="b"), embedded(whole[11:], slide="c")]
    expected = (whole.astype(float) - whole.mean(axis=0, dtype=float)) / whole.std(axis=0, dtype=float) / np.sqrt(6)
    out = prepare(slides)
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, expected, atol=1e-6)


def test_columns_of_models_that_want_no_standardising_keep_their_proportions():
    values = numbers(50, 5)
    out = prepare([embedded(values, blocks=[Block("resnet50", 0, 5, False)])])
    ratio = pdist(out) / pdist(values)
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-4)


@pytest.mark.parametrize(("standardise", "alike"), [("auto", [True, False]), (True, [True] * 2), (False, [False] * 2)])
def test_standardise_asks_the_model_or_nobody(standardise, alike):
    values = numbers(80, 14)
    out = prepare([embedded(values, blocks=TWO)], standardise=standardise)
    spread = [out[:, block.columns].std(axis=0) for block in TWO]
    assert [bool(np.ptp(one) < 1e-5) for one in spread] == alike


@pytest.mark.parametrize("constant", [0, 0.1, -3, 1e-30, -1.1e30, 3e38])
@pytest.mark.parametrize("standardise", [True, False])
def test_a_column_that_does_not_vary_becomes_0(rows_at_once, constant, standardise):
    values = np.random.default_rng(0).normal(size=(97, 3)).astype(np.float32)
    values[:, 1] = constant
    out = prepare([embedded(values)], standardise=standardise)
    assert (out[:, 1] == 0).all()
    assert out[:, [0, 2]].std(axis=0) == pytest.approx([0.5**0.5] * 2, rel=0.1)


def test_a_column_of_large_numbers_that_varies_is_not_taken_for_constant():
    values = 1e6 + np.random.default_rng(0).normal(size=(300, 1))
    assert prepare([embedded(values)]).std() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("standardise", [True, False])
def test_outliers_are_drawn_in_to_so_many_deviations(rows_at_once, standardise):
    values = np.random.default_rng(0).normal(size=(400, 2)) * [1, 100]
    values[0] = [1000, -70000]
    spread = values.std(axis=0)
    expected = np.clip(values - values.mean(axis=0), -3 * spread, 3 * spread) / (spread if standardise else 1)
    expected -= expected.mean(axis=0)
    expected /= np.sqrt(power(expected))
    np.testing.assert_allclose(prepare([embedded(values)], standardise=standardise, clip=3), expected, atol=1e-5)


def test_wide_models_become_exact_principal_components(rows_at_once):
    values = numbers(90, 12)
    slides = [embedded(values[:40], slide="a"), embedded(values[40:], slide="b")]
    for standardise in (True, False):
        out = prepare(slides, standardise=standardise, pca=5)
        level = (values - values.mean(axis=0)) / (values.std(axis=0) if standardise else 1)
        expected = PCA(5).fit_transform(level)
        expected /= np.sqrt(power(expected))
        assert out.shape == (90, 5)
        np.testing.assert_allclose(np.abs(out), np.abs(expected), atol=1e-5)


def test_models_with_fewer_columns_are_not_turned():
    values = numbers(30, 6)
    np.testing.assert_array_equal(prepare([embedded(values)], pca=6), prepare([embedded(values)], pca=None))


@given(
    st.floats(0.05, 5),
    st.floats(0.05, 5),
    st.sampled_from([None, 3, 4, 50]),
    st.sampled_from([None, 1.0]),
    st.booleans(),
)
def test_a_weight_is_the_length_of_a_models_part_of_a_row(one, other, pca, clip, standardise):
    out = prepare(
        [embedded(numbers(40, 14), blocks=TWO)],
        pca=pca,
        clip=clip,
        standardise=standardise,
        balance={"morphology": one, "resnet50": other},
    )
    first = min(4, pca or 4)
    assert power(out[:, :first]) == pytest.approx(one**2, rel=1e-4)
    assert power(out[:, first:]) == pytest.approx(other**2, rel=1e-4)
    assert np.abs(out.mean(axis=0)).max() < 1e-5 * max(one, other)


def test_models_without_a_weight_weigh_1():
    out = prepare([embedded(numbers(40, 14), blocks=TWO)], balance={"resnet50": 0.5})
    assert power(out[:, :4]) == pytest.approx(1)
    assert power(out[:, 4:]) == pytest.approx(0.25)


def test_a_weight_for_nobody_is_refused():
    with pytest.raises(ClusterfirstError, match=r"resnet, but the cells are embedded with morphology, resnet50"):
        prepare([embedded(numbers(9, 14), blocks=TWO)], balance={"resnet": 0.5})


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5])
@pytest.mark.parametrize("standardise", [True, False])
def test_any_number_of_cells(count, standardise):
    out = prepare([embedded(numbers(5, 14)[:count].astype(np.float16), blocks=TWO)], pca=6, standardise=standardise)
    assert out.shape == (count, 10)
    assert np.isfinite(out).all()
    if count == 1:
        assert (out == 0).all()


def test_a_slide_without_cells_changes_nothing():
    values = numbers(30, 14)
    empty = embedded(values[:0], blocks=TWO, slide="empty")
    full = embedded(values, blocks=TWO, slide="full")
    np.testing.assert_array_equal(prepare([empty, full, empty]), prepare([full]))


def test_cells_that_are_all_alike_are_at_one_place():
    assert (prepare([embedded(np.full((40, 14), 0.1, np.float32), blocks=TWO)], pca=3) == 0).all()


def test_the_order_of_cells_and_slides_is_kept():
    values = numbers(30, 14)
    whole = prepare([embedded(values, blocks=TWO)], pca=5)
    order = np.random.default_rng(1).permutation(30)
    parts = [embedded(values[order[start : start + 10]], blocks=TWO, slide=str(start)) for start in (0, 10, 20)]
    np.testing.assert_allclose(prepare(parts, pca=5), whole[order], atol=1e-5)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_the_same_every_time_and_the_embeddings_are_left_as_they_were(kind):
    values = numbers(50, 14).astype(kind)
    before = values.copy()
    slides = [embedded(values, blocks=TWO)]
    np.testing.assert_array_equal(prepare(slides, pca=3, clip=1), prepare(slides, pca=3, clip=1))
    np.testing.assert_array_equal(values, before)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused_by_slide_and_model(bad):
    values = numbers(30, 14)
    values[-1, -1] = bad
    slides = [embedded(values[:20], blocks=TWO, slide="good"), embedded(values[20:], blocks=TWO, slide="S7")]
    with pytest.raises(ClusterfirstError, match=r"slide S7: embeddings by resnet50 .* not finite"):
        prepare(slides)


def test_slides_embedded_differently_are_refused():
    one = embedded(numbers(5, 14), blocks=TWO, slide="A")
    other = embedded(numbers(5, 14), slide="B")
    with pytest.raises(ClusterfirstError, match=r"slides A and B .* resnet50 \(10 columns, standardise false\) and"):
        prepare([one, other])


@pytest.mark.parametrize(
    ("values", "positions", "blocks", "said"),
    [
        (np.zeros(5), np.zeros((5, 2)), TWO, r"slide S7: .* \(5,\)"),
        (np.zeros((5, 14)), np.zeros((4, 2)), TWO, r"slide S7: there are 5 embeddings, .* \(4, 2\)"),
        (np.zeros((5, 14)), np.full((5, 2), np.nan), TWO, "slide S7: .* not finite"),
        (np.zeros((5, 13)), np.zeros((5, 2)), TWO, "slide S7: embeddings have 13 columns, .* resnet50 4 to 14"),
        (np.zeros((5, 14)), np.zeros((5, 2)), TWO[1:], "slide S7: embeddings have 14 columns"),
        (np.zeros((5, 14)), np.zeros((5, 2)), (), "slide S7: .* none"),
    ],
)
def test_shapes_that_do_not_fit_are_refused_by_slide(values, positions, blocks, said):
    with pytest.raises(ClusterfirstError, match=said):
        SlideEmbedding("S7", values, positions, blocks)


def test_memory_is_that_of_the_result_and_a_chunk(tmp_path, monkeypatch):
    monkeypatch.setattr(linear, "_CHUNK_VALUES", 100_000)
    path = tmp_path / "embeddings.npy"
    np.save(path, np.random.default_rng(0).normal(size=(40_000, 120)).astype(np.float32))
    values = np.load(path, mmap_mode="r")
    tracemalloc.start()
    try:
        out = prepare([embedded(values, blocks=[Block("resnet50", 0, 120, False)])], pca=10)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < out.nbytes + 10 * 100_000 * 8
    assert peak < values.nbytes


@pytest.mark.parametrize("count", [1, 2, 3, 30])
def test_principal_coordinates_keep_distances(count):
    values = np.random.default_rng(count).normal(size=(count, 6)).astype(np.float32)
    out = linear.principal(values, 50)
    assert out.shape == (count, 50)
    assert pdist(out) == pytest.approx(pdist(values), rel=1e-5)
    assert (np.diff(out.var(axis=0)) <= 1e-9).all()


def test_what_the_stages_wrote_is_read(tmp_path):
    np.save(tmp_path / "embeddings.npy", np.arange(6, dtype=np.float16).reshape(2, 3))
    models = [
        {"model": "morphology", "columns": [0, 2], "standardise": True, "weights_sha256": None},
        {"model": "resnet50", "columns": [2, 3], "standardise": False, "weights_sha256": "0"},
    ]
    (tmp_path / "embeddings.json").write_text(json.dumps({"models": models}))
    write_table(
        pa.table({"x": [1.0, 3.0], "y": [10.0, 20.0]}),
        tmp_path / "masks.parquet",
        {"slide": slide_facts(mpp=0.25).document()},
    )
    files = {"embeddings": tmp_path / "embeddings.npy", "cells": tmp_path / "masks.parquet"}
    slide = inputs.read("S7", columns=tmp_path / "embeddings.json", **files)
    np.testing.assert_array_equal(slide.positions, [[0.25, 2.5], [0.75, 5]])
    assert isinstance(slide.values, np.memmap)
    assert slide.blocks == (Block("morphology", 0, 2, True), Block("resnet50", 2, 3, False))
    (tmp_path / "embeddings.json").write_text('{"standardise": true}')
    with pytest.raises(ClusterfirstError, match=r"slide S7: .* embed it again"):
        inputs.read("S7", columns=tmp_path / "embeddings.json", **files)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=6))
def test_what_is_dealt_out_is_the_whole(sizes):
    names = [f"slide {number}" for number in range(len(sizes))]
    values = np.arange(sum(sizes))[:, None]
    parts = [share(values, names, sizes, name) for name in names]
    assert [len(part) for part in parts] == sizes
    np.testing.assert_array_equal(np.concatenate(parts), values)


def test_a_slide_that_changed_in_between_is_not_dealt_out():
    with pytest.raises(ClusterfirstError, match="7 cells were reduced together, but the slides a, b have 6"):
        share(np.zeros((7, 2)), ["a", "b"], [2, 4], "a")
