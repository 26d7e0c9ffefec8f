"""What is learnt from names and answers, and what is asked next."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from clusterfirst.learning import asking
from clusterfirst.learning.basis import Basis
from clusterfirst.learning.classifier import Classifier, probabilities, stand_ins
from clusterfirst.learning.recipe import Recipe
from clusterfirst.reduction.inputs import Block, SlideEmbedding

few = hypothesis_settings(max_examples=25, deadline=None)
seeds = st.integers(0, 2**32 - 1)
COSTS = {"page_cells": 12, "page_seconds": 4, "correction_seconds": 1}


def blobs(rng, count=300, classes=3, apart=4.0, columns=5):
    """Cells of known classes, drawn around points `apart`."""
    truth = rng.integers(classes, size=count)
    centres = apart * np.eye(classes, columns)
    return (centres[truth] + rng.normal(size=(count, columns))).astype(np.float32), truth


def in_basis(rows, features=100, seed=0):
    return Basis.draw(rows, features, seed=seed).of(rows)


def test_waves_are_alike_as_a_gaussian_of_the_distance_says():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(200, 4)).astype(np.float32)
    basis = Basis.draw(rows, 20_000, seed=1)
    waves = basis.of(rows)[:, :20_000]
    squared = ((rows[:, None] - rows[None]) ** 2).sum(axis=2)
    width = np.median(squared[np.triu_indices(200, 1)])
    np.testing.assert_allclose(waves @ waves.T, np.exp(-squared / width), atol=0.1)


def test_cells_that_are_all_the_same_have_a_basis():
    assert np.isfinite(in_basis(np.ones((3, 2), np.float32))).all()


def test_a_description_puts_each_count_of_neighbours_beside_the_cell():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(50, 3)).astype(np.float32)
    slide = SlideEmbedding("a", values, rng.uniform(0, 100, (50, 2)), (Block("m", 0, 3, True),))
    reduction = {"standardise": "auto", "clip": None, "pca": None, "balance": {}}
    one = Recipe.fit([slide], reduction, {"neighbours": [1, 49], "context_weight": 0.5}).describe([slide])
    own, nearest, all_others = np.split(one, 3, axis=1)
    distance = np.linalg.norm(slide.positions[:, None] - slide.positions, axis=2)
    np.fill_diagonal(distance, np.inf)
    np.testing.assert_allclose(nearest, 0.5 * own[distance.argmin(axis=1)], rtol=1e-5)
    # Columns are centred: the mean of all others is what the cell itself lacks.
    np.testing.assert_allclose(all_others, -0.5 * own / 49, atol=1e-5)


def test_a_description_needs_no_neighbours_and_does_not_depend_on_how_cells_are_dealt_out(monkeypatch):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(90, 3)).astype(np.float32)
    slide = SlideEmbedding("a", values, rng.uniform(0, 100, (90, 2)), (Block("m", 0, 3, True),))
    reduction = {"standardise": "auto", "clip": None, "pca": None, "balance": {}}
    alone = Recipe.fit([slide], reduction, {"neighbours": [], "context_weight": 0.5})
    assert alone.describe([slide]).shape == (90, 3)
    beside = Recipe.fit([slide], reduction, {"neighbours": [2, 7], "context_weight": 0.5})
    whole = beside.describe([slide])
    np.testing.assert_array_equal(whole[:, :3], alone.describe([slide]))
    monkeypatch.setattr("clusterfirst.reduction.context._CHUNK_ROWS", 16)
    np.testing.assert_allclose(beside.describe([slide]), whole, rtol=1e-5, atol=1e-6)


def test_nothing_said_is_nothing_known():
    rows = in_basis(blobs(np.random.default_rng(0))[0])
    assert not Classifier(rows, 3).scores().any()


def test_names_reach_cells_of_clusters_without_one():
    rows, truth = blobs(np.random.default_rng(0), apart=6.0)
    classifier = Classifier(in_basis(rows), 3)
    classifier.name(np.arange(150), truth[:150])
    assert (classifier.scores().argmax(axis=1) == truth).mean() > 0.95


def test_a_class_that_has_names_and_no_answers_is_still_said():
    rows, truth = blobs(np.random.default_rng(0), apart=6.0)
    classifier = Classifier(in_basis(rows), 3)
    classifier.name(np.arange(200), truth[:200])
    looked_at = np.flatnonzero(truth < 2)[:60]
    classifier.answer(looked_at, truth[looked_at])
    right = classifier.scores().argmax(axis=1) == truth
    assert right[truth == 2].mean() > 0.9
    assert right.mean() > 0.95


@few
@given(seeds)
def test_silver_stands_in_for_gold_as_far_as_gold_is_lacking(seed):
    rng = np.random.default_rng(seed)
    gold, silver = (np.where(rng.random(400) < share, rng.integers(3, size=400), -1) for share in (0.1, 0.6))
    silver[gold >= 0] = -1
    gold[gold == 2] = -1
    chosen = stand_ins(gold, silver, 3)
    assert (silver[chosen] >= 0).all()
    assert len(np.unique(chosen)) == len(chosen)
    answers, names, given_ = (np.bincount(x[x >= 0], minlength=3) for x in (gold, silver, silver[chosen]))
    wished = np.minimum(np.rint(answers.sum() * names / names.sum()), 5)
    np.testing.assert_array_equal(given_, np.maximum(0, wished - answers))
    # Names alone, or answers alone, need nobody.
    assert not len(stand_ins(np.full(400, -1), silver, 3))
    assert not len(stand_ins(gold, np.full(400, -1), 3))


def test_the_head_is_a_regression_beside_the_scores_of_the_teacher():
    rng = np.random.default_rng(0)
    rows, truth = blobs(rng)
    rows = in_basis(rows, 50).astype(np.float64)
    # So many that there are enough of each class, and none needs stand-ins.
    named, asked = np.arange(200), rng.permutation(300)[:120]
    names = (truth[named] + (rng.random(200) < 0.3)) % 3
    classifier = Classifier(rows, 3)
    classifier.name(named, names)
    classifier.answer(asked, truth[asked])

    one_hot = np.eye(3)
    teacher = Ridge(alpha=3.0, fit_intercept=False).fit(rows[named], one_hot[names])
    beside = np.hstack([rows, 3.0 * teacher.predict(rows)])
    seen = np.concatenate([asked, named])
    weights = np.repeat([1.0, 0.003], [len(asked), len(named)])
    said = one_hot[np.concatenate([truth[asked], names])]
    head = Ridge(alpha=np.sqrt(500 / 120), fit_intercept=False).fit(beside[seen], said, sample_weight=weights)
    np.testing.assert_allclose(classifier.scores(), head.predict(beside), atol=1e-6)


@few
@given(seeds)
def test_neither_the_order_of_answers_nor_how_often_they_are_given_matters(seed):
    rng = np.random.default_rng(seed)
    rows, truth = blobs(rng, 60)
    rows, asked = in_basis(rows, 30), rng.permutation(60)[:20]
    one, other = Classifier(rows, 3), Classifier(rows, 3)
    one.answer(asked, truth[asked])
    for cell in rng.permutation(np.repeat(asked, 2)):
        other.answer(np.array([cell]), truth[cell])
    assert one.scores().tobytes() == other.scores().tobytes()


def test_the_last_answer_about_a_cell_counts():
    rows, truth = blobs(np.random.default_rng(0), 30)
    one, other = Classifier(in_basis(rows), 3), Classifier(in_basis(rows), 3)
    one.answer(np.arange(9), (truth[:9] + 1) % 3)
    for classifier in (one, other):
        classifier.answer(np.arange(9), truth[:9])
    assert one.scores().tobytes() == other.scores().tobytes()


def test_answers_correct_names_that_are_wrong():
    rows, truth = blobs(np.random.default_rng(0), 1000, classes=2, apart=6.0)
    classifier = Classifier(in_basis(rows), 2)
    classifier.name(np.arange(1000), np.zeros(1000, int))
    before = (classifier.scores().argmax(axis=1) == truth).mean()
    classifier.answer(np.arange(60), truth[:60])
    assert before < 0.6 < 0.95 < (classifier.scores().argmax(axis=1) == truth).mean()


@few
@given(seeds, st.integers(0, 80), st.integers(1, 5))
def test_pages_are_of_free_cells_taken_for_one_class_and_never_twice(seed, free_cells, count):
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(80, 3))
    free = np.zeros(80, bool)
    free[rng.permutation(80)[:free_cells]] = True
    pages = asking.pages(scores, free, COSTS, count=count, rng=rng)
    asked = np.concatenate([*pages, np.empty(0, int)])
    assert len(np.unique(asked)) == len(asked)
    assert free[asked].all()
    assert all(0 < len(page) <= 12 and len(set(scores[page].argmax(axis=1))) == 1 for page in pages)
    assert len(pages) <= count
    assert len(pages) == count or len(asked) == free_cells
    assert free.sum() == free_cells, "what the caller knows is not changed"


def test_a_page_is_where_most_is_wrong():
    scores = np.tile([1.0, 0.0], (500, 1))
    scores[40:52] = [0.5, 0.49]
    (page,) = asking.pages(scores, np.ones(500, bool), COSTS, count=1, rng=np.random.default_rng(0))
    assert sorted(page) == list(range(40, 52))


def test_the_most_doubtful_come_first():
    scores = np.array([[1, 0], [0.5, 0.4], [0.5, 0.5], [0.9, 0.8]])
    free = np.array([True, True, True, False])
    assert asking.most_doubtful(scores, free, 2).tolist() == [2, 1]


def test_one_class_leaves_no_doubt():
    assert len(asking.most_doubtful(np.ones((4, 1)), np.ones(4, bool), 2)) == 2
    assert probabilities(np.ones((4, 1))) == pytest.approx(1)
