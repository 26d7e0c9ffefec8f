"""Open a slide, know its µm per pixel, read a region at a wanted µm per pixel."""

from __future__ import annotations

import bisect
import logging
import math
import os
import threading
from pathlib import Path
from typing import Self

import cv2
import numpy as np

from ..io import ClusterfirstError
from .container import open_container
from .facts import SlideFacts

log = logging.getLogger(__name__)

MPP_RANGE = (0.05, 10.0)
"""µm per pixel outside this are taken for junk: 0.05 is beyond light's reach, 10 shows no cells."""

_DOUBT = 1.1
"""µm per pixel that differ by more than this factor are told of."""

_DOUBTFUL_OBJECTIVE = 1.8
"""Scanners of the same nominal magnification differ by less than this factor."""

_BLOCK_PX = 2048
"""Large reads go through blocks of this edge, so that memory does not grow with the slide."""

_OURS = (MemoryError, AttributeError, NameError, TypeError)
"""Errors that say nothing of the slide."""

_PATCH_PX = 256
"""Around damage, blocks of this edge are given up: about what scanners compress together."""

UNREADABLE_GREY = 128
"""What cannot be decoded is shown in this: no tissue has it, and it is not taken for glass."""


class UnreadableError(ClusterfirstError):
    """Pixels of a slide cannot be decoded."""


