"""Which processes and Slurm jobs are alive, as far as it can be told from this machine."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

SLACK_S = 2
"""Some file systems keep times in whole seconds or two."""


@dataclass
class Machines:
    """Which processes and Slurm jobs are alive, as far as it can be told from here."""

    host: str = field(default_factory=socket.gethostname)
    _asking: Lock = field(default_factory=Lock, repr=False)
    _answers: list = field(default_factory=list, repr=False)

    def alive(self, origin: re.Match | None, begun: float | None) -> bool | None:
        """Whether the job that began its log then, with that line, is at work; None if nobody here can tell."""
        if origin is None:
            return None
        if job := origin["job"]:
            queue = self._queue()
            return None if queue is None else job in queue
        if origin["host"] != self.host:
            return None
        started = _process_started(int(origin["pid"]))
        # Numbers of processes are given again: one that is younger than the log is another one.
        return started is not None and (begun is None or started <= begun + SLACK_S)

    def _queue(self) -> set[str] | None:
        """What Slurm says; asked once, though many threads want to know."""
        with self._asking:
            if not self._answers:
                self._answers.append(_in_slurm())
            return self._answers[0]


def _in_slurm() -> set[str] | None:
    """Ids of the user's jobs in Slurm; None if it does not answer."""
    if not shutil.which("squeue"):
        return None
    command = ["squeue", "--noheader", "--format=%i", "--states=RUNNING,COMPLETING,SUSPENDED,STOPPED,CONFIGURING"]
    command += ["--user", str(os.getuid())]
    try:
        done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return set(done.stdout.split())


def _process_started(pid: int) -> float | None:
    """When a process of this machine began, in seconds since the epoch; 0 if it does not say; None if there is none."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    try:
        # Field 22 counts from field 3, the first behind the name, which may hold anything.
        ticks = int(Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()[19])
        (boot,) = re.findall(r"^btime (\d+)", Path("/proc/stat").read_text("utf-8"), flags=re.M)
    except (OSError, ValueError, IndexError):
        return 0.0
    return int(boot) + ticks / os.sysconf("SC_CLK_TCK")


def left_in_slurm(folder: str) -> list[str]:
    """Return the ids of jobs in Slurm's queue that a run from that folder sent: it may have been killed since."""
    if not shutil.which("squeue"):
        return []
    command = ["squeue", "--me", "--noheader", "--format=%i|%k|%Z"]
    # As names of files: they are compared with one.
    how = {"encoding": sys.getfilesystemencoding(), "errors": "surrogateescape"}
    listed = subprocess.run(command, capture_output=True, **how, check=False).stdout
    rows = [line.split("|", 2) for line in listed.splitlines() if line.count("|") >= 2]
    # The executor writes what a job is for into its comment.
    return [job for job, comment, place in rows if comment.startswith("rule_") and place == folder]
