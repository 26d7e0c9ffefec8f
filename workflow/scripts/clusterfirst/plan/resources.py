"""What a job needs: memory, time and disk as sums over what it works on, fitted to measurements.

Measurements and fits stand in benchmarks/resources.md. Memory and disk lie a quarter above the largest that was
measured. Times are those of one fast machine, and a job is given three times as long: a scheduler kills what is late.
Nothing was measured on a GPU, nor with other networks than those of the benchmark: their figures are guesses.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .sizes import Size

MARGIN = 1.25
"""On memory and disk."""
SLOWER = 3
"""Other disks and cores may be that much slower."""
SNAKEMAKE_MB = 500
"""A submitted job is a Snakemake that starts a Snakemake that runs the script: 170 to 200 MB each."""
_LEAST_MINUTES = 10
"""Starting Snakemake on a node, reading a busy file system."""
_STEP_MB = 100
_COLUMNS = {"morphology": 44, "instanseg": 256}
_USUAL_COLUMNS = 2048
_INSTANSEG_MPP = 0.5
_CROP_PX = 224


@dataclass(frozen=True)
class Fit:
    """What a stage needs per unit (see `units`).

    Attributes
    ----------
    memory : dict
        MB.
    seconds : dict
        That more threads do not shorten.
    core_seconds : dict
        That all threads share.
    disk : dict
        MB: what is written, and what is read and may have to be brought to the node first.
    """

    memory: Mapping[str, float]
    seconds: Mapping[str, float] = field(default_factory=dict)
    core_seconds: Mapping[str, float] = field(default_factory=dict)
    disk: Mapping[str, float] = field(default_factory=dict)


FITS = {
    "tile": Fit(
        memory={"job": 150, "thumbnail_mm2": 0.6, "image_mb": 2},
        seconds={"job": 5, "thumbnail_mm2": 0.02, "image_mb": 0.02},
        disk={"job": 20, "slide_mb": 1},
    ),
    "filter_tiles": Fit(
        memory={"job": 240, "threads": 25, "mm2": 0.4, "image_mb": 2},
        seconds={"job": 10, "mm2": 0.1},
        core_seconds={"slide_mb": 0.4},
        disk={"job": 20, "slide_mb": 1},
    ),
    "export_tiles": Fit(
        memory={"job": 180, "threads": 25, "image_mb": 2},
        seconds={"job": 10},
        core_seconds={"slide_mb": 0.4, "mpx": 0.2},
        disk={"job": 20, "slide_mb": 1, "mpx": 1.5},
    ),
    "outline": Fit(
        memory={"job": 600, "threads": 60, "instanseg": 2000, "cellpose": 2500, "gpu": 4000, "image_mb": 2},
        seconds={"job": 60, "gpu_instanseg_mpx": 0.5, "gpu_cellpose_mpx": 3},
        core_seconds={"instanseg_mpx": 9, "cellpose_mpx": 150},
        disk={"job": 20, "slide_mb": 1, "kcells": 0.3},
    ),
    "segment": Fit(
        memory={"job": 210, "kcells": 3.2, "given_mb": 10},
        seconds={"job": 10, "kcells": 0.1},
        disk={"job": 10, "kcells": 0.6, "given_mb": 1},
    ),
    "embed": Fit(
        memory={"job": 250, "threads": 35, "network": 1000, "other": 2000, "gpu": 4000, "kcells": 3, "image_mb": 2},
        seconds={"job": 60, "gpu_encoder_mpx": 0.15, "gpu_crop_kcells": 4, "gpu_other_kcells": 15},
        core_seconds={"kcells": 0.5, "mpx": 0.2, "encoder_mpx": 2.5, "crop_kcells": 70, "other_kcells": 200},
        disk={"job": 20, "slide_mb": 1, "kcells": 0.3, "mvalues": 4},
    ),
    "reduce": Fit(
        memory={"job": 300, "kfitted": 9, "mvalues": 4, "mfeatures": 8, "gpu": 4000},
        seconds={"job": 30, "kcells": 0.2, "kfitted": 1},
        disk={"job": 20, "kcells": 0.3, "mvalues": 4},
    ),
    "share_map": Fit(
        memory={"job": 150, "ktogether": 0.2},
        seconds={"job": 5},
        disk={"job": 10, "ktogether": 0.1},
    ),
    "cluster": Fit(
        memory={"job": 350, "ktogether": 2, "gpu": 4000},
        seconds={"job": 20, "ktogether": 0.3},
        disk={"job": 10, "ktogether": 0.2},
    ),
    "share_clusters": Fit(
        memory={"job": 200, "ktogether": 0.3},
        seconds={"job": 10, "ktogether": 0.02},
        disk={"job": 10, "ktogether": 0.2},
    ),
    "annotate": Fit(
        memory={"job": 400, "threads": 25, "kcells": 1.5, "image_mb": 2},
        seconds={"job": 30, "kcells": 0.1, "mm2": 0.1},
        core_seconds={"mpx": 0.5, "slide_mb": 0.2},
        disk={"job": 50, "slide_mb": 1, "kcells": 0.5, "mpx": 2},
    ),
    "label_cells": Fit(
        memory={"job": 200, "kcells": 2},
        seconds={"job": 10, "kcells": 0.1},
        disk={"job": 10, "kcells": 1},
    ),
    "export_qupath": Fit(
        memory={"job": 200, "threads": 50, "kcells": 0.2},
        seconds={"job": 10},
        core_seconds={"kcells": 0.05},
        disk={"job": 10, "kcells": 0.6},
    ),
    "export_h5ad": Fit(
        memory={"job": 300, "kcells": 1, "mvalues": 4},
        seconds={"job": 20, "kcells": 0.05, "mvalues": 0.05},
        disk={"job": 10, "kcells": 1, "mvalues": 8},
    ),
    "export_spatialdata": Fit(
        memory={"job": 500, "kcells": 3, "mvalues": 8, "pictured_mm2": 1},
        seconds={"job": 60, "kcells": 0.1, "mvalues": 0.1, "pictured_mm2": 3},
        disk={"job": 20, "kcells": 2, "mvalues": 8, "pictured_mm2": 65, "slide_mb": 1},
    ),
    "export_csv": Fit(
        memory={"job": 200, "kcells": 0.1},
        seconds={"job": 10, "kcells": 0.05},
        disk={"job": 10, "kcells": 0.6},
    ),
    "export_coco": Fit(
        memory={"job": 250, "kcells": 0.2, "mpx": 0.01},
        seconds={"job": 10, "kcells": 0.1},
        disk={"job": 10, "kcells": 1.2},
    ),
    "export_paper": Fit(
        memory={"job": 250, "kcells": 1.2},
        seconds={"job": 10, "kcells": 0.1},
        disk={"job": 10, "kcells": 1.2},
    ),
    "annotate_labels": Fit(
        memory={"job": 400, "threads": 25, "kcells": 1.5, "image_mb": 2},
        seconds={"job": 30, "kcells": 0.1, "mm2": 0.1},
        core_seconds={"mpx": 0.5, "slide_mb": 0.2},
        disk={"job": 50, "slide_mb": 1, "kcells": 0.5, "mpx": 2},
    ),
    # The cells of a slide, and as many tiles as show the typical ones.
    "representatives": Fit(
        memory={"job": 300, "threads": 25, "kcells": 4, "image_mb": 2},
        seconds={"job": 30, "kcells": 0.1},
        core_seconds={"mpx": 0.5, "slide_mb": 0.2},
        disk={"job": 50, "slide_mb": 1, "mpx": 1.5},
    ),
    "annotate_representatives": Fit(
        memory={"job": 300, "threads": 25, "kcells": 4, "image_mb": 2},
        seconds={"job": 30, "kcells": 0.1},
        core_seconds={"mpx": 0.5, "slide_mb": 0.2},
        disk={"job": 50, "slide_mb": 1, "mpx": 2},
    ),
    # The areas of all cells of the group, and the outlines of a few.
    "cluster_views": Fit(
        memory={"job": 300, "threads": 25, "ktogether": 1.5, "image_mb": 2},
        seconds={"job": 60, "ktogether": 0.1, "slides": 1},
        disk={"job": 100, "slide_mb": 1},
    ),
    "classify_clusters": Fit(
        memory={"job": 300, "ktogether": 0.3},
        # The server's, not ours.
        seconds={"job": 1200},
        disk={"job": 20},
    ),
    "nuclei_mask": Fit(
        memory={"job": 350, "kcells": 1.5, "image_mb": 2},
        seconds={"job": 20, "kcells": 0.1, "mm2": 0.1},
        disk={"job": 50, "slide_mb": 1, "kcells": 0.5},
    ),
    "evaluate_slide_segmentation": Fit(
        memory={"job": 400, "kcells": 3, "given_mb": 8, "image_mb": 2},
        seconds={"job": 30, "kcells": 0.5},
        disk={"job": 20, "slide_mb": 1, "given_mb": 1},
    ),
    "evaluate_slide_clusters": Fit(
        memory={"job": 300, "kcells": 3, "given_mb": 8},
        seconds={"job": 20, "kcells": 0.2},
        disk={"job": 20, "given_mb": 1},
    ),
    "validate_clusters": Fit(
        memory={"job": 300, "ktogether": 3, "gpu": 4000},
        seconds={"job": 60, "ktogether": 1},
        disk={"job": 20, "ktogether": 0.2},
    ),
    # Guessed: a few numbers for every slide and trial.
    "benchmarks": Fit(
        memory={"job": 500, "slides": 0.2}, seconds={"job": 30, "slides": 0.2}, disk={"job": 20, "slides": 0.1}
    ),
    "cohort": Fit(memory={"job": 1000, "slides": 2}, seconds={"job": 60, "slides": 5}, disk={"job": 20, "slides": 0.2}),
    "pool_segmentation_scores": Fit(
        memory={"job": 500, "slides": 0.1}, seconds={"job": 30, "slides": 0.1}, disk={"job": 50}
    ),
    "pool_cluster_scores": Fit(
        memory={"job": 800, "slides": 0.5}, seconds={"job": 60, "slides": 0.5}, disk={"job": 50, "slides": 0.1}
    ),
    "compare_trials": Fit(
        memory={"job": 800, "slides": 1}, seconds={"job": 60, "slides": 1}, disk={"job": 50, "slides": 0.2}
    ),
}


def of_job(
    stage: str,
    resource: str,
    size: Size,
    settings: Mapping[str, Any],
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
        The name of its rule.
    resource
        ``mem_mb``, ``runtime`` (minutes) or ``disk_mb``.
    size
        Of the slide, or the sum over the group.
    settings
        All sections that hold for it.
    threads, gpu
        What else the job is given.
    attempt
        From 1; each needs as much again as the first.
    together
        Cells of the whole group, if they concern a slide's job; by default the job's own.
    given_mb
        Size of what other people or programs say about the slide.
    """
    counts = units(size, settings, threads=threads, gpu=gpu, together=together, given_mb=given_mb)
    return needed(FITS[stage], resource, counts, threads=threads, attempt=attempt)


