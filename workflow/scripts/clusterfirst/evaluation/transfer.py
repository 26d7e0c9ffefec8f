"""What an atlas is worth on slides that taught nothing: a simulated person teaches, other slides are counted.

The person is never wrong, names the clusters of slides that teach by what most of their cells are, and looks at some
cells. Nothing of the slides that test is named; their classes are known, to count with.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from .. import html
from ..html import tag
from ..io import ClusterfirstError, progress
from ..learning import asking
from ..learning.apply import SLIDE, TAUGHT, ask, decide
from ..learning.atlas import Atlas
from ..learning.basis import Basis
from ..learning.calibration import calibration_error, reliability
from ..learning.classifier import Classifier
from ..learning.learn import interval, learn
from ..learning.recipe import Recipe
from ..learning.taught import Taught
from ..learning.teaching import Lesson
from ..reduction.inputs import SlideEmbedding

COMMONEST, NEAREST, NAMES = "the commonest class for all", "nearest named cluster", "names"
REVIEWED, BOTH, ASKED, ALL = "reviewed cells", "names and reviewed cells", "names, then pages", "every cell reviewed"
_COVERAGE = 0.8
_COLOUR = "#808080"
_MEANINGS = (
    (
        "taught by",
        "Names: each cluster of the slides that teach is called what most of its cells are. Reviewed cells are drawn "
        "at random; pages are asked for by the classifier. The nearest named cluster is the plain way to carry names.",
    ),
    (
        "priors",
        "Classes are held to be as common as where they were taught, or moved towards what the slide itself says.",
    ),
    ("macro F1", "The mean over the classes of the slides that test: rare classes count as much as common ones."),
    (
        "calibration error",
        "How far the probabilities are from the share of right cells, on the average over ten bins.",
    ),
)
_EVERYTHING = {"min_probability": 0.0, "max_novelty": 1.0}


@dataclass(frozen=True)
class Known:
    """A slide whose cells are known.

    Attributes
    ----------
    slide : SlideEmbedding
    truth : numpy.ndarray
        n str, or None.
    cluster : numpy.ndarray
        n int; no other slide that is not clustered with it has the same. −1: noise.
    embedding : dict
        Its ``embeddings.json``.
    mpp : float
    patient : str
    """

    slide: SlideEmbedding
    truth: np.ndarray
    cluster: np.ndarray
    embedding: Mapping[str, Any]
    mpp: float
    patient: str


@dataclass(frozen=True)
class Figures:
    """What is right on the slides that test.

    Attributes
    ----------
    method : str
    seed : int
    reviewed : int
        Cells that somebody looked at.
    priors : str
        See ``apply.priors``.
    right : numpy.ndarray
        Of each slide, cells.
    macro_f1 : float
        Mean over the classes of the slides that test.
    coverage, right_at_coverage : float
        Of the surest cells, so many; and what share of them is right. None where nothing is said of how sure.
    ece : float or None
        How far probabilities are from shares of right cells, on the average.
    """

    method: str
    seed: int
    reviewed: int
    priors: str
    right: np.ndarray
    macro_f1: float
    coverage: float | None
    right_at_coverage: float | None
    ece: float | None


class Transfer:
    """A cohort that is split into slides that teach and slides that test.

    Parameters
    ----------
    teach, test
        Their slides.
    reduction, learning
        Those sections of the configuration.
    threads
        For describing cells.

    Raises
    ------
    ClusterfirstError
        A side has no cell whose class is known, or there is only one class to teach.
    """

    def __init__(
        self,
        teach: Sequence[Known],
        test: Sequence[Known],
        *,
        reduction: Mapping[str, Any],
        learning: Mapping[str, Any],
        threads: int,
    ):
        for side, slides in (("teach", teach), ("test", test)):
            if not any((one.truth != None).any() for one in slides):  # noqa: E711 (element by element)
                raise ClusterfirstError(
                    f"no cell of the slides with split {side} has a class: name files in column 'truth', and give "
                    "slides of both kinds"
                )
        self.teach, self.test = list(teach), list(test)
        self._reduction, self._learning, self._threads = reduction, learning, threads
        truth = np.concatenate([one.truth for one in teach])
        self.known = np.flatnonzero(truth != None)  # noqa: E711 (element by element)
        self.classes, number = np.unique(truth[self.known].astype(str), return_inverse=True)
        self._truth = np.full(len(truth), -1)
        self._truth[self.known] = number
        if len(self.classes) < 2:
            raise ClusterfirstError(f"all known cells of the slides that teach are {self.classes[0]}: nothing to learn")
        self._cluster = np.concatenate([one.cluster for one in teach])
        self._named = self._names()
        said = np.concatenate([one.truth for one in test])
        self.judged = said != None  # noqa: E711 (element by element)
        self.said = said[self.judged].astype(str)
        self.slide = np.repeat(np.arange(len(test)), [len(one.truth) for one in test])[self.judged]
        self.cells = np.bincount(self.slide, minlength=len(test))

    def _names(self) -> np.ndarray:
        """Per cell the name of its cluster; −1: it has none."""
        out = np.full(len(self._cluster), -1)
        for cluster in np.unique(self._cluster[self._cluster >= 0]):
            own = self._cluster == cluster
            judged = self._truth[own & (self._truth >= 0)]
            if len(judged):
                out[own] = np.bincount(judged).argmax()
        return out

    def run(self) -> list[Figures]:
        """Teach in every way with every seed, and count; ways without chance once."""
        counts = self._learning["reviewed"]
        asked = [(COMMONEST, 0, 0), (NEAREST, 0, 0), (NAMES, 0, 0)]
        asked += [
            (method, count, seed)
            for method in (REVIEWED, BOTH, ASKED)
            for count in counts
            for seed in range(self._learning["seeds"])
        ]
        asked.append((ALL, len(self.known), 0))
        ways = progress(asked, total=len(asked), what="ways to teach")
        return [figures for way in ways for figures in self._taught(*way)]

    def _taught(self, method: str, count: int, seed: int) -> Iterator[Figures]:
        if method == COMMONEST:
            most = self.classes[np.bincount(self._truth[self.known]).argmax()]
            yield self._figures(method, seed, 0, TAUGHT, np.full(len(self.said), most), None)
            return
        if method == NEAREST:
            yield self._figures(method, seed, 0, TAUGHT, self._nearest(), None)
            return
        atlas, reviewed = self.atlas(method, count, seed)
        asked = [
            ask(atlas, one.slide, embedding=one.embedding, mpp=one.mpp, threads=self._threads) for one in self.test
        ]
        for priors in (TAUGHT, SLIDE):
            applied = [decide(atlas, one, {**_EVERYTHING, "priors": priors}) for one in asked]
            label = np.concatenate([one.label for one in applied])[self.judged]
            sure = np.concatenate([one.probability for one in applied])[self.judged]
            yield self._figures(method, seed, reviewed, priors, self.classes[label], sure)

    def atlas(self, method: str, count: int, seed: int) -> tuple[Atlas, int]:
        """Teach in one way; return what was learnt, and of how many cells somebody said what they are."""
        silver = np.full_like(self._truth, -1) if method in (REVIEWED, ALL) else self._named.copy()
        gold = np.full_like(self._truth, -1)
        asked = self._reviewed(method, min(count, len(self.known)), seed)
        gold[asked], silver[asked] = self._truth[asked], -1
        slides = [one.slide for one in self.teach]
        lesson = Lesson(
            tuple({"name": name, "colour": _COLOUR} for name in self.classes.tolist()),
            gold,
            silver,
            np.repeat(np.arange(len(slides)), [len(one.values) for one in slides]),
            tuple(one.slide for one in slides),
            {"cells": 0, "agreed": 0},
        )
        taught = Taught.of(
            slides,
            lesson,
            self._recipe,
            features=self._learning["random_features"],
            patients=[one.patient for one in self.teach],
            threads=self._threads,
        )
        atlas, _ = learn("transfer", taught, embedding=self.teach[0].embedding, mpp=[one.mpp for one in self.teach])
        return atlas, len(asked)

    def _reviewed(self, method: str, count: int, seed: int) -> np.ndarray:
        """Cells that somebody looks at, of those whose class is known."""
        rng = np.random.default_rng(seed)
        if method == NAMES:
            return np.empty(0, np.int64)
        if method == ALL:
            return self.known
        if method != ASKED:
            return rng.choice(self.known, count, replace=False)
        rows = self._described[self.known]
        basis = Basis.draw(rows, self._learning["random_features"], seed=seed)
        classifier = Classifier(basis.of(rows), len(self.classes))
        named = np.flatnonzero(self._named[self.known] >= 0)
        classifier.name(named, self._named[self.known][named])
        while (left := count - (classifier.answers >= 0).sum()) > 0:
            free = classifier.answers < 0
            (page,) = asking.pages(classifier.scores(), free, self._learning["person"], count=1, rng=rng)
            classifier.answer(page[:left], self._truth[self.known[page[:left]]])
        return self.known[classifier.answers >= 0]

    @cached_property
    def _recipe(self) -> Recipe:
        return Recipe.fit([one.slide for one in self.teach], self._reduction, self._learning)

    @cached_property
    def _described(self) -> np.ndarray:
        return self._recipe.describe([one.slide for one in self.teach], threads=self._threads)

    def _nearest(self) -> np.ndarray:
        """What the named cluster is called whose mean is nearest."""
        rows, own = self._described, self._named >= 0
        clusters, number = np.unique(self._cluster[own], return_inverse=True)
        sums = np.zeros((len(clusters), rows.shape[1]))
        np.add.at(sums, number, rows[own])
        means = sums / np.bincount(number)[:, None]
        names = np.array([self._named[self._cluster == cluster][0] for cluster in clusters])
        test = self._recipe.describe([one.slide for one in self.test], threads=self._threads)[self.judged]
        squared = (means**2).sum(axis=1) - 2 * test @ means.T
        return self.classes[names[squared.argmin(axis=1)]]

    def _figures(self, method, seed, reviewed, priors, label: np.ndarray, sure: np.ndarray | None) -> Figures:
        from sklearn.metrics import f1_score

        right = label == self.said
        scores = f1_score(self.said, label, average="macro", labels=np.unique(self.said), zero_division=0)
        by_slide = np.bincount(self.slide[right], minlength=len(self.test))
        if sure is None:
            return Figures(method, seed, reviewed, priors, by_slide, float(scores), None, None, None)
        count = max(1, round(_COVERAGE * len(sure)))
        surest = np.argsort(-sure, kind="stable")[:count]
        # One column of the class that is taken, one of all others, whose sum is 1.
        bins = reliability(np.c_[sure, np.zeros(len(sure))], np.where(right, 0, 1))
        return Figures(
            *(method, seed, reviewed, priors, by_slide, float(scores)),
            *(count / len(sure), float(right[surest].mean()), calibration_error(bins)),
        )


def table(transfer: Transfer, found: Sequence[Figures]):
    """Return all of it as a ``pandas.DataFrame``, a row for each way, seed and kind of priors."""
    import pandas as pd

    total = transfer.cells.sum()
    return pd.DataFrame(
        [
            {
                **{name: getattr(one, name) for name in ("method", "seed", "reviewed", "priors")},
                "right": one.right.sum() / total,
                **{name: getattr(one, name) for name in ("macro_f1", "coverage", "right_at_coverage", "ece")},
            }
            for one in found
        ]
    )


def write_page(transfer: Transfer, found: Sequence[Figures], path: str | os.PathLike) -> None:
    """Write a page with the means over seeds, and intervals over the patients that test."""
    ways = list(dict.fromkeys((one.method, one.reviewed, one.priors) for one in found))
    rows = []
    for method, reviewed, priors in ways:
        own = [one for one in found if (one.method, one.reviewed, one.priors) == (method, reviewed, priors)]
        certain = own[0].coverage is not None
        rows.append(
            [
                method,
                f"{reviewed:,}" if reviewed else "",
                priors if certain else "",
                _right(transfer, own),
                f"{np.mean([one.macro_f1 for one in own]):.3f}",
                f"{100 * np.mean([one.right_at_coverage for one in own]):.1f} %" if certain else "",
                f"{np.mean([one.ece for one in own]):.3f}" if certain else "",
            ]
        )
    title = "Labels carried to other slides"
    teach, test = len(transfer.teach), len(transfer.test)
    page = html.document(
        title,
        tag("h1", title),
        tag(
            "p",
            f"{teach} slides with {len(transfer.known):,} known cells taught; {int(transfer.cells.sum()):,} known "
            f"cells of {test} other slides tested. Nothing of these was named. Means over seeds; 95 % intervals over "
            f"patients ({len({one.patient for one in transfer.test})}; a slide without one counts as one).",
        ),
        html.table(
            [
                *("taught by", "cells looked at", "priors", "right", "macro F1"),
                *(f"right of the surest {100 * _COVERAGE:.0f} %", "calibration error"),
            ],
            rows,
        ),
        tag("h2", "What the figures mean"),
        tag("dl", *(part for name, text in _MEANINGS for part in (tag("dt", name), tag("dd", text)))),
    )
    html.write(page, path)


def _right(transfer: Transfer, own: Sequence[Figures]) -> str:
    right = np.mean([one.right for one in own], axis=0)
    value = f"{100 * right.sum() / transfer.cells.sum():.1f} %"
    own = transfer.cells > 0
    patients = np.unique([one.patient for one in transfer.test], return_inverse=True)[1]
    low, high = interval(np.column_stack([right, transfer.cells])[own], patients[own])
    if low is None:
        return value
    # An interval is not to be broken.
    return f"{value} [{100 * low:.0f}, {100 * high:.0f}]".replace(" ", "\u00a0")
