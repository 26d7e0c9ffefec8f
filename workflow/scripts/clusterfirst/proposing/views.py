"""The pictures that a model is shown: typical cells of a cluster, in their surroundings, at a known scale."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import shapely
from PIL import Image, ImageDraw

from ..clustering.document import Clustering, Entry
from ..drawing import draw_outline, gallery, save, typeface
from ..drawing.crops import Source, owners
from ..drawing.crops import outlines as read_outlines
from ..io import ClusterfirstError, read_json, write_json
from ..slide.facts import SlideFacts
from ..slide.slide import Slide

FILE = "views.json"
CELLS = 9
"""Cells in one picture at most: more would be too small for a model to see."""
_CROP_PX = 256
_GAP = 6
_TYPE_PX = 16
_STRIP_PX = 34
_SIDE_UM = (40, 120)
"""A crop is no smaller, so that a model sees what a cell lies in, and no larger."""
_ROOM = 2.5
"""A crop's side over the length of the cells it is to hold."""
_OUTLINE = (0, 255, 0)
"""No stain is so green."""


@dataclass(frozen=True)
class Montage:
    """A picture of some cells of a cluster, and what is to be said with it.

    Attributes
    ----------
    cluster : int
        Id in ``clusters.json``.
    file : str
        Of the picture.
    cells : list of int
        Rows of the group, in the order of the crops.
    size : int
        Cells of the cluster.
    share : float
        Of all cells of the group.
    median_area_um2, usual_area_um2 : float
        Of the cluster's cells, and of all.
    side_um : int
        Side of each crop.
    mpp : list of float
        µm per level-0 pixel of the slides that the crops are of.
    """

    cluster: int
    file: str
    cells: list[int]
    size: int
    share: float
    median_area_um2: float
    usual_area_um2: float
    side_um: int
    mpp: list[float]


def read(folder: str | os.PathLike) -> list[Montage]:
    """Read which views a folder holds, the largest cluster's first."""
    return [Montage(**entry) for entry in read_json(Path(folder, FILE))["views"]]


def draw(
    clusters: Clustering, sources: Sequence[Source], folder: str | os.PathLike, *, per_cluster: int, threads: int = 1
) -> list[Montage]:
    """Draw the views of all clusters of a group, and write what they show to ``views.json``.

    Each view of a cluster has representatives of its own: they are dealt out in turn, so that every view shows typical
    cells and all views together show how far the cluster reaches. Only the crops are read from the slides.

    Parameters
    ----------
    clusters
        Those of the group.
    sources
        Its slides, in the order of its rows.
    folder
        An existing folder.
    per_cluster
        Views of each cluster; fewer where there are fewer representatives.
    threads
        Views are drawn by this many threads.
    """
    areas = [_areas(source.masks) for source in sources]
    starts = np.concatenate([[0], np.cumsum([len(own) for own in areas])]).astype(int)
    areas = np.concatenate(areas)
    cluster_id = clusters.cluster_id
    if len(areas) != len(cluster_id):
        raise ClusterfirstError(
            "masks.parquet and clusters.json have different numbers of cells: run the workflow again"
        )
    dealt = {entry.id: deal(entry.representatives, per_cluster) for entry in clusters.entries}
    rows = sorted({row for views in dealt.values() for view in views for row in view})
    outlines = read_outlines(sources, starts, rows)
    mpp = np.array([SlideFacts.of(source.masks).mpp for source in sources])[owners(starts, rows)]
    side = gallery.side_um(np.array([outlines[row] for row in rows]), mpp=mpp, room=_ROOM, limits=_SIDE_UM)
    usual = _median(areas)
    with ExitStack() as opened:
        slides = {
            number: opened.enter_context(Slide(sources[number].slide, mpp=SlideFacts.of(sources[number].masks).mpp))
            for number in sorted(set(owners(starts, rows).tolist()))
        }

        def one(entry: Entry, number: int, cells: list[int]) -> Montage:
            places = owners(starts, cells)
            crops = [_crop(slides[place], outlines[row], side) for place, row in zip(places, cells, strict=True)]
            view = Montage(
                cluster=entry.id,
                file=f"cluster{entry.id:03d}_view{number + 1}.png",
                cells=list(cells),
                size=entry.size,
                share=entry.size / len(areas),
                median_area_um2=round(_median(areas[cluster_id == entry.id]), 1),
                usual_area_um2=round(usual, 1),
                side_um=side,
                mpp=[round(slides[place].mpp, 4) for place in places],
            )
            save(np.asarray(montage(crops, side)), Path(folder, view.file))
            return view

        wanted = [
            (entry, number, cells)
            for entry in sorted(clusters.entries, key=lambda entry: -entry.size)
            for number, cells in enumerate(dealt[entry.id])
        ]
        with ThreadPoolExecutor(threads) as pool:
            views = list(pool.map(lambda view: one(*view), wanted))
    write_json({"views": [asdict(view) for view in views]}, Path(folder, FILE))
    return views


def deal(representatives: Sequence[int], views: int) -> list[list[int]]:
    """Deal cells out to views in turn, the most typical first; every view gets at least one, and at most `CELLS`."""
    count = min(views, len(representatives))
    return [list(representatives[number::count])[:CELLS] for number in range(count)]


def montage(crops: Sequence[np.ndarray], side_um: float) -> Image.Image:
    """Set crops beside each other, numbered from 1, above a scale bar.

    Parameters
    ----------
    crops
        256 × 256 × 3 uint8 each.
    side_um
        Width of each in µm.
    """
    columns = math.ceil(math.sqrt(len(crops)))
    lines = math.ceil(len(crops) / columns)
    step = _CROP_PX + _GAP
    picture = Image.new("RGB", (columns * step - _GAP, lines * step - _GAP + _STRIP_PX), "white")
    draw, type_ = ImageDraw.Draw(picture), typeface(_TYPE_PX)
    for place, crop in enumerate(crops):
        x, y = place % columns * step, place // columns * step
        picture.paste(Image.fromarray(crop), (x, y))
        draw.rectangle((x, y, x + 1.4 * _TYPE_PX, y + 1.4 * _TYPE_PX), fill="white")
        draw.text((x + 0.7 * _TYPE_PX, y + 0.7 * _TYPE_PX), str(place + 1), fill="black", font=type_, anchor="mm")
    bar = gallery.bar_um(side_um)
    length, y = bar / side_um * _CROP_PX, picture.height - _STRIP_PX / 2 + 2
    draw.rectangle((2, y - 2, 2 + length, y + 2), fill="black")
    draw.text((2 + length + _TYPE_PX / 2, y), f"{bar} µm", fill="black", font=type_, anchor="lm")
    return picture


def _crop(slide: Slide, polygon, side: int) -> np.ndarray:
    """Read the square around a cell and draw its outline, thin: what lies beneath it matters."""
    edge = max(1, round(side / slide.mpp))
    left, top, right, bottom = polygon.bounds
    x, y = round((left + right - edge) / 2), round((top + bottom - edge) / 2)
    picture = slide.read(x, y, edge, edge, mpp=edge * slide.mpp / _CROP_PX, patch=True)
    draw_outline(picture, (shapely.get_coordinates(polygon.exterior) - (x, y)) * (_CROP_PX / edge), _OUTLINE, width=1)
    return picture


def _areas(masks: str | os.PathLike) -> np.ndarray:
    import pyarrow.parquet as pq

    return pq.ParquetFile(masks).read(columns=["area_um2"])["area_um2"].to_numpy().astype(np.float32)


def _median(values: np.ndarray) -> float:
    return float(np.median(values)) if len(values) else 0.0
