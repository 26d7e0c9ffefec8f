"""What is seen of a slide around cells, and square crops of it for a network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import pandas as pd


@dataclass(frozen=True)
class View:
    """A piece of the slide and the cells that are to be embedded from it.

    Attributes
    ----------
    image : numpy.ndarray
        H × W × 3 uint8, RGB.
    bounds : tuple of int
        ``left, top, right, bottom`` of the image on the slide, in level-0 pixels.
    rows : numpy.ndarray
        Positions of the cells in the table of cells.
    """

    image: np.ndarray
    bounds: tuple[int, int, int, int]
    rows: np.ndarray

    @property
    def scale(self) -> np.ndarray:
        """Image pixels per level-0 pixel along x and y."""
        left, top, right, bottom = self.bounds
        high, wide = self.image.shape[:2]
        return np.array([wide / (right - left), high / (bottom - top)])

    def to_image(self, xy: np.ndarray) -> np.ndarray:
        """From … × 2 level-0 pixels to pixels of the image, pixel (0, 0) spanning 0 to 1 on both axes."""
        return (xy - self.bounds[:2]) * self.scale


def crops(view: View, cells: pd.DataFrame, *, mode: str, crop_um: float, mpp: float, size: int) -> Iterator[np.ndarray]:
    """Crop the cells of a view, one at a time, in the order of its rows.

    Parameters
    ----------
    view, cells
        The view, and the table of all cells.
    mode
        ``box``: the cell's bounding box, stretched to a square. ``square``: a square around the cell's centroid.
    crop_um
        Edge of that square in µm.
    mpp
        µm per level-0 pixel.
    size
        Edge of the crops in pixels.

    Yields
    ------
    numpy.ndarray
        size × size × 3 uint8. What lies outside the view is white.
    """
    mine = cells.iloc[view.rows]
    if mode == "box":
        corners = mine.geometry.bounds.to_numpy().reshape(-1, 2, 2)
        low, high = (view.to_image(corners[:, side]) for side in (0, 1))
        # Outlines of a resampled image miss whole pixels by a rounding error: that must not add a row.
        low, high = np.floor(low.round(3)).astype(int), np.ceil(high.round(3)).astype(int)
    else:
        edge = np.maximum(1, (crop_um / mpp * view.scale).round().astype(int))
        low = (view.to_image(mine[["x", "y"]].to_numpy()) - edge / 2).round().astype(int)
        high = low + edge
    high = np.maximum(high, low + 1)
    for (left, top), (right, bottom) in zip(low, high, strict=True):
        yield _resized(_cut(view.image, left, top, right, bottom), size)


def _cut(image: np.ndarray, left: int, top: int, right: int, bottom: int) -> np.ndarray:
    high, wide = image.shape[:2]
    if left >= 0 and top >= 0 and right <= wide and bottom <= high:
        return image[top:bottom, left:right]
    crop = np.full((bottom - top, right - left, 3), 255, np.uint8)
    x0, x1 = np.clip((left, right), 0, wide)
    y0, y1 = np.clip((top, bottom), 0, high)
    crop[y0 - top : y1 - top, x0 - left : x1 - left] = image[y0:y1, x0:x1]
    return crop


def _resized(crop: np.ndarray, size: int) -> np.ndarray:
    shrinks = max(crop.shape[:2]) > size
    return cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
