"""Which object of one set is which of another: overlaps, and the best one-to-one matching."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import shapely
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

_BATCH = 100_000
"""Intersections are built this many at a time: each is a polygon."""


class Overlaps(NamedTuple):
    """Pairs of objects that share some area.

    Attributes
    ----------
    i, j : numpy.ndarray
        Indices into the first and the second set, ascending by `i`, then `j`.
    shared : numpy.ndarray
        Area of the intersection.
    iou : numpy.ndarray
        Area of the intersection over that of the union, above 0, at most 1.
    """

    i: np.ndarray
    j: np.ndarray
    shared: np.ndarray
    iou: np.ndarray


def valid(polygons: np.ndarray) -> np.ndarray:
    """Return the polygons with those that cross themselves repaired, all of their pieces kept."""
    wrong = ~shapely.is_valid(polygons)
    if not wrong.any():
        return polygons
    out = polygons.copy()
    out[wrong] = shapely.make_valid(polygons[wrong], method="structure", keep_collapsed=False)
    return out


def overlaps(found: np.ndarray, truth: np.ndarray) -> Overlaps:
    """Find every pair that shares some area.

    Parameters
    ----------
    found, truth
        ``shapely.Polygon`` in the same coordinates. Those that cross themselves are repaired first.
    """
    found, truth = valid(found), valid(truth)
    i, j = shapely.STRtree(truth).query(found, predicate="intersects")
    order = np.lexsort((j, i))
    i, j = i[order], j[order]
    shared = shared_area(found, truth, i, j)
    # Neighbours that merely touch share no area.
    some = shared > 0
    i, j, shared = i[some], j[some], shared[some]
    return Overlaps(i, j, shared, shared / (shapely.area(found)[i] + shapely.area(truth)[j] - shared))


def shared_area(first: np.ndarray, second: np.ndarray, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    """Area that ``first[i]`` and ``second[j]`` have in common, pair by pair; all of them valid."""
    out = np.empty(len(i))
    for start in range(0, len(i), _BATCH):
        part = slice(start, start + _BATCH)
        out[part] = shapely.area(shapely.intersection(first[i[part]], second[j[part]]))
    return out


def match(i: np.ndarray, j: np.ndarray, iou: np.ndarray, threshold: float) -> np.ndarray:
    """Match objects one to one.

    Of all matchings of pairs with IoU ≥ `threshold`, one with the most pairs, and of those one with the greatest sum
    of IoU. This is the convention of StarDist and Cellpose.

    Where the objects of each set do not overlap among themselves, pairs with IoU > 0.5 are unique and all is settled
    at once. Elsewhere groups of objects that compete are solved one by one, in time cubic in the size of the group.

    Parameters
    ----------
    i, j, iou
        Pairs, each once (see `Overlaps`).
    threshold
        Above 0; at 0, all pairs given are good.

    Returns
    -------
    numpy.ndarray
        Which pairs are matched: indices into `i`, ascending.
    """
    good = np.flatnonzero(iou >= threshold)
    alone = _alone(i[good]) & _alone(j[good])
    rest = good[~alone]
    chosen = [good[alone]]
    chosen += [group[_assign(i[group], j[group], iou[group])] for group in _groups(rest, i[rest], j[rest])]
    return np.sort(np.concatenate(chosen))


def _alone(values: np.ndarray) -> np.ndarray:
    """Whether each value appears only once."""
    return np.bincount(values)[values] == 1 if len(values) else np.zeros(0, bool)


def _groups(pairs: np.ndarray, i: np.ndarray, j: np.ndarray) -> list[np.ndarray]:
    """Split pairs into groups that have no object in common."""
    if not len(pairs):
        return []
    first, rows = np.unique(i, return_inverse=True)
    second, columns = np.unique(j, return_inverse=True)
    size = len(first) + len(second)
    edges = coo_array((np.ones(len(pairs), bool), (rows, columns + len(first))), shape=(size, size))
    group = connected_components(edges, directed=False)[1][rows]
    order = np.argsort(group, kind="stable")
    return np.split(pairs[order], np.flatnonzero(np.diff(group[order])) + 1)


def _assign(i: np.ndarray, j: np.ndarray, iou: np.ndarray) -> np.ndarray:
    """Choose pairs: as many as possible, then with the greatest summed IoU."""
    rows, columns = np.unique(i, return_inverse=True)[1], np.unique(j, return_inverse=True)[1]
    shape = rows.max() + 1, columns.max() + 1
    pair = np.full(shape, -1)
    pair[rows, columns] = np.arange(len(i))
    worth = np.zeros(shape)
    # One more pair is worth more than all IoU together can be.
    worth[rows, columns] = min(shape) + iou
    chosen = pair[linear_sum_assignment(worth, maximize=True)]
    return chosen[chosen >= 0]
