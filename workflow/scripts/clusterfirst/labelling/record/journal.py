"""Actions on disk, one JSON line each: whatever was acknowledged survives `kill -9` and a power cut.

The first line says what the journal is about. Every line ends with the CRC-32 of the rest of it. A line is
acknowledged only after fsync; a torn last line was not, and is cut off at opening. Lines are never changed or removed:
undo is one more line.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import socket
import zlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from ...io import ClusterfirstError, sync_folder
from .history import Entry

log = logging.getLogger(__name__)

VERSION = 1
_CRC = b',"crc":"'
_TAIL = len(_CRC) + 8 + len('"}')


def stamp(time: datetime) -> str:
    """Write a time in UTC, to the millisecond."""
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def now() -> str:
    """Return the time; see `stamp`."""
    return stamp(datetime.now(UTC))


class Held(ClusterfirstError):
    """Another server is at work on these labels."""


class Damaged(ClusterfirstError):
    """A journal cannot be read as it is."""


class Ended(ClusterfirstError):
    """The server is ending: nothing is taken any more."""

    def __init__(self):
        super().__init__("the labelling app is ending: nothing was done. Start it again")


class Lock:
    """Keeps a second server off a folder of labels. The system lets go of it when the process ends, however it ends.

    Parameters
    ----------
    folder
        The folder of labels; made if it is not there.

    Raises
    ------
    Held
        With who holds it.
    ClusterfirstError
        The folder is a link, or cannot be written to.
    """

    def __init__(self, folder: Path):
        if folder.is_symlink():
            raise ClusterfirstError(
                f"{folder} is a link: labels are kept in the results folder itself. Remove the link"
            )
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        except OSError as error:
            raise ClusterfirstError(f"{folder}: labels cannot be kept there ({error}): make it writable") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = self._holder()
            os.close(self._file)
            raise Held(
                f"{folder} is held by another server ({holder}): open that one's page, or end it first"
            ) from None
        except OSError as error:
            log.warning("%s lies on a file system without locks (%s): start one server at a time", folder, error)
        told = json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": now()}).encode()
        try:
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, told, 0)
        except OSError as error:
            # It is held all the same. With a full disk labels can still be looked at.
            log.warning("%s: who holds it could not be written down (%s)", folder / ".lock", error)

    def _holder(self) -> str:
        try:
            told = json.loads(os.pread(self._file, 1000, 0))
            return f"process {told['pid']} on {told['host']}, since {told['since']}"
        except (ValueError, KeyError, TypeError):
            return "it does not say which"

    def release(self) -> None:
        """Let go. More than once does no harm."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


class Journal:
    """An open journal, positioned at its end. Not safe for threads: its owner locks.

    Use `open`; the attributes are

    Attributes
    ----------
    path : pathlib.Path
    header : dict
        What the first line says besides its kind.
    entries : list of Entry
        What was in the file when it was opened.
    """

    def __init__(self, path: Path, header: dict, entries: list[Entry], file: int, end: int):
        self.path, self.header, self.entries = path, header, entries
        self._file: int | None = file
        self._end = end
        self._seq = entries[-1].seq if entries else 0
        self._failed: str | None = None

    @classmethod
    def open(cls, path: Path, header: dict) -> Self:
        """Open a journal, or begin one.

        Parameters
        ----------
        path
            Its file.
        header
            JSON-ready; of an existing journal it must be the same.

        Raises
        ------
        Damaged
            Elsewhere than in a torn last line.
        ClusterfirstError
            It is about something else.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        try:
            data = path.read_bytes()
            end = _whole(data)
            if end < len(data):
                log.warning("%s: a torn last line of %d bytes, never acknowledged, is cut off", path, len(data) - end)
                os.ftruncate(file, end)
            found, entries = parse(data[:end], path)
            if found is not None and found != header:
                raise ClusterfirstError(f"{path} is about other cells than these: move it away")
            journal = cls(path, header, entries, file, end)
            if found is None:
                journal._write({"clusterfirst": "labels", "version": VERSION, **header})
                sync_folder(path.parent)
                sync_folder(path.parent.parent)  # the folder of labels may be as new as the journal
            elif end < len(data):
                os.fsync(file)
            return journal
        except BaseException:
            os.close(file)
            raise

    def append(self, who: str, id: str, action: dict) -> Entry:
        """Write down an action. It is on disk when this returns.

        Raises
        ------
        Ended
            The journal was closed.
        ClusterfirstError
            The disk is full, or failed: nothing was written down, and after a failure nothing more will be until the
            server is started anew.
        """
        entry = Entry(self._seq + 1, now(), who, id, action)
        self._write({"seq": entry.seq, "time": entry.time, "who": who, "id": id, "action": action})
        self._seq = entry.seq
        return entry

    def _write(self, record: dict) -> None:
        if self._file is None:
            raise Ended
        if self._failed:
            raise ClusterfirstError(f"{self.path} could not be written ({self._failed}): mend that, and start again")
        self._check_place()
        line = memoryview(seal(record))
        try:
            written = 0
            while written < len(line):
                written += os.pwrite(self._file, line[written:], self._end + written)
        except OSError as error:
            self._take_back(error)
            raise ClusterfirstError(f"{self.path}: nothing could be written down ({error}). It was not done") from error
        try:
            os.fsync(self._file)
        except OSError as error:
            # After a failed fsync nobody knows what is on disk, and asking again may falsely say that all is well.
            self._failed = str(error)
            self._take_back(error)
            raise ClusterfirstError(f"{self.path}: the disk failed ({error}). It was not done") from error
        self._end += len(line)

    def _check_place(self) -> None:
        """Refuse to write into a file that nobody will find again, and over what somebody else has written."""
        own = os.fstat(self._file)
        try:
            there = os.stat(self.path, follow_symlinks=False)
        except FileNotFoundError:
            there = None
        if there is None or (there.st_dev, there.st_ino) != (own.st_dev, own.st_ino):
            raise ClusterfirstError(f"{self.path} was moved, replaced or deleted: put it back, and start the app again")
        # Where the file system has no locks, or the lock was deleted, nothing else keeps two servers apart.
        if there.st_size != self._end:
            raise ClusterfirstError(
                f"{self.path} was changed by somebody else: end any other server of these results, and start this one "
                "again"
            )

    def _take_back(self, error: OSError) -> None:
        try:
            os.ftruncate(self._file, self._end)
        except OSError:
            self._failed = str(error)

    def close(self) -> None:
        """Let go of the file, for good. More than once does no harm."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def seal(record: dict) -> bytes:
    """Return a record as a line with its checksum."""
    text = json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()[:-1]
    return b'%s,"crc":"%08x"}\n' % (text, zlib.crc32(text))


