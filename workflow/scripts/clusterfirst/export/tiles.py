"""Where cells lie in the pictures of tiles."""

from __future__ import annotations

import numpy as np
import pandas as pd
import shapely


def scales(tiles: pd.DataFrame, mpp: float) -> np.ndarray:
    """Return how many pixels of its picture a level-0 pixel is, for each tile."""
    return mpp / tiles["mpp"].to_numpy()


def sizes(tiles: pd.DataFrame, mpp: float) -> np.ndarray:
    """Return the n × 2 widths and heights of the pictures, as `slide.Slide.read` makes them."""
    exact = tiles[["width", "height"]].to_numpy() * scales(tiles, mpp)[:, None]
    # Python's round and NumPy's agree: to even.
    return np.maximum(1, np.round(exact)).astype(int)


def moved(polygons: np.ndarray, tiles: pd.DataFrame, tile: np.ndarray, mpp: float) -> np.ndarray:
    """Give outlines in pixels of their tile's picture, whose pixel 0 spans 0 to 1.

    Parameters
    ----------
    polygons
        In level-0 pixels.
    tiles
        The table of tiles.
    tile
        The row of each polygon's tile.
    mpp
        µm per level-0 pixel.
    """
    xy, owner = shapely.get_coordinates(polygons, return_index=True)
    of = tile[owner]
    corner = tiles[["x", "y"]].to_numpy()[of]
    return shapely.set_coordinates(polygons.copy(), (xy - corner) * scales(tiles, mpp)[of][:, None])
