"""Outline every cell of the kept tiles: the `Segmenter` protocol and its backends.

`views` says what each tile is read as, `pipeline` runs tiles through a backend, `seams` settles what neighbouring tiles
both saw.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    import torch

    from .intensity import Intensity

_BACKENDS = {"instanseg": ("instanseg", "InstanSeg"), "cellpose": ("cellpose", "Cellpose")}


class Segmenter(Protocol):
    """Outlines the objects of image tiles.

    The network runs in one process, on one device; what follows it on the CPU runs in others. A backend must fail when
    it is built, before a tile is read, if its weights cannot be used.
    """

    mpp: float | None
    """µm per pixel that images must have; None: as the tiles are."""
    stride: int
    """Shifted by this many pixels, an image gives the same outlines, shifted (see `views.aligned_views`)."""
    percentiles: tuple[float, float]
    """Percentiles of the slide's intensities that become 0 and 1 (see `intensity.Intensity`)."""
    smoothing_px: float
    """Standard deviation of the Gaussian to lay over images unless the user says otherwise."""
    tiles_at_once: int
    """How many tiles of equal size `predict` wants in a stack."""
    labels: Callable[[np.ndarray], np.ndarray]
    """Turns one tile's prediction into H × W integer labels, 0 for background. Pickled, and called elsewhere."""

    def __init__(
        self,
        weights: str | os.PathLike,
        *,
        device: torch.device,
        intensity: Intensity,
        settings: Mapping[str, Any],
    ): ...

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Run the network: N × H × W × 3 uint8 RGB in, one array per tile out, in host memory.

        What comes out for a tile must not depend on the others in the stack.
        """
        ...


def backend(model: str) -> type[Segmenter]:
    """Return the class of that name; its packages are imported only now."""
    module, name = _BACKENDS[model]
    return getattr(import_module(f".{module}", __name__), name)
