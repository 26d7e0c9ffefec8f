"""How many cells will be right, judged by those that people have looked at."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .leaves import Leaves
from .state import NONE, UNLABELLED, State

_Z = 1.96


@lru_cache(maxsize=4)
def lots(count: int) -> np.ndarray:
    """Draw a lot for every row, always the same: cells in the order of their lots are a random sample of any cluster.

    Returns
    -------
    numpy.ndarray
        The numbers 0 to count − 1, int32, shuffled.
    """
    return np.random.Generator(np.random.PCG64(0)).permutation(count).astype(np.int32)


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


def estimate(state: State, leaves: Leaves, seen: np.ndarray) -> Estimate | None:
    """Estimate the label efficiency from cells that people have looked at.

    People look first at what the computer is least sure of, and correct what strikes them: such cells tell nothing
    of the others. So a cluster's sample are its first cells in the order of `lots`, as far as all of them have been
    looked at, for whatever reason. The review queue mixes such cells in. Clusters are strata, weighted by their sizes;
    shares in them are Agresti and Coull's (1998). Where a named cluster has no sample, the value takes it to be as good
    as the others together.

    Parameters
    ----------
    state, leaves
    seen
        Rows of `reviewed` cells in leaves that have a name.

    Returns
    -------
    Estimate or None
        None as long as no named cluster has a sample.
    """
    named = state.name != NONE
    keys, sizes = np.unique(state.cluster[named], return_inverse=True)
    sizes = np.bincount(sizes, leaves.sizes[named], minlength=len(keys))
    asked, good = np.zeros(len(keys)), np.zeros(len(keys))
    key_of_seen = state.cluster[leaves.of_cell[seen]]
    for key in np.unique(key_of_seen):
        sample = _sample(leaves.rows(np.flatnonzero((state.cluster == key) & named)), seen[key_of_seen == key], leaves)
        at = np.searchsorted(keys, key)
        asked[at], good[at] = len(sample), right(state, leaves, sample).sum()
    return _pool(sizes, asked, good, len(leaves.of_cell)) if asked.any() else None


def _sample(rows: np.ndarray, seen: np.ndarray, leaves: Leaves) -> np.ndarray:
    """Return the cells whose lots come before that of the first cell which nobody has looked at."""
    lot = lots(len(leaves.of_cell))
    missing = np.zeros(len(lot), bool)
    missing[rows] = True
    missing[seen] = False
    first = lot[rows[missing[rows]]].min(initial=len(lot))
    return seen[lot[seen] < first]


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
