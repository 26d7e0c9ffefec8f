"""How unlike a cell is to anything that was taught: the distance to the nearest of some cells that stand for it.

A cell's own columns are compared, not those of its neighbours: a known cell in new surroundings is a known cell.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

EXEMPLARS = 2000
_QUANTILES = 1001
_CHUNK_ROWS = 8192


@dataclass(frozen=True)
class Novelty:
    """What was taught, and how far from it cells of a slide that did not teach usually are.

    Attributes
    ----------
    exemplars : numpy.ndarray
        M × d float32.
    usual : numpy.ndarray
        Q float64, rising: quantiles, evenly spaced from the smallest to the largest, of the distances of taught kinds
        of cells from exemplars of other slides.
    """

    exemplars: np.ndarray
    usual: np.ndarray

    @classmethod
    def fit(cls, exemplars: np.ndarray, distances: np.ndarray) -> Novelty:
        """Learn what is usual.

        Parameters
        ----------
        exemplars
            M × d, see `choose`.
        distances
            Of cells of taught classes from exemplars of slides that are not theirs.
        """
        return cls(exemplars, np.quantile(distances.astype(np.float64), np.linspace(0, 1, _QUANTILES)))

    def of(self, rows: np.ndarray) -> np.ndarray:
        """Return the share of cells of taught kinds that are less unlike what was taught, n in 0 to 1.

        So of cells of taught kinds, on slides like those that taught, a share of 1 − t has a novelty above t.
        """
        ranks = np.linspace(0, 1, len(self.usual))
        return np.interp(distances(rows, self.exemplars), self.usual, ranks)


def choose(rows: np.ndarray, classes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Choose exemplars: as many of each class, as far as it has so many, and `EXEMPLARS` at most.

    Parameters
    ----------
    rows
        n × d.
    classes
        n, what they are.
    """
    present = np.unique(classes)
    each = max(1, EXEMPLARS // len(present))
    picked = [
        own if len(own) <= each else np.sort(rng.choice(own, each, replace=False))
        for own in (np.flatnonzero(classes == one) for one in present)
    ]
    return rows[np.concatenate(picked)]


def distances(rows: np.ndarray, exemplars: np.ndarray) -> np.ndarray:
    """Return the distance from each row to the nearest exemplar, n float32."""
    out = np.empty(len(rows), np.float32)
    squares = (exemplars**2).sum(axis=1)
    for start in range(0, len(rows), _CHUNK_ROWS):
        part = rows[start : start + _CHUNK_ROWS]
        nearest = (squares - 2 * (part @ exemplars.T)).min(axis=1) + (part**2).sum(axis=1)
        out[start : start + len(part)] = np.sqrt(np.maximum(nearest, 0))
    return out
