"""Undo and redo without limit, each person their own: the state is that of the actions not undone, in order."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from ...io import ClusterfirstError
from .leaves import Leaves
from .state import State
from .touched import Touched, touched

_EVERY = 32
"""So many actions apart, a copy of the state is kept for undo to start from."""

_RECENT = 8
"""So many copies are kept of those; of older ones, every 16th: each takes 2 MB per 500,000 cells."""


@dataclass(frozen=True)
class Entry:
    """An action that somebody did."""

    seq: int
    time: str
    who: str
    id: str
    action: dict


class History:
    """All actions of a group, and the state they make.

    Parameters
    ----------
    leaves
        What the actions are about.
    """

    def __init__(self, leaves: Leaves):
        self.leaves = leaves
        self.state = State.empty(leaves)
        self.entries: list[Entry] = []
        self._asked: set[tuple[str, str]] = set()
        self._touched: list[Touched] = []
        self._active: list[bool] = []
        self._target: dict[int, int] = {}
        self._done: dict[str, list[int]] = defaultdict(list)
        self._undone: dict[str, list[int]] = defaultdict(list)
        self._copies: list[tuple[int, State]] = [(0, self.state.copy())]

    @property
    def seq(self) -> int:
        """Number of the last action; 0 before the first."""
        return self.entries[-1].seq if self.entries else 0

    def holds(self, who: str, id: str) -> bool:
        """Say whether somebody's request of that id was done."""
        return (who, id) in self._asked

    def can_undo(self, who: str) -> bool:
        """Say whether somebody has an action to undo."""
        return bool(self._done.get(who))

    def can_redo(self, who: str) -> bool:
        """Say whether somebody has undone an action, and done nothing since."""
        return bool(self._undone.get(who))

    def add(self, entry: Entry) -> None:
        """Take in an action that has been checked. An undo with nothing to undo does nothing."""
        at, do = len(self.entries), entry.action["do"]
        self.entries.append(entry)
        self._asked.add((entry.who, entry.id))
        self._active.append(do not in ("undo", "redo"))
        if self._active[at]:
            self._touched.append(touched(entry.action, self.state, self.leaves))
            self.state.apply(entry.action, self.leaves)
            self._done[entry.who].append(at)
            self._undone[entry.who].clear()
        else:
            self._touched.append(Touched())
            self._turn(at, *self._stacks(entry.who, do), active=do == "redo")
        if at + 1 - self._copies[-1][0] >= _EVERY:
            self._keep(at + 1)

    def _stacks(self, who: str, do: str) -> tuple[list[int], list[int]]:
        stacks = self._done[who], self._undone[who]
        return stacks if do == "undo" else stacks[::-1]

    def _turn(self, at: int, source: list[int], to: list[int], *, active: bool) -> None:
        if not source:
            return
        target = source.pop()
        to.append(target)
        self._target[at] = target
        self._active[target] = active
        self._touched[at] = self._touched[target]
        self._fold_from(target, at)

    def _fold_from(self, first: int, end: int) -> None:
        """Do again what came after an action that was switched off or on."""
        keep = bisect_right([length for length, _ in self._copies], first)
        del self._copies[keep:]
        length, state = self._copies[-1]
        self.state = state.copy()
        for at in range(length, end):
            if at and at - self._copies[-1][0] >= _EVERY:
                self._keep(at)
            if self._active[at]:
                self.state.apply(self.entries[at].action, self.leaves)

    def _keep(self, length: int) -> None:
        self._copies.append((length, self.state.copy()))
        old = self._copies[1:-_RECENT]
        self._copies[1:-_RECENT] = [copy for copy in old if copy[0] // _EVERY % 16 == 0]

    def in_force(self) -> Iterator[tuple[Entry, Touched]]:
        """Yield the actions that are not undone, in order, and what each changed."""
        for entry, change, active in zip(self.entries, self._touched, self._active, strict=True):
            if active:
                yield entry, change

    def target(self, who: str, do: str) -> Entry:
        """Return what somebody's undo or redo would concern.

        Raises
        ------
        ClusterfirstError
            There is nothing.
        """
        source, _ = self._stacks(who, do)
        if not source:
            raise ClusterfirstError(f"there is nothing of yours to {do}")
        return self.entries[source[-1]]

    def touched_by(self, entry: Entry) -> Touched:
        """Return what an action changed when it was added."""
        return self._touched[entry.seq - 1]

    def turned_by(self, entry: Entry) -> Entry | None:
        """Return the action that an undo took back, or a redo brought back; None if there was nothing."""
        at = self._target.get(entry.seq - 1)
        return None if at is None else self.entries[at]

    def conflict(self, action: dict, who: str, base: int) -> Entry | None:
        """Return the latest action of somebody else, later than `base`, on the same leaves, cells or classes.

        An undo puts an action of one's own out of an order that stays: what others named later stays named. Only of
        opening and merging, what others did later may rest on it.
        """
        if action["do"] in ("undo", "redo"):
            target = self.target(who, action["do"])
            change = self._touched[target.seq - 1]
            change, base = Touched(parts=change.parts), target.seq
        else:
            change = touched(action, self.state, self.leaves)
        for at in range(len(self.entries) - 1, base - 1, -1):
            entry, target = self.entries[at], self._target.get(at)
            void = not self._active[at] if target is None else target >= base
            if entry.who != who and not void and change.meets(self._touched[at]):
                return entry
        return None
