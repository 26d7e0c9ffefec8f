"""The nuclei of a slide as an image: a pyramidal mask for other tools, and a picture of it for people."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from itertools import chain, islice, pairwise
from typing import NamedTuple

import numpy as np
import shapely
import tifffile
from PIL import Image

from ..clustering import palette
from ..drawing import save, scale_bar
from ..io import atomic, progress
from ..slide.slide import Slide

_CLASSIC_BYTES = 4 * 10**9
"""A classic TIFF ends at 2³² bytes; what may grow beyond this becomes a BigTIFF."""
_BATCH = 10_000
"""Polygons rasterised at once: a coarse tile holds all those of a slide."""
_TINT = "#00ff00"
_OPACITY = 0.5
_SAMPLES = 4
"""A pixel of the picture is tinted by how many of its 4 × 4 samples lie in nuclei."""
_BAND_PX = 128


class _Level(NamedTuple):
    """One image of the pyramid: its pixels are `factor` level-0 pixels wide."""

    factor: int
    width: int
    height: int
    tile_px: int

    @property
    def corners(self) -> list[tuple[int, int]]:
        """Left and top of each tile, in the level's pixels, in the order of the file."""
        return [(x, y) for y in range(0, self.height, self.tile_px) for x in range(0, self.width, self.tile_px)]


def write_mask(
    polygons: np.ndarray, path: str | os.PathLike, *, width: int, height: int, mpp: float, tile_px: int = 512
) -> None:
    """Write a tiled, pyramidal TIFF of the slide's size: 8-bit grey, 255 inside nuclei and 0 elsewhere.

    A pixel is white if its centre lies in a polygon, at every level; so the white area is that of the nuclei also
    where they are smaller than a pixel. Levels halve until one fits a tile. Compression is lossless (deflate), and
    no more than a tile is held in memory.

    Parameters
    ----------
    polygons
        ``shapely.Polygon`` without holes, in level-0 pixels. They may overlap and reach beyond the slide.
    path
        The TIFF; written atomically. It is a BigTIFF if it might outgrow 4 GB.
    width, height
        The slide in level-0 pixels.
    mpp
        µm per level-0 pixel.
    tile_px
        Edge of the tiles; a multiple of 16.

    Raises
    ------
    ValueError
        `tile_px` is no multiple of 16.
    """
    if tile_px < 16 or tile_px % 16:
        raise ValueError(f"tile_px {tile_px}: TIFF knows tiles of multiples of 16 pixels")
    levels = _pyramid(width, height, tile_px)
    total = sum(len(level.corners) for level in levels)
    nuclei = _Nuclei(polygons)
    tiles = progress(chain.from_iterable(_encoded(nuclei, level) for level in levels), total=total, what="nuclei mask")
    with atomic(path) as part:
        with tifffile.TiffWriter(part, bigtiff=total * tile_px**2 > _CLASSIC_BYTES, ome=False) as tiff:
            for level in levels:
                finest = level.factor == 1
                tiff.write(
                    islice(tiles, len(level.corners)),
                    shape=(level.height, level.width),
                    dtype=np.uint8,
                    tile=(tile_px, tile_px),
                    compression="adobe_deflate",
                    photometric="minisblack",
                    resolution=(1e4 / (mpp * level.factor),) * 2,
                    resolutionunit="centimeter",
                    description=_ome(width, height, mpp) if finest else None,
                    subfiletype=int(not finest),
                    subifds=len(levels) - 1 if finest else None,
                    software="clusterfirst",
                    metadata=None,
                )
        _chain_levels(part)
        next(tiles, None)  # past the last tile, the time taken is logged


