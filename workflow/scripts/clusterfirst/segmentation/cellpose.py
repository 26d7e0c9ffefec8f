"""Cellpose-SAM (Pachitariu, Rariden & Stringer 2025, doi:10.1101/2025.04.28.651001): nuclei and cells of any kind.

The network gives each pixel a flow, which leads to the centre of its cell, and the logit of belonging to one. Here
is what Cellpose leaves to its user: batches over many tiles whose results do not depend on who shares them, memory
that runs out, weights that are checked before use. What the network sees is Cellpose's own; `flows` does the rest.
"""

from __future__ import annotations

import logging
import math
import os
import pickle
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from importlib import import_module
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..devices import Device, computes_bf16, in_less_memory
from ..io import ClusterfirstError
from ..text import one_line
from .flows import Labels, follow

if TYPE_CHECKING:
    import torch

    from .intensity import Intensity

log = logging.getLogger(__name__)

_DIAMETER_PX = 30
"""What Cellpose's `diameter` scales cells to."""
_STEPS = 200
"""Euler steps along the flows, at that diameter."""
_OVERLAP = 0.1
"""Of neighbouring sub-tiles."""
_MOST_AT_ONCE = 32
"""Sub-tiles: what every GPU of 8 GB holds, so that most compute in the same way. Not measured on a GPU yet."""
_TILES_AT_ONCE = 64
"""Predictions for tiles of 624 px then take up to 0.4 GB."""
_BYTES_PER_PIXEL = 2500
"""Of a sub-tile while it is in the network, in bfloat16: 134 to 147 MB for 256 × 256 were measured."""
_LETTERS = 300
"""Of what torch has to say about weights."""
_GIVE = "Give `segmentation.weights` the name of a model (cpsam, cpsam_v2, cpdino) or a file that Cellpose 4 has saved"


