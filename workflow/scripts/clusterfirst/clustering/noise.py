"""Noise given to the clusters it lies nearest to."""

from __future__ import annotations

import numpy as np

from .neighbours import USUAL, Points
from .numbering import NOISE
from .variance import means


def adopt(points: Points, groups: np.ndarray) -> np.ndarray:
    """Give each noise cell to the group that most of its 15 nearest neighbours are in (ties: the nearest of them).

    Cells next to a group join it first, then those next to these, and so on; what is then left, islands of noise,
    joins the group with the nearest mean. Where all is noise, it remains.

    Parameters
    ----------
    points
        N cells.
    groups
        Per row, from 0; −1 is noise.

    Returns
    -------
    numpy.ndarray
        Groups per row, a new array.
    """
    groups = groups.copy()
    if (groups == NOISE).all():
        return groups
    centres, _ = means(points.values, groups)
    _, indices = points.nearest(USUAL)
    left = np.flatnonzero(groups == NOISE)
    while len(left):
        votes = groups[indices[left]]
        near = (votes != NOISE).any(axis=1)
        if not near.any():
            groups[left] = _nearest_mean(points.values[left], centres)
            break
        groups[left[near]] = _most(votes[near])
        left = left[~near]
    return groups


def _most(votes: np.ndarray) -> np.ndarray:
    """Return each row's most frequent value that is not noise; among equals the leftmost."""
    count = np.zeros(votes.shape, np.int16)
    for column in votes.T:
        count += votes == column[:, None]
    count[votes == NOISE] = 0
    return votes[np.arange(len(votes)), count.argmax(axis=1)]


def _nearest_mean(values: np.ndarray, centres: np.ndarray) -> np.ndarray:
    from scipy.spatial import cKDTree

    return cKDTree(centres).query(values)[1]
