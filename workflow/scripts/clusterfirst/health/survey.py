"""How far a run has come, told by the files it leaves: nothing is computed and nothing written."""

from __future__ import annotations

import csv
import math
import os
import re
import shutil
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from ..io import ORIGIN, ClusterfirstError
from .causes import why_stopped

WORDS = ("failed", "stopped", "incomplete", "running", "outdated", "waiting", "done")
"""What a stage can be; the first are what people want to see first."""

MARKS = {"failed": "FAIL", "stopped": "STOP", "incomplete": "part", "outdated": "old", "waiting": "-", "done": "ok"}
LISTED = 30
"""Of more slides than these, those that are done are counted only."""

_REASONS = 20

_TAIL = 1 << 16
_FRESH_S = 900
"""Stages that tell their progress do so every half minute; others may be silent for long."""
_SLACK_S = 2
"""Some file systems keep times in whole seconds or two."""

_LINE = re.compile(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (\w+) (.*)")
_PROGRESS = re.compile(r"\d+ of \d+ \((\d+)%\), about (\d+) s left$")
_CLUSTERS = re.compile(rb'"counts": \{[^}]*"clusters": (\d+)')


@dataclass(frozen=True)
class Job:
    """Files of one job, as paths inside the folder of a slide or group."""

    outputs: tuple[str, ...]
    log: str
    benchmark: str


@dataclass(frozen=True)
class Stage:
    """A stage of one slide or group: a job, or one for each shard.

    Attributes
    ----------
    name : str
    column : str or None
        The column of the table that it is shown in.
    jobs : tuple of Job
    after : tuple of str
        What it needs: ``<unit>/<stage>``.
    inputs : tuple of str
        Files from outside that it reads; newer ones make it outdated.
    optional : bool
        Not part of every run: left out unless it was begun.
    """

    name: str
    column: str | None
    jobs: tuple[Job, ...]
    after: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    optional: bool = False


@dataclass(frozen=True)
class Unit:
    """A slide, or a group of slides that are clustered together: its name, its folder, and its stages in order."""

    name: str
    folder: str
    stages: tuple[Stage, ...]


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


@dataclass
class State:
    """What became of a stage.

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


@dataclass
class Progress:
    """A unit, the state of each of its stages by name, and what was counted (None: not known yet)."""

    unit: Unit
    states: dict[str, State]
    tiles: tuple[int, int] | None = None
    cells: int | None = None
    clusters: int | None = None

    @property
    def worst(self) -> str:
        """The first of `WORDS` that any stage is."""
        return min((state.word for state in self.states.values()), key=WORDS.index, default="done")

    @property
    def seconds(self) -> float:
        """That all finished stages took."""
        return sum(state.seconds for state in self.states.values())


# --- what is at work ---------------------------------------------------------------------------------------------


def run_at_work(results: str | os.PathLike) -> Run:
    """Look whether a run holds the lock of a results folder.

    The lock is tried for an instant, which those who take it allow for. A run on another machine whose lock is not seen
    from here (some network file systems) leaves its record in the lock file until it ends well; then nobody knows.
    """
    import fcntl

    path = Path(results) / ".lock"
    try:
        with path.open("rb") as file:
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


@dataclass
class Machines:
    """Which processes and Slurm jobs are alive, as far as it can be told from here."""

    host: str = field(default_factory=socket.gethostname)

    def alive(self, origin: re.Match | None, begun: float | None) -> bool | None:
        """Whether the job that began its log then, with that line, is at work; None if nobody here can tell."""
        if origin is None:
            return None
        if job := origin["job"]:
            return None if self._queue is None else job in self._queue
        if origin["host"] != self.host:
            return None
        started = _process_started(int(origin["pid"]))
        # Numbers of processes are given again: one that is younger than the log is another one.
        return started is not None and (begun is None or started <= begun + _SLACK_S)

    @cached_property
    def _queue(self) -> set[str] | None:
        """Ids of the user's jobs in Slurm; None if it does not answer."""
        if not shutil.which("squeue"):
            return None
        command = ["squeue", "--noheader", "--format=%i", "--states=RUNNING,COMPLETING,SUSPENDED,STOPPED,CONFIGURING"]
        command += ["--user", str(os.getuid())]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
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
        ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
        (boot,) = re.findall(r"^btime (\d+)", Path("/proc/stat").read_text(), flags=re.M)
    except (OSError, ValueError, IndexError):
        return 0.0
    return int(boot) + ticks / os.sysconf("SC_CLK_TCK")


# --- one job, from its files -------------------------------------------------------------------------------------


def _changed(path: Path) -> float | None:
    """When a file changed last; None if it is not there. A folder's time is that of Snakemake's stamp in it."""
    try:
        found = path.stat()
    except OSError:
        return None
    if path.is_dir():
        try:
            return (path / ".snakemake_timestamp").stat().st_mtime
        except OSError:
            pass
    return found.st_mtime


@dataclass(frozen=True)
class _Log:
    """The beginning and the end of a log."""

    path: Path
    changed: float
    head: str
    tail: str

    @classmethod
    def read(cls, path: Path) -> _Log | None:
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
        return [found.groups() for line in self.tail.splitlines() if (found := _LINE.match(line))]

    @property
    def error(self) -> str | None:
        return next((text for _, level, text in reversed(self.lines) if level == "ERROR"), None)

    @property
    def begun(self) -> float | None:
        if not (found := _LINE.match(self.head)):
            return None
        return time.mktime(time.strptime(found[1], "%Y-%m-%d %H:%M:%S"))

    @property
    def origin(self) -> re.Match | None:
        found = _LINE.match(self.head)
        return ORIGIN.fullmatch(found[3].strip()) if found else None

    @property
    def progress(self) -> re.Match | None:
        last = self.lines[-1][2] if self.lines else ""
        return _PROGRESS.search(last)


def _seconds(path: Path) -> float:
    """What a benchmark file says a job took; 0 if there is none."""
    try:
        with path.open(encoding="utf-8") as file:
            return float(next(csv.DictReader(file, delimiter="\t"))["s"])
    except (OSError, StopIteration, KeyError, TypeError, ValueError):
        return 0.0


def _judged(job: Job, folder: Path, *, inputs: float, run: Run, machines: Machines, now: float) -> State:
    """What became of one job whose newest input is of the time `inputs`."""
    times = [_changed(folder / name) for name in job.outputs]
    if None not in times:
        seconds = _seconds(folder / job.benchmark)
        if inputs > min(times) + _SLACK_S:
            # Only where it begins there is something to say.
            why = "" if math.isinf(inputs) else "older than what it is made of"
            return State("outdated", why, finished=max(times), seconds=seconds)
        return State("done", finished=max(times), seconds=seconds)
    log = _Log.read(folder / job.log)
    alive = machines.alive(log.origin, log.begun) if log else False
    before = max(inputs, run.since or 0.0) if run.at_work else inputs
    if log is None or (not alive and log.changed + _SLACK_S < before):
        # What an earlier attempt said does not count any more.
        return State("incomplete", "some of its files are missing") if any(times) else State("waiting")
    if (error := log.error) is not None:
        return State("failed", error, log=str(log.path))
    if alive is None:
        # Another machine's process: believe the run that holds the lock, or else a log that has just changed.
        alive = bool(run.at_work) or (run.at_work is None and now - log.changed < _FRESH_S)
    if not alive:
        return State("stopped", _cause(log.origin), log=str(log.path))
    found = log.progress
    silent = now - log.changed
    why = f"about {span(float(found[2]))} left" if found else ""
    if silent > _FRESH_S:
        why = f"no word for {span(silent)}"
    return State("running", why, log=str(log.path), begun=log.begun, percent=int(found[1]) if found else None)


def _cause(origin: re.Match | None) -> str:
    """Why a job ended without a word, if Slurm's own log of it says so."""
    job = origin["job"] if origin else None
    return why_stopped(sorted(Path(".snakemake/slurm_logs").rglob(f"{job}.log")) if job else [])


def _together(states: Sequence[State]) -> State:
    """The state of a stage from those of its shards."""
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


# --- all units ---------------------------------------------------------------------------------------------------


def survey(
    units: Iterable[Unit], *, run: Run, machines: Machines | None = None, now: float | None = None
) -> list[Progress]:
    """Look at the files of every unit.

    Parameters
    ----------
    units
        Slides and groups; stages may wait for stages of any of them.
    run
        See `run_at_work`.
    machines
        Knows what is alive.
    now
        Seconds since the epoch.

    Returns
    -------
    list of Progress
        In the order of `units`.
    """
    units = list(units)
    now = time.time() if now is None else now
    facts = {"run": run, "machines": machines or Machines(), "now": now}
    stages = {f"{unit.name}/{stage.name}": (unit, stage) for unit in units for stage in unit.stages}
    looked: dict[str, State] = {}

    def look(key: str) -> State:
        unit, stage = stages[key]
        newest = [_made(looked[need]) for need in stage.after if need in looked]
        newest += [_changed(Path(path)) or 0.0 for path in stage.inputs]
        inputs = max(newest, default=0.0)
        return _together([_judged(job, Path(unit.folder), inputs=inputs, **facts) for job in stage.jobs])

    # Asking for many files at once hides the delays of a network file system.
    with ThreadPoolExecutor(16) as pool:
        for level in _levels(stages):
            looked |= zip(level, pool.map(look, level), strict=True)
        _name_what_is_waited_for(stages, looked)
        return list(pool.map(lambda unit: _progress(unit, looked), units))


def _made(state: State) -> float:
    """When the outputs of a stage were made; those that have yet to be made are newer than anything."""
    return state.finished or 0.0 if state.word == "done" else math.inf


def _levels(stages: dict[str, tuple[Unit, Stage]]) -> Iterator[list[str]]:
    """Stages in an order in which each comes after what it needs; those of one level need nothing of each other."""
    from graphlib import TopologicalSorter

    order = TopologicalSorter(
        {key: [need for need in stage.after if need in stages] for key, (_, stage) in stages.items()}
    )
    order.prepare()
    while order.is_active():
        level = list(order.get_ready())
        yield level
        order.done(*level)


def _name_what_is_waited_for(stages: dict[str, tuple[Unit, Stage]], looked: dict[str, State]) -> None:
    """Say of waiting stages what began the wait: a stage that failed or is at work, however far before them."""
    begins: dict[str, str] = {}
    # In the order in which they were looked at: what is needed comes first.
    for key, state in looked.items():
        if state.word != "waiting":
            continue
        _, stage = stages[key]
        held = [need for need in stage.after if need in looked and looked[need].word not in ("done", "outdated")]
        causes = [begins.get(need, need) for need in held]
        begins[key] = min(causes, key=lambda cause: WORDS.index(looked[cause].word), default=key)
        if causes and not state.why:
            more = f" and {len(held) - 1:,} more" if len(held) > 1 else ""
            state.why = f"for {begins[key]} ({looked[begins[key]].word}){more}"
        elif not causes:
            state.why = state.why or "its turn"


def standstill(progress: Progress) -> tuple[str, str, str]:
    """Return the stage that a unit stands at, what that is (one of `WORDS`), and why."""
    stages = [(name, state) for name, state in progress.states.items() if state.word != "done"]
    if not stages:
        return "", "done", "slides that it is clustered with are not finished"
    name, state = min(stages, key=lambda stage: WORDS.index(stage[1].word))
    return name, state.word, state.why


def _progress(unit: Unit, looked: dict[str, State]) -> Progress:
    states = {stage.name: looked[f"{unit.name}/{stage.name}"] for stage in unit.stages}
    for stage in unit.stages:
        if stage.optional and states[stage.name].word == "waiting":
            del states[stage.name]
    folder = Path(unit.folder)
    return Progress(unit, states, _tiles(folder), _cells(folder), _clusters(folder))


def _tiles(folder: Path) -> tuple[int, int] | None:
    """Kept and all tiles."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        kept = pq.read_table(folder / "filtered.parquet", columns=["kept"], use_threads=False)["kept"]
    except (OSError, pa.ArrowException):
        return None
    return kept.to_numpy().sum().item(), len(kept)


def _cells(folder: Path) -> int | None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_metadata(folder / "masks.parquet").num_rows
    except (OSError, pa.ArrowException):
        return None


def _clusters(folder: Path) -> int | None:
    """Only the beginning is read: the file has a line for every cell."""
    try:
        with (folder / "clusters.json").open("rb") as file:
            found = _CLUSTERS.search(file.read(_TAIL))
    except OSError:
        return None
    return int(found[1]) if found else None


# --- the page ----------------------------------------------------------------------------------------------------


def page(found: Sequence[Progress], *, results: str, run: Run, now: float | None = None, listed: int = LISTED) -> str:
    """Write the table for people.

    Parameters
    ----------
    found
        See `survey`.
    results
        Name of the results folder.
    run
        See `run_at_work`.
    now
        Seconds since the epoch.
    listed
        Of more units than these, only those that are not done get a line, and at most so many.
    """
    now = time.time() if now is None else now
    parts = [_headline(found, results, run, now), _totals(found), _table(found, listed), *_troubles(found, listed)]
    parts += [_running(found, now), _waiting(found), _advice(found, run)]
    return "\n\n".join("\n".join(lines) for lines in parts if lines)


def _headline(found: Sequence[Progress], results: str, run: Run, now: float) -> list[str]:
    since = f" since {_moment(run.since, now)}" if run.since else ""
    if run.at_work:
        work = f"A run is at work{since}" + (f" ({run.where})" if run.where else "") + "."
    elif run.at_work is None:
        work = f"A run began{since} ({run.where}); it is at work or was killed: that cannot be told from this machine."
    else:
        work = "No run is at work."
    return [f"{results}/ at {time.strftime('%Y-%m-%d %H:%M', time.localtime(now))}. {work}"]


def _columns(found: Sequence[Progress]) -> list[str]:
    """In the order of the stages, with those that only some units have in their place."""
    columns: list[str] = []
    for progress in found:
        at = 0
        for stage in progress.unit.stages:
            if not stage.column or stage.name not in progress.states:
                continue
            if stage.column in columns:
                at = columns.index(stage.column) + 1
            else:
                columns.insert(at, stage.column)
                at += 1
    return columns


def _totals(found: Sequence[Progress]) -> list[str]:
    """Per stage: how many units are in which state, and the time of those that are done."""
    words, seconds = {}, Counter()
    for progress in found:
        for stage in progress.unit.stages:
            if stage.column and (state := progress.states.get(stage.name)):
                words.setdefault(stage.column, Counter())[state.word] += 1
                seconds[stage.column] += state.seconds
    shown = [word for word in reversed(WORDS) if word == "done" or any(count[word] for count in words.values())]
    names = _columns(found)
    rows = [["stage", *shown, "time"]]
    rows += [[name, *(str(words[name][word] or "-") for word in shown), span(seconds[name])] for name in names]
    return _aligned(rows)


def _table(found: Sequence[Progress], listed: int) -> list[str]:
    """A row per unit and a column per stage."""
    units = [progress for progress in found if any(stage.column for stage in progress.unit.stages)]
    shown = units
    if len(units) > listed:
        rest = [progress for progress in units if progress.worst != "done"]
        shown = sorted(rest, key=lambda progress: WORDS.index(progress.worst))[:listed]
    columns = _columns(found)
    rows = [["", *columns, "tiles", "cells", "clusters", "time"]]
    for progress in shown:
        marks = {stage.column: progress.states.get(stage.name) for stage in progress.unit.stages}
        cells = [_mark(marks[name]) if marks.get(name) else "" for name in columns]
        rows.append([progress.unit.name, *cells, *_counts(progress), span(progress.seconds)])
    rows.append(["all" if len(units) == len(shown) else f"all {len(units):,}", *([""] * len(columns)), *_sums(units)])
    lines = _aligned(rows)
    if len(shown) < len(units):
        done = sum(progress.worst == "done" for progress in units)
        more = len(units) - done - len(shown)
        lines.append(f"({done:,} are done and not listed" + (f"; {more:,} more are not)" if more else ")"))
    return lines


def _mark(state: State) -> str:
    if state.word == "running":
        return "run" if state.percent is None else f"{state.percent}%"
    return MARKS[state.word]


def _counts(progress: Progress) -> list[str]:
    counts = (progress.tiles[0] if progress.tiles else None, progress.cells, progress.clusters)
    return ["" if count is None else f"{count:,}" for count in counts]


def _sums(units: Sequence[Progress]) -> list[str]:
    tiles = sum(progress.tiles[0] for progress in units if progress.tiles)
    cells = sum(progress.cells or 0 for progress in units)
    return [f"{tiles:,}", f"{cells:,}", "", span(sum(progress.seconds for progress in units))]


def _in_state(found: Sequence[Progress], *words: str) -> list[tuple[str, State]]:
    return [
        (f"{progress.unit.name}  {name}", state)
        for progress in found
        for name, state in progress.states.items()
        if state.word in words
    ]


def _troubles(found: Sequence[Progress], listed: int) -> Iterator[list[str]]:
    """What failed, why, and where to read on."""
    titles = {
        "failed": "Failed",
        "stopped": "Stopped",
        "incomplete": "Incomplete",
        "outdated": "Out of date, and what follows",
    }
    for word, title in titles.items():
        those = _in_state(found, word)
        lines = [f"{title}: {len(those):,}"] if those else []
        those = [(name, state) for name, state in those if state.why]
        listed = min(listed, _REASONS)
        for name, state in those[:listed]:
            lines.append(f"  {name}: {state.why}")
            if state.log:
                lines.append(f"    log: {state.log}")
        if len(those) > listed:
            lines.append(f"  … and {len(those) - listed:,} more")
        yield lines


def _running(found: Sequence[Progress], now: float) -> list[str]:
    those = _in_state(found, "running")
    lines = [f"Running: {len(those):,}"] if those else []
    for name, state in those[:LISTED]:
        facts = [f"since {_moment(state.begun, now)}"] if state.begun else []
        facts += [f"{state.percent}%"] if state.percent is not None else []
        lines.append(f"  {name}: {', '.join(filter(None, [*facts, state.why]))}")
    return lines


def _waiting(found: Sequence[Progress]) -> list[str]:
    """What could begin, and what is held up by a failure elsewhere: in its own row everybody sees it."""
    held, turns = Counter(), 0
    for progress in found:
        for state in progress.states.values():
            if state.word == "waiting":
                turns += state.why == "its turn"
                failed = "(failed)" in state.why or "(stopped)" in state.why
                held[state.why] += failed and not state.why.startswith(f"for {progress.unit.name}/")
    lines = [f"Held up: {count:,} stages wait {why}" for why, count in held.most_common(5) if count]
    return lines + ([f"Ready to start: {turns:,}"] if turns else [])


def _advice(found: Sequence[Progress], run: Run) -> list[str]:
    words = Counter(state.word for progress in found for state in progress.states.values())
    bad, open_ = words["failed"] + words["stopped"], sum(words.values()) - words["done"]
    if not open_:
        return ["Everything is there. (Whether settings were changed since is not looked at: `snakemake -n` tells.)"]
    if run.at_work:
        return ["The run goes on, and may try again what failed. When it has ended:", *_MEND] if bad else []
    if bad:
        return _MEND
    return ["Start the same command again: only what is missing or out of date is done (`snakemake -n` lists it)."]


_MEND = [
    "Read the logs, mend the cause (README, 'When something is wrong'), and start the same command again:",
    "only what is missing is done.",
]


def _aligned(rows: list[list[str]]) -> list[str]:
    """Columns of equal width; numbers and marks to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if not i else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def span(seconds: float) -> str:
    """Write a time as people read it.

    Examples
    --------
    >>> [span(seconds) for seconds in (5, 65, 3700, 200000)]
    ['5 s', '1:05 min', '1:01 h', '55:33 h']
    """
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60}:{seconds % 60:02d} min"
    return f"{seconds // 3600}:{seconds % 3600 // 60:02d} h"


