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
    fill(
        out[:, width:], features, positions, neighbours=neighbours, radius_um=radius_um, weight=weight, threads=threads
    )
    return out


def fill(
    out: np.ndarray,
    features: np.ndarray,
    positions: Sequence[np.ndarray],
    *,
    neighbours: int,
    radius_um: float | None,
    weight: float,
    threads: int = 1,
) -> None:
    """Write the weighted averages alone into `out`, N × d; see `append`."""
    start = 0
    for places in positions:
        own = features[start : start + len(places)]
        near = _nearest(places, neighbours, threads) if radius_um is None else _within(places, radius_um)
        for rows, adjacency in near:
            out[start + rows.start : start + rows.stop] = weight * (adjacency @ own)
        start += len(places)


def _nearest(places: np.ndarray, count: int, threads: int) -> Iterator[tuple[slice, object]]:
    """Yield rows and their neighbours, as a matrix whose rows add up to 1."""
    from scipy.sparse import csr_array
    from scipy.spatial import KDTree

    count = min(count, len(places) - 1)
    if count < 1:
        yield from ((slice(0, 1), csr_array((1, 1), dtype=np.float32)) for _ in places)
        return
    tree = KDTree(places)
    for rows in _slices(len(places)):
        _, found = tree.query(places[rows], count + 1, workers=threads)
        own = found == np.arange(rows.start, rows.stop)[:, None]
        own[~own.any(axis=1), -1] = True  # of more coinciding cells than asked for, itself need not be among the found
        found = found[~own]
        ends = np.arange(0, len(found) + 1, count)
        yield rows, csr_array((np.full(len(found), 1 / count, np.float32), found, ends), (len(own), len(places)))


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
