"""Who is there, and telling them what happens."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ..record.journal import now

Listener = Callable[[dict], None]


class Presence:
    """Those who look at a group, and how each of them is told. Safe for threads.

    Parameters
    ----------
    mutex
        Of the session: who comes while somebody is at work on it is told of that, or has seen it.
    """

    def __init__(self, mutex: threading.RLock):
        self._mutex = mutex
        self._listeners: set[Listener] = set()
        self._present: dict[str, dict] = {}

    def holders(self) -> list[dict]:
        """Return who is there: ``who``, ``since``, ``slide``."""
        return sorted(self._present.values(), key=lambda one: one["since"])

    def join(self, listener: Listener, token: str, who: str, slide: str | None) -> None:
        """Note that somebody is there, and tell them of what happens."""
        with self._mutex:
            self._listeners.add(listener)
            self._present[token] = {"who": who, "since": now(), "slide": slide}
            self.tell({"holders": self.holders()})

    def leave(self, listener: Listener, token: str) -> None:
        """Note that somebody has gone."""
        with self._mutex:
            self._listeners.discard(listener)
            self._present.pop(token, None)
            self.tell({"holders": self.holders()})

    def tell(self, event: dict) -> None:
        """Tell everybody. Only for who holds the lock."""
        for listener in tuple(self._listeners):
            listener(event)
