"""What a classifier sees of a cell: its own prepared embeddings, and those of its neighbours near and far.

How cells are prepared is learnt from some slides, and kept: cells of other slides are then described in the same space.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
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

    def own(self, slide: SlideEmbedding, rows: np.ndarray | slice) -> np.ndarray:
        """Return the own part of what describes some cells of a slide, n × `preparation.width` float32."""
        some = replace(slide, values=slide.values[rows], positions=slide.positions[rows])
        return self.preparation.apply([some])

    def walk(self, slide: SlideEmbedding, *, threads: int) -> Iterator[tuple[slice, np.ndarray]]:
        """Describe a slide's cells, some thousand at a time; memory grows with their places only.

        Yields
        ------
        rows : slice
            Of the cells, in their order.
        described : numpy.ndarray
            Rows × `width` float32: their own part, then that of their neighbours, near and far.
        """
        place = np.empty(len(slide.values), np.int64)
        for rows, found in context.nearest(slide.positions, max(self.neighbours, default=0), threads=threads):
            wanted = np.zeros(len(place), bool)
            wanted[rows] = wanted[found.ravel()] = True
            seen = np.flatnonzero(wanted)
            place[seen] = np.arange(len(seen))
            own, near = self.own(slide, seen), place[found]
            means = (context.mean_of(near[:, :count], len(seen)) @ own for count in self.neighbours)
            weighted = (np.float32(self.context_weight) * mean for mean in means)
            yield rows, np.concatenate([own[place[rows]], *weighted], axis=1)

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
            for rows, described in self.walk(slide, threads=threads):
                out[start + rows.start : start + rows.stop] = described
            start += len(slide.values)
        return out
