"""Label images: every pixel holds the number of its object."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from ...io import ClusterfirstError
from ...slide.facts import SlideFacts
from ..objects import outlines
from . import labels
from .features import FAR_PIECES, HOLED, PIECES, Features
from .frames import Corner

log = logging.getLogger(__name__)

_Part = tuple[int, int, int, int]
"""x, y, width and height in level-0 pixels."""

_Check = Callable[[tuple[int, ...], np.dtype], None]

_IN_MEMORY_BYTES = 1 << 30

_LOSSY = {6, 7, 34927, 50001}
"""TIFF's numbers of compressions (JPEG, WebP) that change pixels: every border would get labels of its own."""


def read(path: Path, slide: SlideFacts, _given: Mapping[str, Any]) -> Features:
    """Outline the objects of a label image; see `foreign.read`.

    A TIFF of more than a gigabyte is mapped, not held in memory; if it is compressed or tiled, by way of a temporary
    file as large as its pixels. A PNG is held in memory.

    Raises
    ------
    ClusterfirstError
        The file is no label image, or not one of the whole slide or its scanned part.
    """
    image = _opened(path, slide)
    last = np.iinfo(image.dtype).max if image.dtype.itemsize < 4 else None
    part, scale = _scale(image.shape[1], image.shape[0], slide, path)
    image, original = labels.numbered(*labels.without_background(image, path))
    labels.check(image, original, path)
    polygons, values = outlines(image)
    # The area of an outline is its number of pixels to half a pixel, unless something was left out or filled.
    gained = shapely.area(polygons) - labels.count(image)[values]
    pieces, holed = np.flatnonzero(gained < -0.75), np.flatnonzero(gained > 0.25)
    far = labels.far_pieces(image, values, pieces)
    if len(polygons) == len(pieces) == 1 and len(far):
        raise ClusterfirstError(
            f"outlines {path}: all objects have the same number, {original(values[0])}, as in a mask; in a label image "
            "every cell has a number of its own (scikit-image's label() gives them)"
        )
    if len(far) and original(values[-1]) == last:
        raise ClusterfirstError(
            f"outlines {path}: label {original(values[far[0]])} is in pieces far from each other, and the numbers end "
            f"with {last}, as its bits do: several cells have one number. Save the labels anew, with more bits"
        )
    _tell_part(image.shape[1], image.shape[0], part, scale, slide, path)
    if scale != (1, 1):
        # Rounding must not push an object over the border.
        polygons = shapely.transform(polygons, lambda xy: np.minimum(xy * scale, part[2:]))
    return Features(
        polygons=polygons,
        owner=np.arange(len(polygons)),
        names=np.full(len(polygons), None),
        place=lambda row: f"label {original(values[row])}",
        remarks=[(FAR_PIECES, far), (PIECES, np.setdiff1d(pieces, far)), (HOLED, holed)],
        begins=Corner(part[:2]),
    )


def _opened(path: Path, slide: SlideFacts) -> np.ndarray:
    """Return H × W integers, of an image of the slide's shape."""

    def check(shape: tuple[int, ...], dtype: np.dtype) -> None:
        """Before pixels are read: a damaged file may claim more of them than there is memory."""
        _check_kind(shape, dtype, path)
        _scale(shape[1], shape[0], slide, path)

    try:
        image = (_read_png if path.suffix.lower() == ".png" else _read_tiff)(path, check)
    except ClusterfirstError:
        raise
    except Exception as error:  # tifffile's, its codecs' and Pillow's many
        raise ClusterfirstError(
            f"outlines {path} cannot be read as an image: {str(error) or type(error).__name__}. If other programs open "
            "it, save it as a TIFF with deflate compression; if not, it is incomplete or damaged: copy it again"
        ) from error
    _check_kind(image.shape, image.dtype, path)
    return image.view(np.uint8) if image.dtype == bool else image


def _check_kind(shape: tuple[int, ...], dtype: np.dtype, path: Path) -> None:
    wanted = "save the labels as one channel of 16- or 32-bit integers, 0 for background"
    if len(shape) == 3 and shape[-1] in (2, 3, 4):
        raise ClusterfirstError(
            f"outlines {path} is an image of {shape[-1]} channels (colours), not of labels: {wanted}"
        )
    if len(shape) != 2:
        raise ClusterfirstError(
            f"outlines {path} is a stack of shape {' × '.join(map(str, shape))}, not an image of labels: {wanted}"
        )
    if not np.issubdtype(dtype, np.bool_) and not np.issubdtype(dtype, np.integer):
        raise ClusterfirstError(f"outlines {path} has pixels of type {dtype}, which are no labels: {wanted}")


