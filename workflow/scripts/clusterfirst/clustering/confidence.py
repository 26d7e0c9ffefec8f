"""How surely a cell belongs to its cluster, and which cells show a cluster best."""

from __future__ import annotations

import numpy as np

from .neighbours import USUAL, Points
from .numbering import NOISE, members

_CANDIDATES = 2000
"""Representatives are spread over this many confident cells of a cluster at most."""


def cell_confidence(points: Points, cluster_id: np.ndarray, assigned: np.ndarray | None = None) -> np.ndarray:
    """Say how surely each cell belongs to its cluster.

    ``agreement · min(1, 2m / (m + d))``: *agreement* is the share of a cell's 15 nearest neighbours that are in its
    cluster, *d* its distance to the farthest of them, and *m* the median of *d* over the cluster. So the second factor
    is 1 for a cell that lies as densely as its cluster's median cell, and ½ at three times the distance. Both factors
    are ratios: stretching the whole embedding changes nothing. Noise has 0.

    Parameters
    ----------
    points
        N cells.
    cluster_id
        Per row; −1 is noise.
    assigned
        Per row, whether the cell was noise before it was given to a cluster. Such cells are not counted as neighbours
        that agree, and not in the median: one stray does not vouch for another.

    Returns
    -------
    numpy.ndarray
        N floats in [0, 1].
    """
    distances, indices = points.nearest(USUAL)
    sure = np.zeros(len(points))
    if not distances.shape[1]:
        sure[cluster_id != NOISE] = 1.0
        return sure
    voice = cluster_id if assigned is None else np.where(assigned, NOISE, cluster_id)
    agreeing = (voice[indices] == cluster_id[:, None]).mean(axis=1)
    reach = distances[:, -1]
    for rows in members(cluster_id):
        own = rows if assigned is None else rows[~assigned[rows]]
        usual = np.median(reach[own])
        total = usual + reach[rows]
        nearness = np.divide(2 * usual, total, out=np.ones_like(total), where=total > 0)
        sure[rows] = agreeing[rows] * np.minimum(1, nearness)
    return sure


def representatives(
    values: np.ndarray, rows: np.ndarray, sure: np.ndarray, max_items: int, min_confidence: float
) -> np.ndarray:
    """Choose cells that show a cluster: the most typical one, then the ones most unlike those chosen already.

    Parameters
    ----------
    values
        N × D of all cells.
    rows
        Rows of the cluster's cells.
    sure
        Confidence of all cells. Only the surer half of the cluster is looked at, so that spread is not strays.
    max_items
        How many at most.
    min_confidence
        None that belongs to the cluster less surely.

    Returns
    -------
    numpy.ndarray
        Rows, the most typical first; none, if no cell is sure enough.
    """
    surest = rows[np.argsort(-sure[rows], kind="stable")]
    pool = surest[: max(max_items, len(surest) // 2)]
    pool = pool[sure[pool] >= min_confidence]
    if not max_items or not len(pool):
        return np.empty(0, int)
    spread = np.linspace(0, len(pool) - 1, min(len(pool), max(max_items, _CANDIDATES)))
    pool = pool[np.unique(spread.round().astype(int))]
    points = values[pool].astype(np.float64)
    from_middle = np.linalg.norm(points - values[rows].mean(axis=0), axis=1)
    chosen = [int(from_middle.argmin())]
    away = np.linalg.norm(points - points[chosen[0]], axis=1)
    while len(chosen) < min(max_items, len(pool)):
        away[chosen] = -1
        chosen.append(int(away.argmax()))
        away = np.minimum(away, np.linalg.norm(points - points[chosen[-1]], axis=1))
    return pool[chosen]
