"""What every slide and group goes through, and what each stage of each waits for: what `health.survey` looks at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from .layout import ResultsFolder, SlideFolder
from .stages import GROUP, PARTS, RUN, SHARD, STAGES, Stage
from .trials import split

if TYPE_CHECKING:
    from .plan import Plan

WEIGHTS = "weights"
"""The unit of what is fetched."""


@dataclass(frozen=True)
class Step:
    """A stage of a unit.

    Attributes
    ----------
    unit, stage : str
    after : list of str
        What it needs: ``<unit>/<stage>``.
    """

    unit: str
    stage: str
    after: list[str]


Outside = Callable[[str, str], tuple[list[str], list[str]]]
"""Of a stage and unit: files from outside of which the time of change counts, and those that are known to hold
something else than when they were read."""


def described(plan: Plan, *, outside: Outside | None = None) -> dict:
    """Return all of it in plain values, for another process.

    Parameters
    ----------
    plan
        The run.
    outside
        What is known of the files from outside that a stage reads; by default, when they changed.

    Returns
    -------
    dict
        See `health.survey.from_plan`.

    Raises
    ------
    ClusterfirstError
        The results lie in a storage.
    """
    results = plan.local_results()
    trials = {"": list(plan.samples)}
    if Path(results, ResultsFolder.sweep).is_dir():
        trials |= plan.whole_trials
    units: dict[str, dict[str, dict[str, None]]] = {}
    for trial, slides in trials.items():
        for slide in slides:
            for step in steps(plan, trial, slide):
                # A dict keeps the order. What a group does needs something of each slide.
                units.setdefault(step.unit, {}).setdefault(step.stage, {}).update(dict.fromkeys(step.after))
    fetched = [Path(file).name for file in plan.weights()]
    shards = plan.config["segmentation"]["shards"]
    stages = {row.name: _jobs(row, shards) for row in STAGES.values() if row.of != RUN}
    stages |= {file: _fetching(file) for file in fetched}
    folders = {unit: f"{results}/{unit}" for unit in units} | {WEIGHTS: plan.models_dir}
    units[WEIGHTS] = {file: {} for file in fetched}
    outside = outside or partial(by_time, plan)
    return {
        "stages": stages,
        "units": {
            unit: {
                "folder": folders[unit],
                "stages": [(name, list(after), *outside(name, unit)) for name, after in own.items()],
            }
            for unit, own in units.items()
        },
    }


def steps(plan: Plan, trial: str, slide: str) -> Iterator[Step]:
    """Yield everything that a slide goes through in a trial, or in the ordinary run (""); its group's part, too."""
    case, group = plan.case(trial, slide), split(plan.group_of(trial, slide))[1]

    def unit(row: Stage, owner: str) -> str:
        return plan.folder_of(row.section, trial) + owner

    for row in STAGES.values():
        if row.name in PARTS or row.of == RUN or not row.when(case):
            continue
        needed = [STAGES[name] for name in row.needs(case)]
        own = [f"{unit(one, slide)}/{one.part if one.part and group != slide else one.name}" for one in needed]
        if group == slide or row.of != GROUP:
            yield Step(unit(row, slide), row.name, own)
            continue
        of_group = [f"{unit(one, group)}/{one.name}" for one in needed if one.of == GROUP]
        of_slides = [after for one, after in zip(needed, own, strict=True) if one.of != GROUP]
        yield Step(unit(row, group), row.name, of_group + of_slides)
        if row.part:
            yield Step(unit(row, slide), row.part, [f"{unit(row, group)}/{row.name}", *of_group])


def _jobs(row: Stage, shards: int) -> dict:
    """The jobs of a stage: their outputs, log and benchmark, inside the folder of a slide or group."""
    parts = [f"{number}-of-{shards}" for number in range(1, shards + 1)] if row.scattered else [""]

    def job(part: str) -> tuple[list[str], str, str]:
        name = "-".join(filter(None, (row.name, part)))
        outputs = [file.replace(SHARD, part) for file in row.files.values()]
        return outputs, f"{SlideFolder.logs}/{name}.log", f"{SlideFolder.benchmarks}/{name}.tsv"

    return {
        "column": PARTS.get(row.name, row.name),
        "optional": row.optional,
        "jobs": [job(part) for part in parts],
    }


def _fetching(file: str) -> dict:
    return {"column": None, "optional": True, "jobs": [([file], f"logs/{file}.log", f"logs/{file}.tsv")]}


def by_time(plan: Plan, stage: str, unit: str) -> tuple[list[str], list[str]]:
    """Return files from outside, for the stages that begin with them; all of them count by their times."""
    if stage == "label_cells":
        return [plan.on_disk(file) for file in filter(None, [plan.newest_labels(unit)])], []
    return [plan.sample(unit).path] if stage == "tile" else [], []
