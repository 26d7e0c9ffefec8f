"""What naming clusters would tell of the cells, judged without a truth."""

from __future__ import annotations

import numpy as np

NAMES = 25
"""As many groups as a person can be asked to name."""
SOME_NAMES = (5, 10, NAMES, 50)
"""For tables and curves over the number of names."""


def explained(values: np.ndarray, groups: np.ndarray, *, names: int = NAMES) -> float:
    """Return the share of the cells' variance that the `names` largest groups tell.

    Each cell of these is replaced by its group's mean, every other cell, noise included, by the mean of all. So one
    group for everything tells nothing, and neither does noise, nor a crowd of groups too small to be named.

    Parameters
    ----------
    values
        N × D.
    groups
        Per row, numbered by size from 0; −1 is noise.

    Returns
    -------
    float
        In [0, 1]; 0 where the cells do not vary.
    """
    named = np.where(groups < names, groups, -1)
    if not (named >= 0).any():
        return 0.0
    middle = values.mean(axis=0, dtype=np.float64)
    # Column by column: the squares of all at once would be another, larger copy of the values.
    total = len(values) * sum(np.var(column, dtype=np.float64) for column in values.T)
    centres, sizes = means(values, named)
    between = (sizes * np.square(centres - middle).sum(axis=1)).sum()
    return float(np.clip(between / total, 0, 1)) if total > 0 else 0.0


def means(values: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the groups' mean values (G × D) and sizes; every group from 0 has a row, noise (−1) has none."""
    kept = np.flatnonzero(groups >= 0)
    sizes = np.bincount(groups[kept])
    sums = np.stack([np.bincount(groups[kept], weights=column[kept]) for column in values.T], axis=1)
    return sums / np.maximum(sizes, 1)[:, None], sizes
