"""Pictures of whole slides: the overview, and the map of what the filter kept."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image

from ..clustering import palette
from ..plan.layout import MAP, OVERVIEW
from ..slide.slide import Slide
from ..slide.tissue import METRICS, UNREADABLE
from .cells import draw_cells, vertices
from .legends import beside, save, scale_bar
from .plots import plot_umap
from .selection import Cells, noted
from .tiles import annotate_tiles

if TYPE_CHECKING:
    import pandas as pd

_NUCLEUS_UM = 8.0
_MAP_PX = 1600
_KEPT = "#009e73"
_REASONS = {
    "tissue_fraction": ("glass on the thumbnail", "#bbbbbb"),
    "edge_density": ("too few edges", "#56b4e9"),
    "bright_ratio": ("mostly bright", "#e69f00"),
    "dark_ratio": ("mostly dark", "#332288"),
    "intensity_std": ("no contrast", "#cc79a7"),
    "laplacian_variance": ("blurred", "#0072b2"),
    "color_variance": ("no colour", "#f0e442"),
    UNREADABLE: ("cannot be decoded", "#d00000"),
}
assert set(_REASONS) == {"tissue_fraction", *METRICS, UNREADABLE}


def overview(slide: Slide, cells: Cells, path: str | os.PathLike, *, title: str, longest: int) -> None:
    """Write a picture of the whole slide with coloured cells, a scale bar and a legend.

    Parameters
    ----------
    slide
        The open slide.
    cells
        What to draw.
    path
        The PNG.
    title
        Stands above the legend.
    longest
        Longer side of the picture without its legend, in pixels.
    """
    image, scale = slide.thumbnail(longest=longest)
    # Small cells are dots of colour; where they are large enough, the nucleus shines through.
    fill = 0.4 if scale * _NUCLEUS_UM / slide.mpp > 8 else 1.0
    rings, line_px = vertices(cells.polygons, scale=scale), max(image.shape) / 1000
    picture = Image.fromarray(draw_cells(image, rings, cells.number, line_px=line_px, fill=fill, key=cells.key))
    scale_bar(picture, mpp=slide.mpp / scale)
    save(np.asarray(beside(picture, title, noted(cells))), path)


def annotate_slide(
    slide: Slide,
    tiles: pd.DataFrame,
    cells: Cells,
    plane: np.ndarray,
    folder: str | os.PathLike,
    *,
    title: str,
    settings: Mapping,
    typical: np.ndarray,
    threads: int = 1,
) -> None:
    """Write a picture of every tile (see `annotate_tiles`), ``overview.png`` and ``umap.png``.

    Parameters
    ----------
    slide
        The open slide.
    tiles
        Those to be drawn.
    cells
        What to draw (see `shown`).
    plane
        n × 2: where these cells lie on the map.
    folder
        An existing folder.
    title
        Stands above the legends.
    settings
        The ``annotation`` section of the configuration.
    typical
        Ids of the typical cells, if tiles show these only.
    threads
        Tiles are drawn by this many threads.
    """
    folder = Path(folder)
    in_tiles = cells.take(np.isin(cells.cell_id, typical)) if settings["cells"] == "typical" else cells
    annotate_tiles(slide, tiles, in_tiles, folder, settings, threads=threads)
    overview(slide, cells, folder / OVERVIEW, title=title, longest=settings["overview_px"])
    plot_umap(plane, cells, folder / MAP, title=title)


def filter_map(slide: Slide, tiles: pd.DataFrame, path: str | os.PathLike, *, title: str) -> None:
    """Write the slide's thumbnail with kept tiles outlined and rejected ones tinted by the first reason.

    Of several magnifications the finest is shown.
    """
    image, scale = slide.thumbnail(longest=_MAP_PX)
    tiles = tiles[tiles["magnification"] == tiles["magnification"].max()]
    reasons = tiles["rejected_by"].str.split(",").str[0]
    tinted = image.copy()
    boxes = [
        tuple(round(edge * scale) for edge in (t.x, t.y, t.x + t.width, t.y + t.height)) for t in tiles.itertuples()
    ]
    for (x0, y0, x1, y1), reason in zip(boxes, reasons, strict=True):
        if reason:
            cv2.rectangle(tinted, (x0, y0), (x1 - 1, y1 - 1), palette.rgb(_REASONS[reason][1]), cv2.FILLED)
    out = cv2.addWeighted(tinted, 0.5, image, 0.5, 0)
    for (x0, y0, x1, y1), reason in zip(boxes, reasons, strict=True):
        # On a large slide a tile is a few pixels of the map: a thick frame would leave nothing to see inside.
        width = 1 if reason or min(x1 - x0, y1 - y0) < 24 else 3
        edge, inset = (255, 255, 255) if reason else palette.rgb(_KEPT), width // 2 + (width > 1)
        cv2.rectangle(out, (x0 + inset, y0 + inset), (x1 - 1 - inset, y1 - 1 - inset), edge, width)
    rows = [(_KEPT, f"kept: {int(tiles['kept'].sum()):,} of {len(tiles):,} tiles")]
    rows += [
        (shade, f"{text}: {int((reasons == name).sum()):,}")
        for name, (text, shade) in _REASONS.items()
        if (reasons == name).any()
    ]
    picture = Image.fromarray(out)
    scale_bar(picture, mpp=slide.mpp / scale)
    save(np.asarray(beside(picture, title, rows)), path)
