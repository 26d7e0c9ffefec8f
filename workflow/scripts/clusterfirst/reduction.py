"""From many numbers per cell to few: UMAP (McInnes et al. 2018, arXiv:1802.03426)."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass

import numpy as np

log = logging.getLogger(__name__)

_EXACT_ROWS = 20_000
_FEWEST = 4
"""UMAP draws a neighbourhood graph; of three cells there is none worth the name."""


@dataclass(frozen=True)
class Reduced:
    """Cells in few dimensions.

    Attributes
    ----------
    values : numpy.ndarray
        N × components float32, what clustering works on.
    plane : numpy.ndarray
        N × 2 float32, for plots.
    """

    values: np.ndarray
    plane: np.ndarray


def standardised(values: np.ndarray) -> np.ndarray:
    """Give every column mean 0 and variance 1; columns that do not vary become 0. Returns float32."""
    centred = values.astype(np.float64) - values.mean(axis=0, dtype=np.float64)
    spread = centred.std(axis=0)
    # Relative to the values: the mean of equal floats is off by a rounding error.
    constant = spread <= 1e-9 * np.maximum(1, np.abs(values).max(axis=0, initial=0))
    return np.where(constant, 0, centred / np.where(constant, 1, spread)).astype(np.float32)


def reduce(
    values: np.ndarray,
    *,
    components: int = 50,
    n_neighbors: int = 15,
    min_dist: float = 0.1,
    metric: str = "euclidean",
    standardise: bool = False,
    seed: int | None = 0,
    threads: int = 1,
) -> Reduced:
    """Reduce embeddings to `components` dimensions, and to a plane.

    Both maps are laid out from one neighbour graph. Fewer cells than neighbours shrink the neighbourhood; fewer than
    four keep their principal coordinates. Either is said in the log.

    Parameters
    ----------
    values
        N × D embeddings.
    components
        Dimensions that clustering works in.
    n_neighbors, min_dist, metric
        UMAP's own.
    standardise
        Give every column mean 0 and variance 1 first.
    seed
        Same seed, same map, on one thread; None: on all `threads`, different every time.
    threads
        For UMAP without a seed, and the search for neighbours.
    """
    count = len(values)
    if not np.isfinite(values).all():
        raise ValueError("embeddings hold values that are not finite")
    if standardise and count:
        values = standardised(values)
    if count < _FEWEST:
        log.warning("%d cells are too few for UMAP: their principal coordinates are used", count)
        return Reduced(_principal(values, components), _principal(values, 2))
    if count <= n_neighbors:
        log.warning("%d cells: UMAP's n_neighbors is lowered from %d to %d", count, n_neighbors, count - 1)
        n_neighbors = count - 1

    from umap import UMAP

    log.info("laying out %d cells of %d columns in %d and in 2 dimensions", *values.shape, components)
    known = _neighbours(values, n_neighbors, metric=metric, seed=seed, threads=threads)

    def layout(dimensions: int) -> np.ndarray:
        umap = UMAP(
            n_components=dimensions,
            n_neighbors=n_neighbors,
            min_dist=min_dist,
            metric=metric,
            precomputed_knn=known,
            # The spectral layout needs more points than dimensions.
            init="spectral" if count > dimensions + 1 else "random",
            random_state=seed,
            n_jobs=1 if seed is not None else threads,
        )
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="n_jobs value .* overridden")
            warnings.filterwarnings("ignore", message=r"precomputed_knn\[2\]")  # new cells are not mapped later
            return umap.fit_transform(values).astype(np.float32)

    return Reduced(layout(components), layout(2))


def _neighbours(values: np.ndarray, k: int, *, metric: str, seed: int | None, threads: int) -> tuple:
    """Find each row's `k` nearest rows, itself among them, as UMAP takes them.

    Exactly, while that costs less than the half minute in which UMAP's approximate search compiles itself.
    """
    if len(values) <= _EXACT_ROWS:
        from sklearn.neighbors import NearestNeighbors

        search = NearestNeighbors(n_neighbors=k, metric=metric, n_jobs=threads).fit(values)
        distances, indices = search.kneighbors(values)
        return indices, distances, None

    from umap.umap_ import nearest_neighbors

    return nearest_neighbors(
        values, k, metric, None, angular=False, random_state=np.random.RandomState(seed), n_jobs=threads
    )


def _principal(values: np.ndarray, dimensions: int) -> np.ndarray:
    """Principal coordinates, filled up with zeros."""
    out = np.zeros((len(values), dimensions), np.float32)
    if len(values) > 1:
        values = values.astype(np.float64)
        left, sizes, _ = np.linalg.svd(values - values.mean(axis=0), full_matrices=False)
        kept = min(dimensions, len(sizes))
        out[:, :kept] = (left * sizes)[:, :kept]
    return out