def unseal(line: bytes) -> dict:
    """Return the record of a line (without its end).

    Raises
    ------
    ValueError
        The checksum is wrong, or missing.
    """
    text, tail = line[:-_TAIL], line[-_TAIL:]
    if tail != b'%s%08x"}' % (_CRC, zlib.crc32(text)):
        raise ValueError("its checksum is wrong")
    return json.loads(text + b"}")


def _whole(data: bytes) -> int:
    """Return the length of the lines that have an end."""
    return data.rfind(b"\n") + 1


def parse(data: bytes, path: Path) -> tuple[dict | None, list[Entry]]:
    """Read whole lines.

    Returns
    -------
    header : dict or None
        None if there is no line.
    entries : list of Entry

    Raises
    ------
    Damaged
        With the number of the line, and what is whole before and after it.
    ClusterfirstError
        It is of a later version.
    """
    header, entries, lines = None, [], data.split(b"\n")[:-1]
    for number, line in enumerate(lines, start=1):
        try:
            record = unseal(line)
            if header is None:
                header = _header(record, path)
                continue
            entry = Entry(*(record[name] for name in ("seq", "time", "who", "id", "action")))
            if entry.seq != len(entries) + 1:
                raise ValueError(f"number {entry.seq} follows {len(entries)}")
        except (ValueError, KeyError, TypeError) as error:
            raise Damaged(
                f"{path}, line {number}: damaged ({error}). {_still_whole(entries, lines[number:])}. The file was left "
                "as it is: restore it from a backup, or run clusterfirst-label with --repair, which keeps a copy of it "
                "and goes on with all that is whole"
            ) from error
        entries.append(entry)
    return header, entries


def _still_whole(entries: list[Entry], after: list[bytes]) -> str:
    before = f"{len(entries)} actions before it are whole"
    if entries:
        before += f", the last by {entries[-1].who} at {entries[-1].time}"
    return f"{before}; so are {sum(map(_is_whole, after))} of {len(after)} lines after it"


def _is_whole(line: bytes) -> bool:
    try:
        unseal(line)
    except ValueError:
        return False
    return True


def _header(record: dict, path: Path) -> dict:
    if record.pop("clusterfirst", None) != "labels":
        raise ValueError("it is no journal of labels")
    version = record.pop("version", None)
    if version != VERSION:
        raise ClusterfirstError(f"{path}: version {version} is not known here: update clusterfirst")
    return record


def read(path: Path) -> tuple[dict | None, list[Entry]]:
    """Read a journal that nobody writes to, a torn last line left out; see `parse`."""
    data = path.read_bytes()
    return parse(data[: _whole(data)], path)
