"""A CSV of all cells, for spreadsheets and whatever else reads text."""

from __future__ import annotations

import os

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from ..io import atomic
from ..labels import join
from ..text import spreadsheet
from . import Source

COLUMNS = (
    *("cell_id", "tile_id", "x", "y", "area_um2", "perimeter_um", "major_um", "minor_um", "eccentricity"),
    *("orientation", "circularity", "solidity", "extent", "truncated", "cluster_id", "leaf_id", "confidence"),
    *("umap_x", "umap_y", "label", "label_source", "labelled_by", "label_confidence"),
)
"""As in ``cells.parquet``, without outlines."""
_DIGITS = 4
_BOM = "\ufeff".encode()
"""Without it, Excel takes UTF-8 for something else."""


def export(source: Source, to: str | os.PathLike) -> None:
    """Write the `COLUMNS` of all cells: UTF-8 with a byte-order mark, a header, commas, empty for null.

    Numbers have at most four decimals. No text is a formula: see `text.spreadsheet`.
    """
    schema = None
    with atomic(to) as part, part.open("wb") as file:
        file.write(_BOM)
        writer = None
        for batch in join.read(source.cells, COLUMNS, what="CSV"):
            rounded = {name: _written(batch[name]) for name in COLUMNS}
            schema = schema or pa.schema([(name, values.type) for name, values in rounded.items()])
            writer = writer or csv.CSVWriter(file, schema, write_options=csv.WriteOptions(quoting_style="needed"))
            writer.write_batch(pa.record_batch(rounded, schema=schema))
        if writer is None:
            file.write(",".join(f'"{name}"' for name in COLUMNS).encode() + b"\n")
        else:
            writer.close()


def _written(values: pa.Array) -> pa.Array:
    if pa.types.is_floating(values.type):
        return pc.round(values.cast(pa.float64()), _DIGITS)
    return _texts(values) if pa.types.is_string(values.type) or pa.types.is_large_string(values.type) else values


def _texts(values: pa.Array) -> pa.Array:
    """Texts, of which there are few different ones, as spreadsheets may have them."""
    coded = values.dictionary_encode()
    few = pa.array(map(spreadsheet, coded.dictionary.to_pylist()), values.type)
    return few.take(coded.indices)
