"""The cells that show clusters best: a table, a contact sheet of all clusters, and a sheet of each; at one scale."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import shapely
from PIL import Image, ImageDraw

from ..clustering.document import Clustering, Entry
from ..slide.slide import Slide
from . import percent, save, typeface
from .crops import crop

CROPS = 10
"""Cells shown of each cluster."""
ROWS = 60
"""Clusters shown; of more, the largest."""
_CROP_PX = 96
_GAP = 4
_TYPE_PX = 15
_SIDE_UM = (16, 100)
"""A crop is no smaller, so that a nucleus is seen in its surroundings, and no larger."""
_ROOM = 1.6
"""A crop's side over that of the cells it is to hold."""
_WIDE_ROOM = 3.0
"""The same for the sheet of one cluster, where neighbours shall be seen, too."""
_WIDE_PX = 192
_COLUMNS = 6


def typical_cells(clusters: Clustering, cells: pd.DataFrame) -> pd.DataFrame:
    """Return the representatives of all clusters, cluster by cluster, the most typical first.

    Parameters
    ----------
    clusters
        Their clusters.
    cells
        The rows of ``masks.parquet``.

    Returns
    -------
    pandas.DataFrame
        ``cluster_id``, ``cell_id``, ``confidence``, ``x``, ``y`` (level-0 pixels), ``tile_id``.
    """
    pairs = [(entry.id, cell) for entry in clusters.entries for cell in entry.representatives]
    table = pd.DataFrame(pairs, columns=["cluster_id", "cell_id"], dtype=int)
    table["confidence"] = clusters.confidence[table["cell_id"]]
    # Row i is cell i.
    return table.join(cells[["x", "y", "tile_id"]], on="cell_id")


def side_um(
    polygons: np.ndarray,
    *,
    mpp: float | np.ndarray,
    room: float = _ROOM,
    limits: tuple[int, int] = _SIDE_UM,
) -> int:
    """Return the side of a crop that shows nearly all of some cells whole, with some of what is around them.

    Parameters
    ----------
    polygons
        Cells in level-0 pixels.
    mpp
        µm per level-0 pixel; of each cell, where they are of several slides.
    room
        A crop's side over that of the cells.
    limits
        No less, and no more, µm.
    """
    if not len(polygons):
        return limits[0]
    left, top, right, bottom = shapely.bounds(polygons).T
    longest = np.maximum(right - left, bottom - top) * mpp
    return int(np.clip(np.ceil(room * np.quantile(longest, 0.9)), *limits))


def gallery(
    slide: Slide,
    polygons: np.ndarray,
    entries: Sequence[Entry],
    path: str | os.PathLike,
    *,
    title: str,
    threads: int = 1,
) -> None:
    """Write a row of crops for every cluster: its representatives, outlined, with its colour, size and share.

    Only the crops are read from the slide.

    Parameters
    ----------
    slide
        The open slide.
    polygons
        All cells in level-0 pixels, by cell id.
    entries
        Clusters. Those without cells have no row.
    path
        The PNG.
    title
        Stands above all.
    threads
        Crops are read by this many threads.
    """
    present = [entry for entry in entries if entry.size]
    # Of slides that share clusters, these are in the order of the group; so it stays, for slides to be compared.
    largest = sorted(range(len(present)), key=lambda place: -present[place].size)[:ROWS]
    shown = [present[place] for place in sorted(largest)]
    cells = [
        (row, column, cell)
        for row, entry in enumerate(shown)
        for column, cell in enumerate(entry.representatives[:CROPS])
    ]
    side = side_um(polygons[[cell for _, _, cell in cells]], mpp=slide.mpp)
    sheet = _Sheet(title, [_texts(entry, len(polygons)) for entry in shown], side, len(present) - len(shown))

    def shot(place: tuple[int, int, int]) -> np.ndarray:
        row, _, cell = place
        return crop(slide, polygons[cell], shown[row].colour, side, _CROP_PX)

    with ThreadPoolExecutor(threads) as pool:
        for (row, column, _), picture in zip(cells, pool.map(shot, cells), strict=True):
            sheet.paste(row, column, picture)
    for row, entry in enumerate(shown):
        sheet.mark(row, entry.colour)
    save(np.asarray(sheet.picture), path)


def cluster_galleries(
    slide: Slide,
    polygons: np.ndarray,
    clusters: Clustering,
    folder: str | os.PathLike,
    *,
    title: str,
    threads: int = 1,
) -> dict[int, str]:
    """Write ``cluster_003.png`` for every cluster with typical cells: all of these, with what is around them.

    Only the crops are read from the slide. All clusters are drawn at one scale.

    Parameters
    ----------
    slide
        The open slide.
    polygons
        All cells in level-0 pixels, by cell id.
    clusters
        Their clusters.
    folder
        An existing folder.
    title
        Stands above, with the cluster.
    threads
        Crops are read by this many threads.

    Returns
    -------
    dict
        Names of the files, by cluster.
    """
    shown = [entry for entry in clusters.entries if entry.representatives]
    typical = [cell for entry in shown for cell in entry.representatives]
    side, confidence = side_um(polygons[typical], mpp=slide.mpp, room=_WIDE_ROOM), clusters.confidence
    files = {entry.id: f"cluster_{entry.id:03d}.png" for entry in shown}
    with ThreadPoolExecutor(threads) as pool:
        for entry in shown:
            cells, colour = entry.representatives, entry.colour
            crops = pool.map(lambda cell, shade=colour: crop(slide, polygons[cell], shade, side, _WIDE_PX), cells)
            texts = [f"cell {cell}, {confidence[cell]:.2f}" for cell in cells]
            head = f"cluster {entry.id}: {entry.size:,} cells ({percent(entry.size / len(polygons))})"
            picture = _card(title, head, colour, list(zip(crops, texts, strict=True)), side)
            save(np.asarray(picture), Path(folder, files[entry.id]))
    return files


