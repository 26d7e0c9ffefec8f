"""How far slides and groups have come, told by the files they leave: nothing is computed and nothing written."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..io import ClusterfirstError
from ..plan.layout import SlideFolder
from ..plan.units import described
from ..text import a_few
from .lock import Run
from .machines import Machines
from .states import WORDS, Job, State, changed, judged, together

if TYPE_CHECKING:
    from ..plan.plan import Plan


@dataclass(frozen=True)
class Task:
    """What a stage does for one slide or group: a job, or one for each shard.

    Attributes
    ----------
    name : str
        That of the stage.
    column : str or None
        The column of the table that it is shown in.
    jobs : tuple of Job
    after : tuple of str
        What it needs: ``<unit>/<stage>``.
    inputs : tuple of str
        Files from outside that it reads; newer ones make it outdated.
    replaced : tuple of str
        Files from outside that hold something else than when it read them: they make it outdated, too.
    optional : bool
        Not part of every run: left out unless it was begun.
    """

    name: str
    column: str | None
    jobs: tuple[Job, ...]
    after: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    optional: bool = False


@dataclass(frozen=True)
class Unit:
    """A slide, or a group of slides that are clustered together: its name, its folder, and its tasks in order."""

    name: str
    folder: str
    tasks: tuple[Task, ...]


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


def from_plan(plan: dict) -> list[Unit]:
    """Return the units of a plan in plain values, as the workflow hands it over.

    Parameters
    ----------
    plan
        ``stages``: by name, ``column``, ``optional`` and ``jobs`` (lists of outputs, log, benchmark, relative to the
        folder); ``units``: by name, ``folder`` and ``stages``: name, what each comes ``after``, and its ``inputs``.
    """
    stages = plan["stages"]
    jobs = {name: tuple(Job(tuple(out), log, bench) for out, log, bench in stages[name]["jobs"]) for name in stages}

    def task(name: str, after: Iterable[str], inputs: Iterable[str], replaced: Iterable[str]) -> Task:
        stage = stages[name]
        return Task(name, stage["column"], jobs[name], *map(tuple, (after, inputs, replaced)), stage["optional"])

    try:
        return [
            Unit(name, unit["folder"], tuple(task(*stage) for stage in unit["stages"]))
            for name, unit in plan["units"].items()
        ]
    except KeyError as error:
        raise ClusterfirstError(f"status: nothing is known of stage {error}") from error


def survey(
    units: Iterable[Unit], *, run: Run, machines: Machines | None = None, now: float | None = None
) -> list[Progress]:
    """Look at the files of every unit.

    Parameters
    ----------
    units
        Slides and groups; tasks may wait for tasks of any of them.
    run
        See `lock.run_at_work`.
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
    tasks = {f"{unit.name}/{task.name}": (unit, task) for unit in units for task in unit.tasks}
    needs = {key: [need for need in task.after if need in tasks] for key, (_, task) in tasks.items()}
    states: dict[str, State] = {}

    def look(key: str) -> State:
        unit, task = tasks[key]
        made = [_made(states[need]) for need in needs[key]] + [changed(Path(path)) or 0.0 for path in task.inputs]
        newest = math.inf if task.replaced else max(made, default=0.0)
        state = together([judged(job, Path(unit.folder), inputs=newest, **facts) for job in task.jobs])
        if task.replaced and state.word == "outdated":
            state.why = f"{a_few(task.replaced)} holds something else than when it was read"
        return state

    # Asking for many files at once hides the delays of a network file system.
    with ThreadPoolExecutor(16) as pool:
        for level in _levels(needs):
            states |= zip(level, pool.map(look, level), strict=True)
        _name_what_is_waited_for(needs, states)
        return list(pool.map(lambda unit: _progress(unit, states), units))


def _made(state: State) -> float:
    """When the outputs of a stage were made; those that have yet to be made are newer than anything."""
    return state.finished or 0.0 if state.word == "done" else math.inf


def _levels(needs: Mapping[str, Sequence[str]]) -> Iterator[list[str]]:
    """Tasks in an order in which each comes after what it needs; those of one level need nothing of each other."""
    from graphlib import TopologicalSorter

    order = TopologicalSorter(needs)
    order.prepare()
    while order.is_active():
        level = list(order.get_ready())
        yield level
        order.done(*level)


def _name_what_is_waited_for(needs: Mapping[str, Sequence[str]], states: Mapping[str, State]) -> None:
    """Say of waiting tasks what began the wait: a task that failed or is at work, however far before them."""
    begins: dict[str, str] = {}
    # In the order in which they were looked at: what is needed comes first.
    for key, state in states.items():
        if state.word != "waiting":
            continue
        held = [need for need in needs[key] if states[need].word not in ("done", "outdated")]
        causes = [begins.get(need, need) for need in held]
        begins[key] = min(causes, key=lambda cause: WORDS.index(states[cause].word), default=key)
        if causes and not state.why:
            more = f" and {len(held) - 1:,} more" if len(held) > 1 else ""
            state.why = f"for {begins[key]} ({states[begins[key]].word}){more}"
        elif not causes:
            state.why = state.why or "its turn"


def _progress(unit: Unit, states: Mapping[str, State]) -> Progress:
    own = {task.name: states[f"{unit.name}/{task.name}"] for task in unit.tasks}
    for task in unit.tasks:
        if task.optional and own[task.name].word == "waiting":
            del own[task.name]
    folder = SlideFolder(unit.folder)
    return Progress(unit, own, _tiles(folder), _cells(folder), _clusters(folder))


def _tiles(folder: SlideFolder) -> tuple[int, int] | None:
    """Kept and all tiles."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        kept = pq.read_table(folder.filtered, columns=["kept"], use_threads=False)["kept"]
    except (OSError, pa.ArrowException):
        return None
    return kept.to_numpy().sum().item(), len(kept)


def _cells(folder: SlideFolder) -> int | None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_metadata(folder.cells).num_rows
    except (OSError, pa.ArrowException):
        return None


def _clusters(folder: SlideFolder) -> int | None:
    from ..clustering.document import Clustering

    try:
        return Clustering.head(folder.clusters).counts.clusters
    except (OSError, ClusterfirstError):
        return None


def unfinished(plan: Plan, finished: Iterable[str]) -> dict[str, tuple[str, str, str]]:
    """Return where each slide of the run stands that is not among the finished ones; see `standstill`."""
    finished = {*finished}
    missing = [slide for slide in plan.samples if slide not in finished]
    concerned = {*missing, *map(plan.groups.of_slide, missing)}
    plain = described(plan)
    plain["units"] = {name: unit for name, unit in plain["units"].items() if name in concerned}
    # The run at work is the one that asks, and it makes no slide: what has failed does not wait for it.
    progress = {one.unit.name: one for one in survey(from_plan(plain), run=Run(False))}
    return {slide: standstill(progress[slide]) for slide in missing}


def standstill(progress: Progress) -> tuple[str, str, str]:
    """Return the stage that a unit stands at, what that is (one of `WORDS`), and why."""
    stages = [(name, state) for name, state in progress.states.items() if state.word != "done"]
    if not stages:
        return "", "done", "slides that it is clustered with are not finished"
    name, state = min(stages, key=lambda stage: WORDS.index(stage[1].word))
    return name, state.word, state.why
