"""ResNet-50 (He et al. 2016, doi:10.1109/CVPR.2016.90): the average pool before the classifier, of unit length."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from ..devices import computes_bf16
from ..io import ClusterfirstError
from .crops import View, crops

if TYPE_CHECKING:
    import geopandas
    import torch

_WIDTH = 2048
_EDGE_PX = 224
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's red, green and blue, of 0 to 1."""
_PREFIXES = ("module.pre.", "module.")
"""What training code has put before torchvision's names: AugNet's, and torch's DataParallel."""


class ResNet50:
    """The network without its classifier.

    Parameters
    ----------
    weights
        A state dict of torchvision's ResNet-50, plain or as AugNet or DataParallel save it.
    crop, crop_um
        See `crops.crops`.
    batch_size
        Crops that go through the network together.
    device
        Where to compute.

    Raises
    ------
    ClusterfirstError
        The file is not a state dict of this network.
    """

    options = ("weights", "crop", "crop_um", "batch_size", "device")
    columns = tuple(f"resnet50_{index:04d}" for index in range(_WIDTH))
    standardise = False
    """Rows have unit length: their distances are angles already."""

    def __init__(self, *, weights: str | os.PathLike, crop: str, crop_um: float, batch_size: int, device: torch.device):
        self.margin_um = crop_um / 2 if crop == "square" else 0.0
        self._crop, self._crop_um = crop, crop_um
        self._batch_size = batch_size
        self._device = device
        self._model = _model(weights).to(device)
        self._bf16 = computes_bf16(device)

    def embed(self, views: Iterable[View], cells: geopandas.GeoDataFrame, *, mpp: float) -> np.ndarray:
        """Return N × 2048 float32, rows of unit length; see `Embedder.embed`."""
        values = np.empty((len(cells), _WIDTH), np.float32)
        stream = self._crops(views, cells, mpp=mpp)
        while batch := list(islice(stream, self._batch_size)):
            rows, images = zip(*batch, strict=True)
            values[list(rows)] = self._forward(np.stack(images))
        return values

    def _crops(self, views: Iterable[View], cells, *, mpp: float) -> Iterator[tuple[int, np.ndarray]]:
        for view in views:
            images = crops(view, cells, mode=self._crop, crop_um=self._crop_um, mpp=mpp, size=_EDGE_PX)
            yield from zip(view.rows, images, strict=True)

    def _forward(self, images: np.ndarray) -> np.ndarray:
        """From B × 224 × 224 × 3 uint8 to B × 2048 float32."""
        import torch

        with torch.inference_mode():
            # Bytes travel to the device, not floats. Permuted like this they are channels-last already.
            batch = torch.from_numpy(images).to(self._device).permute(0, 3, 1, 2).float() / 255
            mean, std = (torch.tensor(three, device=self._device).view(3, 1, 1) for three in (_MEAN, _STD))
            with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=self._bf16):
                pooled = self._model((batch - mean) / std)
            return torch.nn.functional.normalize(pooled.float()).cpu().numpy()


def _model(weights: str | os.PathLike) -> torch.nn.Module:
    import torch
    from torchvision.models import resnet50

    # Without memory of its own: filling it with random numbers takes longer than reading the file.
    with torch.device("meta"):
        model = resnet50(weights=None)
    model.fc = torch.nn.Identity()
    state = _state(weights)
    try:
        model.load_state_dict(state, assign=True)
    except RuntimeError as error:
        raise ClusterfirstError(f"weights {weights} do not fit ResNet-50: {_short(error)}") from error
    return model.float().eval().to(memory_format=torch.channels_last)


def _state(weights: str | os.PathLike) -> dict[str, torch.Tensor]:
    """Read a state dict under torchvision's names, without the classifier."""
    import torch

    try:
        state = torch.load(weights, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise ClusterfirstError(
            f"weights {weights} cannot be loaded: {_short(error)}. Give `embedding.weights` a name from the registry "
            "or a state dict of torchvision's ResNet-50 saved with torch.save"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise ClusterfirstError(f"weights {weights} hold no state dict (parameters by name)")
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): value for name, value in state.items()}
    return {name: value for name, value in state.items() if not name.startswith("fc.")}


def _short(error: Exception, *, longest: int = 500) -> str:
    """What torch says, on one line: it may name hundreds of parameters."""
    text = " ".join(str(error).split())
    return text if len(text) <= longest else text[:longest] + " …"
