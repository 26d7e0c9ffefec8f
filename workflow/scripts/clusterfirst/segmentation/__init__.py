"""Outline every cell of the kept tiles: the `Segmenter` protocol, its backends, and the walk over a slide."""

from __future__ import annotations

import logging
import os
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import TYPE_CHECKING, Protocol

import cv2
import numpy as np
import pandas as pd
import shapely

from ..io import bounded_map, progress
from ..objects import outlines
from ..slides import Slide
from .intensity import Intensity
from .seams import Seams

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

_BACKENDS = {"instanseg": ("instanseg", "InstanSeg")}


class Segmenter(Protocol):
    """Outlines the objects of image tiles.

    A backend is built as ``Backend(weights, device=…, intensity=…)`` and must fail there, before a tile is read, if
    its weights cannot be used.
    """

    mpp: float | None
    """µm per pixel that images must have; None: as the tiles are."""
    stride: int
    """Shifted by this many pixels, an image gives the same outlines, shifted (see `aligned_views`)."""
    percentiles: tuple[float, float]
    """Percentiles of the slide's intensities that the backend wants to know (see `intensity.Intensity`)."""

    def segment(self, images: np.ndarray) -> np.ndarray:
        """Label objects: N × H × W × 3 uint8 RGB in, N × H × W integers out, 0 for background."""
        ...


def backend(model: str) -> type[Segmenter]:
    """Return the class of that name; its packages are imported only now."""
    module, name = _BACKENDS[model]
    return getattr(import_module(f".{module}", __name__), name)


def aligned_views(tiles: pd.DataFrame, *, slide: Slide, mpp: float | None, stride: int) -> pd.DataFrame:
    """Return the tiles with read rectangles grown outwards so that a network sees every place in the same way.

    A network that halves its image n times gives other outlines when the image is shifted by a pixel, and the same
    ones when it is shifted by 2ⁿ (its *stride*). So read rectangles start at multiples of the stride, counted from the
    slide's origin in the network's pixels; and for those to be whole level-0 pixels, the resolution is rounded a
    little (at most by half a level-0 pixel per stride).

    Parameters
    ----------
    tiles
        See `tiling.grid`.
    slide
        The open slide.
    mpp
        µm per pixel that the network wants; None: as the tiles are.
    stride
        In the network's pixels.

    Returns
    -------
    pandas.DataFrame
        With new ``read_x, read_y, read_width, read_height`` (they may end beyond the slide's right and bottom border
        by less than a stride) and ``mpp``.
    """
    views = tiles.reset_index(drop=True).copy()
    wanted = views["mpp"] if mpp is None else pd.Series(float(mpp), index=views.index)
    quantum = np.maximum(1, (stride * wanted / slide.mpp).round().astype(int))
    views["mpp"] = quantum * slide.mpp / stride
    for start, length in (("read_x", "read_width"), ("read_y", "read_height")):
        end = -(-(views[start] + views[length]) // quantum) * quantum
        views[start] = views[start] // quantum * quantum
        views[length] = end - views[start]
    return views


def segment_slide(
    slide: Slide,
    tiles: pd.DataFrame,
    *,
    model: str,
    weights: str | os.PathLike,
    histogram: np.ndarray,
    device: torch.device,
    smoothing_px: float = 0.0,
    min_area_um2: float = 0.0,
    seam_overlap: float = 0.4,
    threads: int = 1,
) -> pd.DataFrame:
    """Outline every object of a slide's kept tiles, each once.

    Parameters
    ----------
    slide
        The open slide.
    tiles
        The kept tiles (see `tiling.grid`).
    model, weights
        Name of the backend, and its file.
    histogram
        The slide's intensities (see `quality.histogram`).
    device
        Where torch computes.
    smoothing_px
        Standard deviation of a Gaussian laid over each image, in the network's pixels. Scanners that sharpen lead
        networks astray: see benchmarks/smoothing.md.
    min_area_um2
        Smaller objects are dropped.
    seam_overlap
        See `Seams`.
    threads
        Tiles are read ahead by this many threads.

    Returns
    -------
    pandas.DataFrame
        ``geometry`` (level-0 px), ``tile_id``, ``score``, ``truncated``, sorted by tile, then from top to bottom.
    """
    kind = backend(model)
    segmenter = kind(weights, device=device, intensity=Intensity.from_histogram(histogram, kind.percentiles))
    tiles = aligned_views(tiles, slide=slide, mpp=kind.mpp, stride=kind.stride)

    polygons, owner = [np.empty(0, object)], [np.empty(0, int)]

    def read(tile) -> np.ndarray:
        image = slide.read(tile.read_x, tile.read_y, tile.read_width, tile.read_height, mpp=tile.mpp)
        return cv2.GaussianBlur(image, (0, 0), smoothing_px) if smoothing_px else image

    with ThreadPoolExecutor(threads) as pool:
        images = bounded_map(pool, read, tiles.itertuples(), ahead=2 * threads)
        for index, image in progress(enumerate(images), total=len(tiles), what="segment"):
            found = _on_slide(segmenter.segment(image[None])[0], tiles.iloc[index])
            found = found[shapely.area(found) * slide.mpp**2 >= min_area_um2]
            polygons.append(found)
            owner.append(np.full(len(found), index))
    polygons, owner = np.concatenate(polygons), np.concatenate(owner)

    seams = Seams(tiles, *slide.size, slide_mpp=slide.mpp, overlap=seam_overlap)
    chosen, truncated = seams.settle(polygons, owner)
    log.info("%d objects seen, %d remain, %d of them truncated", len(polygons), len(chosen), truncated.sum())
    objects = pd.DataFrame({"geometry": polygons[chosen], "tile": owner[chosen], "truncated": truncated})
    bounds = shapely.bounds(polygons[chosen]).reshape(-1, 4)
    objects = objects.iloc[np.lexsort((bounds[:, 0], bounds[:, 1], objects["tile"]))].reset_index(drop=True)
    objects["tile_id"] = tiles["tile_id"].to_numpy()[objects.pop("tile")]
    objects["score"] = np.nan
    return objects


def _on_slide(labels: np.ndarray, tile) -> np.ndarray:
    """Outline a label image of a tile's read rectangle, in level-0 pixels."""
    high, wide = labels.shape
    found, _ = outlines(labels)
    scale = np.array([tile.read_width / wide, tile.read_height / high])
    return shapely.transform(found, lambda xy: xy * scale + (tile.read_x, tile.read_y))
