"""Outlines in pictures."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import cv2
import numpy as np
import shapely

from ..clustering import palette
from .colour_keys import CLUSTERS, LIGHT, ColourKey

_SHIFT = 4
"""Polygons are drawn at a sixteenth of a pixel."""


def draw_cells(
    image: np.ndarray,
    polygons: Sequence[np.ndarray],
    cluster_id: np.ndarray,
    *,
    line_px: float,
    fill: float = 0.0,
    key: ColourKey = CLUSTERS,
    dashed: np.ndarray | None = None,
) -> np.ndarray:
    """Draw outlines coloured by cluster.

    Parameters
    ----------
    image
        H × W × 3 uint8 RGB; not changed.
    polygons
        Vertices of each cell, n × 2, in pixels of the image (pixel 0 spans 0 to 1).
    cluster_id
        Per cell; or any other number that `key` knows.
    line_px
        Width of the outlines; at least one pixel is drawn.
    fill
        Opacity of the inside, 0 to 1.
    key
        Gives the colours.
    dashed
        Per cell, whether its outline is; None: none.

    Returns
    -------
    numpy.ndarray
        A new image.
    """
    out = np.array(image, order="C")
    # All at once: of 100,000 cells one by one, this would take as long as drawing them.
    fixed = _parts(_fixed(np.concatenate(polygons)), list(map(len, polygons))) if len(polygons) else []
    shades = {number: palette.rgb(key.colour(number)) for number in np.unique(cluster_id).tolist()}
    if fill:
        inside = out.copy()
        for xy, number in zip(fixed, np.asarray(cluster_id).tolist(), strict=True):
            cv2.fillPoly(inside, [xy], shades[number], cv2.LINE_AA, _SHIFT)
        out = cv2.addWeighted(inside, fill, out, 1 - fill, 0)
    # Anti-aliased lines come out wider than asked for, by about a pixel and a half.
    how = (max(1, round(line_px) - 1), cv2.LINE_AA, _SHIFT)
    dashed = np.zeros(len(fixed), bool) if dashed is None else dashed
    for number, shade in shades.items():
        own = np.asarray(cluster_id) == number
        cv2.polylines(out, [fixed[i] for i in np.flatnonzero(own & ~dashed)], True, shade, *how)
        parts = [dash for i in np.flatnonzero(own & dashed) for dash in dashes(polygons[i], dash_px(line_px))]
        cv2.polylines(out, [_fixed(part) for part in parts], False, shade, *how)
    return out


def light_rim(
    image: np.ndarray, rings: Sequence[np.ndarray], cells: Sequence[np.ndarray], *, line_px: float
) -> np.ndarray:
    """Return an image with light lines, but for the inside of cells, which are to be seen.

    Parameters
    ----------
    image
        H × W × 3 uint8 RGB; not changed.
    rings, cells
        What the lines follow, and the outlines of cells: see `draw_cells`.
    line_px
        Width of the lines.
    """
    light = draw_cells(image, rings, np.zeros(len(rings), int), line_px=line_px, key=LIGHT)
    inside = np.zeros(image.shape[:2], np.uint8)
    for xy in cells:
        cv2.fillPoly(inside, [_fixed(xy)], 1, cv2.LINE_8, _SHIFT)
    # Under the coloured line, all is light: of dashes, or a dark colour on a dark nucleus, nothing would be seen.
    cv2.polylines(inside, [_fixed(xy) for xy in cells], True, 0, 1, cv2.LINE_8, _SHIFT)
    return np.where(inside[..., None] > 0, image, light)


def dash_px(line_px: float) -> float:
    """Length of dashes."""
    return max(5.0, 3 * line_px)


def dashes(xy: np.ndarray, length: float) -> list[np.ndarray]:
    """Return parts of an outline, each about so long, with gaps as long between them; at least two."""
    ring = np.concatenate([xy, xy[:1]])
    along = np.append(0, np.hypot(*np.diff(ring, axis=0).T).cumsum())
    count = max(2, round(along[-1] / (2 * length)))
    # Two steps for a dash, so that corners are not cut off much, and two for a gap.
    at = np.linspace(0, along[-1], 4 * count + 1)
    points = np.column_stack([np.interp(at, along, side) for side in ring.T])
    return [points[4 * part : 4 * part + 3] for part in range(count)]


def _fixed(xy: np.ndarray) -> np.ndarray:
    """Points as OpenCV takes them: its pixel 0 has its centre, not its edge, at 0."""
    return np.round((xy - 0.5) * (1 << _SHIFT)).astype(np.int32)


def draw_outline(image: np.ndarray, xy: np.ndarray, rgb: tuple[int, int, int], *, width: int) -> None:
    """Draw one outline into an image, in any colour; see `draw_cells`."""
    cv2.polylines(image, [_fixed(xy)], True, rgb, width, cv2.LINE_AA, _SHIFT)


def vertices(polygons: np.ndarray, *, origin: tuple[float, float] = (0, 0), scale: float = 1.0) -> list[np.ndarray]:
    """Return the outer vertices of each polygon, n × 2, in pixels from an origin; `scale` is pixels per unit."""
    points, owner = shapely.get_coordinates(shapely.get_exterior_ring(polygons), return_index=True)
    return _parts((points - origin) * scale, np.bincount(owner, minlength=len(polygons)).tolist())


def _parts(points: np.ndarray, lengths: list[int]) -> list[np.ndarray]:
    """Take points apart; `numpy.split` is slow."""
    return [points[end - length : end] for end, length in zip(accumulate(lengths), lengths, strict=True)]


def box_of(xy: np.ndarray) -> np.ndarray:
    """Return the corners, 4 × 2, of the bounding box of some points."""
    (left, top), (right, bottom) = xy.min(axis=0), xy.max(axis=0)
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)])


class CellsInView:
    """Cells of a slide, looked up by rectangle and given in the rectangle's own pixels."""

    def __init__(self, polygons: np.ndarray):
        self._polygons = polygons
        self._tree = shapely.STRtree(polygons)

    def __call__(self, x: float, y: float, width: float, height: float, *, scale: float):
        """Return rows and vertices of the cells that touch a level-0 rectangle; `scale` is pixels per level-0 pixel."""
        rows = np.sort(self._tree.query(shapely.box(x, y, x + width, y + height), predicate="intersects"))
        return rows, vertices(self._polygons[rows], origin=(x, y), scale=scale)
