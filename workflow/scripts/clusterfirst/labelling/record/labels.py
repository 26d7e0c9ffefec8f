"""What every cell is called, how that came about, and who said so."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...labels.people import SOURCES
from .history import History
from .state import NONE


@dataclass(frozen=True)
class Labels:
    """Labels of all cells of a group at one moment.

    Attributes
    ----------
    seq : int
        The last action.
    classes : list of dict
        ``name``, ``colour``.
    label, source, who : numpy.ndarray
        n objects: class or None; one of `people.SOURCES`, or None where nobody said anything; who said so.
    """

    seq: int
    classes: list[dict]
    label: np.ndarray
    source: np.ndarray
    who: np.ndarray


def current(history: History) -> Labels:
    """Say of every cell what it is called, how that came about, and who said so."""
    leaves, state = history.leaves, history.state
    code = state.labels(leaves)
    labelled, excepted = code != NONE, state.exception != NONE
    named = ~excepted & labelled
    source = np.full(len(code), None)
    for chosen, word in zip((named, named & (state.confirmed == code), excepted), SOURCES, strict=True):
        source[chosen] = word
    words = np.array([None, None, *state.words[1:]], object)  # NONE and UNLABELLED are no class
    return Labels(history.seq, state.all_classes(), words[code + 1], source, _people(history, excepted, labelled))


def _people(history: History, excepted: np.ndarray, labelled: np.ndarray) -> np.ndarray:
    """Who last named each cell's leaf, or, of an exception, who last said something of the cell itself."""
    names = list(dict.fromkeys(entry.who for entry in history.entries))
    of_leaf, of_cell = np.full(len(history.leaves) + 1, -1), np.full(len(excepted), -1)
    for entry, change in history.in_force():
        if entry.action["do"] == "confirm":
            continue
        of_leaf[list(change.names)] = of_cell[change.rows] = names.index(entry.who)
    author = np.where(excepted, of_cell, of_leaf[history.leaves.of_cell])
    return np.array([*names, None], object)[np.where(labelled, author, -1)]
