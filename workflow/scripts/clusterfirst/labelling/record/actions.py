"""Actions, and whether one can be done: what comes from outside is looked at here before anything is made of it.

Actions are what journal lines hold (``rows`` are text, see `ranges`):

- ``{"do": "classes", "classes": [{"name", "colour", "was"?}]}``: the whole list; ``was`` renames a class everywhere
- ``{"do": "name", "leaves": [3, 5], "class": "tumour" | null}``
- ``{"do": "cells", "rows": "0-5,9", "class": "tumour" | null | ""}``: exceptions; null takes them away, "" is no label
- ``{"do": "confirm", "rows": "0-5"}``: looked at, and right as they are
- ``{"do": "open", "cluster": key}``, ``{"do": "merge", "clusters": [key, …]}``
- ``{"do": "labels", "source", "names": [{"class", "leaves"}], "cells": [{"class", "rows"}]}``: many at once, from a
  file or an earlier clustering; ``classes`` ([{"name", "colour"}]) are added to the list
- ``{"do": "undo"}``, ``{"do": "redo"}``: see `history`
"""

from __future__ import annotations

import re

from ...io import ClusterfirstError
from . import ranges
from .leaves import Leaves
from .state import State

MOST_CLASSES = 200
COLOUR = re.compile(r"#[0-9a-fA-F]{6}")


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
        if not isinstance(kept["colour"], str) or not COLOUR.fullmatch(kept["colour"]):
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


def _class_word(word: object, state: State, also: tuple = (None,)) -> str | None:
    if word in also and not isinstance(word, bool):
        return word
    if word not in [entry["name"] for entry in state.all_classes()]:
        raise ClusterfirstError(f"there is no class {word!r}: somebody may have renamed it. Reload the page")
    return word


def _check_name(action: dict, state: State, leaves: Leaves) -> dict:
    return {"leaves": _leaf_list(action.get("leaves"), leaves), "class": _class_word(action.get("class"), state)}


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
    return {"rows": _row_text(action.get("rows"), leaves), "class": _class_word(action.get("class"), state, (None, ""))}


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
    listed = {entry["name"] for entry in [*classes, *state.all_classes()]}
    names, cells = action.get("names", []), action.get("cells", [])
    if not isinstance(names, list) or not isinstance(cells, list):
        raise ClusterfirstError("names and cells are lists")
    for entry in [*names, *cells]:
        word = entry.get("class") if isinstance(entry, dict) else None
        if not isinstance(word, str) or word not in listed | {""}:
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
