"""Who is near whom in the embedding."""

from __future__ import annotations

import logging

import numpy as np

log = logging.getLogger(__name__)

_EXACT_CELLS = 50_000
_TREE_DIMENSIONS = 8.0
"""A k-d tree is fast where the cells vary in few directions, however many columns they have, as UMAP's do."""
_SPREAD_CELLS = 10_000

USUAL = 15
"""Neighbours that say how surely a cell belongs to its cluster."""


class Points:
    """Cells in the embedding, and the means to compute on them. Neighbours are searched once and kept.

    Parameters
    ----------
    values
        N × D.
    threads
        CPU threads.
    gpu
        Compute with cuML; the caller has made sure that it can (see `devices.rapids`).
    seed
        For what is drawn at random.
    """

    def __init__(self, values: np.ndarray, *, seed: int, threads: int = 1, gpu: bool = False):
        self.values = np.asarray(values)
        self.threads = threads
        self.gpu = gpu
        self.seed = seed
        self._known: tuple[np.ndarray, np.ndarray] | None = None

    def __len__(self) -> int:
        return len(self.values)

    def nearest(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Find the `k` nearest others of each point (see `nearest`)."""
        k = max(0, min(k, len(self) - 1))
        if self._known is None or self._known[0].shape[1] < k:
            # As many as the confidence will ask for: one search instead of two.
            self._known = nearest(self.values, max(k, USUAL), threads=self.threads, gpu=self.gpu, seed=self.seed)
        distances, indices = self._known
        return distances[:, :k], indices[:, :k]

    def searchable(self) -> bool:
        """Whether a k-d tree answers in time: there are few points, or they vary in few directions."""
        return len(self) <= _EXACT_CELLS or effective_dimensions(self.values) <= _TREE_DIMENSIONS


def effective_dimensions(values: np.ndarray) -> float:
    """Count the directions that points vary in: (Σλ)² / Σλ² of the covariance's eigenvalues λ (participation ratio)."""
    rows = values[:: max(1, len(values) // _SPREAD_CELLS)].astype(np.float64)
    covariance = np.atleast_2d(np.cov(rows, rowvar=False))
    total = np.square(covariance).sum()
    return float(np.trace(covariance) ** 2 / total) if total > 0 else 0.0


def nearest(
    values: np.ndarray, k: int, *, seed: int, threads: int = 1, gpu: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Find the `k` nearest other points of each point.

    Exactly, by a k-d tree or on a GPU; approximately, and said in the log, for more than 50,000 points that vary in
    many directions, where a tree would compare all with all.

    Parameters
    ----------
    values
        N × D.
    k
        Lowered to N − 1 where there are no more.
    threads, gpu, seed
        See `Points`.

    Returns
    -------
    distances, indices : numpy.ndarray
        N × k, ascending. A point is not its own neighbour, not even where several points coincide.
    """
    k = min(k, len(values) - 1)
    if k < 1:
        return np.empty((len(values), 0)), np.empty((len(values), 0), int)
    if gpu:
        from cuml.neighbors import NearestNeighbors

        search = NearestNeighbors(n_neighbors=k + 1).fit(values)
        return _without_self(*search.kneighbors(values))
    if Points(values, seed=seed).searchable():
        from scipy.spatial import cKDTree

        return _without_self(*cKDTree(values).query(values, k + 1, workers=threads))
    from pynndescent import NNDescent

    log.info("%d cells vary in many directions: their neighbours are searched for approximately", len(values))
    # On one thread: with a seed, it finds other neighbours for every number of threads.
    search = NNDescent(values, n_neighbors=k + 1, random_state=seed, n_jobs=1)
    indices, distances = search.neighbor_graph
    return _without_self(distances, indices)


def _without_self(distances: np.ndarray, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Leave each point out of its own neighbours; where enough others coincide with it, it is not among them."""
    own = indices == np.arange(len(indices))[:, None]
    own[~own.any(axis=1), -1] = True
    shape = (len(indices), indices.shape[1] - 1)
    return distances[~own].reshape(shape), indices[~own].reshape(shape)
