"""What a person's time is worth: a simulated one names clusters and answers questions, and right cells are counted.

The person is never wrong, names a cluster by what most of its cells are, and needs the seconds that the configuration
says (``learning.person``). Four ways to spend them, on the same cells and features, and where there is one, with the
same classifier.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..io import progress
from ..learning import asking
from ..learning.basis import Basis
from ..learning.classifier import Classifier

OURS, NAMES, DOUBT, RANDOM = "names, then pages", "names only", "single cells by doubt", "single cells at random"
METHODS = (OURS, NAMES, DOUBT, RANDOM)
_PAGES_BETWEEN = (1, 2)
"""Pages between two refits: while there are few answers, and afterwards."""
_FEW_ANSWERS = 200
_SINGLES = 8
"""Single cells between two refits."""
_FIRST_SINGLES = 10
"""So many cells at random, before there is a classifier that could doubt."""


@dataclass(frozen=True)
class Cells:
    """Cells of a group of slides of which people say what they are.

    Attributes
    ----------
    rows : numpy.ndarray
        N × d, see `learning.recipe.Recipe.describe`.
    truth : numpy.ndarray
        N, numbers of classes.
    cluster : numpy.ndarray
        N; −1 is noise.
    slide : numpy.ndarray
        N, numbers of slides.
    slides : int
        How many slides have a truth.
    classes : tuple of str
    sizes : numpy.ndarray
        Per cluster all its cells, with a truth or without: by it a person chooses what to name.
    """

    rows: np.ndarray
    truth: np.ndarray
    cluster: np.ndarray
    slide: np.ndarray
    slides: int
    classes: tuple[str, ...]
    sizes: np.ndarray

    @classmethod
    def known(
        cls, rows: np.ndarray, cluster: np.ndarray, slides: Sequence[tuple[int, Sequence[str | None] | None]]
    ) -> Cells:
        """Return the cells whose truth is known, of all cells of a group.

        Parameters
        ----------
        rows, cluster
            Of all cells, slides one after the other.
        slides
            Of each, how many cells it has; and per cell its class, or None. None, if nobody said anything of it.
        """
        names = np.concatenate(
            [np.full(count, None) if said is None else np.array(said, object) for count, said in slides]
        )
        with_truth = [said is not None for _, said in slides]
        number = np.cumsum(with_truth) - 1
        slide = np.repeat(number, [count for count, _ in slides])
        judged = np.flatnonzero(names != None)  # noqa: E711 (element by element)
        classes, truth = np.unique(names[judged].astype(str), return_inverse=True)
        sizes = np.bincount(cluster[cluster >= 0])
        return cls(rows[judged], truth, cluster[judged], slide[judged], sum(with_truth), tuple(classes.tolist()), sizes)

    def names(self) -> tuple[np.ndarray, np.ndarray]:
        """Return clusters in the order in which they are named, the largest first, and the name of each.

        A cluster without a cell whose truth is known gets no name.
        """
        table = np.zeros((len(self.sizes), len(self.classes)), np.int64)
        judged = self.cluster >= 0
        np.add.at(table, (self.cluster[judged], self.truth[judged]), 1)
        order = np.lexsort((np.arange(len(table)), -self.sizes))
        order = order[table[order].any(axis=1)]
        return order, table[order].argmax(axis=1)

    def on_slides(self, some: np.ndarray) -> np.ndarray:
        """Count some of the cells (N bool) by slide."""
        return np.bincount(self.slide[some], minlength=self.slides)


@dataclass(frozen=True)
class Moment:
    """What is right once somebody has spent so many seconds.

    Attributes
    ----------
    seconds : float
    answers : int
        Names of clusters and cells that were looked at.
    right : numpy.ndarray
        Per slide, cells.
    """

    seconds: float
    answers: int
    right: np.ndarray


def spend(method: str, cells: Cells, settings: Mapping[str, Any], *, seed: int) -> Iterator[Moment]:
    """Spend a person's time in one way, until ``person.seconds`` are over or no cell is left to ask.

    Parameters
    ----------
    method
        One of `METHODS`.
    cells
        At least one.
    settings
        The ``learning`` section of the configuration.
    seed
        Of everything that is drawn.
    """
    person = settings["person"]
    moments = _names_only(cells, person) if method == NAMES else _with_classifier(method, cells, settings, seed)
    for moment in moments:
        yield moment
        if moment.seconds >= person["seconds"]:
            return


def _names_only(cells: Cells, person: Mapping[str, Any]) -> Iterator[Moment]:
    label = np.full(len(cells.truth), -1)
    yield _moment(cells, label, 0, 0)
    for count, (cluster, name) in enumerate(zip(*cells.names(), strict=True), 1):
        label[cells.cluster == cluster] = name
        yield _moment(cells, label, person["name_seconds"] * count, count)


def _with_classifier(method: str, cells: Cells, settings: Mapping[str, Any], seed: int) -> Iterator[Moment]:
    person, rng = settings["person"], np.random.default_rng(seed)
    basis = Basis.draw(cells.rows, settings["random_features"], seed=seed)
    classifier = Classifier(basis.of(cells.rows), len(cells.classes))
    seconds, answers = 0.0, 0
    if method == OURS:
        label = np.full(len(cells.truth), -1)
        for cluster, name in list(zip(*cells.names(), strict=True))[: settings["names_first"]]:
            yield _moment(cells, _said(classifier, classifier.scores()), seconds, answers)
            label[cells.cluster == cluster] = name
            classifier.name(np.flatnonzero(label >= 0), label[label >= 0])
            seconds, answers = seconds + person["name_seconds"], answers + 1
    else:
        yield _moment(cells, np.full(len(cells.truth), -1), seconds, answers)
        first = rng.permutation(len(cells.truth))[:_FIRST_SINGLES]
        classifier.answer(first, cells.truth[first])
        seconds, answers = person["cell_seconds"] * len(first), len(first)
    while True:
        scores = classifier.scores()
        said = _said(classifier, scores)
        yield _moment(cells, said, seconds, answers)
        free = classifier.answers < 0
        if not free.any():
            return
        if method == OURS:
            count = _PAGES_BETWEEN[int((~free).sum() >= _FEW_ANSWERS)]
            pages = asking.pages(scores, free, person, count=count, rng=rng)
            asked = np.concatenate(pages)
            corrections = np.count_nonzero(said[asked] != cells.truth[asked])
            seconds += person["page_seconds"] * len(pages) + person["correction_seconds"] * corrections
        else:
            doubtful = method == DOUBT
            left = np.flatnonzero(free)
            asked = asking.most_doubtful(scores, free, _SINGLES) if doubtful else rng.permutation(left)[:_SINGLES]
            seconds += person["cell_seconds"] * len(asked)
        classifier.answer(asked, cells.truth[asked])
        answers += len(asked)


def _said(classifier: Classifier, scores: np.ndarray) -> np.ndarray:
    """What a cell is: by an answer, else by the scores; −1 before anything was said."""
    guessed = scores.argmax(axis=1) if scores.any() else np.full(len(scores), -1)
    return np.where(classifier.answers >= 0, classifier.answers, guessed)


def _moment(cells: Cells, label: np.ndarray, seconds: float, answers: int) -> Moment:
    return Moment(float(seconds), answers, cells.on_slides(label == cells.truth))


def simulate(cells: Cells, settings: Mapping[str, Any], *, threads: int = 1) -> list[dict]:
    """Spend a person's time in all ways, with every seed.

    Parameters
    ----------
    cells, settings
        See `spend`.
    threads
        So many at a time.

    Returns
    -------
    list of dict
        JSON-ready: ``method``, ``seed``, and lists ``seconds``, ``answers`` and ``right`` (per moment and slide).
    """
    # Names alone are not drawn: one seed is as good as five.
    asked = [(method, seed) for method in METHODS for seed in range(1 if method == NAMES else settings["seeds"])]

    def spent(one: tuple[str, int]) -> dict:
        method, seed = one
        moments = list(spend(method, cells, settings, seed=seed))
        return {
            "method": method,
            "seed": seed,
            "seconds": [moment.seconds for moment in moments],
            "answers": [moment.answers for moment in moments],
            "right": [moment.right.tolist() for moment in moments],
        }

    from threadpoolctl import threadpool_limits

    # Sums over several threads differ in their last bits by the number of threads.
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(threads) as pool:
        return list(progress(pool.map(spent, asked), total=len(asked), what="simulated people"))
