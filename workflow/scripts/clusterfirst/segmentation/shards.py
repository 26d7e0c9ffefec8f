"""What the tiles of a shard saw, on disk: written as it comes, read back in the order of the tiles."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely

from ..io import METADATA_KEY, ClusterfirstError, atomic, read_metadata, to_json
from .pipeline import TileJob

log = logging.getLogger(__name__)

_SCHEMA = pa.schema([("tile", pa.int32()), ("geometry", pa.binary()), ("score", pa.float32())])
_ROWS = 20_000
"""Rows written together: few megabytes, whatever the size of the slide."""


@dataclass(frozen=True)
class Parts:
    """What all tiles of a slide saw.

    Attributes
    ----------
    polygons : numpy.ndarray
        ``shapely.Polygon`` in level-0 pixels, in the order of the tiles, within a tile from top to bottom.
    tile : numpy.ndarray
        For each, the number of its tile among the kept ones.
    scores : numpy.ndarray
        For each, what its network said of it, 0 to 1; NaN if it says nothing.
    failed : dict
        Why, by number of a tile that could not be read.
    made_with : dict
        The metadata given to `write`.
    """

    polygons: np.ndarray
    tile: np.ndarray
    scores: np.ndarray
    failed: dict[int, str]
    made_with: dict


def write(views: Iterable[TileJob], path: str | os.PathLike, *, made_with: dict) -> None:
    """Write outlines as they come, so that memory does not grow with their number.

    Parameters
    ----------
    views
        See `pipeline.outline_views`.
    path
        The Parquet file; it appears when it is whole.
    made_with
        Kept with them, JSON-ready.
    """
    failed: dict[int, str] = {}
    with atomic(path) as part, pq.ParquetWriter(part, _SCHEMA, compression="zstd") as writer:
        rows = _rows()
        for view in views:
            if view.error:
                failed[view.tile] = view.error
                log.warning("tile left out: %s", view.error)
                continue
            rows["tile"] += [view.tile] * len(view.data)
            rows["geometry"] += view.data
            rows["score"] += view.scores
            if len(rows["tile"]) >= _ROWS:
                writer.write_table(pa.table(rows, schema=_SCHEMA))
                rows = _rows()
        writer.write_table(pa.table(rows, schema=_SCHEMA))
        writer.add_key_value_metadata({METADATA_KEY: to_json({"failed": failed, "made_with": made_with})})


def _rows() -> dict[str, list]:
    return {name: [] for name in _SCHEMA.names}


def read(paths: Iterable[str | os.PathLike]) -> Parts:
    """Read the shards of a slide, whatever their order and number.

    Raises
    ------
    ClusterfirstError
        They were not made with the same settings.
    """
    tables = [pq.read_table(path) for path in paths]
    notes = [read_metadata(path) for path in paths]
    if any(note["made_with"] != notes[0]["made_with"] for note in notes):
        raise ClusterfirstError(f"{os.path.dirname(next(iter(paths)))}: shards made with different settings: delete it")
    table = pa.concat_tables(tables)
    tile = table["tile"].to_numpy()
    order = np.argsort(tile, kind="stable")
    polygons = shapely.from_wkb(table["geometry"].to_numpy(zero_copy_only=False)[order])
    failed = {int(number): why for note in notes for number, why in note["failed"].items()}
    scores = table["score"].to_numpy()[order]
    return Parts(polygons, tile[order], scores, dict(sorted(failed.items())), notes[0]["made_with"])
