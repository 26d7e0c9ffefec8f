"""From many numbers per cell to few: embeddings of one or more slides made comparable, and laid out together."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

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
    slides: Sequence[SlideEmbedding],
    *,
    method: str = "umap",
    standardise: str | bool = "auto",
    clip: float | None = None,
    pca: int | None = 50,
    balance: Mapping[str, float] | None = None,
    batch_correction: str | None = None,
    context_neighbours: int = 10,
    context_um: float | None = None,
    context_weight: float = 0.0,
    components: int = 50,
    n_neighbors: int = 15,
    min_dist: float = 0.1,
    metric: str = "euclidean",
    fit_cells: int | None = 200_000,
    seed: int | None = 0,
    gpu: str | bool = False,
    threads: int = 1,
) -> Reduced:
    """Reduce the cells of slides together.

    Parameters
    ----------
    slides
        At least one; any number of cells.
    method
        ``umap``; ``pca``: principal coordinates; ``none``: the prepared features as they are.
    standardise, clip, pca, balance
        See `preparation.prepare`.
    batch_correction
        ``harmony`` (see `batches.harmony`) or None.
    context_neighbours, context_um, context_weight
        See `context.append`.
    components, n_neighbors, min_dist, metric, fit_cells, seed
        See `umap.lay_out`. Fewer than four cells keep their principal coordinates, which the log says.
    gpu
        See `devices.rapids`.
    """
    if not slides:
        raise ClusterfirstError("there is no slide to reduce")
    use_gpu = method == "umap" and rapids(gpu)
    from threadpoolctl import threadpool_limits

    # Sums over several threads differ in their last bits by the number of threads, and UMAP makes much of a bit.
    with threadpool_limits(threads if seed is None else 1, user_api="blas"):
        features = prepare(slides, standardise=standardise, clip=clip, pca=pca, balance=balance)
        if batch_correction == "harmony":
            sizes = [len(slide.values) for slide in slides]
            features = batches.harmony(features, sizes, seed=seed, threads=threads)
        features = context.append(
            features,
            [slide.positions for slide in slides],
            neighbours=context_neighbours,
            radius_um=context_um,
            weight=context_weight,
            threads=threads,
        )
        if method == "umap" and len(features) >= _FEWEST:
            values, plane, report = umap.lay_out(
                features,
                components=components,
                n_neighbors=n_neighbors,
                min_dist=min_dist,
                metric=metric,
                fit_cells=fit_cells,
                seed=seed,
                gpu=use_gpu,
                threads=threads,
            )
        else:
            values, plane, report = _without_layout(features, method, components)
    return Reduced(values, plane, {"cells": len(features), "columns": features.shape[1], **report})


def _without_layout(features: np.ndarray, method: str, components: int) -> tuple[np.ndarray, np.ndarray, dict]:
    if method == "umap":
        log.warning("%d cells are too few for UMAP: their principal coordinates are used", len(features))
        method = "pca"
    values = features if method == "none" else principal(features, components)
    report = {"method": method, "fitted": len(features), "transformed": 0, "neighbours": None, "device": "cpu"}
    return values, principal(features, 2), report
