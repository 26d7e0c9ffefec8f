"""Is a tile worth looking at? The tissue mask of the slide, six measures of a tile, and the verdict."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np

from ..io import bounded_map, progress
from .slide import Slide, UnreadableError

if TYPE_CHECKING:
    import pandas as pd

TISSUE_MPP = 8.0
"""µm per pixel of the thumbnail on which tissue is told from glass: a nucleus is about a pixel."""

_MARGIN_UM = 50.0
"""Tissue is grown by this much: to read a little glass costs less than to lose a strand of cells."""

_BLACK, _BLACK_CHROMA = 32, 12
_BLACK_UM2 = 200.0**2
"""Black without colour is no tissue where it reaches the border of the slide, or is at least this large: pigment comes
in smaller grains."""

_RIM_PX = 2
"""So far do pixels of a thumbnail mix with their neighbours: between black and glass they are grey, like tissue."""

METRICS = (
    "edge_density",
    "bright_ratio",
    "dark_ratio",
    "intensity_std",
    "laplacian_variance",
    "color_variance",
)
UNREADABLE = "unreadable"
"""`rejected_by` of a tile that cannot be decoded."""
BRIGHT, DARK = 240, 15
_CANNY = (50, 150)


def tissue_mask(thumbnail: np.ndarray, *, mpp: float = TISSUE_MPP) -> np.ndarray:
    """Tell tissue from glass, generously.

    A pixel is tissue if it is darker or more colourful than the glass around it, and not black (see `unscanned`). The
    fixed differences (rather than Otsu's threshold) hold for a slide that is all tissue, and for one that has almost
    none.

    Parameters
    ----------
    thumbnail
        H × W × 3 uint8, RGB.
    mpp
        Its µm per pixel.

    Returns
    -------
    numpy.ndarray
        H × W bool.
    """
    smooth = cv2.GaussianBlur(thumbnail, (3, 3), 0).astype(np.int16)
    grey = smooth.mean(axis=2)
    chroma = np.ptp(smooth, axis=2)
    glass = (grey > 200) & (chroma < 25)
    glass_grey, glass_chroma = (np.median(grey[glass]), np.median(chroma[glass])) if glass.any() else (245.0, 0.0)
    rim = _grown(unscanned(thumbnail, mpp=mpp), _RIM_PX)
    tissue = ((grey < glass_grey - 20) & ~rim) | (chroma > glass_chroma + 12)
    # A lone pixel is dust or noise of the camera.
    tissue = cv2.medianBlur(tissue.astype(np.uint8), 3)
    return _grown(tissue, max(1, round(_MARGIN_UM / mpp)))


def unscanned(thumbnail: np.ndarray, *, mpp: float) -> np.ndarray:
    """Find what was not scanned, and filled with black by scanners and converters.

    Parameters
    ----------
    thumbnail
        H × W × 3 uint8, RGB.
    mpp
        Its µm per pixel.

    Returns
    -------
    numpy.ndarray
        H × W bool.
    """
    black = ((thumbnail.max(axis=2) <= _BLACK) & (np.ptp(thumbnail, axis=2) <= _BLACK_CHROMA)).astype(np.uint8)
    count, patches, boxes, _ = cv2.connectedComponentsWithStats(black, connectivity=8)
    high, wide = black.shape
    left, top, width, height, area = boxes.T
    fill = (left == 0) | (top == 0) | (left + width == wide) | (top + height == high) | (area * mpp**2 >= _BLACK_UM2)
    fill[0] = False  # everything that is not black
    return fill[patches] if count > 1 else black.astype(bool)


def _grown(mask: np.ndarray, reach: int) -> np.ndarray:
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    return cv2.dilate(mask.astype(np.uint8), disc).astype(bool)


def find_tissue(slide: Slide) -> tuple[np.ndarray, np.ndarray, float]:
    """Return a slide's thumbnail at about `TISSUE_MPP`, its tissue mask, and their pixels per level-0 pixel."""
    thumbnail, scale = slide.thumbnail(mpp=TISSUE_MPP)
    return thumbnail, tissue_mask(thumbnail, mpp=slide.mpp / scale), scale


def tissue_fraction(mask: np.ndarray, tiles: pd.DataFrame, *, scale: float) -> np.ndarray:
    """Return the fraction of each tile's core that is tissue.

    Parameters
    ----------
    mask
        Tissue mask of the whole slide.
    tiles
        Cores as ``x, y, width, height`` in level-0 pixels.
    scale
        Mask pixels per level-0 pixel.

    Returns
    -------
    numpy.ndarray
        One float in [0, 1] per tile.
    """
    total = cv2.integral(mask.astype(np.uint8))
    high, wide = mask.shape
    # Outwards to whole mask pixels, and at least one of them.
    left = np.clip(np.floor(tiles["x"] * scale).astype(int), 0, wide - 1)
    top = np.clip(np.floor(tiles["y"] * scale).astype(int), 0, high - 1)
    right = np.clip(np.ceil((tiles["x"] + tiles["width"]) * scale).astype(int), left + 1, wide)
    bottom = np.clip(np.ceil((tiles["y"] + tiles["height"]) * scale).astype(int), top + 1, high)
    inside = total[bottom, right] - total[top, right] - total[bottom, left] + total[top, left]
    return inside / ((right - left) * (bottom - top)).to_numpy()


def measure(rgb: np.ndarray) -> dict[str, float]:
    """Take the six measures of a tile.

    Parameters
    ----------
    rgb
        H × W × 3 uint8.

    Returns
    -------
    dict
        ``edge_density`` (fraction of pixels on a Canny edge, thresholds 50 and 150), ``bright_ratio`` (grey > 240),
        ``dark_ratio`` (grey < 15), ``intensity_std``, ``laplacian_variance``, ``color_variance`` (variance of the
        mean red, green and blue).
    """
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    return {
        "edge_density": np.count_nonzero(cv2.Canny(grey, *_CANNY)) / grey.size,
        "bright_ratio": np.count_nonzero(grey > BRIGHT) / grey.size,
        "dark_ratio": np.count_nonzero(grey < DARK) / grey.size,
        "intensity_std": float(grey.std()),
        "laplacian_variance": float(cv2.Laplacian(grey, cv2.CV_32F).var(dtype=np.float64)),
        "color_variance": float(np.var(cv2.mean(rgb)[:3])),
    }


def verdict(tile: dict[str, float], limits: dict[str, float]) -> list[str]:
    """Name the measures that a tile fails.

    Parameters
    ----------
    tile
        ``tissue_fraction`` and, if it was read, the six measures (see `measure`).
    limits
        The ``filter`` section of the configuration.

    Returns
    -------
    list of str
        Empty for a good tile. A tile that was not read for want of tissue fails ``tissue_fraction`` alone.
    """
    if tile["tissue_fraction"] < limits["min_tissue"]:
        return ["tissue_fraction"]
    bounds = (
        ("edge_density", "min_edge_density"),
        ("bright_ratio", "max_bright_ratio"),
        ("dark_ratio", "max_dark_ratio"),
        ("intensity_std", "min_intensity_std"),
        ("laplacian_variance", "min_laplacian_variance"),
        ("color_variance", "min_color_variance"),
    )
    return [
        name
        for name, limit in bounds
        if (tile[name] < limits[limit] if limit.startswith("min_") else tile[name] > limits[limit])
    ]


def histogram(rgb: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Count the values of each channel under a mask.

    Parameters
    ----------
    rgb
        H × W × 3 uint8.
    mask
        h × w bool over the same area, at any resolution.

    Returns
    -------
    numpy.ndarray
        3 × 256 counts.
    """
    fits = cv2.resize(mask.astype(np.uint8), rgb.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    return np.stack([cv2.calcHist([rgb], [channel], fits, [256], [0, 256]).ravel() for channel in range(3)])


@dataclass(frozen=True)
class Filtered:
    """What came of filtering a slide.

    Attributes
    ----------
    tiles : pandas.DataFrame
        The tiles with ``tissue_fraction``, the six measures (NaN where a tile was not measured), ``kept`` and
        ``rejected_by`` (the failed measures, comma-separated, or ``unreadable``).
    histogram : numpy.ndarray
        3 × 256 counts of the red, green and blue values in the tissue of the kept tiles.
    unreadable : dict
        Why, by ``tile_id``.
    """

    tiles: pd.DataFrame
    histogram: np.ndarray
    unreadable: dict[str, str]


def filter_tiles(
    slide: Slide, tiles: pd.DataFrame, limits: Mapping[str, float] | Literal[False], *, threads: int = 1
) -> Filtered:
    """Measure every tile that shows tissue on the thumbnail, and judge it; without limits, keep all that can be read.

    Without limits nothing is measured but the tissue, for the histogram is of tissue; and every tile is read once,
    glass too: what cannot be decoded must be known before others work on it.

    Parameters
    ----------
    slide
        The open slide.
    tiles
        See `grid.grid`. Measured is the core, at the tile's own µm per pixel.
    limits
        The ``filter`` section of the configuration; False to filter nothing.
    threads
        Tiles are read by this many threads.
    """
    judged = limits is not False
    thumbnail, mask, scale = find_tissue(slide)
    tiles = tiles.assign(tissue_fraction=tissue_fraction(mask, tiles, scale=scale))
    stained = mask & ~unscanned(thumbnail, mpp=slide.mpp / scale)
    worth_reading = tiles[tiles["tissue_fraction"] >= limits["min_tissue"]] if judged else tiles

    def look(tile) -> tuple[dict[str, float], np.ndarray] | UnreadableError:
        try:
            rgb = slide.read(tile.x, tile.y, tile.width, tile.height, mpp=tile.mpp)
        except UnreadableError as error:
            return error
        rows, columns = (
            slice(first := min(int(start * scale), end - 1), max(first + 1, round((start + length) * scale)))
            for start, length, end in ((tile.y, tile.height, mask.shape[0]), (tile.x, tile.width, mask.shape[1]))
        )
        return measure(rgb) if judged else {}, histogram(rgb, stained[rows, columns])

    import pandas as pd

    unreadable = {}
    counts = np.zeros((3, 256))
    measures = pd.DataFrame(np.nan, index=tiles.index, columns=list(METRICS))
    rejected_by = pd.Series("tissue_fraction", index=tiles.index)
    with ThreadPoolExecutor(threads) as pool:
        looked = bounded_map(pool, look, worth_reading.itertuples(), ahead=4 * threads)
        seen = progress(zip(worth_reading.index, looked, strict=True), total=len(worth_reading), what="filter_tiles")
        for index, result in seen:
            if isinstance(result, UnreadableError):
                rejected_by[index] = UNREADABLE
                unreadable[tiles.at[index, "tile_id"]] = str(result)
                continue
            values, counted = result
            failed = []
            if judged:
                failed = verdict({"tissue_fraction": tiles.at[index, "tissue_fraction"], **values}, limits)
                measures.loc[index] = values
            rejected_by[index] = ",".join(failed)
            if not failed:
                counts += counted
    tiles = tiles.join(measures).assign(kept=rejected_by == "", rejected_by=rejected_by)
    return Filtered(tiles, counts, unreadable)
