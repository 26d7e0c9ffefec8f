"""GeoJSON for QuPath: a detection for every cell, with its class and the class's colour."""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import shapely

from ..clustering import palette
from ..io import atomic, bounded_map, read_metadata
from ..labels import join
from ..outlines.foreign.frames import ORIGIN
from ..slide.facts import SlideFacts
from . import Source, jsontext

MEASUREMENTS = {
    "cell_id": "Cell ID",
    "area_um2": "Area µm^2",
    "perimeter_um": "Length µm",
    "major_um": "Major axis µm",
    "minor_um": "Minor axis µm",
    "eccentricity": "Eccentricity",
    "orientation": "Orientation",
    "circularity": "Circularity",
    "solidity": "Solidity",
    "extent": "Extent",
    "cluster_id": "Cluster",
    "confidence": "Cluster confidence",
    "umap_x": "UMAP 1",
    "umap_y": "UMAP 2",
    "label_confidence": "Label confidence",
}
"""What columns are called in QuPath: as by its own *Add shape features*, where that measures the same."""
SOURCE = "Label source"
"""What QuPath's metadata call how a label came about; a model's have "proposed"."""
LEVEL = 4
"""Of deflate. Half the time of 6, which would save a fourteenth of the file (benchmarks/geojson.md)."""


def export(source: Source, to: str | os.PathLike) -> None:
    """Write all cells as a ``.geojson.gz``; see `write`."""
    colours = {entry["name"]: entry["colour"] for entry in read_metadata(source.cells)["classes"]}
    batches = join.read(source.cells, ["geometry", "label", "label_source", *MEASUREMENTS], what="GeoJSON")
    write(to, batches, colours, origin=SlideFacts.of(source.cells).origin, threads=source.threads)


def write(
    path: str | os.PathLike,
    batches: Iterable[pa.RecordBatch],
    colours: Mapping[str, str],
    *,
    origin: tuple[int, int],
    threads: int = 2,
) -> None:
    """Write cells as they come; memory holds a few batches at a time. The same cells give the same bytes.

    QuPath (0.4 and later: *File → Import objects from file*) reads it compressed as it is. Coordinates are
    level-0 pixels, counted as QuPath does: from the corner of the scanned part, where a slide says that there is one.

    Parameters
    ----------
    path
        A ``.geojson.gz``; written atomically.
    batches
        Cells: ``geometry`` (polygons as WKB), ``label`` (strings, null: unclassified), if known ``label_source``
        (becomes metadata, `SOURCE`) and any columns of `MEASUREMENTS`, whose numbers become measurements; nulls, NaN
        and infinities are left out.
    colours
        ``#rrggbb`` of each class.
    origin
        That corner (see `SlideFacts.origin`); if it is not (0, 0), the file says so.
    threads
        That put text together and compress it.
    """
    classes = {
        name: json.dumps({"name": name, "color": list(palette.rgb(shade))}, ensure_ascii=False)
        for name, shade in colours.items()
    }

    def piece(batch: pa.RecordBatch) -> tuple[pa.Buffer, bytes]:
        text = jsontext.joined(_features(batch, classes, origin), ",\n")
        return text, _deflated(text)

    with atomic(path) as part, part.open("wb") as file, ThreadPoolExecutor(threads) as pool, _gzip(file) as add:
        frame = f'"{ORIGIN}":[{origin[0]},{origin[1]}],' if any(origin) else ""
        add(*_plain(f'{{"type":"FeatureCollection",{frame}"features":['.encode()))
        before = b"\n"
        for text, packed in bounded_map(pool, piece, (one for one in batches if len(one)), ahead=threads + 1):
            add(*_plain(before))
            add(text, packed)
            before = b",\n"
        add(*_plain(b"\n]}\n"))


def _features(batch: pa.RecordBatch, classes: Mapping[str, str], origin: tuple[int, int]) -> pa.StringArray:
    """One feature per row, as JSON."""
    polygons = shapely.from_wkb(batch["geometry"].to_numpy(zero_copy_only=False))
    if any(origin):
        polygons = shapely.transform(polygons, lambda xy: xy - origin)
    names = pa.array(list(classes), pa.string())
    texts = pa.array([f'"classification":{text},' for text in classes.values()], pa.string())
    of_class = texts.take(pc.index_in(batch["label"], names)).fill_null("")
    columns = {title: name for name, title in MEASUREMENTS.items() if name in batch.schema.names}
    measured = jsontext.objects({title: jsontext.numbers(batch[name]) for title, name in columns.items()})
    return jsontext.concatenated(
        '{"type":"Feature","geometry":{"type":"Polygon","coordinates":',
        jsontext.rings(polygons),
        '},"properties":{"objectType":"detection",',
        of_class,
        _metadata(batch),
        '"measurements":',
        measured,
        "}}",
    )


def _metadata(batch: pa.RecordBatch) -> pa.StringArray | str:
    """How labels came about: text, which measurements cannot be."""
    if "label_source" not in batch.schema.names:
        return ""
    said = jsontext.strings(batch["label_source"])
    return jsontext.concatenated(f'"metadata":{{{json.dumps(SOURCE)}:', said, "},").fill_null("")


def _deflated(text: pa.Buffer | bytes) -> bytes:
    """Compress a part of a stream that neither begins nor ends with it, so that parts can be made side by side."""
    packer = zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(text) + packer.flush(zlib.Z_SYNC_FLUSH)


def _plain(text: bytes) -> tuple[bytes, bytes]:
    return text, _deflated(text)


@contextmanager
def _gzip(file: BinaryIO) -> Iterator:
    """Yield a function that adds a text and what `_deflated` made of it to a gzip file (RFC 1952) of one member.

    Some readers stop after the first member of several. Neither name nor time of the file is written into it.
    """
    file.write(b"\x1f\x8b\x08" + bytes(6) + b"\xff")
    checksum = length = 0

    def add(text: pa.Buffer | bytes, packed: bytes) -> None:
        nonlocal checksum, length
        checksum, length = zlib.crc32(text, checksum), length + len(text)
        file.write(packed)

    yield add
    last = zlib.compressobj(wbits=-zlib.MAX_WBITS).flush()
    file.write(last + struct.pack("<II", checksum, length % 2**32))
