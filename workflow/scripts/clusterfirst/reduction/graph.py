"""UMAP's neighbourhoods: how much each neighbour belongs, and the graph of all (McInnes et al. 2018, section 3)."""

from __future__ import annotations

import numpy as np
from scipy import sparse

_HALVINGS = 30


def memberships(distances: np.ndarray, *, own: bool) -> np.ndarray:
    """Say how much each neighbour belongs to a cell's neighbourhood: ``exp(−max(0, d − ρ) / σ)``.

    ρ is the distance to the nearest neighbour, so that no cell is cut off from all others, and σ is such that a row of
    k neighbours adds up to log₂ k. (In NumPy: umap-learn's own takes longer to compile than most slides to reduce.)

    Parameters
    ----------
    distances
        N × k, ascending; infinite where no neighbour was found.
    own
        Whether each row comes first among its own neighbours. If not, the rows are new ones, and ρ is 0.

    Returns
    -------
    numpy.ndarray
        N × k float32 in [0, 1].
    """
    distances = distances.astype(np.float64)
    rho = np.zeros((len(distances), 1))
    if own:
        nearest = np.where(distances > 0, distances, np.inf).min(axis=1, keepdims=True)
        rho = np.where(np.isfinite(nearest), nearest, 0.0)
    beyond = np.maximum(distances - rho, 0)
    usual = np.where(np.isfinite(distances), distances, 0).mean(axis=1, keepdims=True)
    usual[usual == 0] = 1.0
    wanted = np.log2(distances.shape[1])
    low, high = np.full_like(rho, -20.0), np.full_like(rho, 20.0)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        much = np.exp(-beyond[:, int(own) :] / (usual * np.exp(middle))).sum(axis=1, keepdims=True) > wanted
        low, high = np.where(much, low, middle), np.where(much, middle, high)
    sigma = usual * np.maximum(np.exp(middle), 1e-3)
    return np.exp(-beyond / sigma).astype(np.float32)


def fuzzy_graph(distances: np.ndarray, indices: np.ndarray) -> sparse.csr_array:
    """Join the neighbourhoods of all cells: an edge is there if either end says so, as if independently.

    Parameters
    ----------
    distances, indices
        N × k, of each cell's nearest cells, itself first.
    """
    count, k = indices.shape
    one, other = np.repeat(np.arange(count, dtype=np.int32), k), indices.ravel().astype(np.int32)
    weight = memberships(distances, own=True).ravel()
    kept = (one != other) & (weight > 0)
    directed = sparse.csr_array((weight[kept], (one[kept], other[kept])), (count, count))
    back = directed.T.tocsr()
    return directed + back - directed * back
