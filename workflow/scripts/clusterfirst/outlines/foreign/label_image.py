"""Label images: every pixel holds the number of its object."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import shapely

from ...io import ClusterfirstError
from ..objects import outlines
from .features import HOLED, PIECES, Features

log = logging.getLogger(__name__)

_LARGEST = 10_000_000
"""Images with larger numbers are numbered anew: `outlines` has a place for every number up to the largest."""

_BLOCK_ROWS = 1024
_IN_MEMORY_BYTES = 1 << 30


def read(path: Path, width: int, height: int) -> Features:
    """Outline the objects of a label image; see `foreign.read`.

    A TIFF of more than a gigabyte is mapped, not held in memory; if it is compressed or tiled, by way of a temporary
    file as large as its pixels. A PNG is held in memory.

    Raises
    ------
    ClusterfirstError
        The file is no label image, or not one of the whole slide.
    """
    image = _opened(path)
    scale = _scale(image.shape[1], image.shape[0], width, height, path)
    image, original = _numbered(image)
    polygons, values = outlines(image)
    # The area of an outline is its number of pixels to half a pixel, unless something was left out or filled.
    gained = shapely.area(polygons) - _count(image)[values]
    pieces, holed = np.flatnonzero(gained < -0.75), np.flatnonzero(gained > 0.25)
    if len(polygons) == len(pieces) == 1:
        raise ClusterfirstError(
            f"outlines {path}: all objects have the same number, {original(values[0])}, as in a mask; in a label image "
            "every cell has a number of its own (scikit-image's label() gives them)"
        )
    if scale != (1, 1):
        # Rounding must not push an object over the border.
        polygons = shapely.transform(polygons, lambda xy: np.minimum(xy * scale, (width, height)))
    return Features(
        polygons=polygons,
        owner=np.arange(len(polygons)),
        names=np.full(len(polygons), None),
        place=lambda row: f"label {original(values[row])}",
        remarks=[(PIECES, pieces), (HOLED, holed)],
    )


def _opened(path: Path) -> np.ndarray:
    """Return H × W integers."""
    try:
        image = _read_png(path) if path.suffix.lower() == ".png" else _read_tiff(path)
    except Exception as error:  # tifffile's, its codecs' and Pillow's many
        raise ClusterfirstError(
            f"outlines {path} cannot be read as an image: {str(error) or type(error).__name__}. If other programs open "
            "it, save it as a TIFF with deflate compression; if not, it is incomplete or damaged: copy it again"
        ) from error
    wanted = "save the labels as one channel of 16- or 32-bit integers, 0 for background"
    if image.ndim == 3 and image.shape[-1] in (2, 3, 4):
        raise ClusterfirstError(
            f"outlines {path} is an image of {image.shape[-1]} channels (colours), not of labels: {wanted}"
        )
    if image.ndim != 2:
        raise ClusterfirstError(
            f"outlines {path} is a stack of shape {' × '.join(map(str, image.shape))}, not an image of labels: {wanted}"
        )
    if image.dtype != bool and not np.issubdtype(image.dtype, np.integer):
        raise ClusterfirstError(f"outlines {path} has pixels of type {image.dtype}, which are no labels: {wanted}")
    return image.view(np.uint8) if image.dtype == bool else image


def _read_png(path: Path) -> np.ndarray:
    from PIL import Image

    # People's own files, and big by nature (see `slide.slide`).
    Image.MAX_IMAGE_PIXELS = None
    with Image.open(path) as image:
        return np.asarray(image)


def _read_tiff(path: Path) -> np.ndarray:
    import tifffile

    with tifffile.TiffFile(path) as file:
        series = file.series[0]
        image = series.asarray(out="memmap" if series.nbytes > _IN_MEMORY_BYTES else None)
        return np.moveaxis(image, 0, -1) if series.axes.startswith("S") else image.squeeze()


def _scale(wide: int, high: int, width: int, height: int, path: Path) -> tuple[float, float]:
    """Level-0 pixels per pixel of the image, along x and y."""
    if (wide, high) == (width, height):
        return 1, 1
    alike = abs(wide * height / width - high) <= 1 or abs(high * width / height - wide) <= 1
    if not alike or wide > width or high > height:
        raise ClusterfirstError(
            f"outlines {path}: the label image is {wide} × {high} px, the slide {width} × {height} px; it must cover "
            "the whole slide, at the slide's full resolution or a lower one"
        )
    log.warning(
        "outlines %s: the label image is %d × %d px, the slide %d × %d px: taken for the whole slide at 1/%.4g of its "
        "resolution",
        *(path, wide, high, width, height, width / wide),
    )
    return width / wide, height / high


def _numbered(image: np.ndarray) -> tuple[np.ndarray, Callable[[int], int]]:
    """Number objects anew where numbers are very large; also return what gives the original number."""
    if image.max(initial=0) <= _LARGEST:
        return image, int
    present = np.unique(np.concatenate([np.unique(block) for block in _blocks(image)]))
    present = present[present > 0]
    out = np.zeros(image.shape, np.int32)
    for block, numbers in zip(_blocks(image), _blocks(out), strict=True):
        numbers[:] = np.where(block > 0, np.searchsorted(present, block) + 1, 0)
    return out, lambda number: int(present[number - 1])


def _count(image: np.ndarray) -> np.ndarray:
    """Pixels of each number from 0 to the largest."""
    count = np.zeros(int(image.max(initial=0)) + 1, np.int64)
    for block in _blocks(image):
        # Negative numbers are no objects.
        count += np.bincount(np.maximum(block, 0).ravel().astype(np.int64), minlength=len(count))
    return count


def _blocks(image: np.ndarray) -> Iterator[np.ndarray]:
    """Yield some rows at a time: whole copies of a mapped image would not fit into memory."""
    for top in range(0, len(image), _BLOCK_ROWS):
        yield image[top : top + _BLOCK_ROWS]
