"""All cells of a group as one block of bytes: a browser lays typed arrays over it."""

from __future__ import annotations

import json

import numpy as np

from .group import Group

_HEADER_BYTES = 1024


def pack(group: Group) -> bytes:
    """Return all cells as one little-endian block for typed arrays.

    A line of JSON, filled with spaces to 1,024 bytes, says where each array is: ``{"n", "arrays": [{"name", "dtype",
    "offset", "length"}]}``, `offset` in bytes from the start of the block (a multiple of 8), `length` in elements.
    ``x, y, u, v`` are float32, ``leaf`` uint16 or uint32 (its greatest value: noise), ``slide`` uint16, ``confidence``
    uint8 (255 is 1).
    """
    kind = np.uint16 if len(group.leaves) < np.iinfo(np.uint16).max else np.uint32
    arrays = {
        "x": group.x,
        "y": group.y,
        "u": group.umap2d[:, 0],
        "v": group.umap2d[:, 1],
        "leaf": group.leaves.of_cell.astype(kind),  # −1 wraps to the greatest value
        "slide": group.slide,
        "confidence": np.rint(group.confidence * 255).astype(np.uint8),
    }
    parts, table, offset = [], [], _HEADER_BYTES
    for name, array in arrays.items():
        data = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
        table.append({"name": name, "dtype": array.dtype.name, "offset": offset, "length": len(array)})
        parts.append(data + bytes(-len(data) % 8))
        offset += len(parts[-1])
    line = json.dumps({"n": len(group), "arrays": table}).encode().ljust(_HEADER_BYTES - 1) + b"\n"
    return b"".join([line, *parts])
