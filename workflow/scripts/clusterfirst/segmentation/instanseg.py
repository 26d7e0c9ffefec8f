"""InstanSeg (Goldsborough et al. 2024, doi:10.48550/arXiv.2408.15954): nuclei in brightfield images."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..devices import computes_bf16
from ..io import ClusterfirstError

if TYPE_CHECKING:
    import torch

    from .intensity import Intensity


def load(weights: str | os.PathLike, *, device: torch.device) -> torch.jit.ScriptModule:
    """Load the model.

    Raises
    ------
    ClusterfirstError
        The file is not a TorchScript model.
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


class InstanSeg:
    """The TorchScript model, network and post-processing in one file.

    Parameters
    ----------
    weights
        The ``.pt`` file.
    device
        Where to compute.
    intensity
        The slide's range of intensities.
    settings
        None of them concern it.

    Raises
    ------
    ClusterfirstError
        The file is not a TorchScript model.
    """

    mpp = 0.5
    """µm per pixel that the network was trained at."""
    stride = 8
    """Three poolings."""
    percentiles = (0.1, 99.9)
    """Percentiles of each channel that become 0 and 1."""
    smoothing_px = 0.5
    """See benchmarks/smoothing.md."""
    tiles_at_once = 1
    """Its post-processing goes image by image, and one tile fills a CPU."""

    def __init__(
        self,
        weights: str | os.PathLike,
        *,
        device: torch.device,
        intensity: Intensity,
        settings: Mapping[str, Any] | None = None,
    ):
        self._model = load(weights, device=device)
        self._device = device
        self._bf16 = computes_bf16(device)
        self._intensity = intensity

    @staticmethod
    def labels(prediction: np.ndarray) -> np.ndarray:
        """Return the prediction: the network's own post-processing has made labels of it."""
        return prediction

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Label the nuclei of N × H × W × 3 uint8 RGB images; return N × H × W int32, 0 for background."""
        import torch

        scaled = torch.from_numpy(self._intensity.scale(images)).to(self._device).permute(0, 3, 1, 2)
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Sparse CSR tensor support")
            # Half the time of float32 on a CPU with bfloat16, and the same F1: see benchmarks/accuracy.md.
            with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=self._bf16):
                labels = self._model(scaled.contiguous(memory_format=torch.channels_last))
        return labels[:, 0].to(torch.int32).cpu().numpy()
