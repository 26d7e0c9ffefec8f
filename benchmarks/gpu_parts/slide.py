"""A large slide made of a small one, where imagecodecs is not installed: OpenCV encodes the tiles."""

import struct
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import product
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np

_TILE, _QUALITY, _LEVELS = 256, 85, 6
_GLASS = 243
_MPP = 0.499
_SHORT, _LONG, _RATIONAL = "H", "I", "II"
_KIND = {_SHORT: 3, _LONG: 4, _RATIONAL: 5}


def write_slide(tissue: np.ndarray, edge: int, path: Path, *, threads: int) -> None:
    """Write a pyramidal TIFF of `edge`² pixels in JPEG tiles: tissue, mirrored so that edges meet, and glass.

    Parameters
    ----------
    tissue
        H × W × 3 uint8, RGB.
    edge
        Of the slide, px.
    path
        The file; below 4 GB. The tiles of a level are held until it is whole.
    threads
        How many encode.
    """
    block = np.concatenate([tissue, tissue[:, ::-1]], axis=1)
    block = np.concatenate([block, block[::-1]])
    with path.open("wb") as out, ThreadPoolExecutor(threads) as pool:
        out.write(struct.pack("<2sHI", b"II", 42, 0))
        link = 4
        for level in range(_LEVELS):
            side = -(-edge // 2**level)
            places = []
            corners = product(range(0, side, _TILE), repeat=2)
            for stream in pool.map(partial(_encoded, block, 2**level), corners):
                places.append((out.tell(), len(stream)))
                out.write(stream)
            link = _directory(out, link, _tags(side, level, places))


def _encoded(block: np.ndarray, step: int, corner: tuple[int, int]) -> bytes:
    """Return a tile as a whole JPEG stream (YCbCr, colours at half the resolution)."""
    high, wide = block.shape[:2]
    rows, columns = ((np.arange(start, start + _TILE) * step) for start in corner)
    tile = block[rows[:, None] % high, columns % wide]
    tile[:, columns // wide % 3 == 2] = _GLASS
    done, stream = cv2.imencode(".jpg", tile[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    if not done:
        raise RuntimeError(f"OpenCV could not encode the tile at {corner}")
    return stream.tobytes()


def _tags(side: int, level: int, places: list[tuple[int, int]]) -> dict[int, tuple[str, tuple[int, ...]]]:
    """What TIFF 6.0 wants to know of an image: kind and values, by the number of the tag."""
    per_cm = (round(1e4 / _MPP / 2**level * 1000), 1000)
    offsets, sizes = zip(*places, strict=True)
    return {
        254: (_LONG, (int(level > 0),)),  # a smaller copy
        256: (_LONG, (side,)),
        257: (_LONG, (side,)),
        258: (_SHORT, (8, 8, 8)),
        259: (_SHORT, (7,)),  # JPEG
        262: (_SHORT, (6,)),  # YCbCr
        277: (_SHORT, (3,)),
        282: (_RATIONAL, per_cm),
        283: (_RATIONAL, per_cm),
        284: (_SHORT, (1,)),
        296: (_SHORT, (3,)),  # per cm
        322: (_SHORT, (_TILE,)),
        323: (_SHORT, (_TILE,)),
        324: (_LONG, offsets),
        325: (_LONG, sizes),
        530: (_SHORT, (2, 2)),
    }


def _directory(out: BinaryIO, link: int, tags: dict[int, tuple[str, tuple[int, ...]]]) -> int:
    """Write an image's directory, point to it from `link`, and return where it will point to the next."""
    entries = []
    for tag, (kind, values) in tags.items():
        data = struct.pack(f"<{len(values)}{kind[0]}", *values)
        count = len(values) // len(kind)
        if len(data) > 4:
            out.write(b"\0" * (out.tell() % 2))
            place = out.tell()
            out.write(data)
            data = struct.pack("<I", place)
        entries.append(struct.pack("<HHI4s", tag, _KIND[kind], count, data.ljust(4, b"\0")))
    out.write(b"\0" * (out.tell() % 2))
    start = out.tell()
    out.write(struct.pack("<H", len(entries)) + b"".join(entries))
    following = out.tell()
    out.write(struct.pack("<I", 0))
    out.seek(link)
    out.write(struct.pack("<I", start))
    out.seek(0, 2)
    return following
