"""Pictures of single cells, of several slides: only the outlines that are wanted are read, and only the squares."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely

from ..clustering import palette
from ..slide.slide import Slide
from . import draw_outline

_ROWS = 50_000


@dataclass(frozen=True)
class Source:
    """A slide whose cells are shown.

    Attributes
    ----------
    slide : str or os.PathLike
        The slide file.
    masks : str or os.PathLike
        Its ``masks.parquet``.
    """

    slide: str | os.PathLike
    masks: str | os.PathLike


def owners(starts: np.ndarray, rows: Sequence[int]) -> np.ndarray:
    """Return whose each row is, where cells of slides stand one after the other; `starts`, slides + 1, tells where."""
    return np.searchsorted(starts, np.asarray(rows, int), side="right") - 1


def outlines(sources: Sequence[Source], starts: np.ndarray, rows: Sequence[int]) -> dict:
    """Read the polygons of some rows; of a large slide, not all outlines at once."""
    import pyarrow.parquet as pq

    found = {}
    for number in sorted(set(owners(starts, rows).tolist())):
        wanted = [row for row in rows if starts[number] <= row < starts[number + 1]]
        at = starts[number]
        for batch in pq.ParquetFile(sources[number].masks).iter_batches(_ROWS, columns=["geometry"]):
            own = [row for row in wanted if at <= row < at + len(batch)]
            found |= {row: shapely.from_wkb(batch["geometry"][int(row - at)].as_py()) for row in own}
            at += len(batch)
    return found


def crop(slide: Slide, polygon, colour: str, side: int, px: int) -> np.ndarray:
    """Read the square of `side` µm around a cell as `px` × `px` pixels, and draw its outline."""
    edge = max(1, round(side / slide.mpp))
    # At the border of the slide the cell is not in the middle: beyond, there is nothing to be seen.
    x, y = (
        max(0, min(round(middle - edge / 2), size - edge))
        for middle, size in zip(_middle(polygon), slide.size, strict=True)
    )
    picture = slide.read(x, y, edge, edge, mpp=edge * slide.mpp / px, patch=True)
    ring = (shapely.get_coordinates(polygon.exterior) - (x, y)) * (px / edge)
    # On a light line even a dark colour is seen on a dark nucleus.
    draw_outline(picture, ring, (255, 255, 255), width=4)
    draw_outline(picture, ring, palette.rgb(colour), width=2)
    return picture


def _middle(polygon) -> tuple[float, float]:
    left, top, right, bottom = polygon.bounds
    return (left + right) / 2, (top + bottom) / 2
