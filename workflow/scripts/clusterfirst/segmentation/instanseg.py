"""InstanSeg (Goldsborough et al. 2024, doi:10.48550/arXiv.2408.15954): nuclei in brightfield images."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import engine
from ..devices import Device, most_at_once
from ..io import ClusterfirstError
from ..text import one_line
from .seeds import Nuclei

if TYPE_CHECKING:
    import torch

    from .intensity import Intensity

STRIDE = 8
"""Three poolings."""
_RANGE = (-2.0, 3.0)
"""Scaled intensities beyond it are cut off, as when the network was trained."""
_EXAMPLE_PX = 64
_TILE_BYTES = 1e9
"""Of a GPU, for a tile of 624 px: an estimate from above, for no GPU was at hand; too many are halved."""
_MOST_AT_ONCE = 8
_MAPS = 5
"""Of nuclei; those of whole cells follow, in files that outline both."""


def load(weights: str | os.PathLike, *, device: torch.device) -> torch.jit.ScriptModule:
    """Load the model.

    Raises
    ------
    ClusterfirstError
        The file is not a TorchScript model of InstanSeg.
    """
    import torch

    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="`torch.jit.load` is deprecated")
            model = torch.jit.load(os.fspath(weights), map_location=device).eval()
    except (RuntimeError, OSError, ValueError) as error:
        raise ClusterfirstError(
            f"weights {weights} cannot be loaded as a TorchScript model: {error}. Give `weights` a name from the "
            "registry or an InstanSeg .pt file"
        ) from error
    # The profiling executor recompiles at every new input size, and there is one more at each border.
    torch._C._jit_set_profiling_executor(False)
    return model


def nuclei(model: torch.jit.ScriptModule, weights: str | os.PathLike) -> Nuclei:
    """Return what makes labels of the network's maps, with the thresholds that the file was published with.

    Raises
    ------
    ClusterfirstError
        The file is of another kind of InstanSeg.
    """
    try:
        layers = (model.pixel_classifier.fc1, model.pixel_classifier.fc2, model.pixel_classifier.fc3)
        maps = (model.dim_coords, model.n_sigma, model.dim_seeds)
        peak_px, reach_px = model.default_peak_distance, model.default_window_size
    except AttributeError as error:
        raise ClusterfirstError(f"weights {weights}: no InstanSeg model as read here: {one_line(error)}") from error
    if maps != (2, 2, 1):
        raise ClusterfirstError(
            f"weights {weights}: an InstanSeg model with maps of {maps[0]} coordinates, {maps[1]} spreads and "
            f"{maps[2]} depths; only those with 2, 2 and 1 are read here"
        )
    return Nuclei(
        tuple((one.weight.detach().float().cpu().numpy(), one.bias.detach().float().cpu().numpy()) for one in layers),
        peak_px=peak_px,
        depth=model.default_seed_threshold,
        member=model.default_mask_threshold,
        same=model.default_overlap_threshold,
        reach_px=reach_px,
    )


def padded(images: np.ndarray) -> np.ndarray:
    """Mirror the right and lower edges of … × H × W × 3 until the sides are multiples of the stride, and not tiny."""
    high, wide = (max(4 * STRIDE, -(-side // STRIDE) * STRIDE) for side in images.shape[-3:-1])
    below, beside = high - images.shape[-3], wide - images.shape[-2]
    around = [(0, 0)] * (images.ndim - 3) + [(0, below), (0, beside), (0, 0)]
    return np.pad(images, around, mode="symmetric") if below or beside else images


def _at_once(device: Device) -> int:
    """How many tiles go through the network together: one fills a CPU."""
    if device.type == "cpu":
        return 1
    return most_at_once(device.torch(), bytes_each=_TILE_BYTES, share=0.3, most=_MOST_AT_ONCE)


def example(device: torch.device) -> torch.Tensor:
    """Return an image of noise, scaled."""
    import torch

    return torch.rand(1, 3, _EXAMPLE_PX, _EXAMPLE_PX, device=device)


class InstanSeg:
    """InstanSeg's network, and our own way from what it says to nuclei.

    Parameters
    ----------
    weights
        The ``.pt`` file.
    device
        Where to compute.
    intensity
        The slide's range of intensities.
    settings
        ``engine`` and ``seed_threshold`` of the ``segmentation`` section of the configuration.

    Raises
    ------
    ClusterfirstError
        The file is not a TorchScript model of InstanSeg.
    """

    mpp = 0.5
    """µm per pixel that the network was trained at."""
    stride = STRIDE
    percentiles = (0.1, 99.9)
    """Percentiles of each channel that become 0 and 1."""
    smoothing_px = 0.5
    """See benchmarks/smoothing.md."""

    def __init__(
        self,
        weights: str | os.PathLike,
        *,
        device: Device,
        intensity: Intensity,
        settings: Mapping[str, Any],
    ):
        self._network = engine.network(
            "outlines", weights, partial(_source, weights), engine=settings["engine"], device=device
        )
        self._intensity = intensity
        labels, depth = Nuclei.of(self._network.constants), settings["seed_threshold"]
        self.labels = labels if depth is None else replace(labels, depth=depth)
        self.tiles_at_once = _at_once(device)

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Return what the network says of N × H × W × 3 uint8 RGB images: N × 5 × H × W (see `Nuclei`)."""
        high, wide = images.shape[1:3]
        scaled = np.clip(self._intensity.scale(padded(images)), *_RANGE).transpose(0, 3, 1, 2)
        maps = self._network(scaled)[:, :_MAPS, :high, :wide]
        # On its way to another process, no more than the network's own digits.
        return maps.astype(np.float16) if self._network.bf16 else maps


def _source(weights: str | os.PathLike, device: torch.device) -> engine.Source:
    model = load(weights, device=device)
    constants = nuclei(model, weights).constants()
    return engine.Source(model.fcn, example(device), constants)
