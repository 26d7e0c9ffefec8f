"""Outline every cell of the kept tiles: the `Segmenter` protocol and its backends.

`views` says what each tile is read as, `pipeline` runs tiles through a backend, `seams` settles what neighbouring tiles
both saw.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from ..backends import Backend
from ..fit import Fit

if TYPE_CHECKING:
    import numpy as np

    from ..devices import Device
    from .intensity import Intensity

GIVEN = "precomputed"
"""The model that is none: outlines come from elsewhere."""

BACKENDS: Mapping[str, Backend] = {
    "instanseg": Backend(
        "segmentation.instanseg:InstanSeg",
        keys=("engine", "mpp", "seed_threshold"),
        weights="instanseg",
        fit=Fit(memory={"job": 2000}, core_seconds={"outlined_mpx": 9}, gpu_seconds={"outlined_mpx": 0.5}),
    ),
    "cellpose": Backend(
        "segmentation.cellpose:Cellpose",
        keys=("flow_threshold", "cellprob_threshold", "diameter", "resample", "min_size", "batch_size"),
        weights="cpsam",
        fit=Fit(memory={"job": 2500}, core_seconds={"seen_mpx": 150}, gpu_seconds={"seen_mpx": 3}),
    ),
    GIVEN: Backend("segmentation.precomputed:adopt"),
}
"""By the name that ``segmentation.model`` has for them."""

SETTLING = frozenset({"min_area_um2", "seams", "seam_overlap", "max_failed_tiles", "shards"})
"""Settings that concern what the tiles saw together, not what each of them sees."""


class Labeller(Protocol):
    """Turns what a network predicts for a tile into objects."""

    def __call__(self, prediction: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Return H × W integer labels, 0 for background, and the scores of labels 1 and up; None, if there are none."""
        ...


class Segmenter(Protocol):
    """Outlines the objects of image tiles.

    The network runs in one process, on one device; what follows it on the CPU runs in others. A backend must fail when
    it is built, before a tile is read, if its weights cannot be used.
    """

    mpp: float | None
    """µm per pixel that images have unless the user says otherwise; None: as the tiles are."""
    stride: int
    """Shifted by this many pixels, an image gives the same outlines, shifted (see `views.aligned_views`)."""
    percentiles: tuple[float, float]
    """Percentiles of the slide's intensities that become 0 and 1 (see `intensity.Intensity`)."""
    smoothing_px: float
    """Standard deviation of the Gaussian to lay over images unless the user says otherwise."""
    tiles_at_once: int
    """How many tiles of equal size `predict` wants in a stack."""
    labels: Labeller
    """Turns one tile's prediction into labels. Pickled, and called elsewhere."""

    def __init__(
        self,
        weights: str | os.PathLike | None,
        *,
        device: Device,
        intensity: Intensity,
        settings: Mapping[str, Any],
    ): ...

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Run the network: N × H × W × 3 uint8 RGB in, one array per tile out, in host memory.

        What comes out for a tile must not depend on the others in the stack.
        """
        ...


def backend(model: str) -> type[Segmenter]:
    """Return the network of that name; its packages are imported only now."""
    return BACKENDS[model].load()


def weights_of(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return the name or path of the weights that the ``segmentation`` section asks for, by model; none, maybe."""
    usual = BACKENDS[settings["model"]].weights
    return {settings["model"]: settings["weights"] or usual} if usual else {}


def own_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the section without what concerns other models than the chosen one."""
    own = BACKENDS[settings["model"]].keys
    others = {key for one in BACKENDS.values() for key in one.keys} - set(own)
    return {key: value for key, value in settings.items() if key not in others}
