"""From many numbers per cell to few: embeddings of one or more slides made comparable, and laid out together."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..coinciding import Coinciding
from ..devices import rapids
from ..io import ClusterfirstError
from . import batches, context, umap
from .inputs import SlideEmbedding
from .linear import principal
from .preparation import prepare

log = logging.getLogger(__name__)

_FEWEST = 4
"""UMAP draws a neighbourhood graph; of three cells there is none worth the name."""


@dataclass(frozen=True)
class Reduced:
    """Cells in few dimensions, slides one after the other.

    Attributes
    ----------
    values : numpy.ndarray
        N × components float32, what clustering works on.
    plane : numpy.ndarray
        N × 2 float32, for plots.
    report : dict
        JSON-ready: ``cells``, ``columns`` (of the prepared features), ``method`` (the one used), ``fitted`` and
        ``transformed`` (how many cells were laid out, and placed afterwards), ``neighbours`` (``exact``,
        ``approximate`` or None), ``device``.
    """

    values: np.ndarray
    plane: np.ndarray
    report: dict


def reduce(
    slides: Sequence[SlideEmbedding], settings: Mapping[str, Any], *, gpu: str | bool = False, threads: int = 1
) -> Reduced:
    """Reduce the cells of slides together.

    Parameters
    ----------
    slides
        At least one; any number of cells.
    settings
        The ``reduction`` section of the configuration. With method ``umap``, fewer than four cells keep their principal
        coordinates, which the log says.
    gpu
        See `devices.rapids`.
    threads
        CPU threads.
    """
    if not slides:
        raise ClusterfirstError("there is no slide to reduce")
    method, seed = settings["method"], settings["seed"]
    use_gpu = method == "umap" and rapids(gpu)
    from threadpoolctl import threadpool_limits

    # Sums over several threads differ in their last bits by the number of threads, and UMAP makes much of a bit.
    with threadpool_limits(threads if seed is None else 1, user_api="blas"):
        features = prepare(slides, **{key: settings[key] for key in ("standardise", "clip", "pca", "balance")})
        if settings["batch_correction"] == "harmony":
            sizes = [len(slide.values) for slide in slides]
            features = batches.harmony(features, sizes, seed=seed, threads=threads)
        features = context.append(
            features,
            [slide.positions for slide in slides],
            neighbours=settings["context_neighbours"],
            radius_um=settings["context_um"],
            weight=settings["context_weight"],
            threads=threads,
        )
        alike = Coinciding.among(features)
        rows, place = _rows_to_lay_out(alike)
        laid_out = features if rows is None else features[rows]
        if method == "umap" and len(laid_out) >= _FEWEST:
            of_umap = ("components", "n_neighbors", "min_dist", "metric", "fit_cells", "seed")
            own = {key: settings[key] for key in of_umap}
            values, plane, report = umap.lay_out(laid_out, **own, gpu=use_gpu, threads=threads)
        else:
            values, plane, report = _without_layout(laid_out, method, settings["components"])
    if place is not None:
        values, plane = values[place], plane[place]
    return Reduced(values, plane, {"cells": len(features), "columns": features.shape[1], **report})


def _rows_to_lay_out(alike: Coinciding) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return the rows to be laid out, and where among them each cell's place is; None: all, each its own.

    Cells that are the same have the same place: a layout would tear them apart. Where most are repeated, neighbours
    would be nothing but repetitions, and only different cells are laid out.
    """
    count, different = len(alike.first), alike.different
    if len(different) == count:
        return None, None
    if 2 * len(different) > count:
        return None, alike.first
    log.warning("of %d cells, only %d differ in their embeddings: these are laid out", count, len(different))
    return different, alike.number


def _without_layout(features: np.ndarray, method: str, components: int) -> tuple[np.ndarray, np.ndarray, dict]:
    if method == "umap":
        log.warning("%d cells are too few for UMAP: their principal coordinates are used", len(features))
        method = "pca"
    values = features if method == "none" else principal(features, components)
    report = {"method": method, "fitted": len(features), "transformed": 0, "neighbours": None, "device": "cpu"}
    return values, principal(features, 2), report
