"""What a classifier sees of a cell: its own prepared embeddings, and those of its neighbours near and far.

How cells are prepared is learnt from some slides, and kept: cells of other slides are then described in the same space.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..reduction import context
from ..reduction.inputs import SlideEmbedding
from ..reduction.preparation import Preparation

_PREPARATION = ("standardise", "clip", "pca", "balance")


@dataclass(frozen=True)
class Recipe:
    """How cells are described.

    Attributes
    ----------
    preparation : Preparation
        Of the cell's own embeddings.
    neighbours : tuple of int
        How many of the nearest cells are averaged, once for each number.
    context_weight : float
        Of these averages beside the cell itself.
    """

    preparation: Preparation
    neighbours: tuple[int, ...]
    context_weight: float

    @classmethod
    def fit(cls, slides: Sequence[SlideEmbedding], reduction: Mapping[str, Any], learning: Mapping[str, Any]) -> Recipe:
        """Learn how cells are prepared.

        Parameters
        ----------
        slides
            At least one, embedded by the same models.
        reduction
            That section of the configuration: how embeddings are prepared.
        learning
            ``neighbours`` and ``context_weight``.
        """
        preparation = Preparation.fit(slides, **{key: reduction[key] for key in _PREPARATION})
        return cls(preparation, tuple(learning["neighbours"]), learning["context_weight"])

    @property
    def width(self) -> int:
        """How many numbers describe a cell."""
        return self.preparation.width * (1 + len(self.neighbours))

    def own(self, slide: SlideEmbedding) -> np.ndarray:
        """Return the own part of what describes each cell of a slide, n × `preparation.width` float32."""
        return self.preparation.apply([slide])

    def walk(self, own: np.ndarray, positions: np.ndarray, *, threads: int) -> Iterator[tuple[slice, np.ndarray]]:
        """Describe a slide's cells, some thousand at a time; only their own part is ever held of all.

        Parameters
        ----------
        own
            See `own`.
        positions
            Of these cells, n × 2.

        Yields
        ------
        rows : slice
            Of the cells, in their order.
        described : numpy.ndarray
            Rows × `width` float32.
        """
        if not self.neighbours:
            yield slice(0, len(own)), own
            return
        for rows, means in context.averages(own, positions, self.neighbours, threads=threads):
            weighted = (np.float32(self.context_weight) * mean for mean in means)
            yield rows, np.concatenate([own[rows], *weighted], axis=1)

    def describe(self, slides: Sequence[SlideEmbedding], *, threads: int = 1) -> np.ndarray:
        """Describe the cells of slides.

        Returns
        -------
        numpy.ndarray
            N × `width` float32, slides one after the other.
        """
        out = np.empty((sum(len(slide.values) for slide in slides), self.width), np.float32)
        start = 0
        for slide in slides:
            for rows, described in self.walk(self.own(slide), slide.positions, threads=threads):
                out[start + rows.start : start + rows.stop] = described
            start += len(slide.values)
        return out
