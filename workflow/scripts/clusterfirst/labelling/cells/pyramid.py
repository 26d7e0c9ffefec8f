"""Image tiles of slides, made when asked for and kept in memory while there is room."""

from __future__ import annotations

import logging
import math
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from ...drawing import draw_outline
from ...io import ClusterfirstError
from ...slide.facts import SlideFacts
from ...slide.slide import Slide
from .results import SlideInfo

log = logging.getLogger(__name__)

TILE_PX = 512
_QUALITY = 85
_CACHE_BYTES = 192 << 20
_OUTLINE = (255, 240, 0)
_CROP_PX = (32, 384)


class Cache:
    """Bytes by key; those not asked for longest go first. Safe for threads."""

    def __init__(self, limit: int = _CACHE_BYTES):
        self._kept: OrderedDict[tuple, bytes] = OrderedDict()
        self._size, self._limit = 0, limit
        self._lock = threading.Lock()

    def get(self, key: tuple, make: Callable[[], bytes]) -> bytes:
        """Return what is kept, or make it."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        made = make()
        with self._lock:
            if key not in self._kept:
                self._kept[key] = made
                self._size += len(made)
            while self._size > self._limit:
                self._size -= len(self._kept.popitem(last=False)[1])
        return made


class Pyramids:
    """The slides' pixels.

    Parameters
    ----------
    slides
        What may be opened: nothing else is.
    places
        Folders that slides may have moved to. Relative paths are looked for in the working directory, in these, and
        then by file name in these.
    """

    def __init__(self, slides: dict[str, SlideInfo], places: list[Path]):
        self._slides, self._places = {name: slide.facts for name, slide in slides.items()}, places
        self._open: dict[str, Slide | str] = {}
        self._lock = threading.Lock()
        self._cache = Cache()

    def facts(self, name: str) -> dict:
        """Say how a slide is cut into tiles, and under ``problem`` why its pixels cannot be shown, or None.

        Level 0 fits into one tile; each further one has twice the size, the last is the slide's own.
        """
        info, found = self._slides[name], self._find(name)
        return {
            "width": info.width,
            "height": info.height,
            "mpp": info.mpp,
            "tile": TILE_PX,
            "overlap": 0,
            "levels": levels(info),
            "problem": found if isinstance(found, str) else None,
        }

    def tile(self, name: str, level: int, column: int, row: int) -> bytes | None:
        """Return a JPEG of at most 512 × 512 px, or None where there is no such tile."""
        info, slide = self._slides[name], self._find(name)
        if isinstance(slide, str) or not 0 <= level < levels(info):
            return None
        shrunk = 2 ** (levels(info) - 1 - level)
        x, y, step = column * TILE_PX * shrunk, row * TILE_PX * shrunk, TILE_PX * shrunk
        if not (0 <= x < info.width and 0 <= y < info.height):
            return None
        size = min(step, info.width - x), min(step, info.height - y)

        def make():
            return _jpeg(slide.read(x, y, *size, mpp=slide.mpp * shrunk, patch=True))

        return self._cache.get((name, level, column, row), make)

    def crop(self, name: str, x: float, y: float, ring: np.ndarray, *, um: float, px: int) -> bytes:
        """Return a square JPEG around a point, with an outline on it; white where the slide cannot be read.

        At the slide's edge the square is moved inwards.

        Parameters
        ----------
        x, y
            The middle, level-0 pixels.
        ring
            k × 2, level-0 pixels.
        um
            Its edge in µm.
        px
            Its edge in pixels of the picture.
        """
        info, slide = self._slides[name], self._find(name)
        px = min(max(px, _CROP_PX[0]), _CROP_PX[1])
        edge = max(1, round(um / info.mpp))
        left = max(0, min(round(x - edge / 2), info.width - edge))
        top = max(0, min(round(y - edge / 2), info.height - edge))

        def make():
            if isinstance(slide, str):
                image = np.full((px, px, 3), 255, np.uint8)
            else:
                image = slide.read(left, top, edge, edge, mpp=slide.mpp * edge / px, patch=True)
                image = image if image.shape[:2] == (px, px) else cv2.resize(image, (px, px))
            image = np.ascontiguousarray(image)
            draw_outline(image, (ring - (left, top)) * (px / edge), _OUTLINE, width=1)
            return _jpeg(image)

        return self._cache.get((name, "crop", x, y, edge, px), make)

    def _find(self, name: str) -> Slide | str:
        """Return the slide, or why it cannot be shown."""
        with self._lock:
            if name not in self._open:
                self._open[name] = self._opened(self._slides[name])
            return self._open[name]

    def _opened(self, info: SlideFacts) -> Slide | str:
        known = Path(info.path)
        places = [known, *(place / known for place in self._places), *(place / known.name for place in self._places)]
        path = next((place for place in places if place.is_file()), None)
        if path is None:
            return f"The slide file {info.path} is not where it was: cells are shown on white. See --slides"
        try:
            slide = Slide(path, mpp=info.mpp)
        except ClusterfirstError as error:
            return f"{error}. Cells are shown on white"
        if slide.size != (info.width, info.height):
            size = "{} × {}".format(*slide.size)
            slide.close()
            return (
                f"{path} is another slide than was segmented ({size} px instead of {info.width} × {info.height}): "
                "cells are shown on white"
            )
        return slide

    def close(self) -> None:
        """Let go of the files."""
        with self._lock:
            for slide in self._open.values():
                if isinstance(slide, Slide):
                    slide.close()
            self._open.clear()


def levels(info: SlideFacts) -> int:
    """Return the number of levels of a slide's tiles."""
    return 1 + max(0, math.ceil(math.log2(max(info.width, info.height) / TILE_PX)))


def _jpeg(rgb: np.ndarray) -> bytes:
    done, data = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    assert done
    return data.tobytes()
