"""What became of one job, told by the files it leaves."""

from __future__ import annotations

import csv
import math
import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..io import AWAITED, ORIGIN
from ..text import span
from .causes import why_stopped
from .lock import Run
from .machines import SLACK_S, Machines

WORDS = ("failed", "stopped", "incomplete", "running", "outdated", "waiting", "done")
"""What a stage can be; the first are what people want to see first."""

_TAIL = 1 << 16
_FRESH_S = 900
"""Stages that tell their progress do so every half minute; others may be silent for long."""

_LINE = re.compile(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (\w+) (.*)")
_PROGRESS = re.compile(r"\d+ of \d+ \((\d+)%\), about (\d+) s left$")


@dataclass(frozen=True)
class Job:
    """Files of one job, as paths inside the folder of a slide or group."""

    outputs: tuple[str, ...]
    log: str
    benchmark: str


@dataclass
class State:
    """What became of a job, or of all jobs of a stage.

    Attributes
    ----------
    word : str
        One of `WORDS`.
    why : str
        The reason of a failure, the progress of a running job, or what is waited for.
    log : str
        Where to read on.
    finished, begun : float or None
        Times of the newest output, and of the oldest job at work.
    percent : int or None
        Of a running stage, if its log tells.
    seconds : float
        That its finished jobs took.
    """

    word: str
    why: str = ""
    log: str = ""
    finished: float | None = None
    begun: float | None = None
    percent: int | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class Log:
    """The beginning and the end of a log."""

    path: Path
    changed: float
    head: str
    tail: str

    @classmethod
    def read(cls, path: Path) -> Log | None:
        """Return the log; None if there is none."""
        try:
            with path.open("rb") as file:
                changed = os.fstat(file.fileno()).st_mtime
                head = file.readline(500)
                file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL))
                tail = file.read()
        except OSError:
            return None
        return cls(path, changed, head.decode("utf-8", "replace"), tail.decode("utf-8", "replace"))

    @property
    def lines(self) -> list[tuple[str, str, str]]:
        """Time, level and text of each line that begins a record."""
        return [match.groups() for line in self.tail.splitlines() if (match := _LINE.match(line))]

    @property
    def error(self) -> str | None:
        """The last one."""
        return next((text for _, level, text in reversed(self.lines) if level == "ERROR"), None)

    @property
    def begun(self) -> float | None:
        """When the job began, in seconds since the epoch."""
        if not (match := _LINE.match(self.head)):
            return None
        return time.mktime(time.strptime(match[1], "%Y-%m-%d %H:%M:%S"))

    @property
    def origin(self) -> re.Match | None:
        """Where the job runs; see `io.ORIGIN`."""
        match = _LINE.match(self.head)
        return ORIGIN.fullmatch(match[3].strip()) if match else None

    @property
    def progress(self) -> re.Match | None:
        """Percent, and seconds left, if the last line tells."""
        last = self.lines[-1][2] if self.lines else ""
        return _PROGRESS.search(last)


def _seconds(path: Path) -> float:
    """What a benchmark file says a job took; 0 if there is none."""
    try:
        with path.open(encoding="utf-8") as file:
            return float(next(csv.DictReader(file, delimiter="\t"))["s"])
    except (OSError, StopIteration, KeyError, TypeError, ValueError):
        return 0.0


def judged(job: Job, folder: Path, *, inputs: float, run: Run, machines: Machines, now: float) -> State:
    """Return what became of a job.

    Parameters
    ----------
    job
        Its files, below `folder`.
    folder
        That of the slide or group.
    inputs
        When the newest file that it reads was made.
    run, machines, now
        See `survey.survey`.
    """
    times = [changed(folder / name) for name in job.outputs]
    if None not in times:
        seconds = _seconds(folder / job.benchmark)
        if inputs > min(times) + SLACK_S:
            # Only where it begins there is something to say.
            why = "" if math.isinf(inputs) else "older than what it is made of"
            return State("outdated", why, finished=max(times), seconds=seconds)
        return State("done", finished=max(times), seconds=seconds)
    log = Log.read(folder / job.log)
    alive = machines.alive(log.origin, log.begun) if log else False
    before = max(inputs, run.since or 0.0) if run.at_work else inputs
    if log is None or (not alive and log.changed + SLACK_S < before):
        # What an earlier attempt said does not count any more.
        return State("incomplete", "some of its files are missing") if any(times) else State("waiting")
    if (error := log.error) is not None:
        return State("failed", error, log=str(log.path))
    if log.lines and log.lines[-1][2] == AWAITED:
        return State("waiting", "made with others, its own job only has to take it")
    if alive is None:
        # Another machine's process: believe the run that holds the lock, or else a log that has just changed.
        alive = bool(run.at_work) or (run.at_work is None and now - log.changed < _FRESH_S)
    if not alive:
        return State("stopped", _cause(log.origin), log=str(log.path))
    progress = log.progress
    silent = now - log.changed
    why = f"about {span(float(progress[2]))} left" if progress else ""
    if silent > _FRESH_S:
        why = f"no word for {span(silent)}"
    return State("running", why, log=str(log.path), begun=log.begun, percent=int(progress[1]) if progress else None)


def _cause(origin: re.Match | None) -> str:
    """Why a job ended without a word, if Slurm's own log of it says so."""
    job = origin["job"] if origin else None
    return why_stopped(sorted(Path(".snakemake/slurm_logs").rglob(f"{job}.log")) if job else [])


def together(states: Sequence[State]) -> State:
    """Return the state of a stage from those of its shards."""
    if len(states) == 1:
        return states[0]
    worst = min(states, key=lambda state: WORDS.index(state.word))
    done = sum(state.word == "done" for state in states)
    finished = [state.finished for state in states]
    if worst.word == "waiting" and done:
        why = f"{done} of {len(states)} shards done"
    elif worst.word == "running":
        why = ", ".join(filter(None, [f"{done} of {len(states)} shards done", worst.why]))
    else:
        why = worst.why
    return State(
        worst.word,
        why,
        log=worst.log,
        finished=None if None in finished else max(finished),
        begun=min((state.begun for state in states if state.begun), default=None),
        percent=round(sum(100 if s.word == "done" else s.percent or 0 for s in states) / len(states)),
        seconds=sum(state.seconds for state in states),
    )


def changed(path: Path) -> float | None:
    """Return when a file changed last; None if it is not there. A folder's time is that of Snakemake's stamp in it."""
    try:
        time_of_path = path.stat().st_mtime
    except OSError:
        return None
    if path.is_dir():
        try:
            return (path / ".snakemake_timestamp").stat().st_mtime
        except OSError:
            pass
    return time_of_path
