"""How groups are numbered: by size."""

from __future__ import annotations

import hashlib
from itertools import pairwise

import numpy as np

NOISE = -1


def by_size(groups: np.ndarray) -> np.ndarray:
    """Renumber groups so that 0 is the largest; ties by the first cell. Noise stays −1."""
    names, first, number, sizes = np.unique(groups, return_index=True, return_inverse=True, return_counts=True)
    noise = names == NOISE
    order = np.lexsort((first, -sizes, noise))
    renamed = np.empty(len(names), int)
    renamed[order] = np.arange(len(names))
    renamed[noise] = NOISE
    return renamed[number]


def members(numbers: np.ndarray) -> list[np.ndarray]:
    """Return the rows of each group, ascending, from group 0; noise has none."""
    order = np.argsort(numbers, kind="stable")
    starts = np.searchsorted(numbers[order], np.arange(int(numbers.max(initial=NOISE)) + 2))
    return [order[start:end] for start, end in pairwise(starts)]


def fingerprint(numbers: np.ndarray) -> str:
    """Return a sha256 of the groups that cells are in, in their order."""
    return hashlib.sha256(np.ascontiguousarray(numbers, "<i4").tobytes()).hexdigest()
