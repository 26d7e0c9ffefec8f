"""What people taught: of which cells somebody said what they are, and of which only their cluster has a name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..io import ClusterfirstError
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
    """

    classes: tuple[dict, ...]
    gold: np.ndarray
    silver: np.ndarray
    slide: np.ndarray
    slides: tuple[str, ...]

    @classmethod
    def of(cls, slides: Sequence[str], labels: Sequence[Labels]) -> Lesson:
        """Put together what people said of slides; neither their order nor that of what was said matters.

        Classes that differ in capitals only are one, written and coloured as on the slide whose name comes first.

        Parameters
        ----------
        slides
            Their names.
        labels
            What people said of the cells of each.

        Raises
        ------
        ClusterfirstError
            There are fewer than two classes: there is nothing to tell apart.
        """
        by_name: dict[str, dict] = {}
        for _, one in sorted(zip(slides, labels, strict=True), key=lambda pair: pair[0]):
            for entry in one.classes:
                by_name.setdefault(entry["name"].casefold(), {"name": entry["name"], "colour": entry["colour"]})
        used = {word.casefold() for one in labels for word in set(one.label) - {None}}
        keys = sorted(used & by_name.keys())
        if len(keys) < 2:
            named = f"all labels say {by_name[keys[0]]['name']}" if keys else "no cell of them has a label"
            raise ClusterfirstError(
                f"there is nothing to learn from {len(slides)} labelled slides: {named}. Name clusters as two classes "
                "at least, export, and run again"
            )
        number = {key: place for place, key in enumerate(keys)}

        def known(by: Sequence[str]) -> np.ndarray:
            found = [
                number[word.casefold()] if word is not None and how in by else -1
                for one in labels
                for word, how in zip(one.label, one.how, strict=True)
            ]
            return np.array(found, np.int64)

        sizes = [len(one.label) for one in labels]
        return cls(
            tuple(by_name[key] for key in keys),
            known(_GOLD),
            known(_SILVER),
            np.repeat(np.arange(len(labels)), sizes),
            tuple(slides),
        )

    @property
    def known(self) -> np.ndarray:
        """N int: the class by whichever says something; −1: neither does."""
        return np.where(self.gold >= 0, self.gold, self.silver)
