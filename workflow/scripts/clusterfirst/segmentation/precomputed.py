"""Outlines from elsewhere, given to the tiles they lie on."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import shapely

log = logging.getLogger(__name__)


def adopt(polygons: np.ndarray, tiles: pd.DataFrame) -> pd.DataFrame:
    """Make objects of outlines from elsewhere.

    Parameters
    ----------
    polygons
        Valid ``shapely.Polygon`` in level-0 pixels.
    tiles
        All tiles of the slide, finest resolution first (see `grid.slide_grids`). An object belongs to the tile whose
        core its centroid lies in, kept or not: the filter saves a network's time, and there is none.

    Returns
    -------
    pandas.DataFrame
        As `seams.each_once`. What lies on no tile (``tiling.num_tiles`` leaves some out) is left out, and the log says
        how much.
    """
    cores = shapely.box(tiles["x"], tiles["y"], tiles["x"] + tiles["width"], tiles["y"] + tiles["height"])
    one, tile = shapely.STRtree(cores).query(shapely.centroid(polygons), predicate="intersects")
    # On an edge, or at several resolutions, there is more than one.
    owner = pd.Series(tile).groupby(one).min()
    if len(owner) < len(polygons):
        log.warning("%d of %d outlines lie on no tile", len(polygons) - len(owner), len(polygons))
    objects = pd.DataFrame({"geometry": polygons[owner.index], "tile": owner.to_numpy()})
    objects = objects.sort_values("tile", kind="stable", ignore_index=True)
    objects["tile_id"] = tiles["tile_id"].to_numpy()[objects.pop("tile")]
    return objects.assign(score=np.nan, truncated=False)
