"""What to show a person next: pages of cells that look alike and are all taken for one class, to be corrected."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .classifier import probabilities

_DOUBTFUL = 400
"""A page begins with one of so many cells, those most likely wrong."""
_TRIED = 10
"""So many pages, drawn at random, are weighed up against each other; with more, pages were alike, and taught less."""
_AROUND = 300
"""A page is filled from so many cells of its class, those most likely wrong."""


def pages(
    scores: np.ndarray, free: np.ndarray, costs: Mapping[str, Any], *, count: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """Choose pages of cells that are taken for one class each, by how many are put right per second of a person.

    A page with so many seconds of looking, and more for each correction, puts as many cells right as are wrong on it,
    and teaches what they are. Cells on it have scores alike: they look alike to the classifier.

    Parameters
    ----------
    scores
        N × K, see `classifier.Classifier.scores`.
    free
        N bool: cells that may be asked.
    costs
        ``page_cells``; ``page_seconds`` and ``correction_seconds``.
    count
        How many pages; fewer, and smaller ones, where few cells are left.
    rng
        Chooses which pages are tried.

    Returns
    -------
    list of numpy.ndarray
        Rows of the cells of each page.
    """
    chance = probabilities(scores)
    taken_for = scores.argmax(axis=1)
    wrong = 1 - chance[np.arange(len(chance)), taken_for]
    free, chosen = free.copy(), []
    while len(chosen) < count and free.any():
        left = np.flatnonzero(free)
        doubtful = _most(left, wrong, _DOUBTFUL)
        best, gain = doubtful[:0], -1.0
        for first in rng.choice(doubtful, min(_TRIED, len(doubtful)), replace=False):
            near = _most(left[taken_for[left] == taken_for[first]], wrong, _AROUND)
            distance = ((scores[near] - scores[first]) ** 2).sum(axis=1)
            page = near[np.argsort(distance, kind="stable")[: costs["page_cells"]]]
            corrections = wrong[page].sum()
            found = corrections / (costs["page_seconds"] + costs["correction_seconds"] * corrections)
            if found > gain:
                best, gain = page, found
        chosen.append(best)
        free[best] = False
    return chosen


def most_doubtful(scores: np.ndarray, free: np.ndarray, count: int) -> np.ndarray:
    """Return the free cells whose two likeliest classes are closest, the closest first."""
    left = np.flatnonzero(free)
    likely = np.sort(probabilities(scores[left]), axis=1)
    margin = likely[:, -1] - likely[:, -2] if likely.shape[1] > 1 else likely[:, -1]
    return left[np.argsort(margin, kind="stable")[:count]]


def _most(cells: np.ndarray, wrong: np.ndarray, count: int) -> np.ndarray:
    return cells[np.argsort(-wrong[cells], kind="stable")[:count]]
