"""``final_annotations.json``, as the post-processing of the published pipeline writes it: tiles, and in them cells.

The form (of OxfordCompetencyCenters/edu06_histology_labelling): a list of tiles, each with ``tile_path``,
``magnification``, ``x``, ``y`` (level-0 pixels) and ``cells``; each cell with ``cell_id`` (from 1, over the slide),
``label_id`` (from 1, in the tile), ``polygon``, ``pred_class`` (``Unclassified``), ``cluster_id`` (−1 for noise),
``cluster_confidence`` and ``bbox`` (left, top, right, bottom, whole pixels). Coordinates are pixels of the tile;
those of polygons are counted between centres of pixels, so that they are half a pixel less than ours.

Three things differ. A cell stands once, in the tile that owns it, and whole: it may reach beyond the tile, where theirs
were cut. The pictures of tiles are where this workflow has them. And cells with a class have ``label_source``, which
tells what a model proposed from what people said.
"""

from __future__ import annotations

import json
import os

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import shapely

from ..io import atomic, progress
from ..slide.facts import SlideFacts
from ..slide.grid import with_cells
from . import Source, jsontext, tiles

UNCLASSIFIED = "Unclassified"
_COLUMNS = ["cell_id", "tile_id", "cluster_id", "confidence", "label", "label_source"]
_FOLDER = "INPUT_prepped_tiles_path"
"""Their tools look for pictures by what follows this in ``tile_path``, in a folder that they are given: ``results``."""


def export(source: Source, to: str | os.PathLike) -> None:
    """Write the cells of a slide by tile. Outlines are in memory at once (as WKB), for they are needed by tile."""
    mpp = SlideFacts.of(source.cells).mpp
    cells = pq.read_table(source.cells, columns=_COLUMNS).combine_chunks()
    outlines = pq.read_table(source.cells, columns=["geometry"])["geometry"].to_numpy()
    grid = with_cells(pd.read_parquet(source.parts["tiles"]), cells["tile_id"].to_numpy())
    owner = pd.Index(grid["tile_id"]).get_indexer(cells["tile_id"].to_pandas())
    # Stable: within a tile, cells keep their order.
    order = np.argsort(owner, kind="stable")
    ends = np.searchsorted(owner[order], np.arange(len(grid) + 1))
    with atomic(to) as part, part.open("wb") as file:
        file.write(b"[")
        for row in progress(range(len(grid)), total=len(grid), what="annotations"):
            own = order[ends[row] : ends[row + 1]]
            file.write(b"," * (row > 0) + b"\n" + _tile_facts(grid.iloc[row], source.slide) + b', "cells": [')
            if len(own):
                inside = tiles.moved(shapely.from_wkb(outlines[own]), grid, np.full(len(own), row), mpp)
                file.write(b"\n ")
                file.write(jsontext.joined(_cells(cells.take(own), inside), ",\n "))
            file.write(b"]}")
        file.write(b"\n]\n")


def _tile_facts(tile: pd.Series, slide: str) -> bytes:
    """The object of a tile, but for its end."""
    facts = {
        "tile_path": f"{_FOLDER}/{slide}/tiles/{tile['tile_id']}.png",
        "magnification": float(tile["magnification"]),
        "x": int(tile["x"]),
        "y": int(tile["y"]),
    }
    return json.dumps(facts, ensure_ascii=False).removesuffix("}").encode()


def _cells(own: pa.Table, outlines: np.ndarray) -> pa.StringArray:
    left, top, right, bottom = shapely.bounds(outlines).T
    box = np.column_stack([np.floor(left), np.floor(top), np.ceil(right), np.ceil(bottom)]).astype(np.int64)
    xy, owner = shapely.get_coordinates(shapely.get_exterior_ring(outlines), return_index=True)
    ring = jsontext.grouped(jsontext.points(xy - 0.5), owner, len(own), "],[")
    columns = {name: own[name].combine_chunks() for name in ("label", "label_source", "cluster_id", "confidence")}
    return jsontext.objects(
        {
            "cell_id": jsontext.numbers(own["cell_id"].to_numpy() + 1),
            "label_id": jsontext.numbers(np.arange(1, len(own) + 1)),
            "polygon": jsontext.concatenated("[[", ring, "]]"),
            "pred_class": jsontext.strings(columns["label"], json.dumps(UNCLASSIFIED)),
            "label_source": jsontext.strings(columns["label_source"]),
            "cluster_id": jsontext.numbers(columns["cluster_id"]),
            "cluster_confidence": jsontext.numbers(columns["confidence"]).fill_null("0"),
            "bbox": jsontext.lists(*(jsontext.numbers(side) for side in box.T)),
        }
    )