class Slide:
    """A slide or plain image, opened for reading. Safe to read from several threads.

    A plain image (PNG, JPEG) is held in memory whole: convert large ones to a pyramidal TIFF.

    Parameters
    ----------
    path
        Anything OpenSlide or Pillow opens.
    mpp
        µm per level-0 pixel; wins over what the file says.

    Raises
    ------
    ClusterfirstError
        The file is missing or unreadable, or its µm per pixel is unknown or absurd.
    """

    def __init__(self, path: str | os.PathLike, *, mpp: float | None = None):
        self._path = Path(path)
        opened = open_container(self._path)
        self._handle, self._again = opened.handle, opened.again
        self._replacing = threading.Lock()
        try:
            width, height = self._handle.dimensions
            # Asked for once: a handle that an error spoilt does not even answer this.
            self._downsamples = tuple(self._handle.level_downsamples)
            properties = self._handle.properties
            found = _found_resolution(properties, opened.um_per_px)
            value, source = _resolution(Path(path), found, mpp)
            objective = _number(properties.get("openslide.objective-power"))
            self.facts = SlideFacts(
                path=str(path),
                width=width,
                height=height,
                mpp=value,
                mpp_source=source,
                objective=objective,
                vendor=properties.get("openslide.vendor", "image"),
                bounds=_bounds(properties, width, height),
                remarks=(*opened.remarks, *_doubts(value, found, objective)),
            )
        except BaseException:
            self._handle.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._handle.close()

    @property
    def mpp(self) -> float:
        """µm per level-0 pixel."""
        return self.facts.mpp

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in level-0 pixels."""
        return self.facts.width, self.facts.height

    def read(
        self, x: int, y: int, width: int, height: int, *, mpp: float | None = None, patch: bool = False
    ) -> np.ndarray:
        """Read a rectangle. What cannot be decoded is tried once more on a slide opened anew.

        Parameters
        ----------
        x, y, width, height
            The rectangle in level-0 pixels. What lies outside the slide is white.
        mpp
            µm per pixel of the result; by default the slide's own.
        patch
            Show what cannot be decoded as `UNREADABLE_GREY` instead of raising.

        Returns
        -------
        numpy.ndarray
            H × W × 3 uint8, RGB, of ``round(width * slide.mpp / mpp)`` columns, at least one.

        Raises
        ------
        UnreadableError
            The file's data cannot be decoded there.
        """
        scale = 1.0 if mpp is None else self.mpp / mpp
        wanted = (max(1, round(width * scale)), max(1, round(height * scale)))
        # The tolerance keeps a level of 4.0003 from being passed over for a wish of 4.
        level = max(0, bisect.bisect_right(self._downsamples, 1.001 / scale) - 1)
        downsample = self._downsamples[level]
        stored = (max(1, round(width / downsample)), max(1, round(height / downsample)))
        if max(stored) > 2 * _BLOCK_PX:
            step = _BLOCK_PX * downsample * scale
            return self._read_in_blocks(x, y, width, height, wanted, scale, step=step, patch=patch)
        read = self._read_patched if patch else self._read_level
        rgb = read(x, y, level, stored)
        if stored != wanted:
            shrinks = stored[0] >= wanted[0]
            rgb = cv2.resize(rgb, wanted, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
        return rgb

    def _read_level(self, x: int, y: int, level: int, size: tuple[int, int]) -> np.ndarray:
        shared = self._handle
        try:
            return _decode(shared, x, y, level, size)
        except _OURS:
            raise
        except Exception as error:  # noqa: BLE001  OpenSlideError, Pillow's many, zlib.error: whatever decoders raise
            first = _what(error)
        # One error spoils an OpenSlide handle for good, so other threads' reads fail with ours: everybody's second
        # attempt goes to a handle of their own.
        own = self._again()
        try:
            pixels = _decode(own, x, y, level, size)
            log.warning("slide %s: x %d, y %d was read at the second attempt (%s)", self._path, x, y, first)
        except _OURS:
            raise
        except Exception as error:
            own = self._again()
            raise UnreadableError(
                f"slide {self._path} cannot be read at x {x}, y {y} ({size[0]} × {size[1]} px of level {level}): "
                f"{_what(error)}. The file is probably truncated or damaged: copy it again"
            ) from error
        finally:
            with self._replacing:
                # The old handle is closed once the last thread that reads from it lets go of it.
                if self._handle is shared:
                    self._handle = own
        return pixels

    def _read_patched(self, x: int, y: int, level: int, size: tuple[int, int]) -> np.ndarray:
        """Read what can be read: quarter the rectangle around damage until the pieces are small."""
        wide, high = size
        try:
            return self._read_level(x, y, level, size)
        except UnreadableError:
            out = np.full((high, wide, 3), UNREADABLE_GREY, np.uint8)
        if max(size) <= _PATCH_PX:
            return out
        downsample = self._downsamples[level]
        for top, bottom in ((0, high // 2), (high // 2, high)):
            for left, right in ((0, wide // 2), (wide // 2, wide)):
                if bottom > top and right > left:
                    corner = round(x + left * downsample), round(y + top * downsample)
                    out[top:bottom, left:right] = self._read_patched(*corner, level, (right - left, bottom - top))
        return out

    def _read_in_blocks(self, x, y, width, height, wanted, scale, *, step: float, patch: bool) -> np.ndarray:
        out = np.empty((wanted[1], wanted[0], 3), np.uint8)
        step = max(1, math.floor(step))
        for top in range(0, wanted[1], step):
            for left in range(0, wanted[0], step):
                right, bottom = min(left + step, wanted[0]), min(top + step, wanted[1])
                x0, x1 = (round(edge / wanted[0] * width) for edge in (left, right))
                y0, y1 = (round(edge / wanted[1] * height) for edge in (top, bottom))
                box = (x + x0, y + y0, max(1, x1 - x0), max(1, y1 - y0))
                block = self.read(*box, mpp=self.mpp / scale, patch=patch)
                size = (right - left, bottom - top)
                out[top:bottom, left:right] = (
                    block if block.shape[1::-1] == size else cv2.resize(block, size, interpolation=cv2.INTER_AREA)
                )
        return out

    def thumbnail(self, *, mpp: float | None = None, longest: int | None = None) -> tuple[np.ndarray, float]:
        """Read the whole slide, small; what cannot be decoded is `UNREADABLE_GREY`.

        Parameters
        ----------
        mpp
            µm per pixel wanted; never finer than the slide's own.
        longest
            The longer side, at most, in pixels.

        Returns
        -------
        image : numpy.ndarray
            H × W × 3 uint8.
        scale : float
            Thumbnail pixels per level-0 pixel.
        """
        width, height = self.size
        coarsest = [self.mpp]
        if mpp is not None:
            coarsest.append(mpp)
        if longest is not None:
            coarsest.append(self.mpp * max(width, height) / longest)
        image = self.read(0, 0, width, height, mpp=max(coarsest), patch=True)
        return image, image.shape[1] / width


def _decode(handle, x: int, y: int, level: int, size: tuple[int, int]) -> np.ndarray:
    """Read a rectangle of one level as H × W × 3 uint8."""
    rgba = np.asarray(handle.read_region((x, y), level, size))
    opaque = rgba[..., 3:]
    if opaque.min() == 255:
        return np.ascontiguousarray(rgba[..., :3])
    # Scanners leave unscanned areas transparent: show them as glass.
    return (rgba[..., :3].astype(np.uint16) * opaque // 255 + (255 - opaque)).astype(np.uint8)


def _what(error: Exception) -> str:
    return str(error) or type(error).__name__


def _bounds(properties, width: int, height: int) -> tuple[int, int, int, int] | None:
    """The scanned part, if the file says that there is less of it than of level 0."""
    said = [_number(properties.get(f"openslide.bounds-{name}")) for name in ("x", "y", "width", "height")]
    bounds = tuple(map(int, said)) if None not in said else (0, 0, width, height)
    return None if bounds == (0, 0, width, height) else bounds


def _found_resolution(properties, beside: tuple[float, float] | None) -> list[tuple[float, float]]:
    """What the file says of µm per pixel along x and y: once, or the likelier first where it contradicts itself."""
    axes = tuple(_number(properties.get(f"openslide.mpp-{axis}")) for axis in "xy")
    found = [pair for pair in (beside, axes) if pair is not None and None not in pair]
    agree = len(found) == 2 and all(abs(a - b) <= 0.02 * abs(b) for a, b in zip(*found, strict=True))
    return [axes] if agree else found


def _resolution(path: Path, found: list[tuple[float, float]], given: float | None) -> tuple[float, str]:
    low, high = MPP_RANGE
    how = "put the true value into column 'mpp' of the sample sheet"
    if given is not None:
        if not low <= given <= high:
            raise ClusterfirstError(f"slide {path}: mpp {given:g} lies outside {low:g} to {high:g} µm/px: {how}")
        return float(given), "given"
    if not found:
        raise ClusterfirstError(f"slide {path}: the file does not say how many µm a pixel spans: {how}")
    if (axes := next(filter(_is_possible, found), None)) is None:
        x, y = found[0]
        raise ClusterfirstError(
            f"slide {path}: the file claims {x:g} × {y:g} µm/px, which cannot be (outside {low:g} to {high:g}): {how}"
        )
    value = _mean(axes)
    if max(axes) / min(axes) > 1.02:
        log.warning("slide %s: pixels are not square (%g × %g µm); %g is used for both", path, *axes, value)
    return value, "file"


def _is_possible(axes: tuple[float, float]) -> bool:
    low, high = MPP_RANGE
    return min(axes) > 0 and low <= _mean(axes) <= high


def _mean(axes: tuple[float, float]) -> float:
    return math.sqrt(axes[0] * axes[1])


def _doubts(used: float, found: list[tuple[float, float]], objective: float | None) -> list[str]:
    """Say where the µm per pixel that are used differ from what else the file says."""
    others = [_mean(axes) for axes in found if _is_possible(axes)]
    doubts = [
        f"{used:.4g} µm/px are used, but the file says {other:.4g}: areas differ {(other / used) ** 2:.3g} times"
        for other in others
        if not 1 / _DOUBT < other / used < _DOUBT
    ]
    nominal = 10 / objective if objective and objective > 0 else used
    if not doubts and not 1 / _DOUBTFUL_OBJECTIVE < nominal / used < _DOUBTFUL_OBJECTIVE:
        doubts.append(f"{used:.4g} µm/px are used, but an objective of {objective:g}x gives about {nominal:.2g}")
    return doubts


def _number(text: str | None) -> float | None:
    try:
        number = float(text)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
