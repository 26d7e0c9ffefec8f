"""What a cell's surroundings look like: the mean features of its neighbours on the slide."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

_CHUNK_ROWS = 8192


def append(
    features: np.ndarray,
    positions: Sequence[np.ndarray],
    *,
    neighbours: int,
    radius_um: float | None,
    weight: float,
    threads: int = 1,
) -> np.ndarray:
    """Put beside every cell's features those of its neighbours on the same slide, averaged.

    A cell without neighbours gets the mean of all cells there, which is 0 in features that are centred: nothing is
    known of its surroundings.

    Parameters
    ----------
    features
        N × d float32, slides one after the other.
    positions
        Per slide, its cells' places in µm.
    neighbours
        How many of the nearest; fewer where the slide has no more.
    radius_um
        If given, all cells so near are neighbours instead.
    weight
        The averages are multiplied by this. 0: none are appended.

    Returns
    -------
    numpy.ndarray
        N × 2d float32; `features` itself if the weight is 0.
    """
    if not weight:
        return features
    width = features.shape[1]
    out = np.empty((len(features), 2 * width), np.float32)
    out[:, :width] = features
    start = 0
    for places in positions:
        own = features[start : start + len(places)]
        near = _nearest(places, neighbours, threads) if radius_um is None else _within(places, radius_um)
        for rows, adjacency in near:
            out[start + rows.start : start + rows.stop, width:] = weight * (adjacency @ own)
        start += len(places)
    return out


def _nearest(places: np.ndarray, count: int, threads: int) -> Iterator[tuple[slice, object]]:
    """Yield rows and their neighbours, as a matrix whose rows add up to 1."""
    for rows, found in nearest(places, count, threads=threads):
        yield rows, mean_of(found, len(places))


def nearest(places: np.ndarray, count: int, *, threads: int) -> Iterator[tuple[slice, np.ndarray]]:
    """Find the cells next to each cell of a slide, some thousand cells at a time.

    Parameters
    ----------
    places
        N × 2, µm.
    count
        How many; fewer where there are no more.

    Yields
    ------
    rows : slice
        Of the cells.
    found : numpy.ndarray
        n × count: rows of their neighbours, the nearest first.
    """
    from scipy.spatial import KDTree

    count = min(count, len(places) - 1)
    if count < 1:
        for rows in _slices(len(places)):
            yield rows, np.empty((rows.stop - rows.start, 0), np.int64)
        return
    tree = KDTree(places)
    for rows in _slices(len(places)):
        _, found = tree.query(places[rows], count + 1, workers=threads)
        own = found == np.arange(rows.start, rows.stop)[:, None]
        own[~own.any(axis=1), -1] = True  # of more coinciding cells than asked for, itself need not be among the found
        yield rows, found[~own].reshape(-1, count)


def mean_of(found: np.ndarray, cells: int) -> object:
    """Return a sparse matrix of n × cells that takes the mean of those found, n × count; nothing of none."""
    from scipy.sparse import csr_array

    ends = np.arange(0, found.size + 1, found.shape[1]) if found.size else np.zeros(len(found) + 1, np.int64)
    weights = np.full(found.size, 1 / max(1, found.shape[1]), np.float32)
    return csr_array((weights, found.ravel(), ends), (len(found), cells))


def _within(places: np.ndarray, radius: float) -> Iterator[tuple[slice, object]]:
    """The same, for all cells within a radius."""
    from scipy.sparse import csr_array
    from scipy.spatial import KDTree

    tree = KDTree(places)
    for rows in _slices(len(places)):
        pairs = KDTree(places[rows]).sparse_distance_matrix(tree, radius, output_type="ndarray")
        one, other = pairs["i"], pairs["j"]
        apart = other != one + rows.start
        one, other = one[apart], other[apart]
        count = np.bincount(one, minlength=rows.stop - rows.start)
        shape = (len(count), len(places))
        yield rows, csr_array(((1 / count[one]).astype(np.float32), (one, other)), shape)


def _slices(count: int) -> Iterator[slice]:
    for start in range(0, count, _CHUNK_ROWS):
        yield slice(start, min(start + _CHUNK_ROWS, count))
