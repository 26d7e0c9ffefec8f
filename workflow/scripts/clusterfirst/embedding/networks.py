"""Networks as embedders: crops of cells in, rows of unit length out."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

from ..devices import Device, in_less_memory, most_at_once
from ..io import ClusterfirstError
from .crops import Crop, Patch
from .encoders import Encoder, label, load

if TYPE_CHECKING:
    import geopandas
    import torch

log = logging.getLogger(__name__)

_CPU_BATCH = 16
"""Larger ones are no faster on a CPU: their intermediate results leave its cache."""
_MOST_AT_ONCE = 512
_TRIED_AT_ONCE = 8
_UNKNOWN_BATCH = 64
"""On a GPU whose memory torch does not see being used, as under ONNX Runtime."""
_CUT_AT_ONCE = 64
"""Crops wait for the network in portions of 10 MB."""
_IN_FLIGHT = 2
"""Batches a GPU may be behind: it has the next before it is asked for the result of the last."""


class Network:
    """Shows crops of cells to a network.

    Parameters
    ----------
    model, weights, device, histogram, settings
        See `Embedder` and `encoders.load`.

    Raises
    ------
    ClusterfirstError
        The weights cannot be used.
    """

    standardise = False
    """Rows have unit length: their distances are angles already."""

    def __init__(
        self,
        model: str,
        weights: str | os.PathLike,
        *,
        device: Device,
        histogram: np.ndarray | None = None,
        settings: Mapping[str, Any],
    ):
        self._model, self._device, self._crop = model, device.torch(), Crop.of(settings)
        self._encode = load(model, weights, device=device, edge_px=settings["crop_px"], engine=settings["engine"])
        self._batch_size = settings["batch_size"] or _batch_size(self._encode, self._device)
        self.columns = tuple(f"{label(model)}_{index:04d}" for index in range(self._encode.width))
        self.margin_um = self._crop.reach_um
        self.cells_at_once = min(self._batch_size, _CUT_AT_ONCE)
        self._blank = tuple(round(255 * channel) for channel in self._encode.mean)

    def start(self, cells: geopandas.GeoDataFrame, out: np.ndarray, *, mpp: float) -> None:
        """See `Embedder.start`."""
        self._polygons = cells.geometry.to_numpy()
        # An outline without area has no centroid.
        boxes = shapely.bounds(self._polygons).reshape(-1, 2, 2)
        centroids = cells[["x", "y"]].to_numpy(float)
        self._centres = np.where(np.isfinite(centroids), centroids, boxes.mean(axis=1))
        self._out, self._mpp = out, mpp
        self._waiting: list[tuple[np.ndarray, np.ndarray]] = []
        self._in_flight: deque[tuple[np.ndarray, torch.Tensor]] = deque()

    def prepare(self, view: Patch) -> np.ndarray:
        """Crop the cells of a view: n × edge × edge × 3 uint8."""
        size = self._encode.edge_px
        # Masked with the network's mean colour, which it sees as nothing, like the padding of its convolutions. White
        # would be a bright frame with an edge along every outline.
        return self._crop.cut(view, self._polygons, self._centres, mpp=self._mpp, size=size, blank=self._blank)

    def take(self, rows: np.ndarray, prepared: np.ndarray) -> None:
        """Gather crops, of whatever tiles, until they make a batch."""
        self._waiting.append((rows, prepared))
        while sum(len(rows) for rows, _ in self._waiting) >= self._batch_size:
            self._flush()

    def finish(self) -> None:
        """Run what is left, and wait for all results."""
        if self._waiting:
            self._flush()
        while self._in_flight:
            self._collect()

    def _flush(self) -> None:
        """Give the device one batch."""
        rows, crops = (np.concatenate(parts) for parts in zip(*self._waiting, strict=True))
        size = self._batch_size
        self._waiting = [(rows[size:], crops[size:])] if len(rows) > size else []
        self._in_flight.append((rows[:size], self._run(crops[:size])))
        if len(self._in_flight) > _IN_FLIGHT:
            self._collect()

    def _collect(self) -> None:
        rows, result = self._in_flight.popleft()
        self._out[rows] = result.cpu().numpy()

    def _run(self, crops: np.ndarray) -> torch.Tensor:
        """Run crops; when memory runs out, run them again in halves. Returns n × D float32, rows of unit length."""
        import torch

        def run() -> torch.Tensor:
            size = self._batch_size
            return torch.cat([self._encode(crops[at : at + size]) for at in range(0, len(crops), size)])

        return torch.nn.functional.normalize(in_less_memory(run, self._halve))

    def _halve(self, reason: str) -> None:
        if self._batch_size == 1:
            raise ClusterfirstError(
                f"not enough memory on {self._device} for {self._model}, even for one crop at a time ({reason}). Free "
                "some, or let fewer jobs share the device"
            )
        self._batch_size //= 2
        log.warning(
            "not enough memory on %s for %d crops at a time (%s): going on with %d",
            *(self._device, 2 * self._batch_size, reason, self._batch_size),
        )


def _batch_size(encode: Encoder, device: torch.device) -> int:
    """Crops that fit into half the free memory of a GPU, as a trial shows."""
    import torch

    if device.type != "cuda":
        return _CPU_BATCH
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    encode(np.zeros((_TRIED_AT_ONCE, encode.edge_px, encode.edge_px, 3), np.uint8))
    each = (torch.cuda.max_memory_allocated(device) - before) / _TRIED_AT_ONCE
    if each <= 0:
        return _UNKNOWN_BATCH
    return most_at_once(device, bytes_each=each, share=0.5, most=_MOST_AT_ONCE)
