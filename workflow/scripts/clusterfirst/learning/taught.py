"""The cells that teach, described; and each judged by what others teach, when all of its patient are left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..io import progress
from ..reduction.inputs import SlideEmbedding
from . import novelty
from .basis import Basis
from .classifier import Sums, head, stand_ins, teacher
from .novelty import Crowd
from .recipe import Recipe
from .teaching import Lesson

PATIENTS, SLIDES, STRIPS = "patients", "slides", "strips"
"""What is left out in turn: the slides of a patient; of one patient only, slides; of one slide, strips of it, which is
worse than slides left out, and better than nothing."""
_MOST_SILVER = 100_000
"""Of more cells whose clusters have names, so many teach, drawn at random: more change nothing but take longer."""
_FOLDS, _OF_A_SLIDE = 5, 4
_SEED = 0


@dataclass(frozen=True)
class Taught:
    """The n cells that teach, and look-alikes among all cells of their slides.

    Attributes
    ----------
    lesson : Lesson
        What is known of all cells of their slides.
    recipe : Recipe
        How they are described.
    basis : Basis
        Drawn for them.
    cell : numpy.ndarray
        n int: rows of the lesson.
    own : numpy.ndarray
        n × d: their own part of what describes them.
    columns : numpy.ndarray
        n × D, in the basis.
    patient : numpy.ndarray
        Number of each slide's patient, from 0.
    left_out : str
        What is left out in turn: `PATIENTS`, `SLIDES` or `STRIPS`.
    fold : numpy.ndarray
        n int: with whom it is left out.
    crowds : list of Crowd
        Of each slide.
    """

    lesson: Lesson
    recipe: Recipe
    basis: Basis
    cell: np.ndarray
    own: np.ndarray
    columns: np.ndarray
    patient: np.ndarray
    left_out: str
    fold: np.ndarray
    crowds: Sequence[Crowd]

    @classmethod
    def of(
        cls,
        slides: Sequence[SlideEmbedding],
        lesson: Lesson,
        recipe: Recipe,
        *,
        features: int,
        patients: Sequence[str],
        threads: int,
    ) -> Taught:
        """Describe the cells that teach.

        Parameters
        ----------
        slides
            Those that somebody labelled.
        lesson
            What is known of their cells.
        recipe
            Fitted to them.
        features
            See `Basis.draw`.
        patients
            Whose each slide is.
        """
        rng = np.random.default_rng(_SEED)
        silver = np.flatnonzero(lesson.silver >= 0)
        if len(silver) > _MOST_SILVER:
            silver = np.sort(rng.choice(silver, _MOST_SILVER, replace=False))
        teaches = lesson.gold >= 0
        teaches[silver] = True
        described, crowds, start = [], [], 0
        for slide in progress(slides, total=len(slides), what="slides that teach"):
            wanted = teaches[start : start + len(slide.values)]
            described += [part[wanted[rows]] for rows, part in recipe.walk(slide, threads=threads)]
            crowds.append(Crowd.of(recipe.own(slide, novelty.sampled(len(slide.values)))))
            start += len(slide.values)
        found, cell = np.concatenate(described), np.flatnonzero(teaches)
        basis = Basis.draw(found, features, seed=_SEED)
        patient = np.unique(list(patients), return_inverse=True)[1]
        places = np.concatenate([slide.positions[:, 0] for slide in slides])
        left_out, fold = _folds(lesson.slide[cell], patient, places[cell])
        own = found[:, : recipe.preparation.width]
        return cls(lesson, recipe, basis, cell, own, basis.of(found), patient, left_out, fold, crowds)

    @property
    def classes(self) -> int:
        """How many."""
        return len(self.lesson.classes)

    @property
    def gold(self) -> np.ndarray:
        """Of the n cells; see `Lesson`."""
        return self.lesson.gold[self.cell]

    @property
    def silver(self) -> np.ndarray:
        """Of the n cells; see `Lesson`."""
        return self.lesson.silver[self.cell]

    @property
    def slide(self) -> np.ndarray:
        """Of the n cells."""
        return self.lesson.slide[self.cell]

    @property
    def truth(self) -> np.ndarray:
        """Of the n cells what is known, by whichever says something."""
        return self.lesson.known[self.cell]

    def weights(self, ridge: float) -> np.ndarray:
        """Learn from all of them; see `classifier.head`."""
        names = sum(self._silver, self._nothing)
        return head(names, teacher(names), sum(self.answers, self._nothing), ridge)

    @cached_property
    def answers(self) -> list[Sums]:
        """All answers, see `answers_of`."""
        return self.answers_of(self.gold)

    def answers_of(self, gold: np.ndarray) -> list[Sums]:
        """Return by fold some answers, and names where they stand in for them.

        Parameters
        ----------
        gold
            n int: answers, of which there may be fewer than were given.
        """
        others = stand_ins(gold, self.silver, self.classes)
        seen = gold.copy()
        seen[others] = self.silver[others]
        return self._by_fold(seen)

    def scores(self, answers: Sequence[Sums], ridge: float) -> np.ndarray:
        """Return n × K scores of all of them, each by what the other folds teach.

        Parameters
        ----------
        answers
            See `answers_of`.
        """
        out = np.empty((len(self.cell), self.classes))
        others = _without(answers, self._nothing)
        for fold, (names, learnt) in enumerate(self._teachers):
            own = self.fold == fold
            weights = head(names, learnt, others[fold], ridge)
            out[own] = self.columns[own] @ weights.astype(np.float32)
        return out

    def strangeness(self) -> np.ndarray:
        """Return how unlike each is to exemplars of other folds."""
        rng, out = np.random.default_rng(_SEED), np.empty(len(self.cell), np.float32)
        for fold in np.unique(self.fold):
            left_out = self.fold == fold
            others = ~left_out if (~left_out).any() else left_out
            exemplars = novelty.choose(self.own[others], self.truth[others], rng)
            for slide in np.unique(self.slide[left_out]):
                here = left_out & (self.slide == slide)
                out[here] = novelty.strangeness(self.crowds[slide], exemplars)(self.own[here])
        return out

    @property
    def _nothing(self) -> Sums:
        return Sums.none(self.columns.shape[1], self.classes)

    @cached_property
    def _silver(self) -> list[Sums]:
        return self._by_fold(self.silver)

    @cached_property
    def _teachers(self) -> list[tuple[Sums, np.ndarray | None]]:
        """Of each fold, the names of all others, and what they teach."""
        return [(names, teacher(names)) for names in _without(self._silver, self._nothing)]

    def _by_fold(self, said: np.ndarray) -> list[Sums]:
        out = []
        for fold in range(self.fold.max() + 1):
            own = (self.fold == fold) & (said >= 0)
            out.append(self._nothing)
            out[-1].add(self.columns[own], said[own])
        return out


def _without(parts: Sequence[Sums], nothing: Sums) -> list[Sums]:
    """Of each fold, the sums of all others."""
    return [sum((one for place, one in enumerate(parts) if place != fold), nothing) for fold in range(len(parts))]


def _folds(slide: np.ndarray, patient: np.ndarray, x: np.ndarray) -> tuple[str, np.ndarray]:
    """Deal patients out to folds, or slides, or a single slide's strips of as many cells."""
    for kind, unit in ((PATIENTS, patient[slide]), (SLIDES, slide)):
        present, number = np.unique(unit, return_inverse=True)
        if len(present) > 1:
            return (SLIDES if len(np.unique(patient)) == len(patient) else kind), number % _FOLDS
    return STRIPS, (np.argsort(np.argsort(x, kind="stable")) * _OF_A_SLIDE) // len(x)
