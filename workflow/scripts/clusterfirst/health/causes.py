"""Why a job failed, from what it and its scheduler left in their logs."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from pathlib import Path

# What schedulers, shells and operating systems say when they end a job, and what that means. The first that fits
# counts: what hits a limit is cancelled and killed, too.
CAUSES = (
    (
        r"No space left on device|Disk quota exceeded",
        "the disk is full, or your share of it: make room, then run again",
    ),
    (
        r"exceeded (?:job |step )?memory limit|oom.?kill|OUT_OF_ME|Out Of Memory",
        "it hit its limit of memory: give the rule more (--set-resources RULE:mem_mb=...)",
    ),
    (
        r"DUE TO TIME LIMIT|\bTIMEOUT\b|\bDEADLINE\b",
        "it hit its time limit: give the rule more minutes (--set-resources RULE:runtime=...)",
    ),
    (r"DUE TO PREEMPTION|\bPREEMPTED\b", "it had to give way to another job: run again"),
    (r"DUE TO NODE FAILURE|\bNODE_FAIL\b|\bBOOT_FAIL\b", "its node failed: run again"),
    (r"sbatch failed", "the cluster did not take it: check partition, account and limits in the profile"),
    (r"\bCANCELLED\b", "it was cancelled, by hand or by an administrator: run again"),
    (r"SIGKILL|\bKilled\b|non-zero exit status -9", "it was killed, most likely for want of memory, or by hand"),
)
FULL = 100e6
"""Bytes: nothing goes on with less than that."""
UNKNOWN = "it ended without a word: killed, by hand or for want of memory or time, or never started"


def last_error(log: str | Path, *, since: float = 0) -> str | None:
    """Return the last error that a stage wrote into its log.

    Parameters
    ----------
    log
        Path of a log as `clusterfirst.io.log_to` writes it.
    since
        Seconds since the epoch. A log that was last written before then is of an earlier run, and says nothing.
    """
    path = Path(log)
    if not path.is_file() or path.stat().st_mtime < since:
        return None
    errors = [line.split(" ERROR ", 1)[1] for line in _lines(path) if " ERROR " in line]
    return errors[-1] if errors else None


def why_stopped(logs: Iterable[str | Path], message: str | None = None) -> str:
    """Return the likely cause for which a job ended that left no error.

    Parameters
    ----------
    logs
        Paths of what the scheduler wrote about the job; those that are not there are passed over.
    message
        What the scheduler answered when asked for the job.
    """
    said = [message or "", *(line for log in logs if Path(log).is_file() for line in _lines(Path(log)))]
    for pattern, meaning in CAUSES:
        if words := next((line for line in said if re.search(pattern, line)), None):
            return f"{meaning} ({' '.join(words.split())[:300]})"
    return UNKNOWN


def no_room(folder: str | Path) -> str | None:
    """Return what to say if the disk of a folder is full: logs end early then, and say nothing."""
    free = shutil.disk_usage(folder).free
    return f"no space is left on the disk of {folder}: make room, then run again" if free < FULL else None


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8", errors="replace").splitlines()
