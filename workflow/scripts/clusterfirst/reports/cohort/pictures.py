"""Pictures for the page: small enough that those of all slides fit into one file."""

from __future__ import annotations

import io
from collections.abc import Mapping

import cv2
import numpy as np
from PIL import Image

from ...clustering import palette
from ...plan.layout import SlideFolder

PAPER = "#f4f5f7"
"""What maps are drawn on, in light and dark alike: the palette was made for it."""
_MAP_PX = 760
_MAP_POINTS = 200_000
_SHIFT = 4
"""Points are drawn at a sixteenth of a pixel."""
_JPEG = 78


def thumbnail(slide: SlideFolder, *, size: tuple[int, int], drawn_px: int, longest: int) -> bytes:
    """Return a slide's overview without its legend, small, as JPEG.

    Parameters
    ----------
    slide
        Its results.
    size
        Width and height of the slide, level-0 px.
    drawn_px
        ``annotation.overview_px``: how large the overview was drawn, its legend to the right of that.
    longest
        Longer side of the thumbnail.
    """
    scale = min(1, drawn_px / max(size))
    with Image.open(slide.overview) as picture:
        part = picture.convert("RGB").crop((0, 0, *(max(1, round(edge * scale)) for edge in size)))
    return _jpeg(part, longest)


def gallery(slide: SlideFolder, *, width: int) -> bytes:
    """Return a slide's gallery as JPEG, no wider than that."""
    with Image.open(slide.gallery) as picture:
        return _jpeg(picture.convert("RGB"), max(picture.size) * width / picture.width)


def _jpeg(picture: Image.Image, longest: float) -> bytes:
    scale = min(1, longest / max(picture.size))
    size = [max(1, round(edge * scale)) for edge in picture.size]
    small = picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=3)
    file = io.BytesIO()
    small.save(file, "JPEG", quality=_JPEG, optimize=True, progressive=True)
    return file.getvalue()


def sample(cells: int, most: int = _MAP_POINTS) -> np.ndarray:
    """Return which cells a map shows: all, or as many as can be told apart, drawn at random, the same every time."""
    if cells <= most:
        return np.arange(cells)
    return np.sort(np.random.default_rng(0).choice(cells, most, replace=False))


def scatter(plane: np.ndarray, number: np.ndarray, colours: Mapping[int, str], *, side: int = _MAP_PX) -> bytes:
    """Return a map of cells as a square PNG.

    Parameters
    ----------
    plane
        n × 2: where cells lie.
    number
        n: the cluster, tissue or slide of each. −1 (noise) is drawn first, the others in random order, so that no
        colour hides another.
    colours
        ``#rrggbb`` by number.
    side
        Pixels.
    """
    image = np.full((side, side, 3), palette.rgb(PAPER), np.uint8)
    if len(plane):
        radius = float(np.clip(4 * (2000 / len(plane)) ** 0.35, 1, 4))
        order = np.random.default_rng(0).permutation(len(plane))
        order = order[np.argsort(number[order] >= 0, kind="stable")]
        shades = {one: palette.rgb(colours[one]) for one in np.unique(number)}
        centres = np.round(_places(plane, side, margin=10)[order] * (1 << _SHIFT)).astype(int)
        for centre, one in zip(centres.tolist(), number[order], strict=True):
            cv2.circle(image, centre, round(radius * (1 << _SHIFT)), shades[one], cv2.FILLED, cv2.LINE_AA, _SHIFT)
    file = io.BytesIO()
    Image.fromarray(image).quantize(256, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
    return file.getvalue()


def _places(plane: np.ndarray, side: int, *, margin: int) -> np.ndarray:
    """Pixels of points, at one scale both ways, in the middle; y upwards."""
    # A few cells far from all others must not squeeze the rest into a dot: they are drawn at the edge.
    low, high = (np.quantile(plane, share, axis=0) for share in (0.001, 0.999))
    room = 0.25 * (high - low)
    low, high = np.maximum(low - room, plane.min(axis=0)), np.minimum(high + room, plane.max(axis=0))
    scale = (side - 2 * margin) / max((high - low).max(), 1e-9)
    places = side / 2 + (plane - (low + high) / 2) * scale * (1, -1)
    return np.clip(places, margin, side - margin)
