"""What a classifier sees of a cell: its own prepared embeddings, and those of its neighbours near and far."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..reduction import context
from ..reduction.inputs import SlideEmbedding
from ..reduction.preparation import prepare

_PREPARATION = ("standardise", "clip", "pca", "balance")


def describe(slides: Sequence[SlideEmbedding], reduction: dict, learning: dict, *, threads: int = 1) -> np.ndarray:
    """Describe the cells of slides, in one space.

    Parameters
    ----------
    slides
        At least one, embedded by the same models.
    reduction
        That section of the configuration: how embeddings are prepared.
    learning
        ``neighbours``: how many of the nearest cells are averaged, once for each number; ``context_weight``: of these
        averages beside the cell itself.

    Returns
    -------
    numpy.ndarray
        N × d float32, slides one after the other.
    """
    own = prepare(slides, **{key: reduction[key] for key in _PREPARATION})
    positions = [slide.positions for slide in slides]
    weight, width = learning["context_weight"], own.shape[1]
    out = np.empty((len(own), width * (1 + len(learning["neighbours"]))), np.float32)
    out[:, :width] = own
    for number, count in enumerate(learning["neighbours"], 1):
        around = out[:, number * width : (number + 1) * width]
        context.fill(around, own, positions, neighbours=count, radius_um=None, weight=weight, threads=threads)
    return out
