"""What may be spent, over all runs and groups of a results folder: never more."""

from __future__ import annotations

import json
import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Self

from ..io import log


class Spent(Exception):
    """The next request might go beyond the budget; the message says which part of it."""


class Budget:
    """A ledger on disk: a line before each request, with the most that it can cost, and one after it, with what it did.

    Who is killed between the two has spent the most. The ledger is locked while the budget is open, so that groups are
    asked about one after the other.

    Parameters
    ----------
    path
        The ledger.
    budget_requests, budget_tokens
        In all, from the first line of the ledger on; None: no limit.
    """

    def __init__(self, path: str | os.PathLike, *, budget_requests: int | None, budget_tokens: int | None):
        self._path = Path(path)
        self._limits = {"budget_requests": budget_requests, "budget_tokens": budget_tokens}
        self._guard = threading.Lock()
        self._tokens: dict[int, int] = {}

    def __enter__(self) -> Self:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._path.open("a+", encoding="utf-8")
        _lock(self._file)
        self._file.seek(0)
        text = self._file.read()
        for line in text.splitlines():
            with suppress(ValueError, KeyError, TypeError):  # the last line of who was killed may be torn
                entry = json.loads(line)
                self._tokens[int(entry["request"])] = int(entry["tokens"])
        if text and not text.endswith("\n"):
            self._file.write("\n")
        return self

    def __exit__(self, *_) -> None:
        self._file.close()

    @property
    def requests(self) -> int:
        """Sent until now."""
        return len(self._tokens)

    @property
    def tokens(self) -> int:
        """Spent until now, those of requests under way by their upper estimate."""
        return sum(self._tokens.values())

    def reserve(self, tokens: int) -> int:
        """Take what a request may cost at most; return its number.

        Raises
        ------
        Spent
            There is not so much left.
        """
        with self._guard:
            wanted = {"budget_requests": self.requests + 1, "budget_tokens": self.tokens + tokens}
            for name, limit in self._limits.items():
                if limit is not None and wanted[name] > limit:
                    have = {"budget_requests": self.requests, "budget_tokens": self.tokens}[name]
                    raise Spent(
                        f"classify.{name} is {limit:,}, and {have:,} are used up (another request: {tokens:,} tokens)"
                    )
            number = max(self._tokens, default=0) + 1
            self._write(number, tokens)
            return number

    def settle(self, number: int, tokens: int) -> None:
        """Say what a request did cost."""
        with self._guard:
            self._write(number, tokens)

    def _write(self, number: int, tokens: int) -> None:
        self._tokens[number] = tokens
        self._file.write(json.dumps({"request": number, "tokens": tokens}) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())


def _lock(file) -> None:
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        log.info("waiting for another group, which is being asked about")
        fcntl.flock(file, fcntl.LOCK_EX)
    except OSError as error:
        log.warning("%s lies on a file system without locks (%s): let one job ask at a time", file.name, error)
