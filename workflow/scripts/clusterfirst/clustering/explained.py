"""What naming clusters would tell of the cells, judged without a truth."""

from __future__ import annotations

import numpy as np

NAMES = 25
"""As many groups as a person can be asked to name."""


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
    if not len(values):
        return 0.0
    middle = values.mean(axis=0, dtype=np.float64)
    total = float(np.var(values, axis=0, dtype=np.float64).sum()) * len(values)
    named = np.flatnonzero((groups >= 0) & (groups < names))
    if not len(named) or total <= 0:
        return 0.0
    centres, sizes = means(values[named], groups[named])
    return float(np.clip((sizes * np.square(centres - middle).sum(axis=1)).sum() / total, 0, 1))


def means(values: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the groups' mean values (G × D) and sizes; every group from 0 has a row, noise (−1) has none."""
    kept = np.flatnonzero(groups >= 0)
    sizes = np.bincount(groups[kept])
    sums = np.stack([np.bincount(groups[kept], weights=column[kept]) for column in values.T], axis=1)
    return sums / np.maximum(sizes, 1)[:, None], sizes
