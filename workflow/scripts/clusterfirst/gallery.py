"""The cells that show clusters best: a table, and a contact sheet of all clusters at one scale."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import shapely
from PIL import Image, ImageDraw

from .annotation import draw_cells, draw_outline, save, typeface
from .slides import Slide

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


def typical_cells(found: dict, cells: pd.DataFrame) -> pd.DataFrame:
    """Return the representatives of all clusters, cluster by cluster, the most typical first.

    Parameters
    ----------
    found
        The content of ``clusters.json``.
    cells
        The rows of ``masks.parquet``.

    Returns
    -------
    pandas.DataFrame
        ``cluster_id``, ``cell_id``, ``confidence``, ``x``, ``y`` (level-0 pixels), ``tile_id``.
    """
    pairs = [(cluster["id"], cell) for cluster in found["clusters"] for cell in cluster["representatives"]]
    table = pd.DataFrame(pairs, columns=["cluster_id", "cell_id"], dtype=int)
    sure = np.array(found["cells"]["confidence"], float)
    table["confidence"] = sure[table["cell_id"]]
    # Row i is cell i.
    return table.join(cells[["x", "y", "tile_id"]], on="cell_id")


def side_um(polygons: np.ndarray, *, mpp: float) -> int:
    """Return the side of a crop that shows nearly all of some cells whole, with some of what is around them.

    Parameters
    ----------
    polygons
        Cells in level-0 pixels.
    mpp
        µm per level-0 pixel.
    """
    if not len(polygons):
        return _SIDE_UM[0]
    left, top, right, bottom = shapely.bounds(polygons).T
    longest = np.maximum(right - left, bottom - top) * mpp
    return int(np.clip(np.ceil(_ROOM * np.quantile(longest, 0.9)), *_SIDE_UM))


def gallery(
    slide: Slide,
    polygons: np.ndarray,
    clusters: Sequence[dict],
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
    clusters
        Entries of ``clusters.json``: id, size, colour, representatives. Those without cells have no row.
    path
        The PNG.
    title
        Stands above all.
    threads
        Crops are read by this many threads.
    """
    present = [cluster for cluster in clusters if cluster["size"]]
    # Of slides that share clusters, these are in the order of the group; so it stays, for slides to be compared.
    largest = sorted(range(len(present)), key=lambda place: -present[place]["size"])[:ROWS]
    shown = [present[place] for place in sorted(largest)]
    cells = [
        (row, column, cell)
        for row, cluster in enumerate(shown)
        for column, cell in enumerate(cluster["representatives"][:CROPS])
    ]
    side = side_um(polygons[[cell for _, _, cell in cells]], mpp=slide.mpp)
    sheet = _Sheet(title, [_texts(cluster, len(polygons)) for cluster in shown], side, len(present) - len(shown))

    def crop(place: tuple[int, int, int]) -> np.ndarray:
        row, _, cell = place
        return _crop(slide, polygons[cell], shown[row]["id"], side)

    with ThreadPoolExecutor(threads) as pool:
        for (row, column, _), picture in zip(cells, pool.map(crop, cells), strict=True):
            sheet.paste(row, column, picture)
    for row, cluster in enumerate(shown):
        sheet.mark(row, cluster["colour"])
    save(np.asarray(sheet.picture), path)


def _texts(cluster: dict, cells: int) -> tuple[str, str]:
    share = cluster["size"] / cells
    return f"cluster {cluster['id']}", f"{cluster['size']:,} ({share:.0%})" if share >= 0.01 else f"{cluster['size']:,}"


def _crop(slide: Slide, polygon, number: int, side: int) -> np.ndarray:
    """Read the square around a cell and draw its outline."""
    edge = max(1, round(side / slide.mpp))
    x, y = (round(middle - edge / 2) for middle in _middle(polygon))
    picture = slide.read(x, y, edge, edge, mpp=edge * slide.mpp / _CROP_PX, patch=True)
    ring = (shapely.get_coordinates(polygon.exterior) - (x, y)) * (_CROP_PX / edge)
    # On a light line even a dark colour is seen on a dark nucleus.
    draw_outline(picture, ring, (255, 255, 255), width=3)
    return draw_cells(picture, [ring], np.array([number]), line_px=1)


def _middle(polygon) -> tuple[float, float]:
    left, top, right, bottom = polygon.bounds
    return (left + right) / 2, (top + bottom) / 2


class _Sheet:
    """Rows of crops, with a text before each, a title above, and a scale bar below."""

    def __init__(self, title: str, texts: Sequence[tuple[str, str]], side: int, left_out: int):
        type_, bold = typeface(_TYPE_PX), typeface(round(1.3 * _TYPE_PX))
        self._step = _CROP_PX + _GAP
        widest = max([type_.getlength(line) for lines in texts for line in lines], default=0)
        self._left, self._top = round(widest) + 4 * _TYPE_PX, 3 * _TYPE_PX
        below = self._top + len(texts) * self._step
        # The text below is longer than a sheet without rows is wide.
        bar = f"{_bar_um(side)} µm; every crop is {side} µm wide" if texts else "no cells"
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
        y, length = below + 1.5 * _TYPE_PX, _bar_um(side) / side * _CROP_PX if texts else 0
        self._draw.rectangle((self._left, y - 2, self._left + length, y + 2), fill="black")
        self._draw.text((self._left + length + _TYPE_PX / 2, y), bar, fill="black", font=type_, anchor="lm")

    def paste(self, row: int, column: int, crop: np.ndarray) -> None:
        place = (self._left + column * self._step, self._top + row * self._step)
        self.picture.paste(Image.fromarray(crop), place)

    def mark(self, row: int, colour: str) -> None:
        y = self._top + row * self._step
        self._draw.rectangle((_TYPE_PX, y, 2 * _TYPE_PX, y + _CROP_PX - 1), fill=colour)


def _bar_um(side: int) -> int:
    """A round length of about half a crop."""
    return max(step for step in (5, 10, 20, 50) if step <= side)
