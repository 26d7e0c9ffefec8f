"""One run at a time in a folder of results, and whether one is at work there.

The operating system drops this lock however a run ends. Snakemake's own (switched off by ``nolock`` in the profiles)
stays behind after kill -9 or a power cut, and refuses the next run until somebody unlocks by hand.
"""

from __future__ import annotations

import atexit
import logging
import os
import socket
import time
from dataclasses import dataclass
from typing import IO

from ..io import ClusterfirstError
from ..plan.layout import ResultsFolder

log = logging.getLogger(__name__)

_ATTEMPTS = 5
"""`run_at_work` holds the lock for an instant to look at it."""
_PAUSE_S = 0.1


@dataclass(frozen=True)
class Run:
    """Whether a run is at work in a results folder.

    Attributes
    ----------
    at_work : bool or None
        None if the file system does not tell.
    since : float or None
        When the last run began, in seconds since the epoch.
    where : str
        Machine and process.
    """

    at_work: bool | None
    since: float | None = None
    where: str = ""


def hold(results: str) -> IO:
    """Keep other runs out of a folder of results for as long as the file that is returned stays open.

    It says who holds the lock, and since when (the time of the file), until the process ends well. On a file system
    without locks there is a warning only.

    Raises
    ------
    ClusterfirstError
        Another run is at work there.
    """
    os.makedirs(results, exist_ok=True)
    file = ResultsFolder(results).lock.open("a", encoding="utf-8")
    try:
        _lock_soon(file)
    except BlockingIOError as error:
        raise ClusterfirstError(
            f"another run is at work in {results}/: wait for it, or set another `results` folder"
        ) from error
    except OSError as error:
        log.warning("%s/ lies on a file system without locks (%s): start one run at a time", results, error)
    file.truncate(0)
    file.write(f"{socket.gethostname()}, process {os.getpid()}\n")
    file.flush()
    atexit.register(file.truncate, 0)
    return file


def _lock_soon(file: IO) -> None:
    import fcntl

    for left in reversed(range(_ATTEMPTS)):
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not left:
                raise
            time.sleep(_PAUSE_S)


def run_at_work(results: str | os.PathLike) -> Run:
    """Look whether a run holds the lock of a results folder.

    The lock is tried for an instant, which those who take it allow for. A run on another machine whose lock is not seen
    from here (some network file systems) leaves its record in the lock file until it ends well; then nobody knows.
    """
    import fcntl

    try:
        with ResultsFolder(results).lock.open("rb") as file:
            where, since = file.read(500).decode("utf-8", "replace").strip(), os.fstat(file.fileno()).st_mtime
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return Run(True, since, where)
            except OSError:
                return Run(None if where else False, since, where)
    except OSError:
        return Run(False)
    elsewhere = bool(where) and where.partition(",")[0] != socket.gethostname()
    return Run(None if elsewhere else False, since, where)