def _pyramid(width: int, height: int, tile_px: int) -> list[_Level]:
    levels = [_Level(1, width, height, tile_px)]
    while max(levels[-1].width, levels[-1].height) > tile_px:
        factor = 2 * levels[-1].factor
        # Rounded up: the last column and row of a level may reach beyond the slide, but nothing is lost.
        levels.append(_Level(factor, -(-width // factor), -(-height // factor), tile_px))
    return levels


def _encoded(nuclei: _Nuclei, level: _Level) -> Iterator[bytes]:
    """Yield the tiles of a level, compressed. Most of a slide is empty: such tiles are encoded once."""
    size = level.tile_px
    empty = _deflate(np.zeros((size, size), bool))
    for left, top in level.corners:
        inside = nuclei.inside(left, top, size, size, factor=level.factor)
        yield empty if inside is None else _deflate(inside)


def _deflate(inside: np.ndarray) -> bytes:
    # Runs are all there is to find in a mask: looking for nothing else takes a quarter of the time.
    packer = zlib.compressobj(strategy=zlib.Z_RLE)
    return packer.compress(inside.view(np.uint8) * np.uint8(255)) + packer.flush()


def _ome(width: int, height: int, mpp: float) -> str:
    """Describe the image in OME-XML, without which Bio-Formats, hence QuPath, sees no pyramid."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" Creator="clusterfirst">'
        '<Image ID="Image:0" Name="nuclei">'
        '<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" '
        f'SizeX="{width}" SizeY="{height}" SizeC="1" SizeZ="1" SizeT="1" '
        f'PhysicalSizeX="{mpp}" PhysicalSizeY="{mpp}">'
        '<Channel ID="Channel:0:0" SamplesPerPixel="1"/><TiffData IFD="0" PlaneCount="1"/>'
        "</Pixels></Image></OME>"
    )


def _chain_levels(path: os.PathLike) -> None:
    """Let the lower levels, which tifffile has made SubIFDs of the first page, also follow it as pages of the file.

    Bio-Formats and tifffile look for the levels of a pyramid among the SubIFDs, OpenSlide among the pages.
    """
    with tifffile.TiffFile(path, mode="r+") as tiff:
        file, layout, first = tiff.filehandle, tiff.tiff, tiff.pages.first
        for offset, following in pairwise([first.offset, *(first.subifds or ())]):
            # A page is the number of its tags, the tags, and where the next page is.
            file.seek(offset)
            (tags,) = struct.unpack(layout.tagnoformat, file.read(layout.tagnosize))
            file.seek(tags * layout.tagsize, os.SEEK_CUR)
            file.write(struct.pack(layout.offsetformat, following))


class _Nuclei:
    """Polygons, looked up by rectangle and rasterised there.

    Not with OpenCV, which also fills every pixel that an outline touches: 5% too much at level 0, three times too much
    where nuclei are as small as pixels.
    """

    def __init__(self, polygons: np.ndarray):
        self._tree = shapely.STRtree(polygons)

    def inside(self, left: int, top: int, width: int, height: int, *, factor: float) -> np.ndarray | None:
        """Tell which pixels have their centre in a polygon.

        Parameters
        ----------
        left, top, width, height
            The rectangle, in pixels of `factor` level-0 pixels.
        factor
            Level-0 pixels per pixel.

        Returns
        -------
        numpy.ndarray or None
            H × W bool; None if no polygon is near.
        """
        box = shapely.box(*(edge * factor for edge in (left, top, left + width, top + height)))
        near = self._tree.geometries.take(self._tree.query(box))
        if not len(near):
            return None
        # How many polygons hold a pixel, first as differences along its row; what begins right of the rectangle is put
        # into one more column. NumPy sums 32 bits several times faster than 16.
        depth = np.zeros((height, width + 1), np.int32)
        for start in range(0, len(near), _BATCH):
            _add_borders(depth, near[start : start + _BATCH], left=left, top=top, factor=factor)
        return np.cumsum(depth, axis=1, out=depth)[:, :-1].astype(bool)


def _add_borders(depth: np.ndarray, polygons: np.ndarray, *, left: int, top: int, factor: float) -> None:
    """Add, in every row of pixel centres, 1 where a polygon begins and −1 where it ends."""
    rows, columns = depth.shape
    rings = shapely.get_exterior_ring(polygons)
    points, owner = shapely.get_coordinates(rings, return_index=True)
    # Counted from the slide's origin, not the tile's, numbers are rounded alike in all tiles; centres are at integers.
    x, y = (points / factor - 0.5).T
    # The first row of the rectangle at or below each vertex: an edge crosses the rows from that of one end to just
    # above that of the other, so that a row through a vertex is crossed once.
    row = np.clip(np.ceil(y) - top, 0, rows).astype(np.int64)
    edge = np.flatnonzero((np.diff(row) != 0) & (np.diff(owner) == 0))
    first, last = np.sort([row[edge], row[edge + 1]], axis=0)
    clockwise = shapely.is_ccw(rings)[owner[edge]]  # the y axis points down
    sign = np.where(clockwise == (row[edge] > row[edge + 1]), 1, -1).astype(depth.dtype)
    slope = (x[edge + 1] - x[edge]) / (y[edge + 1] - y[edge])

    count = last - first
    crossing = np.repeat(np.arange(len(edge)), count)
    crossed = np.arange(len(crossing)) + (first - np.cumsum(count) + count)[crossing]
    at = x[edge][crossing] + (crossed + top - y[edge][crossing]) * slope[crossing]
    column = np.clip(np.ceil(at) - left, 0, columns - 1).astype(np.int64)
    np.add.at(depth.reshape(-1), crossed * columns + column, sign[crossing])


def overlay(slide: Slide, polygons: np.ndarray, path: str | os.PathLike, *, longest: int = 3000) -> None:
    """Write the slide's thumbnail with the nuclei tinted, and a scale bar.

    Parameters
    ----------
    slide
        The open slide.
    polygons
        ``shapely.Polygon`` without holes, in level-0 pixels.
    path
        The PNG; written atomically.
    longest
        Longer side of the picture in pixels.
    """
    image, scale = slide.thumbnail(longest=longest)
    nuclei, tint = _Nuclei(polygons), np.array(palette.rgb(_TINT), np.float32)
    for top in range(0, len(image), _BAND_PX):
        band = image[top : top + _BAND_PX]
        high, wide = (_SAMPLES * pixels for pixels in band.shape[:2])
        inside = nuclei.inside(0, _SAMPLES * top, wide, high, factor=1 / (_SAMPLES * scale))
        if inside is not None:
            samples = inside.reshape(len(band), _SAMPLES, -1, _SAMPLES)
            opacity = _OPACITY * samples.mean(axis=(1, 3), dtype=np.float32)[..., None]
            band[:] = np.round(band + (tint - band) * opacity)
    picture = Image.fromarray(image)
    scale_bar(picture, mpp=slide.mpp / scale)
    save(np.asarray(picture), path)
