"""The grid: cores that cover the slide exactly once, and the halos around them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .facts import SlideFacts

if TYPE_CHECKING:
    import pandas as pd


def grid(
    width: int, height: int, *, slide_mpp: float, mpp: float, tile_px: int, halo_px: int, magnification: float
) -> pd.DataFrame:
    """Cut a slide into tiles.

    The *core* rectangles cover the slide exactly once; the ones at the right and bottom are what remains. The *read*
    rectangle is the core and a halo on every side, cut off at the slide's border.

    Parameters
    ----------
    width, height
        The slide, in level-0 pixels.
    slide_mpp, mpp
        µm per pixel of level 0, and of the tiles when read.
    tile_px, halo_px
        Edge of a core and width of the halo, in pixels at `mpp`.
    magnification
        Recorded as it is.

    Returns
    -------
    pandas.DataFrame
        ``tile_id``, core ``x, y, width, height`` and ``read_x, read_y, read_width, read_height`` in level-0 pixels,
        ``mpp``, ``magnification``; row by row from the top left.
    """
    import pandas as pd

    # A whole number of level-0 pixels for every core, so that all inner tiles are read at the same size.
    step = max(1, round(tile_px * mpp / slide_mpp))
    halo = round(halo_px * mpp / slide_mpp)
    y, x = (axis.ravel() for axis in np.mgrid[0:height:step, 0:width:step])
    tiles = pd.DataFrame({"x": x, "y": y})
    tiles["width"] = np.minimum(step, width - x)
    tiles["height"] = np.minimum(step, height - y)
    tiles["read_x"] = np.maximum(0, x - halo)
    tiles["read_y"] = np.maximum(0, y - halo)
    tiles["read_width"] = np.minimum(width, x + tiles["width"] + halo) - tiles["read_x"]
    tiles["read_height"] = np.minimum(height, y + tiles["height"] + halo) - tiles["read_y"]
    tiles["mpp"] = float(mpp)
    tiles["magnification"] = float(magnification)
    return tiles


def slide_grids(facts: SlideFacts, settings: Mapping[str, Any]) -> pd.DataFrame:
    """Return the tiles of a slide at every wanted resolution, finest first.

    Parameters
    ----------
    facts
        Of the slide.
    settings
        The ``tiling`` section of the configuration.
    """
    import pandas as pd

    fixed = settings["mpp"]
    magnifications = [facts.mpp / fixed] if fixed else sorted(settings["magnifications"], reverse=True)
    parts = []
    for magnification in magnifications:
        part = grid(
            facts.width,
            facts.height,
            slide_mpp=facts.mpp,
            mpp=facts.mpp / magnification,
            tile_px=settings["tile_px"],
            halo_px=settings["halo_px"],
            magnification=magnification,
        )
        suffix = f"_m{magnification!r}" if len(magnifications) > 1 else ""
        ids = [f"x{x:06d}_y{y:06d}{suffix}" for x, y in zip(part["x"], part["y"], strict=True)]
        part.insert(0, "tile_id", ids)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def thin(candidates: np.ndarray, wanted: int) -> np.ndarray:
    """Choose `wanted` of the true entries, evenly spread in their order.

    Parameters
    ----------
    candidates
        Boolean, one entry per tile.
    wanted
        How many to keep; all if there are no more than that.

    Returns
    -------
    numpy.ndarray
        Boolean, of the same length.
    """
    index = np.flatnonzero(candidates)
    if len(index) > wanted:
        index = index[np.linspace(0, len(index) - 1, wanted).round().astype(int)]
    chosen = np.zeros(len(candidates), bool)
    chosen[index] = True
    return chosen


def with_cells(tiles: pd.DataFrame, tile_id: np.ndarray) -> pd.DataFrame:
    """Return the rows of ``filtered.parquet`` that are kept or own a cell: outlines from elsewhere may lie anywhere.

    Parameters
    ----------
    tiles
        All rows.
    tile_id
        The tile that owns each cell.
    """
    return tiles[tiles["kept"] | tiles["tile_id"].isin(tile_id)]
