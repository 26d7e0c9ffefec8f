"""What InstanSeg's encoder sees in a nucleus: features of a network that knows histology, at no cost in weights.

The network that outlines nuclei has learnt what they look like. The deepest map of its encoder has 256 channels, and a
pixel for every 4 µm.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import engine
from ..devices import Device
from ..io import ClusterfirstError
from ..segmentation import instanseg
from ..segmentation.intensity import Intensity
from .maps import MapEmbedder

if TYPE_CHECKING:
    import torch

_WIDTH = 256


class InstanSegEncoder(MapEmbedder):
    """Averages the deepest map of InstanSeg's encoder over every cell.

    Parameters
    ----------
    model, device, histogram, settings
        See `Embedder`.
    weights
        InstanSeg's ``.pt`` file.

    Raises
    ------
    ClusterfirstError
        The file is not an InstanSeg model.
    """

    columns = tuple(f"instanseg_{index:03d}" for index in range(_WIDTH))
    mpp = instanseg.InstanSeg.mpp
    around = 64

    def __init__(
        self,
        model: str,
        weights: str | os.PathLike,
        *,
        device: Device,
        histogram: np.ndarray | None,
        settings: Mapping[str, Any],
    ):
        self._network = engine.network(
            "encoder", weights, partial(_source, weights), engine=settings["engine"], device=device
        )
        counts = np.zeros((3, 256)) if histogram is None else histogram
        self._intensity = Intensity.from_histogram(counts, instanseg.InstanSeg.percentiles)

    def _look(self, image: np.ndarray) -> tuple[np.ndarray, float]:
        image = instanseg.padded(image)
        found = self._network(self._intensity.scale(image).transpose(2, 0, 1)[None])[0]
        return found, image.shape[0] / found.shape[1]


def _source(weights: str | os.PathLike, device: torch.device) -> engine.Source:
    """The encoder of an InstanSeg model."""
    import torch

    model = instanseg.load(weights, device=device)
    try:
        stages = [stage for _, stage in model.fcn.encoder.named_children()]
    except AttributeError as error:
        raise ClusterfirstError(f"weights {weights}: no InstanSeg model: it has no encoder") from error
    return engine.Source(torch.nn.Sequential(*stages), instanseg.example(device), {})
