"""How many cells will be right, judged by those that people have looked at."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .leaves import Leaves
from .state import NONE, UNLABELLED, State

_Z = 1.96


def drawn(rows: np.ndarray) -> np.ndarray:
    """Return rows in an order that is random, but always the same, whatever cluster they are in."""
    mixed = rows.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):  # Steele et al. 2014, splitmix64
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return rows[np.argsort(mixed ^ (mixed >> np.uint64(31)), kind="stable")]


@dataclass(frozen=True)
class Estimate:
    """Share of all cells that names of clusters make right; clusters without a name, and noise, count as wrong.

    Attributes
    ----------
    value, low, high : float
        With a 95 % interval. Of a named cluster that nobody has looked into, the interval takes all for possible.
    cells : int
        Cells it rests on.
    clusters, named : int
        Named clusters it rests on, and all.
    """

    value: float
    low: float
    high: float
    cells: int
    clusters: int
    named: int


def reviewed(state: State) -> np.ndarray:
    """Say of each cell whether somebody has looked at it by itself: confirmed or corrected it."""
    return (state.confirmed > UNLABELLED) | (state.exception != NONE)


def right(state: State, leaves: Leaves, rows: np.ndarray) -> np.ndarray:
    """Say of cells that were looked at whether the name of their leaf is right, corrections apart.

    A cell confirmed under another name than its leaf's present one says that the present one is wrong.
    """
    name, own, seen = state.name[leaves.of_cell[rows]], state.exception[rows], state.confirmed[rows]
    return np.where(own != NONE, own == name, seen == name)


def estimate(state: State, leaves: Leaves) -> Estimate | None:
    """Estimate the label efficiency from cells that people have looked at.

    People look first at what the computer is least sure of, and correct what strikes them: such cells tell nothing
    of the others. So a cluster's sample are the first cells of a random order (`drawn`) as far as all of them have
    been looked at, for whatever reason. The review queue mixes such cells in. Clusters are strata, weighted by their
    sizes; shares in them are Agresti and Coull's (1998). Where a named cluster has no sample, the value takes it to be
    as good as the others together.

    Returns
    -------
    Estimate or None
        None as long as no named cluster has a sample.
    """
    seen = reviewed(state)
    keys = np.unique(state.cluster[state.name != NONE])
    sizes, asked, good = [], [], []
    for key in keys:
        members = state.members(int(key))
        rows = leaves.rows(members[state.name[members] != NONE])
        sample = _sample(rows, seen)
        sizes.append(len(rows))
        asked.append(len(sample))
        good.append(int(right(state, leaves, sample).sum()))
    if not any(asked):
        return None
    return _pool(np.array(sizes, float), np.array(asked, float), np.array(good, float), len(leaves.of_cell))


def _sample(rows: np.ndarray, seen: np.ndarray) -> np.ndarray:
    if not seen[rows].any():
        return rows[:0]
    order = drawn(rows)
    missing = np.flatnonzero(~seen[order])
    return order[: missing[0] if len(missing) else len(order)]


def _pool(sizes: np.ndarray, asked: np.ndarray, good: np.ndarray, cells: int) -> Estimate:
    known = asked > 0
    share = good[known] / asked[known]
    usual = float(np.average(share, weights=sizes[known]))
    shrunk = (good[known] + _Z**2 / 2) / (asked[known] + _Z**2)
    left = 1 - asked[known] / sizes[known]  # a cluster looked at cell by cell has no error
    variance = (sizes[known] ** 2 * shrunk * (1 - shrunk) / (asked[known] + _Z**2) * left).sum()
    sure, open_ = float(sizes[known] @ share), float(sizes[~known].sum())
    reach = _Z * math.sqrt(float(variance))
    value = sure + open_ * usual
    low, high = max(0.0, sure - reach), min(float(sizes[known].sum()), sure + reach) + open_
    return Estimate(value / cells, low / cells, high / cells, int(asked.sum()), int(known.sum()), len(sizes))
