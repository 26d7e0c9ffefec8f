"""Where texts beside cells find room."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from .legends import shortened, typeface

_TYPE_PX = 12
_LONGEST = 32
"""Letters of a text."""
_GAP = 3
"""Pixels between a cell and its text."""
_ASCENT, _DESCENT = 0.8, 0.24
"""Of the type, in its size."""


@dataclass(frozen=True)
class Text:
    """A text beside a cell: left end and base line in pixels, the size of its type, and its colour."""

    row: int
    x: float
    y: float
    words: str
    size: int
    colour: str = "#000000"


def place(
    boxes: np.ndarray,
    texts: Sequence[str],
    picture: tuple[int, int],
    *,
    scale: float,
    most: int | None,
    order: Iterable[int],
) -> list[Text]:
    """Find room for texts beside cells: right, left, below, above; inside the picture, and on no other text.

    A text without room is left out.

    Parameters
    ----------
    boxes
        n × 4: left, top, right, bottom of cells, in pixels.
    texts
        Of each cell; empty for none.
    picture
        Width and height.
    scale
        Of the type; 1: 12 px.
    most
        No more texts than this; None: as many as find room.
    order
        Rows, those first that shall have a text first.
    """
    size = max(1, round(_TYPE_PX * scale))
    font, taken, found = typeface(size), np.empty((len(boxes), 4)), []
    for row in order:
        if len(found) == most:
            break
        words = shortened(texts[row], _LONGEST)
        if not words:
            continue
        wide, high = font.getlength(words), (_ASCENT + _DESCENT) * size
        spots = _spots(boxes[row], wide, high)
        free = _inside(spots, picture) & ~_overlap(spots, taken[: len(found)])
        if free.any():
            left, top, _, _ = taken[len(found)] = spots[free.argmax()]
            found.append(Text(int(row), float(left), float(top + _ASCENT * size), words, size))
    return found


def _spots(box: np.ndarray, wide: float, high: float) -> np.ndarray:
    """Rectangles beside a cell, the best first."""
    left, top, right, bottom = box
    middle, centre = (top + bottom - high) / 2, (left + right - wide) / 2
    corners = np.array(
        [
            (right + _GAP, middle),
            (left - _GAP - wide, middle),
            (centre, bottom + _GAP),
            (centre, top - _GAP - high),
            (right + _GAP, top - high),
            (right + _GAP, bottom),
            (left - _GAP - wide, top - high),
            (left - _GAP - wide, bottom),
        ]
    )
    return np.hstack([corners, corners + np.array([wide, high])])


def _inside(spots: np.ndarray, picture: tuple[int, int]) -> np.ndarray:
    """Whether rectangles lie in the picture, with room for the light edge of the letters."""
    return (spots[:, :2] >= 2).all(axis=1) & (spots[:, 2:] <= np.array(picture) - 2).all(axis=1)


def _overlap(spots: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """Whether each rectangle meets any that is taken."""
    meets = (spots[:, None, :2] < taken[None, :, 2:]) & (spots[:, None, 2:] > taken[None, :, :2])
    return meets.all(axis=2).any(axis=1)


def paint(image: np.ndarray, texts: Sequence[Text]) -> np.ndarray:
    """Return a picture with texts: in their colours with a light edge, to be read on light and on dark tissue."""
    picture = Image.fromarray(image)
    draw = ImageDraw.Draw(picture)
    for text in texts:
        draw.text(
            (text.x, text.y),
            text.words,
            fill=text.colour,
            font=typeface(text.size),
            anchor="ls",
            stroke_width=edge_px(text.size),
            stroke_fill="white",
        )
    return np.asarray(picture)


def edge_px(size: int) -> int:
    """Width of the light edge of letters."""
    return max(1, round(size / 7))
