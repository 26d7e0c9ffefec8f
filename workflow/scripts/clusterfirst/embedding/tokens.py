"""What a network sees where a nucleus lies: its maps or tokens under the outline, at one pass for all cells of a tile.

Of a vision transformer, the tokens after its last block; of a convolutional network, the maps with a pixel for every 8
and every 16 pixels of the image, side by side: deeper ones see neighbours rather than the cell.
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
from ..text import one_line
from .encoders import MEAN, STD, fill, label, scripted, timm_network, word
from .maps import MapEmbedder, to_multiple

if TYPE_CHECKING:
    import torch

PREFIX = "tokens:"
_STRIDES = (8, 16)
_SIDE = 32
"""Images for networks that take any size have sides of a multiple of it."""
_AROUND = 32
_EXAMPLE_PX = 256


class Tokens(MapEmbedder):
    """Averages tokens of a vision transformer, or maps of a convolutional network, over every cell.

    Parameters
    ----------
    model
        ``tokens:<name>``, an architecture of timm; or ``tokens:<file>``, a TorchScript file (.pt, .ts) that gives
        B × C × h × w for images of B × 3 × H × W, normalised with ImageNet's mean and standard deviation.
    weights
        A state dict of the architecture, or the file.
    device, histogram, settings
        See `Embedder`; of the settings ``token_mpp``, ``token_px`` and ``engine``.

    Raises
    ------
    ClusterfirstError
        There is no such architecture, it has no maps, or the file does not fit it.
    """

    around = _AROUND

    def __init__(
        self,
        model: str,
        weights: str | os.PathLike,
        *,
        device: Device,
        histogram: np.ndarray | None,
        settings: Mapping[str, Any],
    ):
        name, window = model.removeprefix(PREFIX), settings["token_px"]
        source = partial(_source, name, weights, window)
        try:
            self._network = engine.network(
                f"tokens-{word(f'timm:{name}', window)}", weights, source, engine=settings["engine"], device=device
            )
        except (RuntimeError, AssertionError, ValueError) as error:  # of a window that the network does not take
            raise ClusterfirstError(
                f"embedding.models: {model} cannot be used: {one_line(error)}. `embedding.token_px: null` shows it "
                "what it was trained with"
            ) from error
        constants = self._network.constants
        self.mpp = settings["token_mpp"]
        self.window = constants["window"].item() or None
        if self.window and self.window <= 2 * self.around:
            raise ClusterfirstError(
                f"embedding.token_px: {self.window} leaves no room beside the {self.around} pixels around cells"
            )
        self._stride = constants["stride"].item()
        self._mean, self._std = (np.float32(255 * constants[key]) for key in ("mean", "std"))
        self.columns = tuple(f"tokens_{label(name)}_{index:04d}" for index in range(constants["width"].item()))

    def _look(self, image: np.ndarray) -> tuple[np.ndarray, int]:
        # With a window, it has the size already.
        seen = (to_multiple(image, 1 if self.window else _SIDE) - self._mean) / self._std
        return self._network(seen.transpose(2, 0, 1)[None])[0], self._stride


def _source(name: str, weights: str | os.PathLike, window: int | None, device: torch.device) -> engine.Source:
    import torch

    if name.endswith((".pt", ".ts")):
        network, side, mean, std = scripted(weights), window, MEAN, STD
    else:
        network, side, mean, std = _of_timm(name, weights, window)
    network = network.to(device)
    example = torch.rand(1, 3, *[side or _EXAMPLE_PX] * 2, device=device)
    with torch.inference_mode():
        found = network(example)
    if not isinstance(found, torch.Tensor) or found.ndim != 4:
        shape = tuple(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
        raise ClusterfirstError(f"network {weights} gives {shape}, and no map (B × C × h × w)")
    numbers = {"window": side or 0, "stride": example.shape[-1] // found.shape[-1], "width": found.shape[1]}
    constants = {key: np.array(value) for key, value in {**numbers, "mean": mean, "std": std}.items()}
    return engine.Source(network, example, constants, any_size=side is None)


def _of_timm(name: str, weights: str | os.PathLike, window: int | None):
    """Return a network that gives one map, the side it wants (None: any), and the colours that it was trained with."""
    network, about = timm_network(name, dynamic_img_size=window is not None)
    if not hasattr(network, "forward_intermediates"):
        raise ClusterfirstError(
            f"embedding.models: timm's {name} has no maps that could be taken: take it as timm:{name}"
        )
    fill(network, name, weights)
    strides = [one["reduction"] for one in network.feature_info]
    if len(set(strides)) == 1:
        # A transformer: one size throughout, and the size of its input is fixed.
        return _maps(network, [len(strides) - 1], [1]), window or about["input_size"][-1], about["mean"], about["std"]
    wanted = [place for place, stride in enumerate(strides) if stride in _STRIDES] or [len(strides) - 1]
    scales = [strides[place] // strides[wanted[0]] for place in wanted]
    return _maps(network, wanted, scales), window, about["mean"], about["std"]


def _maps(network: torch.nn.Module, places: list[int], scales: list[int]) -> torch.nn.Module:
    """A module that gives some maps of a network side by side, in the size of the first."""
    import torch

    class Maps(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.network = network

        def forward(self, images):
            found = self.network.forward_intermediates(images, indices=places, norm=True, intermediates_only=True)
            return torch.cat(
                [
                    one
                    if scale == 1
                    else torch.nn.functional.interpolate(one, scale_factor=scale, mode="bilinear", align_corners=False)
                    for one, scale in zip(found, scales, strict=True)
                ],
                dim=1,
            )

    return Maps().eval()
