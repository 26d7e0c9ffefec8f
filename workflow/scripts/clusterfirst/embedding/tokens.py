"""What a network sees where a nucleus lies: its maps or tokens under the outline, at one pass for all cells of a tile.

Of a network whose maps have one size throughout, as tokens of plain vision transformers do, the last; of others the
maps with a pixel for every 8 and every 16 pixels of the image, side by side: deeper ones see neighbours, not the cell.
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
from .pathology import KNOWN, options

if TYPE_CHECKING:
    import torch

PREFIX = "tokens:"
_STRIDES = (8, 16)
_SIDE = 32
"""Images for networks that take any size have sides of a multiple of it."""
_AROUND = 32
_EXAMPLE, _OWN_PX = (256, 288), 224
"""What a network is shown to find out whether it takes any size; and the size of most that do not."""


class Tokens(MapEmbedder):
    """Averages tokens of a vision transformer, or maps of a convolutional network, over every cell.

    Parameters
    ----------
    model
        ``tokens:<name>``, an architecture of timm, or one of `pathology.KNOWN`; or ``tokens:<file>``, a TorchScript
        file (.pt, .ts) that gives B × C × h × w for images of B × 3 × H × W, normalised with ImageNet's mean and
        standard deviation.
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
        self._network = engine.network(
            f"tokens-{word(f'timm:{name}', window)}", weights, source, engine=settings["engine"], device=device
        )
        constants = self._network.constants
        self.mpp, self.window = settings["token_mpp"], constants["window"].item() or None
        self._mean, self._std = (np.float32(255 * constants[key]) for key in ("mean", "std"))
        self.columns = tuple(f"tokens_{label(name)}_{index:04d}" for index in range(constants["width"].item()))

    def _look(self, image: np.ndarray) -> tuple[np.ndarray, float]:
        # With a window, it has the size already.
        seen = (to_multiple(image, 1 if self.window else _SIDE) - self._mean) / self._std
        found = self._network(seen.transpose(2, 0, 1)[None])[0]
        return found, seen.shape[0] / found.shape[1]


def _source(name: str, weights: str | os.PathLike, window: int | None, device: torch.device) -> engine.Source:
    """Find out what a network takes: images of any size, of the size that was asked for, or of its own."""
    file = name.endswith((".pt", ".ts"))
    network, own, mean, std = (scripted(weights), None, MEAN, STD) if file else _of_timm(name, weights, window)
    wrong = []
    for side in dict.fromkeys([window] if window else [None, own or _OWN_PX]):
        # Not square, so that what depends on the shape shows.
        example = (side, side) if side else _EXAMPLE
        try:
            return _seen(network.to(device), example, side, mean, std, device)
        except Exception as error:  # noqa: BLE001 - networks say in many ways that they do not take a size
            wrong.append(f"of {example[0]} × {example[1]} pixels: {one_line(error)}")
    raise ClusterfirstError(
        f"embedding.models: {PREFIX}{name} cannot be used. Shown an image {'; '.join(wrong)}. "
        + ("Choose another `embedding.token_px`, or null" if window else "Set `embedding.token_px` to what it takes")
    )


def _seen(network, example: tuple[int, int], side: int | None, mean, std, device: torch.device) -> engine.Source:
    import torch

    image = torch.rand(1, 3, *example, device=device)
    with torch.inference_mode():
        found = network(image)
    if not isinstance(found, torch.Tensor) or found.ndim != 4:
        shape = tuple(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
        raise ClusterfirstError(f"it gives {shape}, and no map (B × C × h × w)")
    down, across = (pixels / mapped for pixels, mapped in zip(example, found.shape[2:], strict=True))
    if down != across or max(down, 1 / down) % 1:
        raise ClusterfirstError(
            f"it gives {tuple(found.shape)}, and no map with a pixel for every so many of the image, the same both ways"
        )
    numbers = {"window": side or 0, "width": found.shape[1], "mean": mean, "std": std}
    constants = {key: np.array(value) for key, value in numbers.items()}
    return engine.Source(network, image, constants, any_size=side is None)


def _of_timm(name: str, weights: str | os.PathLike, window: int | None):
    """Return a network that gives one map, the side that it was trained with, and the colours."""
    resized, known = window is not None, KNOWN.get(name)
    if known:
        network, about = timm_network(known.architecture, resized=resized, **options(known))
        about = {**about, "mean": known.mean, "std": known.std}
    else:
        network, about = timm_network(name, resized=resized)
    if not hasattr(network, "forward_intermediates"):
        raise ClusterfirstError(
            f"embedding.models: timm's {name} has no maps that could be taken: take it as timm:{name}"
        )
    fill(network, name, weights)
    strides = [one["reduction"] for one in network.feature_info]
    last = [len(strides) - 1]
    several = [place for place, stride in enumerate(strides) if stride in _STRIDES and len(set(strides)) > 1]
    wanted = several or last
    scales = [strides[place] // strides[wanted[0]] for place in wanted]
    return _maps(network, wanted, scales), about["input_size"][-1], about["mean"], about["std"]


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
