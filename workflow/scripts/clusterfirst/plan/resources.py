"""What a job asks a scheduler for: memory, time and disk as sums over what it works on, fitted to measurements.

Measurements and fits stand in benchmarks/resources.md; each stage, backend and format has its own (see `fit.Fit`).
Memory and disk lie a quarter above the largest that was measured. Times are those of one fast machine, and a job is
given three times as long: a scheduler kills what is late. Nothing was measured on a GPU, nor with other networks than
those of the benchmark: their figures are guesses.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from .. import embedding
from ..fit import Fit
from .networks import backends
from .settings import Settings
from .sizes import Size
from .stages import NETWORK, Stage

MARGIN = 1.25
"""On memory and disk."""
SLOWER = 3
"""Other disks and cores may be that much slower."""
SNAKEMAKE_MB = 500
"""A submitted job is a Snakemake that starts a Snakemake that runs the script: 170 to 200 MB each."""
RESOURCES = ("mem_mb", "runtime", "disk_mb")
_LEAST_MINUTES = 10
"""Starting Snakemake on a node, reading a busy file system."""
_STEP_MB = 100
_HALF_UM = 0.5
_CROP_PX = 224


def of_job(
    stage: Stage,
    resource: str,
    size: Size,
    settings: Settings,
    *,
    threads: int = 1,
    attempt: int = 1,
    gpu: bool | int = False,
    together: float | None = None,
    given_mb: float = 0,
) -> int:
    """Return what a job of a slide or a group needs.

    Parameters
    ----------
    stage
        Its row.
    resource
        One of `RESOURCES`: MB of memory, minutes, MB of disk.
    size
        Of the slide, or the sum over the group.
    settings
        What holds for it.
    threads, gpu
        What else the job is given.
    attempt
        From 1; each needs as much again as the first.
    together
        Cells of the whole group, if they concern a slide's job; by default the job's own.
    given_mb
        Size of what other people or programs say about the slide.
    """
    shards = settings.segmentation["shards"] if stage.scattered else 1
    counts = units(size, settings, shards=shards, threads=threads, gpu=gpu, together=together, given_mb=given_mb)
    used = backends(stage.section, settings) if stage.gpu == NETWORK else []
    fits = [backend.fit for backend in used if backend.fit]
    return needed(stage.fit, resource, counts, beside=fits, threads=threads, attempt=attempt)


def of_run(stage: Stage, resource: str, *, slides: int, threads: int = 1, attempt: int = 1) -> int:
    """Return what a job over all slides needs; see `of_job`."""
    return needed(stage.fit, resource, {"job": 1, "slides": slides}, threads=threads, attempt=attempt)


def units(
    size: Size,
    settings: Settings,
    *,
    shards: int = 1,
    threads: int = 1,
    gpu: bool | int = False,
    together: float | None = None,
    given_mb: float = 0,
) -> dict[str, float]:
    """Count what needs grow with; see `of_job`.

    Returns
    -------
    dict
        ``job`` (1), ``slides``, ``threads``, ``gpu`` (0 or 1); ``slide_mb``, ``image_mb``, ``mm2``, ``mpx``: see
        `Size`; ``thumbnail_mm2`` (``mm2``, if tiles are sampled); ``pictured_mm2`` (if the picture is exported);
        ``given_mb``; ``kcells``, ``ktogether``: thousand cells of the job and of its group; ``mvalues``,
        ``mfeatures``: million numbers of the embedding, and of what is reduced; ``kfitted``: thousand cells that the
        map is made from. And what networks see: ``seen_mpx``, megapixels of the job's tiles as they are read,
        ``half_um_mpx``, the same area at 0.5 µm/px, ``outlined_mpx``, at what InstanSeg sees, ``kcrops``, thousand
        crops of 224 px, or as much of other sizes.
    """
    columns = [embedding.backend(model).columns for model in settings.embedding["models"]]
    reduction = settings.reduction
    features = sum(min(one, reduction["pca"] or one) for one in columns) * (2 if reduction["context_weight"] else 1)
    return {
        "job": 1,
        "slides": size.slides,
        "threads": threads,
        "gpu": bool(gpu),
        "slide_mb": size.slide_mb,
        "image_mb": size.image_mb,
        "mm2": size.mm2,
        "thumbnail_mm2": size.mm2 * (settings.tiling["num_tiles"] is not None),
        "pictured_mm2": size.mm2 * settings.export["image"],
        "mpx": size.mpx,
        "kcells": size.cells / 1000,
        "ktogether": (size.cells if together is None else together) / 1000,
        "mvalues": size.cells * sum(columns) / 1e6,
        "mfeatures": size.cells * features / 1e6,
        "kfitted": min(size.cells, reduction["fit_cells"] or size.cells) / 1000,
        "given_mb": given_mb,
        "seen_mpx": size.mpx / shards,
        "half_um_mpx": size.seen_mm2 / _HALF_UM**2 / shards,
        "outlined_mpx": size.seen_mm2 / (settings.segmentation["mpp"] or _HALF_UM) ** 2 / shards,
        "kcrops": size.cells / 1000 * ((settings.embedding["crop_px"] or _CROP_PX) / _CROP_PX) ** 2,
    }


def needed(
    fit: Fit,
    resource: str,
    counts: Mapping[str, float],
    *,
    beside: Sequence[Fit] = (),
    threads: int = 1,
    attempt: int = 1,
) -> int:
    """Return what a fit makes of counted units.

    Parameters
    ----------
    fit
        The stage's.
    resource, threads, attempt
        See `of_job`.
    counts
        See `units`.
    beside
        Its backends': one works after the other, so that their times add up, and memory is that of the greediest.
    """

    def total(costs: Mapping[str, float]) -> float:
        return sum(cost * counts.get(unit, 0) for unit, cost in costs.items())

    if resource == "runtime":
        seconds = total(fit.seconds) + sum(total(one.seconds) for one in beside)
        shared = total(fit.core_seconds)
        if counts.get("gpu"):
            seconds += sum(total(one.gpu_seconds) for one in beside)
        else:
            shared += sum(total(one.core_seconds) for one in beside)
        minutes = SLOWER * (seconds + shared / threads) / 60
        return attempt * max(_LEAST_MINUTES, math.ceil(minutes))
    if resource == "mem_mb":
        megabytes = total(fit.memory) + max((total(one.memory) for one in beside), default=0)
    else:
        megabytes = total(fit.disk) + sum(total(one.disk) for one in beside)
    return attempt * _STEP_MB * math.ceil((MARGIN * megabytes + SNAKEMAKE_MB * (resource == "mem_mb")) / _STEP_MB)
