"""SpatialData: outlines, the table of cells, and the picture of the slide, in one Zarr folder."""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq
import shapely

from ..io import atomic, log
from ..slide.facts import SlideFacts
from ..slide.slide import Slide
from . import Source
from .h5ad import categories, table

if TYPE_CHECKING:
    from anndata import AnnData
    from xarray import DataTree

CELLS, TABLE, IMAGE = "cells", "table", "image"
PIXELS = "pixels"
"""The coordinate system of level-0 pixels. *global*, which tools take unless told otherwise, is µm."""
_CHUNK_PX = 1024


def export(source: Source, to: str | os.PathLike) -> None:
    """Write shapes ``cells``, their ``table`` and, where the slide is among the parts, its ``image``.

    All outlines are in memory at once. The image becomes a pyramid, read and written piece by piece.
    """
    adata, mpp = table(source), SlideFacts.of(source.cells).mpp
    pictured = source.parts.get("slide")
    with Slide(pictured, mpp=mpp) if pictured else nullcontext() as slide:
        _write(source.cells, adata, to, mpp=mpp, slide=slide)


def _write(path: Path, adata: AnnData, to: str | os.PathLike, *, mpp: float, slide: Slide | None) -> None:
    import geopandas
    from spatialdata import SpatialData
    from spatialdata.models import ShapesModel, TableModel
    from spatialdata.transformations import Identity, Scale

    where = {"global": Scale([mpp, mpp], axes=("x", "y")), PIXELS: Identity()}
    cells = pq.read_table(path, columns=["cell_id", "geometry"])
    outlines = geopandas.GeoDataFrame(
        geometry=shapely.from_wkb(cells["geometry"].to_numpy()), index=cells["cell_id"].to_numpy()
    )
    elements = {}
    if len(outlines):
        adata.obs["region"] = categories([CELLS] * len(outlines), [CELLS])
        elements[CELLS] = ShapesModel.parse(outlines, transformations=where)
        elements[TABLE] = TableModel.parse(adata, region=CELLS, region_key="region", instance_key="cell_id")
    else:
        # SpatialData has no shapes without a shape.
        elements[TABLE] = TableModel.parse(adata)
    if slide is not None:
        elements[IMAGE] = _image(slide, where)
    with atomic(to, directory=True) as folder:
        # It makes the folder itself, and refuses one that is there.
        folder.rmdir()
        SpatialData.init_from_elements(elements).write(folder)
    log.info("%d outlines, table, %s", len(outlines), "image" if slide else "no image")


def _image(slide: Slide, where: dict) -> DataTree:
    """The slide, which is read when it is written; each level half of the one before."""
    import dask.array
    from spatialdata.models import Image2DModel

    width, height = slide.size

    def read(block_info: dict) -> np.ndarray:
        _, (top, bottom), (left, right) = block_info[None]["array-location"]
        return np.moveaxis(slide.read(left, top, right - left, bottom - top, patch=True), -1, 0)

    chunks = (3, *(dask.array.core.normalize_chunks(_CHUNK_PX, (edge,))[0] for edge in (height, width)))
    pixels = dask.array.map_blocks(read, chunks=((3,), *chunks[1:]), dtype=np.uint8, meta=np.empty((0, 0, 0), np.uint8))
    # At least one, for otherwise it would be an image of another kind.
    levels = max(1, int(np.ceil(np.log2(max(width, height) / _CHUNK_PX))))
    return Image2DModel.parse(
        pixels, dims=("c", "y", "x"), c_coords=["r", "g", "b"], scale_factors=[2] * levels, transformations=where
    )
