"""From what people said of some slides to an atlas, and how right that is on slides left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..io import progress
from ..reduction.inputs import SlideEmbedding
from . import novelty
from .atlas import Atlas
from .basis import Basis
from .calibration import Calibration, calibration_error, reliability
from .classifier import Sums, head, stand_ins, teacher, usual_ridge
from .novelty import Crowd
from .recipe import Recipe
from .teaching import Lesson

_MOST_SILVER = 100_000
"""Of more cells whose clusters have names, so many teach, drawn at random: more change nothing but take longer."""
_FOLDS = 5
_STRIPS = 4
"""A single slide is cut into so many upright strips: worse than slides left out, and better than nothing."""
_RIDGES = (1.0, 3.0, 10.0, 30.0)
_ENOUGH = 50
"""With fewer cells that people looked at, the ridge is chosen by names of clusters, too."""
_SEED = 0
_DRAWS = 2000


@dataclass(frozen=True)
class _Rows:
    """Cells that teach: described, what they are, and in which fold they are left out; and all cells of their slides."""

    own: np.ndarray
    columns: np.ndarray
    gold: np.ndarray
    silver: np.ndarray
    slide: np.ndarray
    fold: np.ndarray
    crowds: Sequence[Crowd]

    @property
    def known(self) -> np.ndarray:
        return np.where(self.gold >= 0, self.gold, self.silver)


def learn(
    name: str,
    slides: Sequence[SlideEmbedding],
    lesson: Lesson,
    *,
    embedding: Mapping[str, Any],
    mpp: Sequence[float],
    reduction: Mapping[str, Any],
    learning: Mapping[str, Any],
    threads: int = 1,
) -> Atlas:
    """Learn an atlas.

    Parameters
    ----------
    name
        Of the atlas.
    slides
        Those that somebody labelled.
    lesson
        What is known of their cells.
    embedding
        ``embeddings.json`` of one of them; all are embedded alike.
    mpp
        Of each, µm per level-0 pixel.
    reduction, learning
        Those sections of the configuration.
    """
    recipe = Recipe.fit(slides, reduction, learning)
    rows, basis = _taught(slides, lesson, recipe, learning, threads)
    classes = len(lesson.classes)
    folds = range(int(rows.fold.max()) + 1)
    others = stand_ins(rows.gold, rows.silver, classes)
    seen = rows.gold.copy()
    seen[others] = rows.silver[others]
    silver, gold = ([_sums(rows, said, fold, classes) for fold in folds] for said in (rows.silver, seen))
    truth, looked_at = rows.known, rows.gold >= 0
    judging = looked_at if looked_at.sum() >= _ENOUGH else np.ones(len(truth), bool)

    tried = {ridge: _left_out(rows, silver, gold, ridge) for ridge in _ridges(gold)}
    right = {ridge: _right(scores, truth, judging) for ridge, scores in tried.items()}
    ridge = max(right, key=lambda one: (right[one], one))
    scores = tried[ridge]
    # By all that is known: cells that people looked at were asked about because they were in doubt, and by these alone
    # it would be far too modest about all others.
    calibration = Calibration.fit(scores, truth, scores)
    exemplars = novelty.choose(rows.own, truth, np.random.default_rng(_SEED))
    strange = novelty.Novelty.fit(exemplars, _strangeness(rows))
    every_silver, every_gold = (sum(parts[1:], parts[0]) for parts in (silver, gold))
    weights = head(every_silver, teacher(every_silver), every_gold, ridge)
    measured = _measured(calibration.probabilities(scores), truth, rows.slide, lesson)
    return Atlas(
        name=name,
        classes=lesson.classes,
        embedding={key: embedding[key] for key in ("settings", "models")},
        mpp=(min(mpp), max(mpp)),
        recipe=recipe,
        basis=basis,
        weights=weights.astype(np.float32),
        calibration=calibration,
        novelty=strange,
        taught=_account(slides, lesson, rows),
        measured={
            "left_out": "slides" if len(lesson.slides) > 1 else "strips",
            "ridge": ridge,
            "ridges": [{"ridge": one, "right": share} for one, share in right.items()],
            "reviewed": {"cells": int(looked_at.sum()), "right": _right(scores, truth, looked_at)},
            "named": {"cells": int((~looked_at).sum()), "right": _right(scores, truth, ~looked_at)},
            **measured,
        },
    )


def _right(scores: np.ndarray, truth: np.ndarray, some: np.ndarray) -> float | None:
    """Which share of some cells (n bool) is right; None of none."""
    return float((scores[some].argmax(axis=1) == truth[some]).mean()) if some.any() else None


def _ridges(gold: Sequence[Sums]) -> tuple[float, ...]:
    """Without gold there is no head, and nothing to choose."""
    return _RIDGES if sum(one.count for one in gold) else (usual_ridge(1),)


def _taught(
    slides: Sequence[SlideEmbedding], lesson: Lesson, recipe: Recipe, learning: Mapping[str, Any], threads: int
) -> tuple[_Rows, Basis]:
    """Describe the cells that teach, and draw a basis for them."""
    rng = np.random.default_rng(_SEED)
    silver = np.flatnonzero(lesson.silver >= 0)
    if len(silver) > _MOST_SILVER:
        silver = np.sort(rng.choice(silver, _MOST_SILVER, replace=False))
    teaches = lesson.gold >= 0
    teaches[silver] = True
    described, crowds, start = [], [], 0
    for slide in progress(slides, total=len(slides), what="slides that teach"):
        wanted, own = teaches[start : start + len(slide.values)], recipe.own(slide)
        described += [part[wanted[rows]] for rows, part in recipe.walk(own, slide.positions, threads=threads)]
        crowds.append(Crowd.of(own, seed=_SEED))
        start += len(slide.values)
    chosen = np.flatnonzero(teaches)
    found = np.concatenate(described)
    basis = Basis.draw(found, learning["random_features"], seed=_SEED)
    places = np.concatenate([slide.positions[:, 0] for slide in slides])
    rows = _Rows(
        found[:, : recipe.preparation.width],
        basis.of(found),
        lesson.gold[chosen],
        lesson.silver[chosen],
        lesson.slide[chosen],
        _folds(lesson.slide[chosen], places[chosen]),
        crowds,
    )
    return rows, basis


def _folds(slide: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Deal slides out to folds; or a single slide's strips of as many cells."""
    present, number = np.unique(slide, return_inverse=True)
    if len(present) > 1:
        return number % _FOLDS
    return (np.argsort(np.argsort(x, kind="stable")) * _STRIPS) // len(x)