def of_pool(stage: str, resource: str, *, slides: int, threads: int = 1, attempt: int = 1) -> int:
    """Return what a job over the scores of all slides needs; see `of_job`."""
    return needed(FITS[stage], resource, {"job": 1, "slides": slides}, threads=threads, attempt=attempt)


def units(
    size: Size,
    settings: Mapping[str, Any],
    *,
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
        `Size`; ``thumbnail_mm2`` (``mm2``, if tiles are sampled); ``pictured_mm2`` (if the picture is
        exported); ``given_mb``; ``kcells``, ``ktogether``: thousand
        cells of the job and of its group; ``mvalues``, ``mfeatures``: million numbers of the embedding, and of what
        is reduced; ``kfitted``: thousand cells that the map is made from; ``instanseg``, ``cellpose``: 0 or 1, which
        of them outlines; ``network``, ``other``: 0 or 1, whether any network embeds, and any besides InstanSeg and
        ResNet-50; and what networks see: ``instanseg_mpx``, ``cellpose_mpx``, ``encoder_mpx`` (InstanSeg's, of
        `embed`) in megapixels, ``crop_kcells``, ``other_kcells``, thousand crops of 224 px, or as much of other
        sizes, for ResNet-50 and for others. With a GPU, these begin with ``gpu_``.
    """
    outlines, embedding, reduction = settings["segmentation"], settings["embedding"], settings["reduction"]
    embeds = embedding["models"]
    columns = [_COLUMNS.get(model, _USUAL_COLUMNS) for model in embeds]
    features = sum(min(one, reduction["pca"] or one) for one in columns) * (2 if reduction["context_weight"] else 1)
    half_um_mpx = size.seen_mm2 / _INSTANSEG_MPP**2
    crops = [model for model in embeds if model not in _COLUMNS]
    kcrops = size.cells / 1000 * ((embedding["crop_px"] or _CROP_PX) / _CROP_PX) ** 2
    seen = {
        "instanseg_mpx": half_um_mpx / outlines["shards"] * (outlines["model"] == "instanseg"),
        "cellpose_mpx": size.mpx / outlines["shards"] * (outlines["model"] == "cellpose"),
        "encoder_mpx": half_um_mpx * ("instanseg" in embeds),
        "crop_kcells": kcrops * crops.count("resnet50"),
        "other_kcells": kcrops * (len(crops) - crops.count("resnet50")),
    }
    return {
        "job": 1,
        "slides": size.slides,
        "threads": threads,
        "gpu": bool(gpu),
        "slide_mb": size.slide_mb,
        "image_mb": size.image_mb,
        "mm2": size.mm2,
        "thumbnail_mm2": size.mm2 * (settings["tiling"]["num_tiles"] is not None),
        "pictured_mm2": size.mm2 * settings["export"]["image"],
        "mpx": size.mpx,
        "kcells": size.cells / 1000,
        "ktogether": (size.cells if together is None else together) / 1000,
        "mvalues": size.cells * sum(columns) / 1e6,
        "mfeatures": size.cells * features / 1e6,
        "kfitted": min(size.cells, reduction["fit_cells"] or size.cells) / 1000,
        "given_mb": given_mb,
        "instanseg": outlines["model"] == "instanseg",
        "cellpose": outlines["model"] == "cellpose",
        "network": embeds != ["morphology"],
        "other": any(model != "resnet50" for model in crops),
    } | {f"gpu_{name}" if gpu else name: count for name, count in seen.items()}


def needed(fit: Fit, resource: str, counts: Mapping[str, float], *, threads: int = 1, attempt: int = 1) -> int:
    """Return what a fit makes of counted units; see `of_job` and `units`."""

    def total(costs: Mapping[str, float]) -> float:
        return sum(cost * counts.get(unit, 0) for unit, cost in costs.items())

    if resource == "runtime":
        minutes = SLOWER * (total(fit.seconds) + total(fit.core_seconds) / threads) / 60
        return attempt * max(_LEAST_MINUTES, math.ceil(minutes))
    beside = SNAKEMAKE_MB if resource == "mem_mb" else 0
    megabytes = MARGIN * total({"mem_mb": fit.memory, "disk_mb": fit.disk}[resource]) + beside
    return attempt * _STEP_MB * math.ceil(megabytes / _STEP_MB)
