"""What a job of a plan asks for, by the size of its slide or group as far as that is known.

Snakemake asks while it plans, when next to nothing is there, and again when a job is submitted and its input is there.
In a group job the input of later rules is not: nothing here may depend on a file that might be missing.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from typing import TYPE_CHECKING

from . import sizes
from .networks import weights_names
from .resources import of_job, of_run
from .sizes import Size
from .stages import CUML, NETWORK, RUN, STAGES

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
    row = STAGES[stage]
    if row.of == RUN:
        return of_run(row, resource, slides=len(plan.samples), threads=threads, attempt=attempt)
    together = _cells_of_group(plan, group or plan.groups.sharing[slide]) if row.concerns_group else None
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
        gpu=gpus(plan, stage, slide or group),
        together=together,
        given_mb=_given_mb(plan, slide) if slide else 0,
    )


def gpus(plan: Plan, stage: str, unit: str) -> int:
    """Return how many GPUs a job asks for: one, if it can use it, unless the config says never."""
    row = STAGES[stage]
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
