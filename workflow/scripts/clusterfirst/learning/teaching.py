"""What people taught: of which cells somebody said what they are, and of which only their cluster has a name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..clustering import palette
from ..io import ClusterfirstError, log
from ..labels import Labels

_GOLD, _SILVER = ("reviewed", "exception"), ("cluster",)
"""How labels come about (see `labels.people.SOURCES`): somebody looked at the cell; its cluster has a name."""


@dataclass(frozen=True)
class Lesson:
    """What is known of the cells of some slides.

    Attributes
    ----------
    classes : tuple of dict
        K of ``name`` and ``colour``, in the order of the alphabet.
    gold, silver : numpy.ndarray
        N int: the class that somebody gave a cell, and that its cluster has; −1: none. A cell has one of them at most.
    slide : numpy.ndarray
        N int, numbers of slides.
    slides : tuple of str
        Their names.
    agreement : dict
        ``cells`` that several people looked at, and of how many of them all said the same (``agreed``). A cell of
        which as many say one thing as another teaches nothing.
    """

    classes: tuple[dict, ...]
    gold: np.ndarray
    silver: np.ndarray
    slide: np.ndarray
    slides: tuple[str, ...]
    agreement: dict[str, int]

    @classmethod
    def of(cls, slides: Sequence[str], labels: Sequence[Labels], blind: Sequence[Mapping[str, np.ndarray]]) -> Lesson:
        """Put together what people said of slides; neither their order nor that of what was said matters.

        Classes that differ in capitals only are one, written and coloured as on the slide whose name comes first.

        Parameters
        ----------
        slides
            Their names.
        labels
            What people said of the cells of each.
        blind
            What each person said of them without seeing clusters: n classes or None.

        Raises
        ------
        ClusterfirstError
            There are fewer than two classes: there is nothing to tell apart.
        """
        by_name: dict[str, dict] = {}
        for _, one in sorted(zip(slides, labels, strict=True), key=lambda pair: pair[0]):
            for entry in one.classes:
                by_name.setdefault(entry["name"].casefold(), {"name": entry["name"], "colour": entry["colour"]})
        for _, answers in sorted(zip(slides, blind, strict=True), key=lambda pair: pair[0]):
            for word in sorted({word for label in answers.values() for word in set(label) - {None}}):
                by_name.setdefault(word.casefold(), {"name": word, "colour": palette.colour(len(by_name))})
        used = {word.casefold() for one in labels for word in set(one.label) - {None}}
        used |= {word.casefold() for answers in blind for label in answers.values() for word in set(label) - {None}}
        keys = sorted(used & by_name.keys())
        if len(keys) < 2:
            named = f"all labels say {by_name[keys[0]]['name']}" if keys else "no cell of them has a label"
            raise ClusterfirstError(
                f"there is nothing to learn from {len(slides)} labelled slides: {named}. Name clusters as two classes "
                "at least, export, and run again"
            )
        number = {key: place for place, key in enumerate(keys)}

        def known(label: np.ndarray, some: np.ndarray) -> np.ndarray:
            return np.array(
                [number[word.casefold()] if word and own else -1 for word, own in zip(label, some, strict=True)],
                np.int64,
            )

        gold, silver, agreement = [], [], {"cells": 0, "agreed": 0}
        for one, answers in zip(labels, blind, strict=True):
            looked = np.isin(one.how.astype(str), _GOLD)
            said = [known(one.label, looked)]
            # Who has looked at a cell again, seeing its cluster, has said it last.
            said += [known(label, (label != None) & ~(looked & (one.who == who))) for who, label in answers.items()]  # noqa: E711
            votes = np.stack([(np.stack(said) == place).sum(axis=0) for place in range(len(keys))])
            several, most = votes.sum(axis=0) > 1, votes.max(axis=0)
            tied = (votes == most).sum(axis=0) > 1
            agreement["cells"] += int(several.sum())
            agreement["agreed"] += int((several & (most == votes.sum(axis=0))).sum())
            gold.append(np.where((most > 0) & ~tied, votes.argmax(axis=0), -1))
            # A cell that people disagree about is no better known by the name of its cluster.
            silver.append(np.where(most > 0, -1, known(one.label, np.isin(one.how.astype(str), _SILVER))))
        lesson = cls(
            tuple(by_name[key] for key in keys),
            np.concatenate(gold),
            np.concatenate(silver),
            np.repeat(np.arange(len(labels)), [len(one.label) for one in labels]),
            tuple(slides),
            agreement,
        )
        return lesson._with_cells_of_each()

    def _with_cells_of_each(self) -> Lesson:
        """Leave out classes of which no cell is left, once people disagree about all of them."""
        there = np.unique(self.known[self.known >= 0])
        if len(there) == len(self.classes):
            return self
        lost = [entry["name"] for place, entry in enumerate(self.classes) if place not in there]
        told = f"people disagree about every cell that any of them called {', '.join(lost)}"
        if len(there) < 2:
            raise ClusterfirstError(f"there is nothing to learn from {len(self.slides)} labelled slides: {told}")
        log.warning("%s: the atlas does not know of it", told)
        number = np.full(len(self.classes) + 1, -1)
        number[there] = np.arange(len(there))
        kept = tuple(self.classes[place] for place in there)
        return replace(self, classes=kept, gold=number[self.gold], silver=number[self.silver])

    @property
    def known(self) -> np.ndarray:
        """N int: the class by whichever says something; −1: neither does."""
        return np.where(self.gold >= 0, self.gold, self.silver)
