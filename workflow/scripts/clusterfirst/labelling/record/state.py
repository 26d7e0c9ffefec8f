"""What people have said so far: a fold of their actions (see `actions`) over the leaves. No files, no clocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from ...clustering import palette
from . import ranges
from .leaves import Leaves

NONE = -1
"""In `State.exception` and `State.confirmed`: nothing was said of the cell; in `State.name`: no name."""

UNLABELLED = 0
"""In `State.exception`: explicitly without label."""


@dataclass
class State:
    """Names, exceptions, partition.

    Attributes
    ----------
    classes : list of dict
        ``name`` and ``colour``, in the order of their keys on the keyboard.
    words : list of str
        Class names by code. 0 is no label; codes are never given twice.
    name : numpy.ndarray
        L int16: each leaf's code, or `NONE`.
    exception : numpy.ndarray
        n int16: each cell's own code, `UNLABELLED`, or `NONE`.
    confirmed : numpy.ndarray
        n int16: the code that a cell's label had when somebody said it was right, or `NONE`.
    cluster : numpy.ndarray
        L int32: the key (smallest leaf) of the cluster each leaf is in.
    """

    classes: list[dict]
    words: list[str]
    name: np.ndarray
    exception: np.ndarray
    confirmed: np.ndarray
    cluster: np.ndarray

    @classmethod
    def empty(cls, leaves: Leaves) -> Self:
        """Return the state before the first action."""
        cells = np.full((2, len(leaves.of_cell)), NONE, np.int16)
        return cls([], [""], np.full(len(leaves), NONE, np.int16), cells[0], cells[1], leaves.start.copy())

    def copy(self) -> Self:
        """Return a state of its own arrays."""
        arrays = (self.name, self.exception, self.confirmed, self.cluster)
        return State([dict(entry) for entry in self.classes], list(self.words), *(array.copy() for array in arrays))

    def code(self, word: str) -> int:
        """Return a class's code, a new one if it has none."""
        if word not in self.words:
            self.words.append(word)
        return self.words.index(word)

    def members(self, key: int) -> np.ndarray:
        """Return the leaves of a cluster; none if there is no cluster of that key."""
        return np.flatnonzero(self.cluster == key)

    def labels(self, leaves: Leaves, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Return the codes of cells' labels: the exception, else the name of the leaf, else `NONE`."""
        own, leaf = self.exception[rows], leaves.of_cell[rows]
        return np.where(own == NONE, np.append(self.name, np.int16(NONE))[leaf], own)

    def all_classes(self) -> list[dict]:
        """Return the list of classes, and after it those that are in use though they are not in it (any more)."""
        listed = {entry["name"] for entry in self.classes}
        missing = [self.words[code] for code in self.codes_in_use() if self.words[code] not in listed]
        first = len(self.classes)
        return self.classes + [{"name": word, "colour": palette.colour(first + i)} for i, word in enumerate(missing)]

    def codes_in_use(self) -> list[int]:
        """Return the codes that a leaf or a cell has."""
        counts = np.bincount(self.exception + 1, minlength=len(self.words) + 1)
        counts += np.bincount(self.name + 1, minlength=len(self.words) + 1)
        return [code for code in range(1, len(self.words)) if counts[code + 1]]

    def apply(self, action: dict, leaves: Leaves) -> None:
        """Do one action that `check` has let pass. One that no longer concerns anything does nothing."""
        getattr(self, f"_{action['do']}")(action, leaves)

    def _classes(self, action: dict, _leaves: Leaves) -> None:
        renamed = [entry for entry in action["classes"] if entry.get("was") in self.words]
        if any(entry["was"] != entry["name"] for entry in renamed):
            self._rename({entry["was"]: entry["name"] for entry in renamed})
        self.classes = [{"name": entry["name"], "colour": entry["colour"]} for entry in action["classes"]]

    def _rename(self, names: dict[str, str]) -> None:
        """Rename classes all at once: two may swap their names."""
        becomes = {self.code(old): self.code(new) for old, new in names.items()}
        codes = np.array([*(becomes.get(code, code) for code in range(len(self.words))), NONE], np.int16)
        for said in (self.name, self.exception, self.confirmed):
            said[:] = codes[said]  # NONE, −1, is the last

    def _name(self, action: dict, _leaves: Leaves) -> None:
        word = action["class"]
        self.name[action["leaves"]] = NONE if word is None else self.code(word)

    def _cells(self, action: dict, leaves: Leaves) -> None:
        word, rows = action["class"], ranges.decode(action["rows"], len(leaves.of_cell))
        self.exception[rows] = NONE if word is None else self.code(word)

    def _confirm(self, action: dict, leaves: Leaves) -> None:
        rows = ranges.decode(action["rows"], len(leaves.of_cell))
        self.confirmed[rows] = self.labels(leaves, rows)

    def _open(self, action: dict, leaves: Leaves) -> None:
        members = self.members(action["cluster"])
        if len(members) > 1:
            for part in leaves.split(members):
                self.cluster[part] = part[0]

    def _merge(self, action: dict, _leaves: Leaves) -> None:
        members = np.flatnonzero(np.isin(self.cluster, action["clusters"]))
        if len(members):
            self.cluster[members] = members[0]

    def _labels(self, action: dict, leaves: Leaves) -> None:
        listed = {entry["name"] for entry in self.classes}
        self.classes = self.classes + [
            {"name": entry["name"], "colour": entry["colour"]}
            for entry in action["classes"]
            if entry["name"] not in listed
        ]
        for entry in action["names"]:
            self._name(entry, leaves)
        for entry in action["cells"]:
            self._cells(entry, leaves)
