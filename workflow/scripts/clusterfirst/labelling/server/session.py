"""A group that people are at work on: its state and its journal."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from ...io import ClusterfirstError
from ..cells.group import Group, load_group, with_proposals
from ..cells.results import GroupInfo
from ..record.actions import check
from ..record.history import Entry, History
from ..record.journal import Ended, Journal, Lock
from ..record.leaves import SHORT
from ..record.review import choose
from . import earlier
from .presence import Presence
from .sentences import in_words
from .view import BrowserState, brief, changes

log = logging.getLogger(__name__)

_REMEMBERED = 256
T = TypeVar("T")


class Conflict(ClusterfirstError):
    """Somebody else changed the same since the browser last looked.

    Attributes
    ----------
    entry : Entry
        What they did.
    said : str
        The same in words.
    """

    def __init__(self, entry: Entry, said: str):
        super().__init__(f"{entry.who} {said} meanwhile: look at it, then say whether yours is to count")
        self.entry, self.said = entry, said


class Stale(ClusterfirstError):
    """The browser shows cells as they were clustered before."""


class Session:
    """Labels of one group. Safe for threads.

    Nothing is written before the first action: who only looks leaves no trace but a lock.

    Parameters
    ----------
    info
        The group.

    Raises
    ------
    ClusterfirstError
        Its files or its journal are damaged, or another server holds it.

    Attributes
    ----------
    folder : pathlib.Path
        What is kept: journals, leaves.
    group : Group
    history : History
    presence : Presence
        Who is there.
    """

    def __init__(self, info: GroupInfo):
        self.folder = info.folder.labels
        self._held = Lock(self.folder)
        self._made, self._proposed = _signature(info.folder.clusters), _signature(info.folder.proposals)
        self._mutex = threading.RLock()
        self.presence = Presence(self._mutex)
        self._ended = False
        try:
            self.group: Group = load_group(info)
            self.history = History(self.group.leaves)
            self._journal: Journal | None = None
            if self.journal_path.exists():
                self._begin()
            self._earlier = earlier.others(self.folder, self.group.leaves)
            self._show()
        except BaseException:
            self._held.release()
            raise
        self._answers: dict[tuple[str, str], dict] = {}
        self._order: deque[tuple[str, str]] = deque()

    @property
    def journal_path(self) -> Path:
        """The journal of this clustering; others stay beside it."""
        return earlier.journal_path(self.folder, self.group.fingerprint)

    def _begin(self) -> None:
        if self._ended:
            raise Ended
        kept = earlier.leaves_path(self.folder, self.group.fingerprint)
        if not kept.exists():
            self.group.leaves.save(kept)
        header = {"group": self.group.info.id, "fingerprint": self.group.fingerprint, "cells": self.group.leaves.cells}
        self._journal = Journal.open(self.journal_path, header)
        for entry in self._journal.entries:
            try:
                self.history.add(entry)
            except (ClusterfirstError, LookupError, TypeError) as error:
                raise ClusterfirstError(f"{self._journal.path}: action {entry.seq} makes no sense: {error}") from error

    def state(self, who: str) -> dict:
        """Return everything that a browser is told, to one person."""
        with self._mutex:
            self._hear_of_proposals()
            recomputed = _signature(self.group.info.folder.clusters) != self._made
            return {**self._view, **self._personal(who), "older": self._earlier, "recomputed": recomputed}

    def _hear_of_proposals(self) -> None:
        """A model may have been asked since: who loads the page is told what it says by now."""
        proposed = _signature(self.group.info.folder.proposals)
        if proposed != self._proposed:
            self._proposed, self.group = proposed, with_proposals(self.group)
            self._show()

    def _show(self) -> None:
        self._eye = BrowserState(self.group)
        self._view = self._eye.of(self.history)

    def _personal(self, who: str) -> dict:
        return {
            "can_undo": self.history.can_undo(who),
            "can_redo": self.history.can_redo(who),
            "holders": self.presence.holders(),
        }

    def act(
        self, who: str, id: str, action: object, *, base: int, overrules: int = 0, fingerprint: str | None = None
    ) -> dict:
        """Do an action, once it is on disk.

        Parameters
        ----------
        who
            Name of the person.
        id
            Of the request: asked twice, an action is done once.
        action
            See `actions`.
        base
            The last action that the person's browser knew of.
        overrules
            The last action of somebody else that the person was shown as a conflict, and wants to overrule. What came
            later is a conflict still.
        fingerprint
            Of the clustering that the browser shows: leaves of another one are others.

        Returns
        -------
        dict
            ``seq``, and under ``state`` what has changed; of undo and redo, under ``turned``, the action concerned.

        Raises
        ------
        Conflict
        Stale
        Ended
        ClusterfirstError
            The action makes no sense.
        """
        with self._mutex:
            if answer := self._answer(id, who):
                return answer
            if base > self.history.seq or fingerprint not in (None, self.group.fingerprint):
                raise Stale("this page shows an older clustering of the cells: nothing was done. Reload the page")
            action = check(action, self.history.state, self.group.leaves)
            turns = action["do"] in ("undo", "redo")
            turned = {"turned": brief(self.history.target(who, action["do"]).action)} if turns else {}
            other = self.history.conflict(action, who, base)
            if other and other.seq > overrules:
                raise Conflict(other, in_words(other, self.history, self.group))
            if self._journal is None:
                self._begin()
            entry = self._journal.append(who, id, action)
            self.history.add(entry)
            before, self._view = self._view, self._eye.of(self.history)
            # A browser that has not seen what others did since `base` is told everything.
            state = changes(before, self._view) if base == entry.seq - 1 else self._view
            answer = {"seq": entry.seq, "state": {**state, **self._personal(who)}, **turned}
            self._remember((who, id), answer)
            said = in_words(entry, self.history, self.group)
            self.presence.tell({"seq": entry.seq, "who": who, "action": brief(action), "said": said})
            return answer

    def _answer(self, id: str, who: str) -> dict | None:
        if (who, id) in self._answers:
            return self._answers[who, id]
        # After a restart, or long ago: done already, and all that has come of it since is told.
        if self.history.holds(who, id):
            return {"seq": self.history.seq, "state": {**self._view, **self._personal(who)}}
        return None

    def _remember(self, key: tuple[str, str], answer: dict) -> None:
        self._answers[key] = answer
        self._order.append(key)
        if len(self._order) > _REMEMBERED:
            del self._answers[self._order.popleft()]

    def derive(self, who: str, id: str, make: Callable[[History], dict | None]) -> dict | None:
        """Do an action that depends on how things stand, with nobody in between.

        Parameters
        ----------
        who, id
            See `act`.
        make
            Given the history, returns the action, or None if nothing is to be done.

        Returns
        -------
        dict or None
            See `act`; None if nothing was done.
        """
        with self._mutex:
            if answer := self._answer(id, who):
                return answer
            action = make(self.history)
            return action and self.act(who, id, action, base=self.history.seq)

    def look(self, use: Callable[[History], T]) -> T:
        """Return what `use` makes of the history while nobody changes it."""
        with self._mutex:
            return use(self.history)

    def carry(self, who: str, id: str, fingerprint: str) -> dict:
        """Take over the labels of an earlier clustering of the same cells, as one action that can be undone.

        Raises
        ------
        ClusterfirstError
            There is none of that fingerprint, or its cells are others.
        """

        def carried(_: History) -> dict:
            if not any(entry["fingerprint"] == fingerprint for entry in self._earlier):
                raise ClusterfirstError(f"there are no labels of a clustering {fingerprint[:SHORT]}")
            return earlier.carried(self.folder, fingerprint, self.group.leaves)

        return self.derive(who, id, carried)

    def review(self, key: int, count: int) -> dict:
        """Choose cells of a cluster to look at, see `review.choose`."""
        with self._mutex:
            return choose(self.history.state, self.group.leaves, self.group.confidence, key, count)

    def labels_now(self) -> tuple[np.ndarray, list[str]]:
        """Return every cell's code (see `State.labels`) and the names of the codes."""
        with self._mutex:
            state = self.history.state
            return state.labels(self.group.leaves), list(state.words)

    def classes(self) -> list[dict]:
        """Return the classes on the list: ``name``, ``colour``. It is empty until somebody names something."""
        with self._mutex:
            return [dict(entry) for entry in self.history.state.classes]

    def close(self) -> None:
        """Let go of the files, for good: another server may open them now."""
        with self._mutex:
            self._ended = True
            if self._journal:
                self._journal.close()
            self._held.release()


def _signature(path: Path) -> tuple[int, int] | None:
    """Say which file this is, without reading it."""
    try:
        file = path.stat()
    except FileNotFoundError:
        return None
    return file.st_mtime_ns, file.st_size
