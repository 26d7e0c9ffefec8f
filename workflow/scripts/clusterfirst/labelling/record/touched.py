"""What an action changes: by this it is known whether two people were at the same."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from . import ranges
from .leaves import Leaves
from .state import State


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
