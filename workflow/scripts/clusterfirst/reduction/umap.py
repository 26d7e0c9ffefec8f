"""UMAP (McInnes et al. 2018, arXiv:1802.03426): two layouts of one neighbour graph, of all cells or of a sample."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from .graph import fuzzy_graph, memberships
from .linear import principal
from .neighbours import search

if TYPE_CHECKING:
    from scipy import sparse

log = logging.getLogger(__name__)

_CHUNK_ROWS = 50_000


def lay_out(
    values: np.ndarray,
    *,
    components: int,
    n_neighbors: int,
    min_dist: float,
    metric: str,
    fit_cells: int | None,
    seed: int | None,
    gpu: bool = False,
    threads: int = 1,
) -> tuple[np.ndarray, np.ndarray, dict]:
    """Lay out cells in `components` dimensions, and in a plane.

    Of more cells than `fit_cells`, so many are drawn at random and laid out. Each other cell is then placed among its
    nearest laid-out cells: at the mean of their places, weighted as UMAP weights neighbours.

    Parameters
    ----------
    values
        N × d float32 features of at least four cells.
    n_neighbors, min_dist, metric
        UMAP's own. Fewer cells than neighbours shrink the neighbourhood, which the log says.
    fit_cells
        None: all cells are laid out, however many, as they are on a GPU.
    seed
        Same seed, same maps, on any number of threads. None: faster on many, different every time.
    gpu
        Compute with cuML.

    Returns
    -------
    values : numpy.ndarray
        N × components float32.
    plane : numpy.ndarray
        N × 2 float32.
    report : dict
        See `Reduced`.
    """
    count = len(values)
    rows = _sample(count, None if gpu else fit_cells, seed)
    fitted = values if len(rows) == count else values[rows]
    k = min(n_neighbors, len(fitted) - 1)
    if k < n_neighbors:
        log.warning("%d cells: UMAP's n_neighbors is lowered from %d to %d", len(fitted), n_neighbors, k)
    log.info("laying out %d cells of %d columns in %d and in 2 dimensions", *fitted.shape, components)
    report = {"method": "umap", "fitted": len(rows), "transformed": count - len(rows)}
    if gpu:
        maps = _on_gpu(fitted, (components, 2), k=k, min_dist=min_dist, metric=metric, seed=seed)
        return *maps, report | {"neighbours": "exact", "device": "cuda"}
    near = search(fitted, asked=count, metric=metric, seed=seed, threads=threads)
    graph = fuzzy_graph(*near.among_themselves(k))
    starts = [_start(fitted, dimensions, seed) for dimensions in (components, 2)]
    maps = _layouts(graph, starts, min_dist=min_dist, seed=seed, threads=threads)
    if len(rows) < count:
        log.info("placing the other %d cells among them", count - len(rows))
        maps = _placed(values, rows, maps, near, k)
    return *maps, report | {"neighbours": near.kind, "device": "cpu"}


def _sample(count: int, wanted: int | None, seed: int | None) -> np.ndarray:
    """Draw rows without replacement, ascending; all of them if no more than `wanted`."""
    if wanted is None or count <= wanted:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, wanted, replace=False))


def _start(values: np.ndarray, dimensions: int, seed: int | None) -> np.ndarray:
    """Where the layout begins: principal coordinates, blurred so that no two cells coincide.

    The spectral coordinates that UMAP starts from by default take longer than the layout itself for 50 dimensions, and
    led to no better one.
    """
    places = principal(values, dimensions)
    size = np.abs(places).max() or 1.0
    return (places * (10 / size) + np.random.default_rng(seed).normal(0, 1e-4, places.shape)).astype(np.float32)


def _layouts(graph: sparse.csr_array, starts: list, *, min_dist: float, seed: int | None, threads: int) -> list:
    """Both layouts; a seeded one takes one thread only, so two are made at a time where there are two."""
    if seed is None:
        return [_unseeded(graph, start, min_dist, threads) for start in starts]
    from . import layout

    with ThreadPoolExecutor(min(threads, len(starts))) as pool:
        return list(pool.map(lambda start: layout.lay_out(graph, start, min_dist=min_dist, seed=seed), starts))


def _unseeded(graph: sparse.csr_array, start: np.ndarray, min_dist: float, threads: int) -> np.ndarray:
    """Lay out with umap-learn, whose threads move cells at the same time: fast, and different every time."""
    import numba
    from umap.umap_ import find_ab_params, simplicial_set_embedding

    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
    a, b = find_ab_params(1.0, min_dist)
    places, _ = simplicial_set_embedding(
        None,
        graph,
        start.shape[1],
        initial_alpha=1.0,
        a=a,
        b=b,
        gamma=1.0,
        negative_sample_rate=5,
        n_epochs=None,
        init=start,
        random_state=np.random.RandomState(None),
        metric="euclidean",
        metric_kwds={},
        densmap=False,
        densmap_kwds={},
        output_dens=False,
        parallel=True,
    )
    return places.astype(np.float32, copy=False)


def _placed(values: np.ndarray, rows: np.ndarray, maps: list, near, k: int) -> list:
    """Put the cells that were not laid out among those that were.

    umap-learn's own way then lays the new cells out as well: it takes as long again as the layout, and the clusters
    found afterwards are no better for it.
    """
    from scipy.sparse import csr_array

    out = [np.empty((len(values), one.shape[1]), np.float32) for one in maps]
    for whole, part in zip(out, maps, strict=True):
        whole[rows] = part
    rest = np.setdiff1d(np.arange(len(values)), rows, assume_unique=True)
    for start in range(0, len(rest), _CHUNK_ROWS):
        chunk = rest[start : start + _CHUNK_ROWS]
        distances, indices = near.of(values[chunk], k)
        weights = memberships(distances, own=False)
        weights /= weights.sum(axis=1, keepdims=True)
        indices = np.maximum(indices, 0)  # −1 where the search found fewer; the weight is 0 there
        ends = np.arange(0, indices.size + 1, k)
        among = csr_array((weights.ravel(), indices.ravel(), ends), (len(chunk), len(rows)))
        for whole, part in zip(out, maps, strict=True):
            whole[chunk] = among @ part
    return out


def _on_gpu(values: np.ndarray, dimensions, *, k: int, min_dist: float, metric: str, seed: int | None) -> list:
    from cuml.manifold import UMAP
    from cuml.neighbors import NearestNeighbors

    distances, indices = NearestNeighbors(n_neighbors=k, metric=metric).fit(values).kneighbors(values)
    return [
        UMAP(
            n_components=wanted,
            n_neighbors=k,
            min_dist=min_dist,
            metric=metric,
            random_state=seed,
            precomputed_knn=(indices, distances),
            output_type="numpy",
        ).fit_transform(values)
        for wanted in dimensions
    ]
