"""What is seen of a slide around cells, and square crops of it for a network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import shapely

_GLASS = (255, 255, 255)


@dataclass(frozen=True)
class Patch:
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

    def parts(self, size: int | None) -> Iterator[Patch]:
        """Yield the same image with at most `size` of the cells at a time; None: with all of them."""
        if size is None:
            yield self
            return
        for start in range(0, len(self.rows), size):
            yield replace(self, rows=self.rows[start : start + size])


@dataclass(frozen=True)
class Crop:
    """Which piece of a view a network sees of a cell.

    Attributes
    ----------
    mode : str
        ``box``: the cell's bounding box, stretched to a square. ``square``: a square around the cell's centroid.
        ``masked``: the bounding box, with everything outside the cell's outline in one colour.
    crop_um : float
        Edge of that square in µm.
    margin_um : float
        The bounding box is enlarged by this much on every side. It keeps the surroundings in ``box``.
    """

    mode: str
    crop_um: float
    margin_um: float

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Crop:
        """Take from the ``embedding`` section of the configuration what is about crops."""
        return cls(settings["crop"], settings["crop_um"], settings["margin_um"])

    @property
    def reach_um(self) -> float:
        """How far beyond a cell's bounding box a crop may reach."""
        return self.crop_um / 2 if self.mode == "square" else self.margin_um

    def cut(
        self,
        view: Patch,
        polygons: np.ndarray,
        centres: np.ndarray,
        *,
        mpp: float,
        size: int,
        blank: tuple[int, int, int] = _GLASS,
    ) -> np.ndarray:
        """Crop the cells of a view, in the order of its rows.

        Parameters
        ----------
        view
            The view.
        polygons, centres
            N ``shapely.Polygon`` and N × 2 centroids of all cells of the slide, in level-0 pixels.
        mpp
            µm per level-0 pixel.
        size
            Edge of the crops in pixels.
        blank
            Colour of what ``masked`` hides.

        Returns
        -------
        numpy.ndarray
            n × size × size × 3 uint8. What lies outside the view is white.
        """
        low, high = self._windows(view, polygons, centres, mpp=mpp)
        out = np.empty((len(low), size, size, 3), np.uint8)
        for place, (left, top), (right, bottom) in zip(out, low, high, strict=True):
            _resize(_piece(view.image, left, top, right, bottom), place)
        if self.mode == "masked":
            _hide(out, view, polygons, low, high, colour=blank)
        return out

    def _windows(self, view: Patch, polygons, centres, *, mpp: float) -> tuple[np.ndarray, np.ndarray]:
        """Upper left and lower right corners, n × 2 each, in whole pixels of the image."""
        if self.mode == "square":
            edge = np.maximum(1, (self.crop_um / mpp * view.scale).round().astype(int))
            low = (view.to_image(centres[view.rows]) - edge / 2).round().astype(int)
            high = low + edge
        else:
            corners = shapely.bounds(polygons[view.rows]).reshape(-1, 2, 2)
            margin = self.margin_um / mpp
            low, high = view.to_image(corners[:, 0] - margin), view.to_image(corners[:, 1] + margin)
            # Outlines of a resampled image miss whole pixels by a rounding error: that must not add a row.
            low, high = np.floor(low.round(3)).astype(int), np.ceil(high.round(3)).astype(int)
        return low, np.maximum(high, low + 1)


def _piece(image: np.ndarray, left: int, top: int, right: int, bottom: int) -> np.ndarray:
    high, wide = image.shape[:2]
    if left >= 0 and top >= 0 and right <= wide and bottom <= high:
        return image[top:bottom, left:right]
    piece = np.full((bottom - top, right - left, 3), _GLASS, np.uint8)
    x0, x1 = np.clip((left, right), 0, wide)
    y0, y1 = np.clip((top, bottom), 0, high)
    piece[y0 - top : y1 - top, x0 - left : x1 - left] = image[y0:y1, x0:x1]
    return piece


def _resize(piece: np.ndarray, place: np.ndarray) -> None:
    """Resize into `place`."""
    shrinks = max(piece.shape[:2]) > len(place)
    cv2.resize(piece, place.shape[1::-1], dst=place, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def _hide(crops: np.ndarray, view: Patch, polygons, low: np.ndarray, high: np.ndarray, *, colour) -> None:
    """Paint what lies outside each cell's outline."""
    size = crops.shape[1]
    points, owner = shapely.get_coordinates(shapely.get_exterior_ring(polygons[view.rows]), return_index=True)
    placed = (view.to_image(points) - low[owner]) * (size / (high - low)[owner])
    # OpenCV's pixel (0, 0) has its centre at 0, and takes fractions as integers.
    placed = ((placed - 0.5) * 2**_FRACTION_BITS).round().astype(np.int32)
    rings = np.split(placed, np.flatnonzero(np.diff(owner)) + 1)
    for crop, ring in zip(crops, rings, strict=True):
        inside = cv2.fillPoly(np.zeros((size, size), np.uint8), [ring], 1, shift=_FRACTION_BITS)
        crop[inside == 0] = colour


_FRACTION_BITS = 4