def _read_png(path: Path, check: _Check) -> np.ndarray:
    from PIL import Image

    # People's own files, and big by nature (see `slide.slide`).
    Image.MAX_IMAGE_PIXELS = None
    with Image.open(path) as image:
        bands = len(image.getbands())
        check((image.height, image.width, *((bands,) if bands > 1 else ())), np.dtype(np.uint8))
        return np.asarray(image)


def _read_tiff(path: Path, check: _Check) -> np.ndarray:
    import tifffile

    with tifffile.TiffFile(path) as file:
        # Only when it counts them does it notice that damaged pages follow each other in a circle.
        len(file.pages)
        series = max(file.series, key=lambda one: one.size)
        alike = sum(one.shape == series.shape for one in file.series)
        if alike > 1:
            raise ClusterfirstError(
                f"outlines {path} holds {alike} images of one size ({' × '.join(map(str, series.shape))}), and does "
                "not say which of them has the labels: save that one alone"
            )
        if series.keyframe.compression in _LOSSY:
            raise ClusterfirstError(
                f"outlines {path} is compressed with loss ({series.keyframe.compression.name}), which changes labels: "
                "save it with deflate"
            )
        planar = series.axes.startswith("S")
        check((*series.shape[1:], series.shape[0]) if planar else _squeezed(series.shape), series.dtype)
        image = series.asarray(out="memmap" if series.nbytes > _IN_MEMORY_BYTES else None)
        return np.moveaxis(image, 0, -1) if planar else image.reshape(_squeezed(image.shape))


def _squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Without axes of one slice or channel; an image may well be one pixel wide."""
    while len(shape) > 2 and 1 in shape:
        shape = shape[: shape.index(1)] + shape[shape.index(1) + 1 :]
    return shape


def _scale(wide: int, high: int, slide: SlideFacts, path: Path) -> tuple[_Part, tuple[float, float]]:
    """Return what the image shows, of the slide or its scanned part, and level-0 pixels per pixel along x and y."""
    whole = (0, 0, slide.width, slide.height)
    parts = [whole, slide.bounds] if slide.bounds else [whole]
    for part in parts:
        if (wide, high) == part[2:]:
            return part, (1, 1)
    for part in parts:
        if _is_alike(wide, high, part):
            return part, (part[2] / wide, part[3] / high)
    scanned = ", its scanned part {2} × {3} px".format(*slide.bounds) if slide.bounds else ""
    raise ClusterfirstError(
        f"outlines {path}: the label image is {wide} × {high} px, the slide {slide.width} × {slide.height} px{scanned}"
        "; it must cover the whole slide, at the slide's full resolution or a lower one"
    )


def _is_alike(wide: int, high: int, part: _Part) -> bool:
    """Whether an image is as large as a part at most, and of the same shape."""
    _, _, width, height = part
    alike = abs(wide * height / width - high) <= 1 or abs(high * width / height - wide) <= 1
    return alike and wide <= width and high <= height


def _tell_part(wide: int, high: int, part: _Part, scale: tuple[float, float], slide: SlideFacts, path: Path) -> None:
    """Say what the image is taken for, if it has not the size of the slide."""
    if (wide, high) == (slide.width, slide.height):
        return
    is_whole = part == (0, 0, slide.width, slide.height)
    shown = "the whole slide" if is_whole else "the scanned part, {2} × {3} px from ({0}, {1}) on,".format(*part)
    both = is_whole and slide.bounds and _is_alike(wide, high, slide.bounds)
    log.warning(
        "outlines %s: the label image is %d × %d px, the slide %d × %d px: taken for %s at 1/%.4g of its resolution%s",
        *(path, wide, high, slide.width, slide.height, shown, scale[0]),
        ", not for its scanned part, {2} × {3} px from ({0}, {1}) on, though that has the same shape: give an image of "
        "the full resolution if it is that part".format(*slide.bounds)
        if both
        else "",
    )