def _sums(rows: _Rows, said: np.ndarray, fold: int, classes: int) -> Sums:
    own = (rows.fold == fold) & (said >= 0)
    sums = Sums.none(rows.columns.shape[1], classes)
    sums.add(rows.columns[own], said[own])
    return sums


def _left_out(rows: _Rows, silver: Sequence[Sums], gold: Sequence[Sums], ridge: float) -> np.ndarray:
    """Scores of all cells, each by what the other folds teach."""
    out = np.empty((len(rows.columns), silver[0].targets.shape[1]))
    for fold in range(len(silver)):
        own = rows.fold == fold
        others = [
            sum((one for place, one in enumerate(parts) if place != fold), Sums.none(*parts[0].targets.shape))
            for parts in (silver, gold)
        ]
        weights = head(others[0], teacher(others[0]), others[1], ridge)
        out[own] = rows.columns[own] @ weights.astype(np.float32)
    return out


def _strangeness(rows: _Rows) -> np.ndarray:
    """How unlike each known cell is to exemplars of other folds."""
    rng, out = np.random.default_rng(_SEED), np.empty(len(rows.own), np.float32)
    for fold in np.unique(rows.fold):
        own = rows.fold == fold
        others = ~own if (~own).any() else own
        exemplars = novelty.choose(rows.own[others], rows.known[others], rng)
        for slide in np.unique(rows.slide[own]):
            here = own & (rows.slide == slide)
            out[here] = novelty.strangeness(rows.own[here], rows.crowds[slide], exemplars)
    return out


def _account(slides: Sequence[SlideEmbedding], lesson: Lesson, rows: _Rows) -> dict:
    """By what it was taught."""

    def by_class(said: np.ndarray) -> dict[str, int]:
        counts = np.bincount(said[said >= 0], minlength=len(lesson.classes)).tolist()
        return {entry["name"]: count for entry, count in zip(lesson.classes, counts, strict=True)}

    return {
        "slides": list(lesson.slides),
        "cells": sum(len(slide.values) for slide in slides),
        "reviewed": by_class(lesson.gold),
        "named": by_class(lesson.silver),
        "used": len(rows.own),
    }


def _measured(chances: np.ndarray, truth: np.ndarray, slide: np.ndarray, lesson: Lesson) -> dict:
    """How right, how sure, and what is taken for what, where left out."""
    said, sure = chances.argmax(axis=1), chances.max(axis=1)
    right = said == truth
    numbers = np.unique(slide)
    by_slide = np.array([(right[slide == one].sum(), (slide == one).sum()) for one in numbers])
    low, high = interval(by_slide)
    confusion = np.zeros((len(lesson.classes),) * 2, np.int64)
    np.add.at(confusion, (truth, said), 1)
    bins = reliability(chances, truth)
    order = np.argsort(-sure, kind="stable")
    kept = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    at = [max(1, round(len(order) * percent / 100)) for percent in range(5, 101, 5)]
    return {
        "cells": len(truth),
        "right": float(right.mean()),
        "low": low,
        "high": high,
        "commonest": float(np.bincount(truth).max() / len(truth)),
        "slides": [
            {"slide": lesson.slides[one], "cells": int(total), "right": int(count)}
            for one, (count, total) in zip(numbers, by_slide, strict=True)
        ],
        "confusion": confusion.tolist(),
        "reliability": bins,
        "calibration_error": calibration_error(bins),
        "coverage": [
            {"share": count / len(order), "right": float(kept[count - 1]), "least": float(sure[order[count - 1]])}
            for count in at
        ],
    }


def interval(by_slide: np.ndarray) -> tuple[float | None, float | None]:
    """Return the 95 % interval of a share, over slides drawn with replacement; none of fewer than three.

    Parameters
    ----------
    by_slide
        Slides × 2: how many cells are right, and how many there are.
    """
    if len(by_slide) < 3:
        return None, None
    rng = np.random.default_rng(_SEED)
    drawn = by_slide[rng.integers(len(by_slide), size=(_DRAWS, len(by_slide)))].sum(axis=1)
    low, high = np.quantile(drawn[:, 0] / drawn[:, 1], [0.025, 0.975])
    return float(low), float(high)
