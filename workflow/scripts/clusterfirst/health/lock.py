"""One run at a time in a folder of results, and what an earlier one left at work.

The operating system drops this lock however a run ends. Snakemake's own (switched off by ``nolock`` in the profiles)
stays behind after kill -9 or a power cut, and refuses the next run until somebody unlocks by hand.
"""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import socket
import subprocess
import time
from typing import IO

from ..io import ClusterfirstError
from ..plan.layout import ResultsFolder

log = logging.getLogger(__name__)

_ATTEMPTS = 5
"""`survey` holds the lock for an instant to look at it."""
_PAUSE_S = 0.1


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
    file = ResultsFolder(results).lock.open("a")
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


def left_in_slurm(folder: str) -> list[str]:
    """Return the ids of jobs in Slurm's queue that a run from that folder sent: it may have been killed since."""
    if not shutil.which("squeue"):
        return []
    command = ["squeue", "--me", "--noheader", "--format=%i|%k|%Z"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    rows = [line.split("|", 2) for line in listed.splitlines() if line.count("|") >= 2]
    # The executor writes what a job is for into its comment.
    return [job for job, comment, place in rows if comment.startswith("rule_") and place == folder]
