"""The tree that joins fine clusters, and what is said of groups without a truth."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, is_valid_linkage, linkage
from sklearn.metrics import adjusted_rand_score

from clusterfirst.clustering import tree
from clusterfirst.clustering.numbering import NOISE, by_size
from clusterfirst.clustering.tree import Tree, grow
from clusterfirst.clustering.variance import explained, means

from .embeddings import cloud


def some_leaves(count: int, features: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, features)), np.sort(rng.integers(1, 8, count))[::-1]


leaves = st.builds(some_leaves, st.integers(0, 25), st.integers(1, 5), st.integers(0, 10_000))


@hypothesis_settings(max_examples=40, deadline=None)
@given(leaves)
def test_heights_are_those_of_ward_on_all_cells(given_leaves):
    centres, sizes = given_leaves
    merges = grow(centres, sizes).merges
    assert merges.shape == (max(len(sizes) - 1, 0), 4)
    if len(sizes) < 2:
        return
    cells = np.repeat(np.arange(len(sizes)), sizes)
    reference = linkage(centres[cells], "ward")
    # The first merges of all cells are those of coinciding ones, at height 0.
    assert merges[:, 2] == pytest.approx(reference[len(cells) - len(sizes) :, 2], rel=1e-9)
    whole = grow(centres, sizes)
    for groups in range(1, len(sizes) + 1):
        wanted = fcluster(reference, groups, "maxclust")
        assert adjusted_rand_score(wanted, whole.cut(groups)[cells]) == pytest.approx(1)


@hypothesis_settings(max_examples=150, deadline=None)
@given(leaves, st.integers(1, 8), st.integers(1, 3))
def test_a_tree_is_a_tree_whatever_coincides(given_leaves, kept, decimals):
    centres, sizes = given_leaves
    centres = centres[np.arange(len(centres)) % kept].round(decimals) if len(centres) else centres
    found = grow(centres, sizes).merges
    count = len(sizes)
    assert (np.diff(found[:, 2]) >= 0).all()
    joined = found[:, :2].astype(int)
    # Every node but the last is joined once, and only after it was made.
    np.testing.assert_array_equal(np.sort(joined.ravel()), np.arange(max(2 * count - 2, 0)))
    assert (joined < count + np.arange(len(joined))[:, None]).all()
    total = np.append(sizes, found[:, 3])
    np.testing.assert_array_equal(total[joined].sum(axis=1), found[:, 3])


@hypothesis_settings(max_examples=100, deadline=None)
@given(leaves, st.integers(1, 30))
def test_a_cut_makes_that_many_groups_and_numbers_them_by_size(given_leaves, groups):
    centres, sizes = given_leaves
    grown = grow(centres, sizes)
    group = grown.cut(groups)
    assert group.shape == sizes.shape
    count = min(groups, len(sizes))
    np.testing.assert_array_equal(np.unique(group), np.arange(count))
    cells = np.bincount(group, weights=sizes)
    assert (np.diff(cells) <= 0).all()
    # By cells, then by the lowest leaf.
    first = [int(np.flatnonzero(group == number)[0]) for number in range(count)]
    order = list(zip(-cells, first, strict=True))
    assert order == sorted(order)


@hypothesis_settings(max_examples=100, deadline=None)
@given(leaves, st.integers(1, 24))
def test_a_coarser_cut_joins_two_groups_of_the_finer(given_leaves, groups):
    grown = grow(*given_leaves)
    fine, coarse = grown.cut(groups + 1), grown.cut(groups)
    if len(fine):
        pairs = {(a, b) for a, b in zip(fine.tolist(), coarse.tolist(), strict=True)}
        assert len(pairs) == fine.max() + 1
        assert coarse.max() == max(fine.max() - (len(fine) > groups), 0)


def test_uncut_every_leaf_is_itself():
    centres, sizes = some_leaves(9, 2, 1)
    np.testing.assert_array_equal(grow(centres, sizes).cut(None), np.arange(9))


@hypothesis_settings(max_examples=50, deadline=None)
@given(leaves, st.one_of(st.none(), st.integers(1, 30)))
def test_what_was_written_is_read_and_cuts_the_same(given_leaves, groups):
    grown = grow(*given_leaves)
    written = json.loads(json.dumps(grown.document(groups), allow_nan=False))
    again = Tree.read(written)
    np.testing.assert_array_equal(again.merges, grown.merges)
    np.testing.assert_array_equal(again.cut(written["groups"]), grown.cut(groups))


@hypothesis_settings(max_examples=50, deadline=None)
@given(leaves, st.integers(1, 12))
def test_above_a_cut_is_the_rest_of_the_tree(given_leaves, groups):
    grown = grow(*given_leaves)
    count = min(groups, len(grown.sizes))
    rest = grown.above(groups)
    assert rest.shape == (max(count - 1, 0), 4)
    if count > 1:
        assert is_valid_linkage(rest)
        np.testing.assert_array_equal(rest[:, 2], grown.merges[len(grown.sizes) - count :, 2])
        joined = rest[0, :2].astype(int)
        finer, coarser = grown.cut(count), grown.cut(count - 1)
        assert len(np.unique(coarser[np.isin(finer, joined)])) == 1


def test_a_large_leaf_outweighs_a_small_one():
    # Three on a line: without sizes 1 and 2 would join, being nearer; joining 0 and 2 moves fewer cells.
    centres, sizes = np.array([[0.0], [10.0], [-1.2]]), np.array([1000, 900, 1])
    pair = grow(centres, sizes).merges[0]
    assert set(pair[:2]) == {0, 2}
    assert pair[2] == pytest.approx((2 * 1000 / 1001) ** 0.5 * 1.2)
    centres = np.array([[0.0], [1.0], [3.0], [4.2]])
    first = grow(centres, np.array([100, 100, 1, 1])).merges[0]
    assert set(first[:2]) == {2, 3}


def test_of_too_many_leaves_the_small_ones_join_the_nearest_large_one_first(monkeypatch):
    monkeypatch.setattr(tree, "_MOST_LEAVES", 3)
    centres = np.array([[0.0], [10.0], [30.0], [9.0], [31.0], [8.0]])
    grown = grow(centres, np.array([9, 8, 7, 2, 1, 1]))
    np.testing.assert_array_equal(grown.cut(3), [1, 0, 2, 0, 2, 0])
    assert (np.diff(grown.merges[:, 2]) >= 0).all()
    np.testing.assert_array_equal(np.sort(grown.merges[:, :2].ravel()), np.arange(10))
    assert grown.merges[-1, 3] == 28


def test_a_thousand_leaves_are_joined_quickly():
    centres, sizes = some_leaves(1000, 10, 0)
    merges = grow(centres, sizes).merges
    assert merges[-1, 3] == sizes.sum()


def test_means_are_means():
    values, groups = cloud(50, 3), np.arange(50) % 4 - 1
    centres, sizes = means(values, groups)
    for number in range(3):
        assert centres[number] == pytest.approx(values[groups == number].mean(axis=0))
    np.testing.assert_array_equal(sizes, [13, 12, 12])


def test_two_points_of_two_kinds_are_told_wholly():
    values = np.repeat([[0.0], [4.0]], 10, axis=0)
    groups = np.repeat([0, 1], 10)
    assert explained(values, groups) == pytest.approx(1)
    assert explained(values, np.zeros(20, int)) == 0
    assert explained(values, np.full(20, NOISE)) == 0
    # Half of the cells unnamed: they are told as the mean of all.
    assert explained(values, np.where(groups == 1, NOISE, groups)) == pytest.approx(0.5)
    assert explained(values, groups, names=1) == pytest.approx(0.5)


@hypothesis_settings(max_examples=100, deadline=None)
@given(st.integers(0, 40), st.integers(1, 5), st.integers(0, 1000), st.floats(0.1, 1000))
def test_what_is_told_is_a_share_and_does_not_depend_on_the_scale(count, kinds, seed, scale):
    values = cloud(count, 3, seed)
    groups = by_size(np.random.default_rng(seed).integers(-1, kinds, count))
    told = explained(values, groups)
    assert 0 <= told <= 1
    assert explained(values * scale + 7, groups) == pytest.approx(told, abs=1e-9)
    assert explained(values, groups, names=2) <= told + 1e-12


def test_the_share_told_is_one_less_what_remains_within():
    values, groups = cloud(60, 4), by_size(np.arange(60) % 5)
    within = sum(np.square(values[groups == g] - values[groups == g].mean(axis=0)).sum() for g in range(5))
    assert explained(values, groups) == pytest.approx(1 - within / np.square(values - values.mean(axis=0)).sum())


def test_nothing_to_join_is_an_empty_tree():
    empty = grow(np.empty((0, 3)), np.empty(0, int))
    assert empty.document(5) == {"leaves": [], "merges": [], "groups": 5}
    assert empty.cut(5).shape == (0,)
    assert Tree(np.array([4]), np.empty((0, 4))).cut(3).tolist() == [0]
