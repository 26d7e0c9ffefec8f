"""Everything a server has open: results, sessions of groups, outlines, slides."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from ...io import ClusterfirstError
from ..blind.study import Study
from ..cells.outlines import Shelf
from ..cells.pyramid import Pyramids
from ..cells.results import Results
from ..record.journal import Ended
from .session import Session

log = logging.getLogger(__name__)


class Workspace:
    """What the routes work on. Safe for threads.

    Parameters
    ----------
    results
        What may be opened.
    places
        Where slides are looked for besides the working directory (see `Pyramids`).
    name
        What people are called who have not said how.
    """

    def __init__(self, results: Results, *, places: list[Path] = (), name: str | None = None):
        self.results, self.name = results, name
        # Paths in the results are relative to where the workflow ran: mostly the folder that the results are in.
        self.pixels = Pyramids(results.slides, [*places, results.folder.parent])
        self.outlines = Shelf()
        self._sessions: dict[str, Session] = {}
        self._studies: dict[str, Study] = {}
        self._ended = False
        self._opening: dict[str, threading.Lock] = {name: threading.Lock() for name in results.groups}

    def session(self, group: str) -> Session:
        """Return a group's session, opened the first time.

        Raises
        ------
        KeyError
            There is no such group.
        ClusterfirstError
            See `Session`; or (`Ended`) everything was closed.
        """
        with self._opening[group]:
            if self._ended:
                raise Ended
            if group not in self._sessions:
                self._sessions[group] = Session(self.results.groups[group])
            return self._sessions[group]

    def study(self, group: str) -> Study:
        """Return a group's blind evaluation, opened the first time; see `session` and `Study`."""
        session = self.session(group)
        with self._opening[group]:
            if self._ended:
                raise Ended
            if group not in self._studies:
                self._studies[group] = Study(session, self.results.folder)
            return self._studies[group]

    def warm(self, group: str) -> None:
        """Read what the first look at a group wants, so that nobody waits for it."""
        first = self.results.groups[group].slides[0]
        try:
            self.pixels.tile(first.id, 0, 0, 0)
            self.outlines.of(first)
        except ClusterfirstError as error:
            log.warning("%s", error)

    def close(self) -> None:
        """Let go of all files, for good."""
        self._ended = True
        for group, opening in self._opening.items():
            with opening:  # what is being opened is closed, too
                for one in (self._studies.get(group), self._sessions.get(group)):
                    if one:
                        one.close()
        self.pixels.close()
