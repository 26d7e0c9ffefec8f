"""A classifier of two storeys, both ridge regressions: a teacher of silver, whose scores stand beside the columns that
a head of gold sees.

In one regression, thousands of names that are wrong for a fifth of their cells would outvote a hundred answers. Apart,
the head learns how far to trust the teacher, and where.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .calibration import softmax

_TEACHER_RIDGE = 3.0
_TRUST = 3.0
"""The teacher's scores are so large beside other columns: the larger, the less a head of few answers strays from it."""
_ANCHOR = 0.003
"""What a silver cell counts for in the head beside a gold one: without any, two dozen answers that were asked for where
it is doubtful would decide about everything."""
_ENOUGH = 5
"""With so many answers, a class can do without stand-ins."""
_SEED = 0
_RIDGE, _AT = 1.0, 500
_FEWEST, _MOST = 0.3, 3.0
"""The head's ridge: `_RIDGE` with `_AT` answers, less with more, as the root of their number, between these bounds."""
_TEMPERATURE = 0.15
_CHUNK_ROWS = 8192
"""Sums of more rows than these would lose digits in float32."""


@dataclass
class Sums:
    """What a ridge regression must know of the rows it has seen; sums, so their order does not matter.

    Attributes
    ----------
    products : numpy.ndarray
        D × D float64.
    targets : numpy.ndarray
        D × K float64.
    count : int
        Of rows.
    """

    products: np.ndarray
    targets: np.ndarray
    count: int

    @classmethod
    def none(cls, columns: int, classes: int) -> Sums:
        """Return the sums of no rows."""
        return cls(np.zeros((columns, columns)), np.zeros((columns, classes)), 0)

    def add(self, rows: np.ndarray, classes: np.ndarray) -> None:
        """Add n × D rows of known classes, numbers from 0."""
        every = np.eye(self.targets.shape[1], dtype=rows.dtype)
        for start in range(0, len(rows), _CHUNK_ROWS):
            part = rows[start : start + _CHUNK_ROWS]
            self.products += part.T @ part
            self.targets += part.T @ every[classes[start : start + _CHUNK_ROWS]]
        self.count += len(rows)

    def __add__(self, other: Sums) -> Sums:
        return Sums(self.products + other.products, self.targets + other.targets, self.count + other.count)

    def weights(self, ridge: float) -> np.ndarray:
        """Solve; returns D × K."""
        from scipy.linalg import cho_factor, cho_solve

        products = self.products.copy()
        products[np.diag_indices(len(products))] += ridge
        return cho_solve(cho_factor(products, overwrite_a=True, check_finite=False), self.targets, check_finite=False)


def teacher(silver: Sums) -> np.ndarray | None:
    """Learn from silver alone, D × K; None without any."""
    return silver.weights(_TEACHER_RIDGE) if silver.count else None


def head(silver: Sums, taught: np.ndarray | None, gold: Sums, ridge: float) -> np.ndarray:
    """Learn from gold, with the teacher's scores beside the columns.

    Parameters
    ----------
    silver
        Anchors the head.
    taught
        What `teacher` made of it.
    gold
        What people said of cells.
    ridge
        See `usual_ridge`.

    Returns
    -------
    numpy.ndarray
        D × K: the head's own weights, and those of the teacher as far as the head trusts it; all 0 if nothing is known.
    """
    if not gold.count:
        return np.zeros_like(gold.targets) if taught is None else taught
    if taught is None:
        return gold.weights(ridge)
    products = gold.products + _ANCHOR * silver.products
    targets = gold.targets + _ANCHOR * silver.targets
    # Columns beside which the teacher's scores stand, without making them: [rows, rows @ beside].
    beside = _TRUST * taught
    crossed = products @ beside
    wide = np.block([[products, crossed], [crossed.T, beside.T @ crossed]])
    found = Sums(wide, np.concatenate([targets, beside.T @ targets]), gold.count).weights(ridge)
    return found[: len(products)] + beside @ found[len(products) :]


def stand_ins(gold: np.ndarray, silver: np.ndarray, classes: int) -> np.ndarray:
    """Choose silver cells that stand beside gold ones, of classes that hardly anybody looked at.

    A head that never saw a class would never say it, however many clusters were named so. As many as there would be of
    it if answers were as common as names, up to `_ENOUGH` together with those that there are.

    Parameters
    ----------
    gold, silver
        n classes each, numbers from 0; −1: unknown.
    classes
        K.

    Returns
    -------
    numpy.ndarray
        Rows, rising.
    """
    answers, names = (np.bincount(known[known >= 0], minlength=classes) for known in (gold, silver))
    wished = np.minimum(np.rint(answers.sum() * names / max(1, names.sum())), _ENOUGH).astype(int) - answers
    rng = np.random.default_rng(_SEED)
    chosen = [
        rng.choice(own, min(count, len(own)), replace=False)
        for own, count in ((np.flatnonzero(silver == one), wished[one]) for one in range(classes))
        if count > 0
    ]
    return np.sort(np.concatenate(chosen)) if chosen else np.empty(0, np.int64)


def usual_ridge(answers: int) -> float:
    """Return the ridge of a head of so many answers, at least one, that is to serve the cells it was asked about."""
    return float(np.clip(_RIDGE * np.sqrt(_AT / answers), _FEWEST, _MOST))


class Classifier:
    """What cells are, learnt from names of clusters and from answers.

    Parameters
    ----------
    rows
        N × D, all cells in a basis (see `basis.Basis.of`).
    classes
        K.
    """

    def __init__(self, rows: np.ndarray, classes: int):
        self._rows, self._classes = rows, classes
        self._answers = np.full(len(rows), -1)
        self.name(np.empty(0, int), np.empty(0, int))

    @property
    def answers(self) -> np.ndarray:
        """Per cell what a person said of it; −1: nothing."""
        return self._answers

    def name(self, cells: np.ndarray, classes: np.ndarray) -> None:
        """Take the names of clusters, all of them: what was named before is forgotten.

        Parameters
        ----------
        cells
            Rows of cells whose clusters have names.
        classes
            Of each, the name.
        """
        self._names = np.full(len(self._rows), -1)
        self._names[cells] = classes
        self._silver = Sums.none(self._rows.shape[1], self._classes)
        self._silver.add(self._rows[cells], classes)
        self._teacher = teacher(self._silver)

    def answer(self, cells: np.ndarray, classes: np.ndarray) -> None:
        """Take answers about cells; the last about a cell counts."""
        self._answers[cells] = classes

    def scores(self) -> np.ndarray:
        """Learn from all that was said, and return N × K scores; all 0 if nothing was."""
        known = np.flatnonzero(self._answers >= 0)
        others = stand_ins(self._answers, np.where(self._answers < 0, self._names, -1), self._classes)
        gold = Sums.none(self._rows.shape[1], self._classes)
        gold.add(self._rows[known], self._answers[known])
        gold.add(self._rows[others], self._names[others])
        weights = head(self._silver, self._teacher, gold, usual_ridge(max(1, len(known))))
        return self._rows @ weights.astype(self._rows.dtype)


def probabilities(scores: np.ndarray) -> np.ndarray:
    """Turn scores of a regression on 0 and 1 into probabilities, N × K.

    They serve to choose what to ask; they are not calibrated.
    """
    return softmax(scores / _TEMPERATURE)
