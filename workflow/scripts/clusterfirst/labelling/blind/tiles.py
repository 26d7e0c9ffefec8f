"""The tiles of a group, and whose cells they hold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from ...io import ClusterfirstError
from ...plan.layout import SlideFolder
from ..cells.group import Group
from ..cells.results import finished

_CORE = ("x", "y", "width", "height")


@dataclass(frozen=True)
class Tiles:
    """Tiles that were segmented, slide by slide.

    Attributes
    ----------
    cells : list of numpy.ndarray
        Per slide of the group, the number of cells of each tile.
    core : list of numpy.ndarray
        Per slide, tiles × 4: left, top, width and height in level-0 pixels.
    of_cell : numpy.ndarray
        Of every cell of the group, its tile's place among those of its slide.
    """

    cells: list[np.ndarray]
    core: list[np.ndarray]
    of_cell: np.ndarray


def read(group: Group, root: Path) -> Tiles:
    """Read the tiles of a group's slides.

    Parameters
    ----------
    group
    root
        The results folder: nothing outside it is read.

    Raises
    ------
    ClusterfirstError
        Tables of tiles are missing, or do not belong to the cells.
    """
    cells, core, of_cell = [], [], []
    for slide in group.info.slides:
        path = finished(slide.folder.filtered, root)
        try:
            table = pq.ParquetFile(path).read(columns=["tile_id", *_CORE, "kept"]).to_pandas()
            owner = pq.ParquetFile(slide.folder.cells).read(columns=["tile_id"]).to_pandas()["tile_id"]
        except (OSError, ValueError, KeyError) as error:
            raise ClusterfirstError(f"{slide.id}: its tiles cannot be read ({error}): run the workflow") from error
        table = table[table["kept"]].sort_values("tile_id", ignore_index=True)
        place = table.reset_index().set_index("tile_id")["index"].reindex(owner)
        if len(owner) != slide.cells or place.isna().any():
            raise ClusterfirstError(
                f"{slide.id}: {SlideFolder.cells} has cells of tiles that {SlideFolder.filtered} lacks. "
                "Run the workflow to its end"
            )
        of_cell.append(place.to_numpy(np.int64))
        cells.append(np.bincount(of_cell[-1], minlength=len(table)))
        core.append(table[list(_CORE)].to_numpy(np.int64))
    return Tiles(cells, core, np.concatenate([np.empty(0, np.int64), *of_cell]))
