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


def _right_in_tiles(cluster_id: np.ndarray, label: np.ndarray, tile: np.ndarray) -> int:
    real = cluster_id != NOISE
    if not real.any():
        return 0
    pairs = np.stack([tile[real], cluster_id[real]])
    (tiles, _), row = np.unique(pairs, axis=1, return_inverse=True)
    row = row.ravel()
    table = np.zeros((row.max() + 1, label.max() + 1), np.int64)
    np.add.at(table, (row, label[real]), 1)
    return sum(map(right, np.split(table, np.flatnonzero(np.diff(tiles)) + 1)))
