"""COCO JSON, to train networks on tiles: an image for every kept tile, and in it whatever of cells reaches into it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import shapely

from ..io import atomic, log, read_metadata
from ..labels import join
from ..slide.facts import SlideFacts
from . import Source, jsontext, tiles

NUCLEUS = "nucleus"
"""The only category where no cell has a class."""
UNLABELLED = "unlabelled"
"""The category of cells without a class, where others have one."""
_COLUMNS = ["cell_id", "geometry", "cluster_id", "confidence", "label", "label_source"]
_LEAST_PX = 1.0
_POLYGON = 3


def export(source: Source, to: str | os.PathLike) -> None:
    """Write the cells of a slide by tile, cut at its borders: what lies in a picture must be outlined in it.

    Outlines are in pixels of the picture, ``{tile_id}.png``. Pieces smaller than a pixel are left out. ``iscrowd`` is 0
    throughout; ``attributes`` say which cell of ``cells.parquet`` it is, of which cluster, how sure that is, and how
    the label came about.
    """
    # Those that have a picture.
    grid = pd.read_parquet(source.parts["tiles"]).query("kept").reset_index(drop=True)
    mpp = SlideFacts.of(source.cells).mpp
    names = [entry["name"] for entry in read_metadata(source.cells)["classes"]]
    kinds = list(dict.fromkeys([*names, UNLABELLED])) if names else [NUCLEUS]
    head = {
        "info": {"description": "cells of a slide, by tile", "contributor": "clusterfirst", "version": "1"},
        "licenses": [],
        "categories": [
            {"id": number, "name": name, "supercategory": NUCLEUS} for number, name in enumerate(kinds, start=1)
        ],
        "images": list(_images(grid, mpp)),
    }
    count = left_out = 0
    with atomic(to) as part, part.open("wb") as file:
        file.write(json.dumps(head, ensure_ascii=False, indent=1).removesuffix("\n}").encode())
        file.write(b',\n "annotations": [')
        for batch in join.read(source.cells, _COLUMNS, what="COCO"):
            found, shown = _annotations(batch, grid, mpp, kinds, first=count + 1)
            left_out += len(batch) - shown
            if len(found):
                file.write(b",\n  " if count else b"\n  ")
                file.write(jsontext.joined(found, ",\n  "))
            count += len(found)
        file.write(b"]\n}\n")
    log.info("%d tiles, %d outlines in them", len(grid), count)
    if left_out:
        log.warning("cells left out, for no tile that is kept shows a pixel of them: %d", left_out)


def _images(grid: pd.DataFrame, mpp: float) -> Iterator[dict]:
    for number, (tile_id, size) in enumerate(zip(grid["tile_id"], tiles.sizes(grid, mpp), strict=True), start=1):
        yield {"id": number, "file_name": f"{tile_id}.png", "width": int(size[0]), "height": int(size[1])}


def _annotations(
    batch: pa.RecordBatch, grid: pd.DataFrame, mpp: float, kinds: list[str], *, first: int
) -> tuple[pa.StringArray, int]:
    """One annotation for each cell and tile that it reaches into, as JSON, and of how many cells; ids from `first`."""
    polygons = shapely.from_wkb(batch["geometry"].to_numpy(zero_copy_only=False))
    pieces, owner, cell, tile = _cut(polygons, grid, mpp)
    # Without classes, there is one category, which is no label.
    nameless = kinds.index(UNLABELLED) if UNLABELLED in kinds else 0
    label = pc.index_in(batch["label"], pa.array(kinds, pa.string())).fill_null(nameless).to_numpy()
    count = len(cell)
    if not count:
        return pa.array([], pa.string()), 0
    area = np.bincount(owner, shapely.area(pieces), minlength=count)
    bounds = shapely.bounds(pieces)
    starts = np.searchsorted(owner, np.arange(count))
    left, top = np.minimum.reduceat(bounds[:, :2], starts).T
    right, bottom = np.maximum.reduceat(bounds[:, 2:], starts).T
    known = batch.select(["cell_id", "cluster_id", "confidence", "label_source"]).take(pa.array(cell))
    attributes = {name: jsontext.numbers(known[name]) for name in ("cell_id", "cluster_id", "confidence")}
    attributes["label_source"] = jsontext.strings(known["label_source"])
    box = (left, top, right - left, bottom - top)
    texts = jsontext.objects(
        {
            "id": jsontext.numbers(np.arange(first, first + count)),
            "image_id": jsontext.numbers(tile + 1),
            "category_id": jsontext.numbers(label[cell] + 1),
            "segmentation": _segmentation(pieces, owner, count),
            "area": jsontext.numbers(area, jsontext.DIGITS),
            "bbox": jsontext.lists(*(jsontext.numbers(side, jsontext.DIGITS) for side in box)),
            "iscrowd": jsontext.numbers(np.zeros(count, int)),
            "attributes": jsontext.objects(attributes),
        }
    )
    return texts, len(np.unique(cell))


def _cut(polygons: np.ndarray, grid: pd.DataFrame, mpp: float) -> tuple[np.ndarray, ...]:
    """Cut polygons at the borders of tiles.

    Returns
    -------
    pieces : numpy.ndarray
        Polygons in pixels of their tile.
    owner : numpy.ndarray
        Which pair of cell and tile each piece is of; ascending.
    cell, tile : numpy.ndarray
        Rows of `polygons` and `grid`, by pair.
    """
    corner, size = grid[["x", "y"]].to_numpy(), grid[["width", "height"]].to_numpy()
    frames = shapely.box(*corner.T, *(corner + size).T)
    cell, tile = shapely.STRtree(frames).query(polygons, predicate="intersects")
    order = np.lexsort((tile, cell))
    cell, tile = cell[order], tile[order]
    whole = polygons[cell]
    left, top, right, bottom = shapely.bounds(whole).T
    (x, y), (wide, high) = corner[tile].T, size[tile].T
    crosses = (left < x) | (top < y) | (right > x + wide) | (bottom > y + high)
    whole[crosses] = shapely.intersection(whole[crosses], frames[tile[crosses]])
    pieces, pair = shapely.get_parts(whole, return_index=True)
    # Where a cell only touches a border, a line or a point is left.
    areal = shapely.get_type_id(pieces) == _POLYGON
    pieces, pair = pieces[areal], pair[areal]
    pieces = tiles.moved(pieces, grid, tile[pair], mpp)
    large = shapely.area(pieces) >= _LEAST_PX
    pairs, owner = np.unique(pair[large], return_inverse=True)
    return pieces[large], owner, cell[pairs], tile[pairs]


def _segmentation(pieces: np.ndarray, owner: np.ndarray, count: int) -> pa.StringArray:
    """Lists of ``[x, y, x, y, …]``, without the last vertex, which is the first."""
    xy, ring = shapely.get_coordinates(shapely.get_exterior_ring(pieces), return_index=True)
    inner = np.append(ring[1:] == ring[:-1], False)
    of_piece = jsontext.grouped(jsontext.points(xy[inner]), ring[inner], len(pieces), ",")
    return jsontext.concatenated("[[", jsontext.grouped(of_piece, owner, count, "],["), "]]")
