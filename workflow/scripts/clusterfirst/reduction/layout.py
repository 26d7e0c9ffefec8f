"""The layout of UMAP (McInnes et al. 2018, section 4.2 and algorithm 5), by a seed: places that suit a neighbour graph.

umap-learn has the same, and lays out where there is no seed: it then uses all threads. With a seed, both go from edge
to edge on one thread; but umap-learn takes seconds to be imported and more to be compiled, at the start of every job.
This one is compiled in a second, and keeps no cache: nothing that needs a home that can be written to, or goes stale,
or is a pickle that somebody else may have made. Forces are looked up, for powers are most of what the other spends.

Cells that all move at the same time, 8 to 64 groups of them one after the other, would give the same on any number of
threads. It was tried on the odd half of CoNSeP's training images, four seeds each: as many neighbours are kept (0.32),
but 10 named clusters are right for 0.76 to 0.77 of the cells instead of 0.79, 25 for 0.81 instead of 0.82.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from scipy import sparse

_FEW_CELLS = 10_000
_EPOCHS_OF_FEW, _EPOCHS = 500, 200
_NEGATIVES = 5
"""Cells drawn at random, from which a cell is pushed away each time it is drawn to a neighbour."""
_FARTHEST_STEP = 4.0
_SOFTEST = 1e-3
"""Added to squared distances, so that cells that nearly coincide do not fly apart."""
_WIDTH = 10.0
"""Of the layout at its beginning, in each dimension: moves are of the order of 1."""

# Squared distances are floats: their bits, but for the last ones, number the rows of a table of forces.
_SEGMENT_BITS = 6
_SHIFT = 23 - _SEGMENT_BITS
_LOWEST, _HIGHEST = -40, 20
_FIRST = (127 + _LOWEST) << _SEGMENT_BITS
_BETWEEN = (1 << _SHIFT) - 1


def curve(min_dist: float) -> tuple[float, float]:
    """Return a and b with which ``1 / (1 + a d^(2b))`` is nearest to 1 up to `min_dist`, and to an exponential beyond.

    Least squares at 300 distances from 0 to 3, as in umap-learn; by Levenberg's and Marquardt's steps.
    """
    distance = np.linspace(0, 3, 300)[1:]  # at 0, the curve is 1 whatever a and b
    wanted = np.where(distance < min_dist, 1.0, np.exp(min_dist - distance))
    logarithm = np.log(distance)
    both, damping = np.zeros(2), 1e-3  # ln a, ln b: neither can turn negative

    def missed(both: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        power = np.exp(both[0] + 2 * np.exp(both[1]) * logarithm)
        return 1 / (1 + power) - wanted, power / np.square(1 + power)

    error, slope = missed(both)
    for _ in range(200):
        jacobian = -slope[:, None] * np.stack([np.ones_like(logarithm), 2 * np.exp(both[1]) * logarithm], axis=1)
        square = jacobian.T @ jacobian
        step = np.linalg.solve(square + damping * np.diag(square.diagonal()), -jacobian.T @ error)
        tried, tried_slope = missed(both + step)
        if tried @ tried > error @ error:
            damping *= 10
            if damping > 1e12:  # no step is small enough: this is the place
                break
            continue
        both, error, slope, damping = both + step, tried, tried_slope, damping / 10
        if np.abs(step).max() < 1e-10:
            break
    a, b = np.exp(both)
    return float(a), float(b)


def forces(min_dist: float) -> tuple[np.ndarray, np.ndarray]:
    """Tabulate what draws two cells together and what pushes them apart, by the square of their distance.

    Returns
    -------
    pulls, pushes : numpy.ndarray
        Factors of the difference of their places, at 64 squares from each power of 2 to the next.
    """
    a, b = curve(min_dist)
    parts = 1 << _SEGMENT_BITS
    rows = np.arange((_HIGHEST - _LOWEST) * parts + 1)
    square = np.ldexp(1 + rows % parts / parts, _LOWEST + rows // parts)
    power = square**b
    pulls = -2 * a * b * power / square / (1 + a * power)
    pushes = 2 * b / ((_SOFTEST + square) * (1 + a * power))
    return pulls.astype(np.float32), pushes.astype(np.float32)


def lay_out(graph: sparse.csr_array, start: np.ndarray, *, min_dist: float, seed: int) -> np.ndarray:
    """Move cells from where they start to where their neighbours are near and all others are not.

    Parameters
    ----------
    graph
        N × N, symmetric, from `graph.fuzzy_graph`.
    start
        N × dimensions. Each is stretched to the same width.

    Returns
    -------
    numpy.ndarray
        N × dimensions float32; the same for the same seed. Other Python code may run meanwhile.
    """
    low, high = start.min(axis=0), start.max(axis=0)
    places = (_WIDTH * (start - low) / np.where(high > low, high - low, 1)).astype(np.float32)
    epochs = _EPOCHS_OF_FEW if len(places) <= _FEW_CELLS else _EPOCHS
    edges = graph.tocoo()
    weight = edges.data.astype(np.float64)
    weight /= weight.max(initial=1e-30)
    used = weight >= 1 / epochs
    one, other = (ends[used].astype(np.int32) for ends in edges.coords)
    every = 1 / weight[used]
    state = np.random.default_rng(seed).integers(2**63, dtype=np.uint64)
    _move(places, one, other, every, every.copy(), epochs, *forces(min_dist), state)
    return places


@njit(nogil=True, fastmath={"reassoc", "nsz", "contract"}, error_model="numpy")
def _move(places, one, other, every, due, epochs, pulls, pushes, state):
    """Move cells in place, edge by edge, each once in `every` epochs, less and less far."""
    cells, dimensions = places.shape
    last = len(pulls) - 2
    apart = np.empty(dimensions, np.float32)
    square_of = np.empty(1, np.float32)
    bits_of = square_of.view(np.int32)
    limit = np.float32(_FARTHEST_STEP)
    for epoch in range(epochs):
        rate = np.float32(1 - epoch / epochs)
        for edge in range(len(one)):
            if due[edge] > epoch:
                continue
            due[edge] += every[edge]
            moved = np.int64(one[edge])
            for turn in range(1 + _NEGATIVES):
                if turn == 0:
                    fixed = np.int64(other[edge])
                else:
                    # SplitMix64 (Steele, Lea & Flood 2014).
                    state += np.uint64(0x9E3779B97F4A7C15)
                    drawn = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
                    drawn = (drawn ^ (drawn >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
                    drawn ^= drawn >> np.uint64(31)
                    fixed = np.int64(((drawn >> np.uint64(32)) * np.uint64(cells)) >> np.uint64(32))
                square = np.float32(0)
                for axis in range(dimensions):
                    apart[axis] = places[moved, axis] - places[fixed, axis]
                    square += apart[axis] * apart[axis]
                square_of[0] = square
                bits = np.int64(bits_of[0])
                row = max(min((bits >> _SHIFT) - _FIRST, last), 0)
                part = np.float32(bits & _BETWEEN) / np.float32(_BETWEEN + 1)
                if turn == 0:
                    force = pulls[row] + part * (pulls[row + 1] - pulls[row])
                    for axis in range(dimensions):
                        step = rate * min(limit, max(-limit, force * apart[axis]))
                        places[moved, axis] += step
                        places[fixed, axis] -= step
                else:
                    force = pushes[row] + part * (pushes[row + 1] - pushes[row])
                    for axis in range(dimensions):
                        places[moved, axis] += rate * min(limit, max(-limit, force * apart[axis]))
