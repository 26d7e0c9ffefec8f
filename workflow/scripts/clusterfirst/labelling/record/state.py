"""What people have said so far: a fold of their actions over the leaves. No files, no clocks.

Actions are what journal lines hold (``rows`` are text, see `ranges`):

- ``{"do": "classes", "classes": [{"name", "colour", "was"?}]}``: the whole list; ``was`` renames a class everywhere
- ``{"do": "name", "leaves": [3, 5], "class": "tumour" | null}``
- ``{"do": "cells", "rows": "0-5,9", "class": "tumour" | null | ""}``: exceptions; null takes them away, "" is no label
- ``{"do": "confirm", "rows": "0-5"}``: looked at, and right as they are
- ``{"do": "open", "cluster": key}``, ``{"do": "merge", "clusters": [key, …]}``
- ``{"do": "labels", "source", "names": [{"class", "leaves"}], "cells": [{"class", "rows"}]}``: many at once, from a
  file or an older clustering; ``classes`` ([{"name", "colour"}]) are added to the list
- ``{"do": "undo"}``, ``{"do": "redo"}``: see `history`
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from ...clustering import palette
from ...io import ClusterfirstError
from . import ranges
from .leaves import Leaves

NONE = -1
"""In `State.exception` and `State.confirmed`: nothing was said of the cell; in `State.name`: no name."""

UNLABELLED = 0
"""In `State.exception`: explicitly without label."""

MOST_CLASSES = 200
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")


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


@dataclass(frozen=True)
class Touched:
    """What an action changes.

    Attributes
    ----------
    names, parts : frozenset of int
        Leaves that are named, or whose cluster changes.
    rows : numpy.ndarray
        Cells, ascending.
    classes : bool
        The list of classes.
    """

    names: frozenset[int] = frozenset()
    parts: frozenset[int] = frozenset()
    rows: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    classes: bool = False

    def meets(self, other: Touched) -> bool:
        """Say whether both change the same thing. Who names a cluster that another has just parted should know it."""
        return bool(
            (self.classes and other.classes)
            or self.names & (other.names | other.parts)
            or self.parts & (other.parts | other.names)
            or (len(self.rows) and len(other.rows) and len(np.intersect1d(self.rows, other.rows, assume_unique=True)))
        )


def touched(action: dict, state: State, leaves: Leaves) -> Touched:
    """Say what an action would change in a state."""
    match action:
        case {"do": "classes"}:
            return Touched(classes=True)
        case {"do": "name"}:
            return Touched(names=frozenset(action["leaves"]))
        case {"do": "cells"} | {"do": "confirm"}:
            return Touched(rows=ranges.decode(action["rows"], len(leaves.of_cell)))
        case {"do": "open", "cluster": key}:
            return Touched(parts=frozenset(state.members(key).tolist()))
        case {"do": "merge", "clusters": keys}:
            return Touched(parts=frozenset(np.flatnonzero(np.isin(state.cluster, keys)).tolist()))
        case {"do": "labels"}:
            rows = [ranges.decode(entry["rows"], len(leaves.of_cell)) for entry in action["cells"]]
            names = frozenset(leaf for entry in action["names"] for leaf in entry["leaves"])
            rows = np.unique(np.concatenate([np.empty(0, np.int64), *rows]))
            return Touched(names=names, rows=rows, classes=bool(action["classes"]))
    return Touched()


def check(action: object, state: State, leaves: Leaves) -> dict:
    """Return an action with nothing in it but what belongs there, or say what is wrong with it.

    Raises
    ------
    ClusterfirstError
        It is no action, or speaks of classes, leaves, clusters or cells that there are not.
    """
    if not isinstance(action, dict) or not isinstance(action.get("do"), str) or action["do"] not in _CHECKS:
        raise ClusterfirstError(f"an action says what to do: one of {', '.join(_CHECKS)}")
    return {"do": action["do"], **_CHECKS[action["do"]](action, state, leaves)}


def _check_classes(action: dict, state: State, _leaves: Leaves) -> dict:
    classes = _class_list(action.get("classes"))
    names = [entry["name"] for entry in classes]
    renamed = {entry.get("was") for entry in classes}
    for code in state.codes_in_use():
        if state.words[code] not in names and state.words[code] not in renamed:
            raise ClusterfirstError(f"class '{state.words[code]}' is in use: give its clusters and cells another first")
    return {"classes": classes}


def _class_list(given: object) -> list[dict]:
    if not isinstance(given, list) or len(given) > MOST_CLASSES:
        raise ClusterfirstError(f"classes are a list of at most {MOST_CLASSES}")
    classes = []
    for entry in given:
        if not isinstance(entry, dict):
            raise ClusterfirstError("a class has a name and a colour")
        kept = {"name": _word(entry.get("name")), "colour": entry.get("colour")}
        if not isinstance(kept["colour"], str) or not _COLOUR.fullmatch(kept["colour"]):
            raise ClusterfirstError(f"class '{kept['name']}': a colour is written as #1f77b4")
        if entry.get("was") is not None:
            kept["was"] = _word(entry["was"])
        classes.append(kept)
    for key in ("name", "was"):
        names = [entry[key] for entry in classes if key in entry]
        if len(set(names)) < len(names):
            raise ClusterfirstError("two classes have the same name")
    return classes


def _word(word: object) -> str:
    if not isinstance(word, str) or not 1 <= len(word.strip()) <= 80 or not word.isprintable():
        raise ClusterfirstError("names of classes have 1 to 80 characters")
    return word.strip()


def _known(word: object, state: State, also: tuple = (None,)) -> str | None:
    if word in also and not isinstance(word, bool):
        return word
    if word not in [entry["name"] for entry in state.all_classes()]:
        raise ClusterfirstError(f"there is no class {word!r}: somebody may have renamed it. Reload the page")
    return word


def _check_name(action: dict, state: State, leaves: Leaves) -> dict:
    return {"leaves": _leaf_list(action.get("leaves"), leaves), "class": _known(action.get("class"), state)}


def _leaf_list(given: object, leaves: Leaves) -> list[int]:
    return _numbers(given, "leaves", range(len(leaves)))


def _numbers(given: object, what: str, allowed) -> list[int]:
    if not isinstance(given, list) or not given or any(type(number) is not int for number in given):
        raise ClusterfirstError(f"{what} are a list of whole numbers, at least one")
    for number in given:
        if number not in allowed:
            raise ClusterfirstError(
                f"{what}: there is no {number}: somebody may have opened or merged it. Reload the page"
            )
    return sorted(set(given))


def _check_cells(action: dict, state: State, leaves: Leaves) -> dict:
    return {"rows": _row_text(action.get("rows"), leaves), "class": _known(action.get("class"), state, (None, ""))}


def _row_text(given: object, leaves: Leaves) -> str:
    if not isinstance(given, str) or not len(ranges.decode(given, len(leaves.of_cell))):
        raise ClusterfirstError("rows are ranges such as '0-5,9,12-40', at least one")
    return given


def _check_confirm(action: dict, _state: State, leaves: Leaves) -> dict:
    return {"rows": _row_text(action.get("rows"), leaves)}


def _check_open(action: dict, state: State, _leaves: Leaves) -> dict:
    (key,) = _numbers([action.get("cluster")], "clusters", set(state.cluster.tolist()))
    if len(state.members(key)) < 2:
        raise ClusterfirstError("this cluster is as fine as clusters get: it cannot be opened")
    return {"cluster": key}


def _check_merge(action: dict, state: State, _leaves: Leaves) -> dict:
    keys = _numbers(action.get("clusters"), "clusters", set(state.cluster.tolist()))
    if len(keys) < 2:
        raise ClusterfirstError("to merge, choose two clusters or more")
    return {"clusters": keys}


def _check_labels(action: dict, state: State, leaves: Leaves) -> dict:
    classes = _class_list(action.get("classes", []))
    classes = [{"name": entry["name"], "colour": entry["colour"]} for entry in classes]
    known = {entry["name"] for entry in [*classes, *state.all_classes()]}
    names, cells = action.get("names", []), action.get("cells", [])
    if not isinstance(names, list) or not isinstance(cells, list):
        raise ClusterfirstError("names and cells are lists")
    for entry in [*names, *cells]:
        word = entry.get("class") if isinstance(entry, dict) else None
        if not isinstance(word, str) or word not in known | {""}:
            raise ClusterfirstError("labels are of a class that is not in the list")
    if any(entry["class"] == "" for entry in names):
        raise ClusterfirstError("a cluster's name has 1 to 80 characters")
    return {
        "source": str(action.get("source", ""))[:200],
        "classes": classes,
        "names": [{"class": e["class"], "leaves": _leaf_list(e.get("leaves"), leaves)} for e in names],
        "cells": [{"class": e["class"], "rows": _row_text(e.get("rows"), leaves)} for e in cells],
    }


_CHECKS = {
    "classes": _check_classes,
    "name": _check_name,
    "cells": _check_cells,
    "confirm": _check_confirm,
    "open": _check_open,
    "merge": _check_merge,
    "labels": _check_labels,
    "undo": lambda *_: {},
    "redo": lambda *_: {},
}
