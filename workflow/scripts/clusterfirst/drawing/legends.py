"""What makes a picture readable: legends and scale bars; and how it is saved."""

from __future__ import annotations

import math
import os
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..clustering import NOISE, palette
from ..io import atomic
from ..labels import GUESSES
from .colour_keys import ColourKey

LEGEND_ROWS = 30
WIDEST = 20.0
"""Width of a line over the size of its type: long names of classes must leave room for the picture."""
_LINES = 2
_MEASURED_PX = 20


def legend_rows(cluster_id: np.ndarray, key: ColourKey, guessed: np.ndarray | None = None) -> list[tuple[str, str]]:
    """Legend rows, colour and text: the first clusters or classes, how many more, noise.

    Parameters
    ----------
    cluster_id
        Per cell; or any other number that `key` knows.
    key
        Gives colours and names.
    guessed
        Per cell, how a model came to that (see `labels.GUESSES`), or None; None: none did.
    """
    numbers, counts = np.unique(cluster_id, return_counts=True)
    known = [(int(number), int(count)) for number, count in zip(numbers, counts, strict=True) if number != NOISE]
    told = [
        (
            key.colour(number),
            key.name(number),
            _counted(count, len(cluster_id)) + _guesses(number, cluster_id, guessed),
        )
        for number, count in known
    ]
    rows = [(shade, folded(name, count)) for shade, name, count in told[:LEGEND_ROWS]]
    if sum(text.count("\n") + 1 for _, text in rows) > LEGEND_ROWS * 1.5:
        rows = [(shade, folded(name, count, lines=1)) for shade, name, count in told[:LEGEND_ROWS]]
    if len(told) > LEGEND_ROWS:
        rows.append(("#ffffff", f"… and {len(told) - LEGEND_ROWS:,} more {key.others}"))
    if NOISE in numbers:
        rows.append((palette.NOISE, key.none + _counted(int(counts[numbers == NOISE][0]), len(cluster_id))))
    return rows


def _counted(count: int, of: int) -> str:
    return f": {count:,} ({percent(count / of)})"


def _guesses(number: int, cluster_id: np.ndarray, guessed: np.ndarray | None) -> str:
    counts = Counter() if guessed is None else Counter(guessed[cluster_id == number])
    return "".join(f", {counts[guess]:,}\u00a0{guess}" for guess in GUESSES if counts[guess])


def percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.01 else "<1%"


@lru_cache(maxsize=2048)
def folded(name: str, rest: str = "", *, most: float = WIDEST, lines: int = _LINES) -> str:
    """Break a text that is wider than `most` times its type into lines; where these do not do, shorten the name.

    Parameters
    ----------
    name
        Of a class, a cluster, a slide.
    rest
        What is said of it, and kept whole.
    most
        Width of a line over the size of the type.
    lines
        No more than this.
    """
    for letters in range(len(name), 0, -1):
        found = _broken(shortened(name, letters) + rest, most)
        if len(found) <= lines:
            break
    return "\n".join(found) if name else rest


def _broken(text: str, most: float) -> list[str]:
    """Break a text where there are spaces, or anywhere where a line would be too wide without one."""
    font, lines = typeface(_MEASURED_PX), []
    while text:
        ends = range(1, len(text) + 1)
        fits = max(1, bisect_right(ends, most * _MEASURED_PX, key=lambda end, text=text: font.getlength(text[:end])))
        space = text.rfind(" ", 1, fits + 1) if fits < len(text) else -1
        end = space if space > 0 else fits
        lines.append(text[:end].rstrip())
        text = text[end:].lstrip()
    return lines


def shortened(text: str, most: int) -> str:
    """Leave out the middle of a text that is longer than so many letters: names differ at their ends, too."""
    return text if len(text) <= most else f"{text[: most // 2]}…{text[len(text) - (most - 1) // 2 :]}"


@dataclass(frozen=True)
class Column:
    """A legend, laid out to the right of a picture: pixels from the picture's top left corner.

    Attributes
    ----------
    width, height : int
        Of picture and legend together.
    rectangles : list of (float, float, float, float, str)
        Left, top, right, bottom, colour.
    texts : list of (float, float, str, int)
        Left, base line, text, size of the type.
    """

    width: int
    height: int
    rectangles: list[tuple[float, float, float, float, str]]
    texts: list[tuple[float, float, str, int]]

    def paint(self, picture: Image.Image) -> Image.Image:
        """Return a larger picture with the legend beside the given one."""
        canvas = Image.new("RGB", (self.width, self.height), "white")
        canvas.paste(picture)
        draw = ImageDraw.Draw(canvas)
        for *box, shade in self.rectangles:
            draw.rectangle(box, fill=shade)
        for left, base, text, size in self.texts:
            letters, dx, dy = _written(text, size)
            canvas.paste("black", (round(left) + dx, round(base) + dy), letters)
        return canvas


