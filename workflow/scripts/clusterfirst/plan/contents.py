"""What files from outside hold, told by hashes that are remembered: dates say nothing of a file that was copied.

``rsync -a``, ``cp -p``, ``unzip`` and ``git checkout`` put a file there with the date of elsewhere, which may be older
than results made of the one before; and a file that is merely copied anew is newer, and still the same.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import BinaryIO

from ..io import write_json
from ..weights import sha256
from .sizes import folder_beside

WHOLE_BYTES = 64 << 20
"""Files up to this size are hashed whole; of larger ones, pieces evenly spread, first and last among them."""
PIECES, PIECE_BYTES = 128, 32 << 10

KEY = "contents of files from outside"
"""Marks what is remembered among the params that Snakemake keeps of a job."""
UNTOLD = ...
"""A param that Snakemake keeps nothing of, and never compares."""

_SETTLED_NS = 2_000_000_000
"""A file that changed so recently may change again without a new time."""


def content(path: str | os.PathLike) -> str:
    """Return what tells the content of a file from any other: its sha256; of a large one, its size and a sample's.

    Raises
    ------
    OSError
        It cannot be read.
    """
    size = os.stat(path).st_size
    if size <= WHOLE_BYTES:
        return f"sha256:{sha256(path)}"
    with open(path, "rb") as file:
        return f"sampled:{size}:{_sampled(file, size)}"


def _sampled(file: BinaryIO, size: int) -> str:
    digest = hashlib.sha256()
    for piece in range(PIECES):
        file.seek(piece * (size - PIECE_BYTES) // (PIECES - 1))
        digest.update(file.read(PIECE_BYTES))
    return digest.hexdigest()


def kept_in(params: Iterable[str] | None) -> list[str] | None:
    """Return the contents among the params that Snakemake kept of a job, as it wrote them; None if there are none."""
    for text in params or ():
        if text.startswith(f"{{{KEY!r}"):
            return ast.literal_eval(text)[KEY]
    return None


class Contents:
    """What files hold, by path; files whose sizes and times are as remembered are not read.

    Parameters
    ----------
    memory
        A JSON file. What stands in it saves work; lost, everything is read once more.
    """

    def __init__(self, memory: Path):
        self._memory = memory
        self._looked: dict[str, Seen] = {}

    def param(self, files: Sequence[str], kept: Iterable[str] | None) -> object:
        """Return what the files hold that a job reads, as one of its params, to be compared with what was kept.

        Results of versions that kept nothing are not made again for it: of them, what was there when it was first
        looked at counts as what they were made of.

        Parameters
        ----------
        files
            That it reads.
        kept
            Its params when it last ran, as Snakemake keeps them; None if it did not run, or nobody knows.
        """
        before, seen = kept_in(kept), [self._look(path) for path in files]
        if None in seen:
            # What is not there yet is fetched, or fails with its own message.
            return {KEY: before} if before else UNTOLD
        if kept is not None and before is None and all(one.content == one.first for one in seen):
            return UNTOLD
        return {KEY: [one.content for one in seen]}

    def replaced(self, files: Sequence[str], kept: Iterable[str] | None) -> list[str]:
        """Return those of the files that hold something else than when a job read them."""
        seen = [self._look(path) for path in files]
        if kept is None or None in seen:
            return []
        before = kept_in(kept)
        if before is None:
            before = [one.first for one in seen]
        if len(before) != len(files):
            return list(files)
        return [path for path, old, new in zip(files, before, seen, strict=True) if old != new.content]

    def save(self) -> None:
        """Remember what was read. Where nothing can be written, it is read again next time."""
        news = {path: asdict(seen) for path, seen in self._looked.items() if seen != self._known.get(path)}
        if news:
            with suppress(OSError):
                write_json({key: asdict(seen) for key, seen in _remembered(self._memory).items()} | news, self._memory)

    @cached_property
    def _known(self) -> dict[str, Seen]:
        return _remembered(self._memory)

    def _look(self, path: str) -> Seen | None:
        """None if it is not there."""
        path = os.path.abspath(path)
        if path not in self._looked:
            try:
                self._looked[path] = _seen(path, self._known.get(path))
            except OSError:
                return None
        return self._looked[path]


@dataclass(frozen=True)
class Seen:
    """What was seen of a file, and of the files beside it that hold its pixels.

    Attributes
    ----------
    state : str
        Sizes and times, by which it is known again unread; "" if they could not be relied upon.
    content, first : str
        What it holds, and held when it was first looked at.
    """

    state: str
    content: str
    first: str


def _remembered(memory: Path) -> dict[str, Seen]:
    try:
        return {path: Seen(**seen) for path, seen in json.loads(memory.read_text(encoding="utf-8")).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _seen(path: str, known: Seen | None) -> Seen:
    folder = folder_beside(path)
    stats = [os.stat(path), *(_stats(folder).values() if folder else ())]
    state = _short(repr([(one.st_size, one.st_mtime_ns, one.st_ctime_ns) for one in stats]))
    if known and known.state == state:
        return known
    found = content(path) + (_of_folder(folder) if folder else "")
    settled = max(one.st_ctime_ns for one in stats) < time.time_ns() - _SETTLED_NS
    return Seen(state if settled else "", found, known.first if known else found)


@cache
def _stats(folder: Path) -> dict[str, os.stat_result]:
    """Of the files in a folder, by path, in order; nothing if there is no folder."""
    try:
        with os.scandir(folder) as entries:
            return dict(sorted((entry.path, entry.stat()) for entry in entries if entry.is_file()))
    except OSError:
        return {}


@cache
def _of_folder(folder: Path) -> str:
    files = [f"{os.path.basename(path)} {content(path)}" for path in _stats(folder)]
    return f" with {len(files)} files beside it, {_short(repr(files))}" if files else ""


def _short(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
