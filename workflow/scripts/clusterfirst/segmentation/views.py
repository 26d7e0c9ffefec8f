"""What tiles are read as: aligned to a network's stride, and dealt out to shards."""

from __future__ import annotations

import numpy as np
import pandas as pd


def aligned_views(tiles: pd.DataFrame, *, slide_mpp: float, mpp: float | None, stride: int) -> pd.DataFrame:
    """Return the tiles with read rectangles grown outwards so that a network sees every place in the same way.

    A network that halves its image n times gives other outlines when the image is shifted by a pixel, and the same
    ones when it is shifted by 2ⁿ (its *stride*). So read rectangles start at multiples of the stride, counted from the
    slide's origin in the network's pixels; and for those to be whole level-0 pixels, the resolution is rounded a
    little (at most by half a level-0 pixel per stride).

    Parameters
    ----------
    tiles
        See `grid.grid`.
    slide_mpp
        µm per level-0 pixel.
    mpp
        µm per pixel that the network wants; None: as the tiles are.
    stride
        In the network's pixels.

    Returns
    -------
    pandas.DataFrame
        With a clean 0…T-1 index, new ``read_x, read_y, read_width, read_height`` (they may end beyond the slide's
        right and bottom border by less than a stride) and ``mpp``.
    """
    views = tiles.reset_index(drop=True).copy()
    wanted = views["mpp"] if mpp is None else pd.Series(float(mpp), index=views.index)
    quantum = np.maximum(1, (stride * wanted / slide_mpp).round().astype(int))
    views["mpp"] = quantum * slide_mpp / stride
    for start, length in (("read_x", "read_width"), ("read_y", "read_height")):
        end = -(-(views[start] + views[length]) // quantum) * quantum
        views[start] = views[start] // quantum * quantum
        views[length] = end - views[start]
    return views


def shard(views: pd.DataFrame, item: str) -> pd.DataFrame:
    """Return the tiles of one shard: a stretch of the slide, so that its reads stay together.

    Parameters
    ----------
    views
        All tiles of the slide; the index is kept.
    item
        ``"3-of-8"``, as Snakemake's ``scattergather`` names it.
    """
    number, count = map(int, item.split("-of-"))
    first, last = (len(views) * edge // count for edge in (number - 1, number))
    return views.iloc[first:last]
