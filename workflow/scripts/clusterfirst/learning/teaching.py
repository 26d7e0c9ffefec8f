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
        by_name, used = _classes(slides, labels, blind)
        keys = sorted(used)
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
            how = one.how.astype(str)
            looked = np.isin(how, _GOLD)
            said = [known(one.label, looked)]
            for who, label in answers.items():
                # Who has looked at a cell again, seeing its cluster, has said it last.
                last = looked & (one.who == who)
                said.append(known(label, (label != None) & ~last))  # noqa: E711 (element by element)
            found, votes, most = _voted(said, len(keys))
            gold.append(found)
            # A cell that people disagree about is no better known by the name of its cluster.
            silver.append(np.where(votes > 0, -1, known(one.label, np.isin(how, _SILVER))))
            agreement["cells"] += int((votes > 1).sum())
            agreement["agreed"] += int(((votes > 1) & (most == votes)).sum())
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


def _classes(
    slides: Sequence[str], labels: Sequence[Labels], blind: Sequence[Mapping[str, np.ndarray]]
) -> tuple[dict[str, dict], set[str]]:
    """Name and colour of every class, by what is the same in capitals, and which of them cells have."""
    by_name: dict[str, dict] = {}
    in_order = sorted(range(len(slides)), key=lambda place: slides[place])
    for entry in (entry for place in in_order for entry in labels[place].classes):
        by_name.setdefault(entry["name"].casefold(), {"name": entry["name"], "colour": entry["colour"]})
    words = [
        sorted({word for label in (labels[place].label, *blind[place].values()) for word in set(label) - {None}})
        for place in in_order
    ]
    for word in (word for own in words for word in own):
        by_name.setdefault(word.casefold(), {"name": word, "colour": palette.colour(len(by_name))})
    return by_name, {word.casefold() for own in words for word in own}


def _voted(said: Sequence[np.ndarray], classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What most say of each cell (−1: nobody, or as many another thing), how many say something, and how many that."""
    votes = np.stack([sum((one == place).astype(np.int16) for one in said) for place in range(classes)])
    most = votes.max(axis=0)
    alone = (votes == most).sum(axis=0) == 1
    return np.where((most > 0) & alone, votes.argmax(axis=0), -1), votes.sum(axis=0), most
