"""What a job of a plan asks for, by the size of its slide or group as far as that is known.

Snakemake asks while it plans, when next to nothing is there, and again when a job is submitted and its input is there.
In a group job the input of later rules is not: nothing here may depend on a file that might be missing.
"""

from __future__ import annotations

import importlib.util
import math
from functools import cache
from typing import TYPE_CHECKING

from . import sizes
from .networks import weights_names
from .resources import SLOWER, of_job, of_run
from .sizes import Size
from .stages import CHAINS, CUML, NETWORK, RUN, STAGES, Stage, stages_of

if TYPE_CHECKING:
    from .plan import Plan


def needs(
    plan: Plan,
    stage: str,
    resource: str,
    *,
    slide: str | None = None,
    group: str | None = None,
    threads: int = 1,
    attempt: int = 1,
) -> int:
    """Return what a job needs of a resource (see `resources.of_job`): that of a slide, of a group, or of all."""
    how = {"threads": threads, "attempt": attempt}
    if STAGES.get(stage) and STAGES[stage].of == RUN:
        return of_run(STAGES[stage], resource, slides=len(plan.samples), **how)
    # A job of small images may do any of them, stage by stage, in one process.
    size = plan.largest_small if stage in CHAINS else None
    each = [_needs(plan, STAGES[one], resource, slide, group, size, **how) for one in stages_of(stage)]
    if resource == "mem_mb":
        return max(each)
    more = SLOWER * plan.config["small_images"]["minutes"] if size and resource == "runtime" else 0
    return sum(each) + math.ceil(attempt * more)


def _needs(
    plan: Plan,
    row: Stage,
    resource: str,
    slide: str | None,
    group: str | None,
    size: Size | None,
    *,
    threads: int,
    attempt: int,
) -> int:
    """The same of a stage; of that size, if it is given."""
    owner = group or plan.groups.of_slide(slide)
    together = _cells_of_group(plan, owner) if row.concerns_group else None
    if size is None:
        if group and row.concerns_group:
            size = Size(slides=len(plan.members(group)), cells=together)
        else:
            size = plan.size_of_slide(slide) if slide else plan.size_of_group(group)
    return of_job(
        row,
        resource,
        size,
        plan.settings(slide or group),
        threads=threads,
        attempt=attempt,
        gpu=gpus(plan, row.name, slide or group),
        together=together,
        given_mb=_given_mb(plan, slide) if slide else 0,
    )


def gpus(plan: Plan, stage: str, unit: str) -> int:
    """Return how many GPUs a job asks for: one, if it can use it, unless the config says never."""
    return max(_gpus(plan, STAGES[one], unit) for one in stages_of(stage))


def uses_gpu(stage: str) -> bool:
    """Whether there are settings with which a job of a stage or chain could use a GPU."""
    return any(STAGES[one].gpu for one in stages_of(stage))


def _gpus(plan: Plan, row: Stage, unit: str) -> int:
    if row.gpu == CUML:
        return int(_cuml_is_here() and plan.config["gpu"] is not False)
    if row.gpu == NETWORK:
        settings = plan.settings(unit)
        return int(row.section in weights_names(settings) and settings.gpu is not False)
    return 0


@cache
def _cuml_is_here() -> bool:
    # Looked for once: it searches the disk.
    return importlib.util.find_spec("cuml") is not None


def _cells_of_group(plan: Plan, group: str) -> float:
    """All cells of a group: counted on its map, once it is there."""
    counted = sizes.rows_of_plane(plan.on_disk(plan.at("reduce", group, "plane")))
    return counted or plan.planned_cells(group)


def _given_mb(plan: Plan, slide: str) -> float:
    """The size of what other people or programs say about a slide."""
    sample = plan.sample(slide)
    return sum(sizes.file_mb(file) for file in (sample.objects, sample.truth) if file)
