"""Cells that are the same to the numbers: which, and how many different ones there are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_CHUNK_ROWS = 50_000
_NOTHING = 1e-6
"""Of the usual size of values: what sums leave of zero, and differs from row to row."""


@dataclass(frozen=True)
class Coinciding:
    """Rows of which some may be equal.

    Attributes
    ----------
    first : numpy.ndarray
        Of each row, the first that is equal to it; itself where none is before it.
    """

    first: np.ndarray

    @classmethod
    def among(cls, values: np.ndarray) -> Coinciding:
        """Compare rows of floats, but for what rounding leaves of zero."""
        values = np.asarray(values)
        starts = range(0, len(values), _CHUNK_ROWS)
        squares = sum(float(np.square(values[start : start + _CHUNK_ROWS], dtype=float).sum()) for start in starts)
        size = np.sqrt(squares / max(1, values.size))
        keys = np.empty(len(values), np.uint64)
        for start in starts:
            keys[start : start + _CHUNK_ROWS] = _keys(_settled(values[start : start + _CHUNK_ROWS], size))
        _, first, group = np.unique(keys, return_index=True, return_inverse=True)
        first = first[group.reshape(-1)]
        repeated = np.flatnonzero(first != np.arange(len(first)))
        # Keys are short: now and then, different rows have the same.
        same = [
            (_settled(values[rows], size) == _settled(values[first[rows]], size)).all(axis=1)
            for rows in np.array_split(repeated, max(1, -(-len(repeated) // _CHUNK_ROWS)))
        ]
        wrong = repeated[~np.concatenate(same)]
        first[wrong] = wrong
        return cls(first)

    @property
    def different(self) -> np.ndarray:
        """One row of each kind, ascending."""
        return np.flatnonzero(self.first == np.arange(len(self.first)))

    @property
    def number(self) -> np.ndarray:
        """Of each row, where among `different` the one is that is equal to it."""
        return np.searchsorted(self.different, self.first)


def _settled(rows: np.ndarray, size: float) -> np.ndarray:
    rows = np.asarray(rows, np.float32)
    return np.where(np.abs(rows) <= _NOTHING * size, np.float32(0), rows)


def _keys(rows: np.ndarray) -> np.ndarray:
    """Return 64 bits for each row, the same for the same."""
    weights = np.random.default_rng(0).integers(0, 2**63, rows.shape[1], dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    bits = np.ascontiguousarray(rows).view(np.uint32).astype(np.uint64)
    # Shuffled before they are added up, for floats end in zeros.
    bits = (bits ^ (bits << np.uint64(29))) * np.uint64(0x9E3779B97F4A7C15)
    return ((bits ^ (bits >> np.uint64(31))) * weights).sum(axis=1, dtype=np.uint64)
