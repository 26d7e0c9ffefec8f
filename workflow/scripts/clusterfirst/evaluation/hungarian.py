"""Clusters called by one class each: the accuracy of the best one-to-one assignment."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from ..clustering import NOISE

SHUFFLES = 10


class Tiles(NamedTuple):
    """Cells that the assignment gets right where it is made anew in every tile, summed over tiles.

    The fewer cells in a tile, the easier: four cells in four clusters are always right. That is why the two baselines
    belong beside it.

    Attributes
    ----------
    judged : float
        Cells with a truth.
    clusters : float
        Right with the clusters.
    one_cluster : float
        Right if all cells of the slide were one cluster: in each tile the most common class.
    shuffled : float
        Right if the slide's cells swapped their clusters at random; the mean of `SHUFFLES` times.
    """

    judged: float
    clusters: float
    one_cluster: float
    shuffled: float


def right(table: np.ndarray) -> int:
    """Count the cells that are right under the best assignment of clusters to classes, one to one.

    Parameters
    ----------
    table
        Clusters × classes, numbers of cells. Clusters without a class, of which there may be many, are wrong.
    """
    return int(table[linear_sum_assignment(table, maximize=True)].sum())


def per_tile(cluster_id: np.ndarray, label: np.ndarray, tile: np.ndarray, *, seed: int) -> Tiles:
    """Assign clusters to classes tile by tile.

    Noise is no cluster: it gets no class and is wrong, as the paper counts it.

    Parameters
    ----------
    cluster_id
        Per cell with a truth; −1 is noise.
    label
        The class of each as a number from 0.
    tile
        The tile of each as a number from 0.
    seed
        Of the shuffles.
    """
    rng = np.random.default_rng(seed)
    shuffled = [_right_in_tiles(rng.permutation(cluster_id), label, tile) for _ in range(SHUFFLES)]
    return Tiles(
        judged=float(len(label)),
        clusters=float(_right_in_tiles(cluster_id, label, tile)),
        one_cluster=float(_right_in_tiles(np.zeros_like(cluster_id), label, tile)),
        shuffled=float(np.mean(shuffled)),
    )


def assign(table: np.ndarray) -> np.ndarray:
    """Return, for each cluster (row), the class that the best assignment gives it.

    Returns
    -------
    numpy.ndarray
        Numbers of classes; −1 for a cluster without one, or with one that none of its cells has.
    """
    row, column = linear_sum_assignment(table, maximize=True)
    shared = table[row, column] > 0
    called = np.full(len(table), -1)
    called[row[shared]] = column[shared]
    return called


def called(cluster_id: np.ndarray, label: np.ndarray, tile: np.ndarray) -> np.ndarray:
    """Return what each cell is called once clusters are assigned tile by tile; see `per_tile` for the parameters.

    Returns
    -------
    numpy.ndarray
        Numbers of classes; −1 for noise and for cells of clusters without a class. Equal to `label` for as many cells
        as `Tiles.clusters` counts.
    """
    real = cluster_id != NOISE
    out = np.full(len(label), -1)
    if real.any():
        row, tables = _tables(cluster_id[real], label[real], tile[real])
        out[real] = np.concatenate([assign(table) for table in tables])[row]
    return out


def _right_in_tiles(cluster_id: np.ndarray, label: np.ndarray, tile: np.ndarray) -> int:
    real = cluster_id != NOISE
    return sum(map(right, _tables(cluster_id[real], label[real], tile[real])[1])) if real.any() else 0


def _tables(cluster_id: np.ndarray, label: np.ndarray, tile: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """Clusters × classes of each tile, and each cell's row in all of them together."""
    (tiles, _), row = np.unique(np.stack([tile, cluster_id]), axis=1, return_inverse=True)
    row = row.ravel()
    table = np.zeros((row.max() + 1, label.max() + 1), np.int64)
    np.add.at(table, (row, label), 1)
    return row, np.split(table, np.flatnonzero(np.diff(tiles)) + 1)