@lru_cache(maxsize=2048)
def _written(text: str, size: int) -> tuple[Image.Image, int, int]:
    """Return the letters of a text, and where they begin from its left end and base line.

    Kept, because the legends of a slide's tiles say the same over and over.
    """
    left, top, right, bottom = map(round, typeface(size).getbbox(text, anchor="ls"))
    letters = Image.new("L", (right - left, bottom - top))
    ImageDraw.Draw(letters).text((-left, -top), text, fill=255, font=typeface(size), anchor="ls")
    return letters, left, top


def column(
    size: tuple[int, int], title: str, rows: list[tuple[str, str]], *, mpp: float | None = None, unit: int | None = None
) -> Column:
    """Lay out a legend.

    Parameters
    ----------
    size
        Width and height of the picture.
    title
        Stands above.
    rows
        Colour and text; texts may have several lines.
    mpp
        µm per pixel of the picture, for a scale bar below; None: no bar.
    unit
        Size of the type. None: in proportion to the picture.
    """
    unit = unit or int(np.clip(max(size) / 70, 14, 40))
    large = round(1.25 * unit)
    left, y = size[0] + round(1.5 * unit), 1.5 * unit
    rectangles, texts = [], []
    for line in folded(title, most=(WIDEST + 2) / 1.25).split("\n"):
        texts.append((left, round(y + 0.95 * large), line, large))
        y += 1.2 * large
    y += 0.8 * unit
    for shade, text in rows:
        rectangles.append((left, round(y), left + unit, round(y) + unit, shade))
        for line in text.split("\n"):
            texts.append((left + 2 * unit, round(y + 0.87 * unit), line, unit))
            y += 1.25 * unit
        y += 0.45 * unit
    if mpp is not None:
        length, said = round_length(size[0] * mpp)
        y = max(y + 2.4 * unit, size[1] - 1.5 * unit)
        texts.append((left, round(y - 0.6 * unit), said, unit))
        rectangles.append((left, round(y - 0.3 * unit), left + length / mpp, round(y), "#000000"))
    right = max([x + typeface(high).getlength(text) for x, _, text, high in texts] + [box[2] for box in rectangles])
    return Column(math.ceil(right + 1.5 * unit), max(size[1], math.ceil(y + 1.5 * unit)), rectangles, texts)


def beside(picture: Image.Image, title: str, rows: list[tuple[str, str]]) -> Image.Image:
    """Set a legend to the right of a picture, its type in proportion to the picture."""
    return column(picture.size, title, rows).paint(picture)


@lru_cache(maxsize=64)
def typeface(size: int) -> ImageFont.FreeTypeFont:
    """The typeface that comes with matplotlib: Pillow's own has no µ."""
    import matplotlib

    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts/ttf/DejaVuSans.ttf"), size)


def round_length(width_um: float) -> tuple[float, str]:
    """Return a round number of µm, about a sixth of a width, and how it is written."""
    wished = width_um / 6
    power = 10 ** np.floor(np.log10(wished * (1 - 1e-9)))  # rounded up, no step would fit
    length = max(step * power for step in (1, 2, 5) if step * power <= wished)
    return length, f"{length / 1000:g} mm" if length >= 1000 else f"{length:g} µm"


def scale_bar(picture: Image.Image, *, mpp: float) -> None:
    """Draw a bar of a round number of µm, about a sixth of the picture wide, at the bottom left."""
    length, text = round_length(picture.width * mpp)
    unit = int(np.clip(max(picture.size) / 90, 10, 32))
    draw = ImageDraw.Draw(picture)
    left, bottom = unit, picture.height - unit
    right = left + length / mpp
    font = typeface(unit)
    width = max(right - left, font.getlength(text))
    draw.rectangle((left - unit / 2, bottom - 2.3 * unit, left + width + unit / 2, bottom + unit / 2), fill="white")
    draw.rectangle((left, bottom - unit / 3, right, bottom), fill="black")
    draw.text((left, bottom - 0.6 * unit), text, fill="black", font=font, anchor="lb")


def save(image: np.ndarray, path: str | os.PathLike) -> None:
    with atomic(path) as part:
        # Level 3 is several times faster than OpenCV's best and a few percent larger.
        if not cv2.imwrite(str(part), cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 3]):
            raise OSError(f"{path} could not be written")