def _card(title: str, head: str, colour: str, crops: Sequence[tuple[np.ndarray, str]], side: int) -> Image.Image:
    """Set crops in rows, each with a text below, under a title and above a scale bar."""
    margin, step, below = 2 * _TYPE_PX, _WIDE_PX + 2 * _GAP, round(1.6 * _TYPE_PX)
    font, bold = typeface(_TYPE_PX), typeface(round(1.3 * _TYPE_PX))
    bar = f"{bar_um(side)} µm; every picture is {side} µm wide; below it, the cell and its confidence"
    length, top = bar_um(side) / side * _WIDE_PX, 5 * _TYPE_PX
    columns, rows = min(len(crops), _COLUMNS), -(-len(crops) // _COLUMNS)
    widest = max(
        columns * step,
        bold.getlength(head) + 2 * _TYPE_PX,
        font.getlength(title),
        length + font.getlength(bar) + _TYPE_PX,
    )
    high = top + rows * (step + below)
    picture = Image.new("RGB", (round(widest) + 2 * margin, high + 3 * _TYPE_PX), "white")
    draw = ImageDraw.Draw(picture)
    draw.rectangle((margin, 1.2 * _TYPE_PX, margin + _TYPE_PX, 2.2 * _TYPE_PX), fill=colour)
    draw.text((margin + 2 * _TYPE_PX, 1.7 * _TYPE_PX), head, fill="black", font=bold, anchor="lm")
    draw.text((margin, 3.5 * _TYPE_PX), title, fill="#555555", font=font, anchor="lm")
    for place, (shot, text) in enumerate(crops):
        row, column = divmod(place, _COLUMNS)
        x, y = margin + column * step, top + row * (step + below)
        picture.paste(Image.fromarray(shot), (x, y))
        draw.text((x, y + _WIDE_PX + below / 2), text, fill="#555555", font=font, anchor="lm")
    y = high + _TYPE_PX
    draw.rectangle((margin, y - 2, margin + length, y + 2), fill="black")
    draw.text((margin + length + _TYPE_PX, y), bar, fill="black", font=font, anchor="lm")
    return picture


def _texts(entry: Entry, cells: int) -> tuple[str, str]:
    share = entry.size / cells
    return f"cluster {entry.id}", f"{entry.size:,} ({share:.0%})" if share >= 0.01 else f"{entry.size:,}"


class _Sheet:
    """Rows of crops, with a text before each, a title above, and a scale bar below."""

    def __init__(self, title: str, texts: Sequence[tuple[str, str]], side: int, left_out: int):
        type_, bold = typeface(_TYPE_PX), typeface(round(1.3 * _TYPE_PX))
        self._step = _CROP_PX + _GAP
        widest = max([type_.getlength(line) for lines in texts for line in lines], default=0)
        self._left, self._top = round(widest) + 4 * _TYPE_PX, 3 * _TYPE_PX
        below = self._top + len(texts) * self._step
        # The text below is longer than a sheet without rows is wide.
        bar = f"{bar_um(side)} µm; every crop is {side} µm wide" if texts else "no clusters"
        more = f"… and {left_out:,} smaller clusters" if left_out else ""
        wide = max(self._left + CROPS * self._step, bold.getlength(title))
        self.picture = Image.new("RGB", (round(wide) + 2 * _TYPE_PX, below + 4 * _TYPE_PX), "white")
        self._draw = ImageDraw.Draw(self.picture)
        self._draw.text((_TYPE_PX, _TYPE_PX), title, fill="black", font=bold)
        for row, (first, second) in enumerate(texts):
            y = self._top + row * self._step + _CROP_PX / 2
            self._draw.text((2.5 * _TYPE_PX, y), first, fill="black", font=type_, anchor="ld")
            self._draw.text((2.5 * _TYPE_PX, y), second, fill="#555555", font=type_, anchor="la")
        self._draw.text((_TYPE_PX, below + 1.5 * _TYPE_PX), more, fill="black", font=type_, anchor="lm")
        y, length = below + 1.5 * _TYPE_PX, bar_um(side) / side * _CROP_PX if texts else 0
        if length:
            self._draw.rectangle((self._left, y - 2, self._left + length, y + 2), fill="black")
        self._draw.text((self._left + length + _TYPE_PX / 2, y), bar, fill="black", font=type_, anchor="lm")

    def paste(self, row: int, column: int, crop: np.ndarray) -> None:
        place = (self._left + column * self._step, self._top + row * self._step)
        self.picture.paste(Image.fromarray(crop), place)

    def mark(self, row: int, colour: str) -> None:
        y = self._top + row * self._step
        self._draw.rectangle((_TYPE_PX, y, 2 * _TYPE_PX, y + _CROP_PX - 1), fill=colour)


def bar_um(side: float) -> int:
    """A round length of about half a crop."""
    return max(step for step in (5, 10, 20, 50) if step <= side)
