"""Pictures of tiles."""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from ..clustering import palette
from ..io import bounded_map, progress
from ..labels import GUESSES
from ..slide.grid import thin, with_cells
from ..slide.slide import Slide
from . import svg, texts
from .cells import CellsInView, box_of, draw_cells, light_rim
from .legends import column, save
from .selection import Cells, noted

if TYPE_CHECKING:
    import pandas as pd

_TYPE_PX = 13


def tiles_to_draw(path: str | os.PathLike, cells: pd.DataFrame) -> pd.DataFrame:
    """Return the tiles of ``filtered.parquet`` that are kept or have cells."""
    import pandas as pd

    return with_cells(pd.read_parquet(path), cells["tile_id"])


def annotate_tiles(
    slide: Slide,
    tiles: pd.DataFrame,
    cells: Cells,
    folder: str | os.PathLike,
    settings: Mapping[str, Any],
    *,
    threads: int = 1,
) -> None:
    """Write ``{tile_id}.png`` for every tile: its core, with every cell that reaches into it, and a legend beside.

    With ``svg`` also ``{tile_id}.svg``, with each cell an element of its own. Of more than ``max_tiles`` tiles, so many
    are drawn, evenly spread.

    Parameters
    ----------
    slide, tiles
        The open slide and its tiles.
    cells
        What to draw.
    folder
        Existing folder.
    settings
        The ``annotation`` section of the configuration.
    threads
        Tiles are drawn by this many threads.
    """
    most = settings["max_tiles"]
    if most is not None:
        tiles = tiles[thin(np.ones(len(tiles), bool), most)] if most else tiles.iloc[:0]
    view = CellsInView(cells.polygons)

    def draw(tile) -> None:
        image = slide.read(tile.x, tile.y, tile.width, tile.height, mpp=tile.mpp, patch=True)
        rows, parts = view(tile.x, tile.y, tile.width, tile.height, scale=slide.mpp / tile.mpp)
        _draw(image, cells.take(rows), parts, tile, Path(folder), settings)

    _each(draw, tiles, what="annotate", threads=threads)


def _each(draw, tiles: pd.DataFrame, *, what: str, threads: int) -> None:
    with ThreadPoolExecutor(threads) as pool:
        drawn = bounded_map(pool, draw, tiles.itertuples(), ahead=2 * threads)
        for _ in progress(drawn, total=len(tiles), what=what):
            pass


def _draw(image: np.ndarray, cells: Cells, parts: list[np.ndarray], tile, folder: Path, settings: Mapping) -> None:
    """Draw a tile with its cells."""
    rings, numbers = [], [cells.number[:0]]
    for kind, shape in (("polygons", np.asarray), ("boxes", box_of)):
        if kind in settings["shapes"]:
            rings += map(shape, parts)
            numbers.append(cells.number)
    line_px, number, drawn = settings["line_um"] / tile.mpp, np.concatenate(numbers), image
    guessed = np.resize(cells.guessed.astype(bool), len(number))
    # On a light line every colour is seen, on pink and on dark tissue.
    drawn = light_rim(drawn, rings, parts, line_px=max(1, line_px) + _light_px(settings))
    drawn = draw_cells(drawn, rings, number, line_px=line_px, key=cells.key, dashed=guessed)
    words = _texts(cells, parts, tile, (image.shape[1], image.shape[0]), settings)
    if words:
        drawn = texts.paint(drawn, words)
    legend = _legend(cells, tile, (image.shape[1], image.shape[0])) if settings["legend"] else None
    if legend:
        drawn = np.asarray(legend.paint(Image.fromarray(drawn)))
    save(drawn, folder / f"{tile.tile_id}.png")
    if settings["svg"]:
        svg.write(
            folder / f"{tile.tile_id}.svg",
            image,
            cells,
            parts,
            title=tile.tile_id,
            shapes=settings["shapes"],
            # There, it lies on the inside of cells, too.
            light_px=_light_px(settings) / 2,
            line_px=max(1.0, line_px),
            words=words,
            legend=legend,
        )


def _light_px(settings: Mapping) -> int:
    """How much wider the light line is than the coloured one on it: few cells are to be found among many."""
    return 4 if settings["cells"] == "typical" else 2


def _texts(cells: Cells, parts: list[np.ndarray], tile, size: tuple[int, int], settings: Mapping) -> list[texts.Text]:
    """What is written into a tile, and where."""
    if not settings["text"] or not parts or settings["max_labels"] == 0:
        return []
    order, seed = np.arange(len(parts)), settings["label_seed"]
    if seed is not None:
        # Of each tile others, but the same every time.
        order = np.random.default_rng([seed, tile.x, tile.y]).permutation(order)
    boxes = np.array([box_of(xy)[[0, 2]].ravel() for xy in parts])
    words = [cells.text(row, settings["text"]) for row in range(len(parts))]
    placed = texts.place(boxes, words, size, scale=settings["text_scale"], most=settings["max_labels"], order=order)
    return [replace(text, colour=palette.dark(cells.key.colour(cells.number[text.row]))) for text in placed]


def _legend(cells: Cells, tile, size: tuple[int, int]):
    rows = noted(cells) or [("#ffffff", "no cells")]
    guesses = set(cells.guessed)
    if about := [text for guess, text in GUESSES.items() if guess in guesses]:
        rows.append(("#ffffff", f"dashed: {' or '.join(about)}"))
    return column(size, tile.tile_id, rows, mpp=tile.mpp, unit=_TYPE_PX)


def export_tiles(slide: Slide, tiles: pd.DataFrame, folder: str | os.PathLike, *, threads: int = 1) -> None:
    """Write the core of every tile as ``{tile_id}.png``, pixel by pixel, without drawings."""

    def write(tile) -> None:
        image = slide.read(tile.x, tile.y, tile.width, tile.height, mpp=tile.mpp, patch=True)
        save(image, Path(folder, f"{tile.tile_id}.png"))

    _each(write, tiles, what="export", threads=threads)
