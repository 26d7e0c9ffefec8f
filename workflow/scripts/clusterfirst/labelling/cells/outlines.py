"""Outlines of the cells of a piece of a slide, without an object per cell: 500,000 take some 60 MB."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely

from ...io import ClusterfirstError
from .results import SlideInfo

BLOCK_PX = 1024
"""Edge of a block, level-0 pixels. A cell belongs to the block of its centroid."""

STEPS = 4
"""Steps per level-0 pixel in which points are told."""

_BATCH = 20_000
_HEADER = np.dtype([("order", "u1"), ("type", "<u4"), ("rings", "<u4"), ("points", "<u4")])
_POLYGON = 3


@dataclass(frozen=True)
class Outlines:
    """Closed outlines, the first point not repeated.

    Attributes
    ----------
    x, y : numpy.ndarray
        n int32: each cell's anchor in steps of 1/4 px.
    points : numpy.ndarray
        m × 2 int16: points of all cells, relative to their cell's anchor.
    offsets : numpy.ndarray
        n + 1 int64: where each cell's points begin.
    blocks : dict of tuple to numpy.ndarray
        Rows of the cells of each block (column, row), ascending.
    """

    x: np.ndarray
    y: np.ndarray
    points: np.ndarray
    offsets: np.ndarray
    blocks: dict[tuple[int, int], np.ndarray]

    def ring(self, row: int) -> np.ndarray:
        """Return a cell's outline: k × 2 float, level-0 pixels."""
        own = self.points[self.offsets[row] : self.offsets[row + 1]]
        return (own + np.array([self.x[row], self.y[row]])) / STEPS

    def pack(self, column: int, row: int) -> bytes:
        """Return the outlines of a block, little-endian.

        uint32 number of cells; then per cell uint32 its row in the slide, uint16 its number of points, and two int16
        per point: x and y in 1/4 px from the block's upper left corner.
        """
        cells = self.blocks.get((column, row))
        if cells is None:
            return bytes(4)
        parts = [np.array([len(cells)], "<u4").tobytes()]
        corner = np.array([column, row], np.int32) * (BLOCK_PX * STEPS)
        for cell in cells.tolist():
            own = self.points[self.offsets[cell] : self.offsets[cell + 1]]
            shift = np.array([self.x[cell], self.y[cell]]) - corner
            parts.append(cell.to_bytes(4, "little") + len(own).to_bytes(2, "little"))
            parts.append(np.clip(own + shift, -32768, 32767).astype("<i2").tobytes())
        return b"".join(parts)


class Shelf:
    """Outlines of slides, read when first asked for; those not asked for longest go when there are too many.

    Parameters
    ----------
    most_points
        To keep; those of one slide are kept in any case. A point takes 4 bytes.
    """

    def __init__(self, most_points: int = 150_000_000):
        self._kept: OrderedDict[str, Outlines] = OrderedDict()
        self._most = most_points
        self._lock = threading.Lock()

    def of(self, slide: SlideInfo) -> Outlines:
        """Return the outlines of a slide; the first time this takes a second or so per 500,000 cells."""
        with self._lock:
            if slide.id not in self._kept:
                self._kept[slide.id] = read(slide)
            self._kept.move_to_end(slide.id)
            while len(self._kept) > 1 and sum(len(one.points) for one in self._kept.values()) > self._most:
                self._kept.popitem(last=False)
            return self._kept[slide.id]


def read(slide: SlideInfo) -> Outlines:
    """Read all outlines of a slide. Holes are not told; of an object in several pieces, the first is.

    Raises
    ------
    ClusterfirstError
        The file has changed since it was opened, or is damaged.
    """
    file = pq.ParquetFile(slide.folder.cells)
    if file.metadata.num_rows != slide.cells:
        raise ClusterfirstError(f"slide {slide.id} has been segmented again meanwhile: start the app again")
    anchors, points, lengths, centres = [], [], [], []
    try:
        for batch in file.iter_batches(_BATCH, columns=["geometry", "x", "y"]):
            centre = np.column_stack([batch["x"].to_numpy(), batch["y"].to_numpy()])
            rings, count = _rings(batch["geometry"])
            anchor = np.rint(centre * STEPS).astype(np.int32)
            steps = np.rint(rings * STEPS).astype(np.int32) - np.repeat(anchor, count, axis=0)
            points.append(np.clip(steps, -32768, 32767).astype(np.int16))
            anchors.append(anchor)
            lengths.append(count)
            centres.append(centre)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise ClusterfirstError(
            f"{slide.folder.cells}: outlines cannot be read ({error}): run `segment` again"
        ) from error
    lengths = np.concatenate([np.zeros(1, np.int64), *lengths])
    anchors = np.concatenate([np.empty((0, 2), np.int32), *anchors])
    block = (np.concatenate([np.empty((0, 2)), *centres]) // BLOCK_PX).astype(np.int64)
    return Outlines(
        x=anchors[:, 0],
        y=anchors[:, 1],
        points=np.concatenate([np.empty((0, 2), np.int16), *points]),
        offsets=np.cumsum(lengths),
        blocks=_by_block(block),
    )


def _by_block(block: np.ndarray) -> dict[tuple[int, int], np.ndarray]:
    order = np.lexsort((block[:, 0], block[:, 1]))
    ordered = block[order]
    edges = np.flatnonzero((np.diff(ordered, axis=0) != 0).any(axis=1)) + 1
    parts = np.split(order, edges) if len(order) else []
    return {tuple(block[part[0]].tolist()): part for part in parts}


def _rings(geometry) -> tuple[np.ndarray, np.ndarray]:
    """Return the points of all outer rings, the closing ones left out, and the number of each."""
    blob = geometry.cast(pa.large_binary())
    offsets = np.frombuffer(blob.buffers()[1], np.int64)[blob.offset : blob.offset + len(blob) + 1]
    data = np.frombuffer(blob.buffers()[2] or b"", np.uint8)
    plain = _plain(data, offsets)
    return plain if plain is not None else _parsed(blob)


def _plain(data: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Read little-endian polygons of one ring as they lie in memory; None if there are others among them."""
    start, size = offsets[:-1], np.diff(offsets)
    if not len(start) or size.min() < _HEADER.itemsize:
        return None
    head = data[start[:, None] + np.arange(_HEADER.itemsize)].reshape(-1).view(_HEADER)
    count = head["points"].astype(np.int64)
    usual = (head["order"] == 1) & (head["type"] == _POLYGON) & (head["rings"] == 1) & (count > 1)
    if not (usual & (size == _HEADER.itemsize + 16 * count)).all():
        return None
    # Leave out the 13 bytes before each ring, and the 16 of its last point, which is its first.
    edges = np.zeros(len(data) + 1, np.int8)
    edges[start + _HEADER.itemsize] = 1
    edges[offsets[1:] - 16] -= 1
    inside = np.cumsum(edges[:-1], dtype=np.int8).astype(bool)
    return data[inside].view("<f8").reshape(-1, 2), count - 1


def _parsed(blob) -> tuple[np.ndarray, np.ndarray]:
    shapes = shapely.from_wkb(blob.to_numpy(zero_copy_only=False))
    rings = shapely.get_exterior_ring(shapely.get_geometry(shapes, 0))
    points, owner = shapely.get_coordinates(rings, return_index=True)
    last = np.append(owner[1:] != owner[:-1], True) if len(owner) else np.empty(0, bool)
    return points[~last], np.bincount(owner[~last], minlength=len(shapes))
