"""Who is near whom in the embedding."""

from __future__ import annotations

import numpy as np


def nearest(values: np.ndarray, k: int, *, threads: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Find the `k` nearest other points of each point.

    Parameters
    ----------
    values
        N × D.
    k
        Lowered to N − 1 where there are no more.

    Returns
    -------
    distances, indices : numpy.ndarray
        N × k, ascending. A point is not its own neighbour, not even where several points coincide.
    """
    from sklearn.neighbors import NearestNeighbors

    k = min(k, len(values) - 1)
    if k < 1:
        return np.empty((len(values), 0)), np.empty((len(values), 0), int)
    search = NearestNeighbors(n_neighbors=k, n_jobs=threads).fit(values)
    return search.kneighbors()  # without an argument, scikit-learn leaves each point out of its own neighbours