class Cellpose:
    """Cellpose 4: its SAM (``cpsam``, ``cpsam_v2``) and DINO (``cpdino``) networks, or one fine-tuned from them.

    Parameters
    ----------
    weights
        What Cellpose 4 saves: a state dict.
    device
        Where the network runs, in bfloat16 where the device computes in it.
    intensity
        The slide's range of intensities.
    settings
        ``flow_threshold``, ``cellprob_threshold``, ``diameter`` (px of the tile, or None), ``resample``, ``min_size``
        (px) and ``batch_size`` (sub-tiles, or None) of the ``segmentation`` section of the configuration.

    Raises
    ------
    ClusterfirstError
        The file is no such state dict, or the network needs a package that is not installed.
    """

    mpp = None
    """It takes cells of any size from 8 to 120 px."""
    stride = 8
    """The side of a token. Nearly the same outlines, that is: where sub-tiles begin depends on the size of the tile."""
    percentiles = (1.0, 99.0)
    """Cellpose's own, which it takes of each image; here they are the slide's."""
    smoothing_px = 0.0
    """It was trained on images of any sharpness."""

    def __init__(
        self,
        weights: str | os.PathLike,
        *,
        device: Device,
        intensity: Intensity,
        settings: Mapping[str, Any],
    ):
        import torch

        self._device = device.torch()
        self._intensity = intensity
        self._dtype = torch.bfloat16 if computes_bf16(device) else torch.float32
        self._model = _model(weights, device=self._device, dtype=self._dtype)
        self._edge_px = 256 if self._model.backbone.startswith("sam") else 384
        self._batch_size = settings["batch_size"] or _batch_size(self._device, edge_px=self._edge_px, dtype=self._dtype)
        # Whatever number of sub-tiles a tile has, as many tiles as a batch has places leave no place empty.
        self.tiles_at_once = min(self._batch_size, _TILES_AT_ONCE)
        self._scale = _DIAMETER_PX / settings["diameter"] if settings["diameter"] else 1.0
        self._resample = settings["resample"]
        self._follows = device.type == "cuda"
        self.labels = Labels(
            flow_threshold=settings["flow_threshold"],
            cellprob_threshold=settings["cellprob_threshold"],
            min_size=settings["min_size"],
            steps=int(_STEPS / self._scale) if self._resample else _STEPS,
        )

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Compute flows.

        Parameters
        ----------
        images
            N × H × W × 3 uint8 RGB.

        Returns
        -------
        numpy.ndarray
            N records for `labels`: ``flows``, 3 × h × w floats (flow down, flow to the right, logit of being in a
            cell); ``size``, H and W; on a GPU also ``ends``, 2 × h × w int16, the pixel (y, x) where the flows lead.
            h × w is H × W, or the network's resolution without ``resample``.
        """
        return in_less_memory(lambda: self._predict(images), self._halve)

    def _predict(self, images: np.ndarray) -> np.ndarray:
        import torch

        size = images.shape[1:3]
        grid = _Grid(*(int(side * self._scale) for side in size), edge_px=self._edge_px, device=self._device)
        with torch.inference_mode():
            flows = self._flows(chain.from_iterable(grid.cut(self._input(image)) for image in images))
            # A GPU is given all of its work before any result is asked for: each question waits for an answer.
            results = [self._result(grid.join(flows), size) for _ in images]
            return _records(results, size)

    def _input(self, image: np.ndarray) -> torch.Tensor:
        """From H × W × 3 uint8 to 3 × h × w on the device, of the network's resolution."""
        import torch
        from cellpose import transforms

        scaled = self._intensity.scale(image)
        if self._scale != 1:
            scaled = transforms.resize_image(scaled, rsz=self._scale)
        tensor = torch.from_numpy(np.ascontiguousarray(scaled.transpose(2, 0, 1)))
        if self._device.type == "cuda":
            tensor = tensor.pin_memory()  # from other memory, the copy would wait for what the GPU has still to do
        return tensor.to(self._device, non_blocking=True)

    def _flows(self, subtiles: Iterable[torch.Tensor]) -> Iterator[torch.Tensor]:
        """Run sub-tiles (3 × edge × edge each) through the network in batches of one size."""
        subtiles = iter(subtiles)
        while batch := list(islice(subtiles, self._batch_size)):
            yield from self._run(batch)

    def _run(self, subtiles: list[torch.Tensor]) -> torch.Tensor:
        """Run one batch; when memory runs out, run it again in halves."""
        import torch

        def run() -> torch.Tensor:
            size = self._batch_size
            parts = [subtiles[start : start + size] for start in range(0, len(subtiles), size)]
            return torch.cat([self._network(_filled(part, size))[: len(part)] for part in parts])

        return in_less_memory(run, self._halve)

    def _network(self, batch: torch.Tensor) -> torch.Tensor:
        """From B × 3 × edge × edge to flows of the same shape, in float32."""
        return self._model(batch.to(self._dtype))[0].float()

    def _halve(self, reason: str) -> None:
        import torch

        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        if self._batch_size == 1:
            raise ClusterfirstError(
                f"not enough memory on {self._device} for Cellpose, even for one sub-tile of {self._edge_px} px at a "
                f"time ({reason}). Free some, or let fewer jobs share the device; `segmentation.model: instanseg` "
                "needs far less"
            )
        self._batch_size //= 2
        log.warning(
            "not enough memory on %s for %d sub-tiles at a time (%s): going on with %d. For the same results to the "
            "last digit when this is run again, set `segmentation.batch_size: %d`",
            self._device,
            2 * self._batch_size,
            reason,
            self._batch_size,
            self._batch_size,
        )

    def _result(self, flows: torch.Tensor, size: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Bring flows to the resolution of their outlines, in as many digits as they have; follow them on a GPU."""
        import torch
        from cellpose import transforms

        if self._resample and self._scale != 1:
            resized = transforms.resize_image(flows.permute(1, 2, 0).cpu().numpy(), *size)
            flows = torch.from_numpy(resized).permute(2, 0, 1).to(self._device)
        if self._dtype == torch.bfloat16:
            flows = flows.half()
        if not self._follows:
            return flows, None
        return flows, follow(flows.float(), threshold=self.labels.cellprob_threshold, steps=self.labels.steps)


def _records(results: list[tuple[torch.Tensor, torch.Tensor | None]], size: tuple[int, int]) -> np.ndarray:
    """Copy results to host memory; see `Cellpose.predict`."""
    flows, ends = results[0]
    fields = [("flows", "f2" if flows.itemsize == 2 else "f4", flows.shape), ("size", "i4", 2)]
    fields += [] if ends is None else [("ends", "i2", ends.shape)]
    records = np.empty(len(results), fields)
    records["size"] = size
    for record, (flows, ends) in zip(records, results, strict=True):
        record["flows"][...] = flows.cpu().numpy()
        if ends is not None:
            record["ends"][...] = ends.cpu().numpy()
    return records


class _Grid:
    """Where the network's square sub-tiles lie in a padded image: where `cellpose.core.run_net` puts them.

    Parameters
    ----------
    high, wide
        Of the image, px.
    edge_px
        Of a sub-tile.
    device
        Where images and flows are.
    """

    def __init__(self, high: int, wide: int, *, edge_px: int, device: torch.device):
        import torch
        from cellpose import transforms

        top, bottom, left, right = transforms.get_pad_yx(high, wide, min_size=(edge_px, edge_px))
        self._pads = (left, right, top, bottom)
        self._inner = (slice(None), slice(top, top + high), slice(left, left + wide))
        padded = np.empty((1, top + high + bottom, left + wide + right), np.float32)
        _, rows, columns, *_ = transforms.make_tiles(padded, bsize=edge_px, tile_overlap=_OVERLAP)
        self._windows = [
            (slice(None), slice(*map(int, ys)), slice(*map(int, xs))) for ys, xs in zip(rows, columns, strict=True)
        ]
        # In float64, as Cellpose does it: the result is the same to the last digit.
        self._taper = torch.from_numpy(transforms._taper_mask(edge_px, edge_px)).to(device)
        self._weight = torch.zeros(padded.shape, dtype=torch.float64, device=device)
        for window in self._windows:
            self._weight[window] += self._taper

    def cut(self, image: torch.Tensor) -> list[torch.Tensor]:
        """Cut an image, 3 × high × wide, into sub-tiles, 3 × edge × edge."""
        import torch

        padded = torch.nn.functional.pad(image, self._pads)
        return [padded[window] for window in self._windows]

    def join(self, subtiles: Iterator[torch.Tensor]) -> torch.Tensor:
        """Take the next sub-tiles that make an image and average them where they overlap; return 3 × high × wide."""
        import torch

        total = torch.zeros((3, *self._weight.shape[1:]), device=self._weight.device)
        for window, subtile in zip(self._windows, islice(subtiles, len(self._windows)), strict=True):
            total[window] += subtile * self._taper
        return total.div_(self._weight)[self._inner]


def _filled(subtiles: list[torch.Tensor], size: int) -> torch.Tensor:
    """Stack sub-tiles and fill the batch up: at another size, kernels add up in another order."""
    import torch

    nothing = torch.zeros_like(subtiles[0])
    return torch.stack(subtiles + [nothing] * (size - len(subtiles)))


def _batch_size(device: torch.device, *, edge_px: int, dtype: torch.dtype) -> int:
    """Sub-tiles that fit into four fifths of the free memory of a GPU: a power of two, so that few sizes occur."""
    import torch

    if device.type != "cuda":
        return 1  # larger ones were no faster
    free, _ = torch.cuda.mem_get_info(device)
    fit = 0.8 * free / (_BYTES_PER_PIXEL * edge_px**2 * dtype.itemsize / 2)
    return 2 ** int(math.log2(min(max(fit, 1), _MOST_AT_ONCE)))


def _model(weights: str | os.PathLike, *, device: torch.device, dtype: torch.dtype) -> torch.nn.Module:
    """Build the network that a file holds the parameters of; the host's memory never holds them in float32."""
    import torch

    state = _state(weights)
    # Without memory of its own: filling it with random numbers takes longer than reading the file.
    with torch.device("meta"):
        model = _architecture(state, weights)(dtype=dtype)
    # From the disk, one by one.
    state = {name: value.to(device, dtype) for name, value in state.items()}
    try:
        model.load_state_dict(state, assign=True)
    except RuntimeError as error:
        why = one_line(error, most=_LETTERS)
        raise ClusterfirstError(f"weights {weights} do not fit {model.backbone}: {why}. {_GIVE}") from error
    return model.eval()


def _state(weights: str | os.PathLike) -> dict[str, torch.Tensor]:
    """Read a state dict; its tensors stay on the disk until they are used."""
    import torch

    path = Path(weights)
    if not path.is_file():
        raise ClusterfirstError(f"weights {path} do not exist. {_GIVE}")
    if not zipfile.is_zipfile(path):
        raise ClusterfirstError(
            f"weights {path} ({path.stat().st_size} bytes) are no whole file saved by PyTorch: perhaps a download that "
            f"was cut off, or a web page in its place. {_GIVE}"
        )
    try:
        state = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        why = one_line(error, most=_LETTERS)
        raise ClusterfirstError(f"weights {path} cannot be loaded: {why}. {_GIVE}") from error
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise ClusterfirstError(f"weights {path} hold no state dict (parameters by name). {_GIVE}")
    # torch's DataParallel puts it before each name.
    state = {name.removeprefix("module."): value for name, value in state.items()}
    if "W2" not in state:
        raise ClusterfirstError(
            f"weights {path} are no model of Cellpose 4 (they hold no parameter W2): those of Cellpose 3 and older, "
            f"cyto3 for instance, cannot be used. {_GIVE}"
        )
    return state


def _architecture(state: Mapping[str, torch.Tensor], weights: str | os.PathLike):
    """Return what builds the network with these parameters; see `cellpose.models.get_backbone`."""
    from cellpose import vit

    if "encoder.cls_token" not in state:
        return vit.CPSAM
    try:
        import_module("dinov3.hub.backbones")
    except ImportError as error:
        raise ClusterfirstError(
            f"weights {weights} are of a Cellpose network built on DINOv3, which needs Python package `dinov3` "
            f"({error}). Install it (pip install git+https://github.com/facebookresearch/dinov3), or take "
            "`segmentation.weights: cpsam`"
        ) from error
    width = state["encoder.cls_token"].shape[-1]
    return partial(vit.CPDINO, model_name="vitb" if width == 768 else "vitl")
