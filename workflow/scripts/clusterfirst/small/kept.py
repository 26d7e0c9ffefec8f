"""What is kept of an image between the process that makes its files and the job of its own that takes them.

Jobs take thousands of times and do nothing else: nothing is imported here that takes long.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

JOB, DONE, MADE, LOCK, BEGUN, FAILED, TAKEN = "job.json", "done.json", "made", "lock", "begun", "failed", "taken"
LOGS = "logs"


class Kept:
    """The folder of one image in one chain of stages.

    Attributes
    ----------
    job : str
        What is to be done, as the run planned it. Nothing is done for an image without it.
    done : str
        Is there when all of `made` is: of what it was made (`key`, and the state of the files that were read).
    made, logs : str
        Hold the files, and among them the logs, until its job takes them.
    begun : str
        Is there while somebody else's job is at it, with the log of the stage; and ever after, if that was killed.
    failed : str
        Somebody else's job could not do it: its own will try, and say why.
    taken : str
        Its job has what it is to make.

    Parameters
    ----------
    folder
        The folder.
    """

    def __init__(self, folder: str | os.PathLike):
        self.folder = os.fspath(folder)
        names = (JOB, DONE, MADE, LOCK, BEGUN, FAILED, TAKEN)
        self.logs = os.path.join(self.folder, MADE, LOGS)
        self.job, self.done, self.made, self.lock, self.begun, self.failed, self.taken = (
            os.path.join(self.folder, name) for name in names
        )

    def read_job(self) -> dict | None:
        """Return what is to be done; None if nothing is."""
        return _read(self.job)

    def is_made(self, job: dict) -> bool:
        """Whether all was made, with these settings, of what the files hold that are read."""
        return _read(self.done) == {"key": job["key"], "read": state(job["reads"])}

    def take(self) -> bool:
        """Put what was made where it belongs; if it was not all made of what is there now, do nothing, return False."""
        job = self.read_job()
        if job is None or not self.is_made(job):
            return False
        # Nobody who helps others may find it neither made nor taken. Where locks do not work, nobody helps.
        with self.held(wait=True):
            if self.is_made(job):
                self._put_in_place(job)
        return os.path.exists(self.taken)

    def _put_in_place(self, job: dict) -> None:
        # From here on it counts as not made: a job that is killed between two files begins anew.
        os.unlink(self.done)
        for name in job["files"]:
            file = os.path.join(job["folder"], name)
            os.makedirs(os.path.dirname(file), exist_ok=True)
            # A folder in the way could not be replaced.
            remove(file)
            _move(os.path.join(self.made, name), file)
            # Later than whatever else this run has made before.
            os.utime(file)
        # Snakemake empties the logs of a job that begins, also if another job has written them.
        os.makedirs(job["logs"], exist_ok=True)
        for name in os.listdir(self.logs):
            _move(os.path.join(self.logs, name), os.path.join(job["logs"], name))
        remove(self.made)
        write(self.taken, None)

    def forget(self) -> None:
        """Remove what an earlier attempt left, but for what is to be done."""
        for path in (self.done, self.taken, self.failed, self.begun, self.made):
            remove(path)

    @contextmanager
    def held(self, *, wait: bool = False) -> Iterator[bool]:
        """Keep others from making the same; yield False if somebody does, or if locks do not work here.

        The operating system drops the lock when its process ends, however it does.
        """
        import fcntl

        try:
            handle = os.open(self.lock, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError:
            yield False
            return
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
                held = True
            except OSError:
                held = False
            yield held
        finally:
            os.close(handle)


def _move(path: str, to: str) -> None:
    try:
        os.replace(path, to)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        # A folder of results may be a link to another disk.
        import shutil

        shutil.move(path, to)


def state(files: Iterable[str]) -> list[list[int] | None]:
    """Return size and times of each file; None if it is not there."""
    return [_state(file) for file in files]


def _state(file: str) -> list[int] | None:
    try:
        found = os.stat(file)
    except OSError:
        return None
    # The time of the last change of anything, too: a copy may bring the time of writing with it.
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns]


def write(path: str, value: Any) -> None:
    """Write JSON: all of it, or nothing."""
    part = f"{path}.part-{os.getpid()}"
    with open(part, "w", encoding="utf-8") as file:
        json.dump(value, file)
    os.replace(part, path)


def _read(path: str) -> Any:
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError):
        return None


def remove(path: str) -> None:
    """Remove a file, or a folder with all that is in it; nothing, if nothing is there."""
    if os.path.isdir(path) and not os.path.islink(path):
        for entry in os.scandir(path):
            remove(entry.path)
        os.rmdir(path)
    else:
        with suppress(FileNotFoundError):
            os.unlink(path)
