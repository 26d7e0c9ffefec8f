"""What one person said of cells, blind: the fold of their actions, batch by batch.

Actions, each of one batch (see `study`):

- ``{"do": "label", "rows": "0-5,9", "class": "tumour"}``; class ``""``: it cannot be told; null: takes the label away
- ``{"do": "undo"}``, ``{"do": "redo"}``: of what was labelled in this batch
- ``{"do": "class", "name", "colour"}``: one more class to choose from
- ``{"do": "finish"}``: from here on the person knows the clusters, and the batch cannot be changed

A batch can be finished once every cell of it has an answer.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ...io import ClusterfirstError
from ..record import ranges
from ..record.actions import COLOUR, MOST_CLASSES

OPEN = -1
"""Code of a cell that has no answer yet."""

UNTOLD = 0
"""Code of a cell that cannot be told."""


@dataclass
class Batch:
    """Answers to one batch.

    Attributes
    ----------
    rows : numpy.ndarray
        Its cells, ascending.
    code : numpy.ndarray
        Of each: `OPEN`, `UNTOLD`, or a place in `Answers.words`.
    finished : bool
    """

    rows: np.ndarray
    code: np.ndarray
    finished: bool = False
    done: list[tuple[np.ndarray, np.ndarray, int]] = field(default_factory=list)
    undone: list[tuple[np.ndarray, np.ndarray, int]] = field(default_factory=list)

    @classmethod
    def fresh(cls, rows: np.ndarray) -> Batch:
        """Return one without answers."""
        return cls(rows, np.full(len(rows), OPEN, np.int16))

    def set(self, at: np.ndarray, code: int) -> None:
        """Answer for some cells, by their places in `rows`."""
        self.done.append((at, self.code[at].copy(), code))
        self.undone.clear()
        self.code[at] = code

    def undo(self) -> None:
        """Take the last answer back."""
        at, before, code = self.done.pop()
        self.undone.append((at, before, code))
        self.code[at] = before

    def redo(self) -> None:
        """Give again what was taken back last."""
        at, before, code = self.undone.pop()
        self.done.append((at, before, code))
        self.code[at] = code


class Answers:
    """All that one person answered.

    Attributes
    ----------
    words : list of str
        Classes they used; the first is none: `UNTOLD`.
    added : list of dict
        Classes they added: ``name``, ``colour``.
    batches : dict
        By key, see `samples.Key`.
    """

    def __init__(self):
        self.words = [""]
        self.added: list[dict] = []
        self.batches: dict[tuple[int, int, int], Batch] = {}

    def batch(self, key: tuple[int, int, int], rows: np.ndarray) -> Batch:
        """Return the answers to a batch, none if it was not begun."""
        return self.batches.get(key) or Batch.fresh(rows)

    def apply(self, key: tuple[int, int, int], rows: np.ndarray, action: dict) -> None:
        """Do an action that `check` let pass."""
        if action["do"] == "class":
            self.added.append({"name": action["name"], "colour": action["colour"]})
            return
        batch = self.batches.setdefault(key, Batch.fresh(rows))
        match action["do"]:
            case "label":
                batch.set(places(action["rows"], rows), self._code(action["class"]))
            case "undo":
                batch.undo()
            case "redo":
                batch.redo()
            case "finish":
                batch.finished = True

    def _code(self, word: str | None) -> int:
        if word is None:
            return OPEN
        if word not in self.words:
            self.words.append(word)
        return self.words.index(word)


def places(text: str, rows: np.ndarray) -> np.ndarray:
    """Return where cells stand in a batch.

    Raises
    ------
    ClusterfirstError
        The text is malformed, or names cells that are not in the batch.
    """
    wanted = ranges.decode(text, int(rows[-1]) + 1)
    at = np.searchsorted(rows, wanted)
    if not len(wanted) or not np.array_equal(rows[at], wanted):
        raise ClusterfirstError("these cells are not in this batch: reload the page")
    return at


def check(action: object, batch: Batch, classes: list[dict]) -> dict:
    """Return an action as it is kept.

    Raises
    ------
    ClusterfirstError
        It is none, or cannot be done.
    """
    match action:
        case {"do": "class", "name": str(name), "colour": str(colour)}:
            return _checked_class(name.strip(), colour, classes)
        case {"do": "label" | "undo" | "redo" | "finish"} if batch.finished:
            raise ClusterfirstError("this batch is finished, and you have seen the clusters: it stays as it is")
        case {"do": "label", "rows": str(rows), "class": None | str() as word}:
            places(rows, batch.rows)
            if word and word not in [entry["name"] for entry in classes]:
                raise ClusterfirstError(f"there is no class {word!r}: add it first")
            return {"do": "label", "rows": rows, "class": word}
        case {"do": "undo"} if batch.done:
            return {"do": "undo"}
        case {"do": "redo"} if batch.undone:
            return {"do": "redo"}
        case {"do": "undo" | "redo" as what}:
            raise ClusterfirstError(f"there is nothing to {what} in this batch")
        case {"do": "finish"}:
            if left := int((batch.code == OPEN).sum()):
                raise ClusterfirstError(
                    f"{left} cells have no answer yet; say of those you cannot tell that you cannot"
                )
            return {"do": "finish"}
    raise ClusterfirstError("this is no action of a blind evaluation")


def _checked_class(name: str, colour: str, classes: list[dict]) -> dict:
    if not 1 <= len(name) <= 80 or not name.isprintable():
        raise ClusterfirstError("names of classes have 1 to 80 characters")
    if not COLOUR.fullmatch(colour):
        raise ClusterfirstError("colours are written #rrggbb")
    if name in [entry["name"] for entry in classes] or len(classes) >= MOST_CLASSES:
        raise ClusterfirstError(f"there is a class {name!r} already, or there are too many")
    return {"do": "class", "name": name, "colour": colour.lower()}
