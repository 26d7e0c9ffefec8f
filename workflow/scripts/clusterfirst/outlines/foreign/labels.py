"""Numbers of a label image: which are cells, which is the background, and which cannot be labels."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from scipy import ndimage

from ...io import ClusterfirstError
from ...text import a_few

log = logging.getLogger(__name__)

LARGEST = 10_000_000
"""Images with larger numbers are numbered anew: `outlines` has a place for every number up to the largest."""

BLOCK_ROWS = 1024

_MOST = 0.2
"""A number that reaches all four borders and fills this fraction of the image is its background."""

_WIDE, _THIN = 0.25, 0.5
"""A number whose box is so large a part of the image, and which fills so little of its box, may be a class."""
_SAMPLED_PX = 4_000_000
_FEW = 3

_SIMILAR = 0.25
_REACH_PX = 4
"""A piece of this fraction of the largest, farther from it than it is wide (and than this), is another cell."""


def without_background(image: np.ndarray, path: Path) -> tuple[np.ndarray, int]:
    """Find the number of the background.

    Returns
    -------
    image : numpy.ndarray
        As it was, or a copy with 0 for the background.
    zero : int
        If 0 is a cell, the number that it has now; else 0.

    Raises
    ------
    ClusterfirstError
        There is nothing else.
    """
    other = _background(image)
    _refuse_negative(image, other, path)
    if other is None:
        return image, 0
    at_zero, at_other, negative = (
        sum(int(test(block).sum()) for block in blocks(image))
        for test in (lambda block: block == 0, lambda block: block == other, lambda block: block < 0)
    )
    if image.size == at_zero + (at_other if other > 0 else 0) + negative:
        raise ClusterfirstError(
            f"outlines {path}: besides {other}, which fills most of the image up to all its borders, there is nothing "
            "but 0, as in a mask; in a label image every cell has a number of its own (scikit-image's label() gives "
            "them)"
        )
    most = max(int(block[block != other].max(initial=0)) for block in blocks(image))
    zero = most + 1 if 0 < at_zero < _MOST * image.size and _is_compact(image) else 0
    log.warning(
        "outlines %s: %d fills most of the image, up to all its borders, and is taken for the background%s",
        *(path, other, ", 0 for a cell" if zero else ""),
    )
    out = np.zeros(image.shape, np.int64 if most >= np.iinfo(np.int32).max else np.int32)
    for block, cells in zip(blocks(image), blocks(out), strict=True):
        kept = np.where(block == other, 0, block).astype(out.dtype)
        cells[:] = np.where(block == 0, zero, np.maximum(kept, 0))
    return out, zero


def _refuse_negative(image: np.ndarray, background: int | None, path: Path) -> None:
    """Refuse numbers below 0 but for one that is the background, or −1, which some write for what is to be ignored."""
    if not np.issubdtype(image.dtype, np.signedinteger):
        return
    below = {int(number) for block in blocks(image) for number in np.unique(block[block < 0])[:_FEW]}
    if wrong := sorted(below - {background, -1}):
        raise ClusterfirstError(
            f"outlines {path}: there are labels below 0 ({', '.join(map(str, wrong[:_FEW]))}), as where cells are more "
            f"than {8 * image.dtype.itemsize} bits have numbers: save the labels anew, with more bits and without signs"
        )


def _background(image: np.ndarray) -> int | None:
    """The number, other than 0, that fills most of an image and reaches all its borders."""
    if image.size == 0:
        return None
    edges = [set(np.unique(edge).tolist()) for edge in (image[0], image[-1], image[:, 0], image[:, -1])]
    common = set.intersection(*edges) - {0}
    sizes = {number: sum(int((block == number).sum()) for block in blocks(image)) for number in sorted(common)[:20]}
    number = max(sizes, key=sizes.get, default=None)
    if number is None or sizes[number] < _MOST * image.size:
        return None
    return number


def _is_compact(image: np.ndarray) -> bool:
    """Whether 0 is one object, not all around."""
    (box,) = ndimage.find_objects((image == 0).astype(np.uint8))
    return ndimage.label(image[box] == 0)[1] == 1 and (image[box] == 0).mean() > 0.25


def numbered(image: np.ndarray, zero: int) -> tuple[np.ndarray, Callable[[int], int]]:
    """Number objects anew where numbers are very large; also return what gives the original number."""
    if image.max(initial=0) <= LARGEST:
        return image, lambda number: 0 if number == zero else int(number)
    present = np.unique(np.concatenate([np.unique(block) for block in blocks(image)]))
    present = present[present > 0]
    out = np.zeros(image.shape, np.int32)
    for block, numbers in zip(blocks(image), blocks(out), strict=True):
        numbers[:] = np.where(block > 0, np.searchsorted(present, block) + 1, 0)
    return out, lambda number: 0 if present[number - 1] == zero else int(present[number - 1])


def check(image: np.ndarray, original: Callable[[int], int], path: Path) -> None:
    """Refuse maps of classes before their outlines are looked for, each of which would take a whole slide of memory.

    Raises
    ------
    ClusterfirstError
        Numbers lie all over the image, each in many pieces.
    """
    boxes = {value: box for value, box in enumerate(ndimage.find_objects(image), start=1) if box}
    wide = [value for value, box in boxes.items() if _size(box) >= _WIDE * image.size]
    if len(boxes) < 2 or not wide:
        return
    counts = count(image)
    thin = [value for value in wide if counts[value] < _THIN * _size(boxes[value])]
    scattered = [value for value in thin[:10] if _in_many_pieces(image[boxes[value]], value)]
    if scattered:
        raise ClusterfirstError(
            f"outlines {path}: labels are in many pieces far from each other (label "
            f"{a_few(scattered, lambda value: str(original(value)))}): several cells have one number. In a label image "
            "every cell has a number of its own; this is a map of classes, or was saved with too few bits (8 bits have "
            "255 numbers)"
        )


def _size(box: tuple[slice, slice]) -> int:
    return (box[0].stop - box[0].start) * (box[1].stop - box[1].start)


def _in_many_pieces(crop: np.ndarray, value: int) -> bool:
    step = max(1, int(np.ceil(np.sqrt(crop.size / _SAMPLED_PX))))
    return len(_similar(crop[::step, ::step] == value)[1]) > _FEW


def _similar(one: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Number the pieces of an object; return them, and of the largest and those similar to it numbers and pixels."""
    pieces, number = ndimage.label(one, np.ones((3, 3)))
    sizes = np.bincount(pieces.ravel(), minlength=number + 1)
    sizes[0] = 0
    similar = np.flatnonzero(sizes >= max(1, _SIMILAR * sizes.max()))
    return pieces, similar, sizes[similar]