def _moment(when: float, now: float) -> str:
    """The hour, and the day if it is not today's."""
    then = time.localtime(when)
    same = then[:3] == time.localtime(now)[:3]
    return time.strftime("%H:%M" if same else "%Y-%m-%d %H:%M", then)


def from_plan(plan: dict) -> list[Unit]:
    """Return the units of a plan in plain values, as the workflow hands it over.

    Parameters
    ----------
    plan
        ``stages``: by name, ``column``, ``optional`` and ``jobs`` (lists of outputs, log, benchmark, relative to the
        folder); ``units``: by name, ``folder`` and ``stages``: by name, what each comes ``after`` and its ``inputs``.
    """
    kinds = plan["stages"]
    jobs = {name: tuple(Job(tuple(out), log, bench) for out, log, bench in kinds[name]["jobs"]) for name in kinds}
    try:
        return [
            Unit(
                name,
                unit["folder"],
                tuple(
                    Stage(
                        stage,
                        kinds[stage]["column"],
                        jobs[stage],
                        tuple(after),
                        tuple(inputs),
                        kinds[stage]["optional"],
                    )
                    for stage, after, inputs in unit["stages"]
                ),
            )
            for name, unit in plan["units"].items()
        ]
    except KeyError as error:
        raise ClusterfirstError(f"status: nothing is known of stage {error}") from error
