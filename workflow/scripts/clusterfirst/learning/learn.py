"""From what people said of some slides to an atlas, and how right that is on slides left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import novelty
from .atlas import Atlas
from .calibration import Calibration, calibration_error, reliability
from .classifier import usual_ridge
from .taught import Taught

_RIDGES = (1.0, 3.0, 10.0, 30.0)
_ENOUGH = 50
"""With fewer cells that people looked at, these do not judge by themselves."""
_ANSWERS = (0, 25, 50, 100, 200, 400, 800, 1600, 3200)
_SEED = 0
_DRAWS = 2000


def learn(name: str, taught: Taught, *, embedding: Mapping[str, Any], mpp: Sequence[float]) -> tuple[Atlas, np.ndarray]:
    """Learn an atlas.

    Parameters
    ----------
    name
        Of the atlas.
    taught
        What teaches it.
    embedding
        ``embeddings.json`` of one of the slides; all are embedded alike.
    mpp
        Of each, µm per level-0 pixel.

    Returns
    -------
    atlas : Atlas
    chances : numpy.ndarray
        n × K: the probabilities that it would have given the cells that taught it, each where it was left out.
    """
    truth, looked_at = taught.truth, taught.gold >= 0
    judging = looked_at if looked_at.sum() >= _ENOUGH else np.ones(len(truth), bool)
    # Without gold there is no head, and nothing to choose.
    ridges = _RIDGES if looked_at.any() else (usual_ridge(1),)
    tried = {ridge: taught.scores(taught.answers, ridge) for ridge in ridges}
    right = {ridge: _right(scores, truth, judging) for ridge, scores in tried.items()}
    ridge = max(right, key=lambda one: (right[one], one))
    scores = tried[ridge]
    # By all that is known: cells that people looked at were asked about because they were in doubt, and by these alone
    # it would be far too modest about all others. Nor are classes as common among them; of that, names know more.
    calibration = Calibration.fit(scores, truth, skewed=looked_at.any() and not looked_at.all())
    chances = calibration.probabilities(scores)
    exemplars = novelty.choose(taught.own, truth, np.random.default_rng(_SEED))
    atlas = Atlas(
        name=name,
        classes=taught.lesson.classes,
        embedding={key: embedding[key] for key in ("settings", "models")},
        mpp=(min(mpp), max(mpp)),
        recipe=taught.recipe,
        basis=taught.basis,
        weights=taught.weights(ridge).astype(np.float32),
        calibration=calibration,
        novelty=novelty.Novelty.fit(exemplars, taught.strangeness()),
        taught=_account(taught),
        measured={
            "left_out": taught.left_out,
            "ridge": ridge,
            "ridges": [{"ridge": one, "right": share} for one, share in right.items()],
            "reviewed": {"cells": int(looked_at.sum()), "right": _right(scores, truth, looked_at)},
            "named": {"cells": int((~looked_at).sum()), "right": _right(scores, truth, ~looked_at)},
            **_measured(taught, chances),
        },
    )
    return atlas, chances


def by_answers(taught: Taught, ridge: float) -> list[dict]:
    """Find out how right it would have been with fewer answers.

    Parameters
    ----------
    taught
        What teaches.
    ridge
        That was chosen with all answers.

    Returns
    -------
    list of dict
        ``answers``, drawn at random, and of the cells that somebody looked at the share that is ``right`` where they
        are left out; the last with all answers. Empty where too few were looked at to judge.
    """
    gold = taught.gold
    looked_at = np.flatnonzero(gold >= 0)
    if len(looked_at) < _ENOUGH:
        return []
    order = np.random.default_rng(_SEED).permutation(looked_at)
    out = []
    for count in (*(one for one in _ANSWERS if one < len(order)), len(order)):
        fewer = np.full_like(gold, -1)
        fewer[order[:count]] = gold[order[:count]]
        scores = taught.scores(taught.answers_of(fewer), ridge)
        # Without names and answers there is nothing to go by.
        if scores.any():
            out.append({"answers": int(count), "right": _right(scores, taught.truth, gold >= 0)})
    return out


@dataclass(frozen=True)
class Confusion:
    """Cells that people say are one class, and that were taken for another where they were left out.

    Attributes
    ----------
    said, taken : int
        Numbers of classes.
    count : int
        Of cells.
    cells : numpy.ndarray
        Some of them, rows of the lesson: those that somebody looked at first, then those that it was surest about.
    """

    said: int
    taken: int
    count: int
    cells: np.ndarray


def confusions(taught: Taught, chances: np.ndarray, *, most: int, cells: int) -> list[Confusion]:
    """Return what is most often taken for what, `most` pairs of classes at most, with so many cells of each."""
    truth, taken = taught.truth, chances.argmax(axis=1)
    wrong = np.flatnonzero(truth != taken)
    pairs, number, counts = np.unique(
        np.column_stack([truth[wrong], taken[wrong]]), axis=0, return_inverse=True, return_counts=True
    )
    out = []
    for place in np.argsort(-counts, kind="stable")[:most]:
        own = wrong[number.ravel() == place]
        surest = np.lexsort((-chances[own].max(axis=1), taught.gold[own] < 0))
        said, instead = pairs[place].tolist()
        out.append(Confusion(said, instead, int(counts[place]), taught.cell[own[surest[:cells]]]))
    return out


def _right(scores: np.ndarray, truth: np.ndarray, some: np.ndarray) -> float | None:
    """Which share of some cells (n bool) is right; None of none."""
    return float((scores[some].argmax(axis=1) == truth[some]).mean()) if some.any() else None


def _account(taught: Taught) -> dict:
    """By what it was taught."""
    lesson = taught.lesson

    def by_class(said: np.ndarray) -> dict[str, int]:
        counts = np.bincount(said[said >= 0], minlength=len(lesson.classes)).tolist()
        return {entry["name"]: count for entry, count in zip(lesson.classes, counts, strict=True)}

    return {
        "slides": list(lesson.slides),
        "patients": int(taught.patient.max()) + 1,
        "cells": len(lesson.gold),
        "reviewed": by_class(lesson.gold),
        "named": by_class(lesson.silver),
        "used": len(taught.cell),
        "agreement": lesson.agreement,
    }


def _measured(taught: Taught, chances: np.ndarray) -> dict:
    """How right, how sure, and what is taken for what, where left out."""
    lesson, truth, slide = taught.lesson, taught.truth, taught.slide
    said, sure = chances.argmax(axis=1), chances.max(axis=1)
    right = said == truth
    numbers = np.unique(slide)
    by_slide = np.array([(right[slide == one].sum(), (slide == one).sum()) for one in numbers])
    low, high = interval(by_slide, taught.patient[numbers])
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


def interval(by_slide: np.ndarray, patient: np.ndarray) -> tuple[float | None, float | None]:
    """Return the 95 % interval of a share, over patients drawn with replacement; none of fewer than three.

    Parameters
    ----------
    by_slide
        Slides × 2: how many cells are right, and how many there are.
    patient
        Numbers of their patients.
    """
    number = np.unique(patient, return_inverse=True)[1]
    own = np.zeros((number.max(initial=-1) + 1, 2))
    np.add.at(own, number, by_slide)
    if len(own) < 3:
        return None, None
    rng = np.random.default_rng(_SEED)
    drawn = own[rng.integers(len(own), size=(_DRAWS, len(own)))].sum(axis=1)
    low, high = np.quantile(drawn[:, 0] / drawn[:, 1], [0.025, 0.975])
    return float(low), float(high)