def far_pieces(image: np.ndarray, values: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Find labels of which pieces may be other cells.

    Parameters
    ----------
    image
        Labels.
    values
        All labels, ascending.
    among
        Places in `values` of those that are in pieces.

    Returns
    -------
    numpy.ndarray
        Places in `values`, each once for every piece that may be another cell, ascending.
    """
    if not len(among):
        return np.empty(0, int)
    boxes = ndimage.find_objects(image)
    return np.repeat(among, [_others(image[boxes[values[place] - 1]] == values[place]) for place in among])


def _others(one: np.ndarray) -> int:
    """How many pieces besides the largest are similar to it, and far from it."""
    pieces, similar, sizes = _similar(one)
    boxes = np.array([[[side.start, side.stop] for side in box] for box in ndimage.find_objects(pieces)])
    largest = similar[sizes.argmax()]
    of_largest = boxes[largest - 1]
    gaps = [
        np.hypot(*np.maximum(0, np.maximum(box[:, 0] - of_largest[:, 1], of_largest[:, 0] - box[:, 1])))
        for box in boxes[similar[similar != largest] - 1]
    ]
    return int(np.count_nonzero(np.array(gaps) > max(_REACH_PX, np.sqrt(sizes.max()))))


def count(image: np.ndarray) -> np.ndarray:
    """Pixels of each number from 0 to the largest."""
    out = np.zeros(int(image.max(initial=0)) + 1, np.int64)
    for block in blocks(image):
        # Negative numbers are no objects.
        out += np.bincount(np.maximum(block, 0).ravel().astype(np.int64), minlength=len(out))
    return out


def blocks(image: np.ndarray) -> Iterator[np.ndarray]:
    """Yield some rows at a time: whole copies of a mapped image would not fit into memory."""
    for top in range(0, len(image), BLOCK_ROWS):
        yield image[top : top + BLOCK_ROWS]
