"""How large a slide is, as well as is known without opening it: from tables of finished stages, or from its file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from ..io import read_metadata
from ..slide.facts import SlideFacts

# What is not known yet is guessed too large rather than too small.
_UNKNOWN_MB = 1000
"""A slide whose file is not here (yet)."""
_UNKNOWN_MPP = 0.5
_PIXELS_PER_BYTE = {".png": 2, ".bmp": 0.4}
"""Of the file, at full resolution, in tissue; glass takes next to nothing."""
_USUAL_PIXELS_PER_BYTE = 8
"""JPEG as scanners write it: 3 to 6 were seen."""
_MM2_PER_MB = 10
_MOST_MM2 = 1250
"""A whole slide. With much glass, a small file covers all of it."""
_MOST_TISSUE_MM2 = 300
_CELLS_PER_MM2 = 4000
"""Of what tiles show: 1,500 to 3,000 were seen."""
_PLAIN = {".png", ".jpg", ".jpeg", ".bmp"}
"""Images that are held in memory whole."""
_BYTES_PER_PIXEL = 4
"""In memory, as Pillow keeps colours."""


@dataclass(frozen=True)
class Size:
    """What the needs of jobs are reckoned from; those of several slides can be added.

    Attributes
    ----------
    slides : int
    slide_mb : float
        Size of the file, with what belongs to it, in MB.
    image_mb : float
        What a plain image takes in memory, in MB; 0 for a slide, which is read in parts.
    mm2 : float
        Area of the whole slide, glass included.
    tiles : float
        Tiles worth looking at.
    mpx : float
        Their megapixels as they are read, halos included.
    seen_mm2 : float
        Their area, halos included.
    cells : float
    """

    slides: int = 0
    slide_mb: float = 0
    image_mb: float = 0
    mm2: float = 0
    tiles: float = 0
    mpx: float = 0
    seen_mm2: float = 0
    cells: float = 0

    def __add__(self, other: Size) -> Size:
        return Size(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))


def largest(found: Iterable[Size]) -> Size:
    """Return the largest of each figure of several slides."""
    return Size(*map(max, zip(astuple(Size()), *map(astuple, found), strict=True)))


def of_slide(
    slide: str | os.PathLike,
    *,
    mpp: float | None,
    tiling: Mapping[str, Any],
    tiles: str | os.PathLike,
    filtered: str | os.PathLike,
    masks: str | os.PathLike,
) -> Size:
    """Return the size of a slide.

    Parameters
    ----------
    slide
        Its file.
    mpp
        µm per level-0 pixel, if the user gave it.
    tiling
        The section of the configuration.
    tiles, filtered, masks
        The tables of `tile`, `filter_tiles` and `segment`: what is not there (yet) is guessed. Only their metadata are
        read, once for every version of a file.
    """
    own_mb = slide_mb(slide)
    known = _table(filtered) or _table(tiles)
    size = _from_file(own_mb, slide, mpp, tiling) if known is None else _from_table(own_mb, known, tiling)
    found = _table(masks)
    return size if found is None else replace(size, cells=found["rows"])


@cache
def slide_mb(path: str | os.PathLike) -> float:
    """Return what the files of a slide take, in MB."""
    folder = folder_beside(path)
    try:
        return (_folder_bytes(folder) if folder else os.stat(path).st_size) / 1e6
    except OSError:
        return _UNKNOWN_MB


def folder_beside(path: str | os.PathLike) -> Path | None:
    """Return the folder whose files hold the pixels of a slide, if its own file only names them."""
    path = Path(path)
    beside = {".mrxs": path.with_suffix(""), ".dcm": path.parent, ".vms": path.parent, ".vmu": path.parent}
    return beside.get(path.suffix.lower())


def file_mb(path: str | os.PathLike) -> float:
    """Return the size of a file in MB; 0 if it is not there."""
    try:
        return Path(path).stat().st_size / 1e6
    except OSError:
        return 0


def rows_of_plane(path: str | os.PathLike) -> int:
    """Return the number of rows of an N × 2 float32 array on disk, by the size of its file; 0 if it is not there."""
    header = 128
    return max(0, round((file_mb(path) * 1e6 - header) / 8))


def _folder_bytes(folder: Path) -> int:
    with os.scandir(folder) as entries:
        return sum(entry.stat().st_size for entry in entries if entry.is_file())


def _table(path: str | os.PathLike) -> dict | None:
    """What the metadata of a table say, and its number of rows; None if it is not there."""
    try:
        stat = os.stat(path)
    except OSError:
        return None
    return _read(os.fspath(path), stat.st_mtime_ns, stat.st_size)


@cache
def _read(path: str, _changed: int, _size: int) -> dict | None:
    try:
        import pyarrow.parquet as pq

        return {"rows": pq.read_metadata(path).num_rows, **read_metadata(path)}
    except (ImportError, OSError, ValueError):  # a planning machine without pyarrow; no table of ours
        return None


def _scales(tiling: Mapping[str, Any], mpp: float) -> list[float]:
    """Level-0 pixels per pixel of a tile, for each resolution that tiles are read at."""
    return [tiling["mpp"] / mpp] if tiling["mpp"] else [1 / one for one in tiling["magnifications"]]


def _from_table(own_mb: float, known: Mapping[str, Any], tiling: Mapping[str, Any]) -> Size:
    slide = SlideFacts(**known["slide"])
    mpp, scales = slide.mpp, _scales(tiling, slide.mpp)
    tiles = known.get("kept", known["rows"])
    edge = tiling["tile_px"] + 2 * tiling["halo_px"]
    # There are fewer tiles of coarse resolutions, and each shows more: together, all resolutions show the same.
    each_mm2 = (edge * mpp / 1000) ** 2 * len(scales) / sum(scale**-2 for scale in scales)
    pixels = slide.width * slide.height
    plain = slide.vendor == "image"
    return _with_cells(
        Size(
            slides=1,
            slide_mb=own_mb,
            image_mb=_BYTES_PER_PIXEL * pixels / 1e6 if plain else 0,
            mm2=pixels * mpp**2 / 1e6,
            tiles=tiles,
            mpx=tiles * edge**2 / 1e6,
            seen_mm2=tiles * each_mm2,
        )
    )


def _from_file(own_mb: float, path: str | os.PathLike, given_mpp: float | None, tiling: Mapping[str, Any]) -> Size:
    suffix, mpp = Path(path).suffix.lower(), given_mpp or _UNKNOWN_MPP
    pixels = own_mb * 1e6 * _PIXELS_PER_BYTE.get(suffix, _USUAL_PIXELS_PER_BYTE)
    edge = tiling["tile_px"] + 2 * tiling["halo_px"]
    counts, seen_mm2 = [], []
    for scale in _scales(tiling, mpp):
        count = pixels / (tiling["tile_px"] * scale) ** 2
        # The grid of an image has at least one tile.
        counts.append(max(1, min(count, tiling["num_tiles"] or count)))
        seen_mm2.append(counts[-1] * (edge * scale * mpp / 1000) ** 2)
    share = edge**2 / tiling["tile_px"] ** 2
    return _with_cells(
        Size(
            slides=1,
            slide_mb=own_mb,
            image_mb=_BYTES_PER_PIXEL * pixels / 1e6 if suffix in _PLAIN else 0,
            mm2=min(_MM2_PER_MB * own_mb, _MOST_MM2),
            tiles=sum(counts),
            mpx=sum(counts) * edge**2 / 1e6,
            seen_mm2=sum(min(one, _MOST_TISSUE_MM2 * share) for one in seen_mm2),
        )
    )


def _with_cells(size: Size) -> Size:
    return replace(size, cells=_CELLS_PER_MM2 * size.seen_mm2)
