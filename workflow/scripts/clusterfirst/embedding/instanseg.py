"""What InstanSeg's encoder sees in a nucleus: features of a network that knows histology, at no cost in weights.

The network that outlines nuclei has learnt what they look like. The deepest map of its encoder (256 channels, a pixel
for every 4 µm) is averaged over each cell. It takes one pass per tile, where networks fed with crops take one per cell.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np
import shapely
from scipy import sparse

from .. import engine
from ..devices import Device
from ..io import ClusterfirstError
from ..segmentation import instanseg
from ..segmentation.intensity import Intensity
from .crops import Patch
from .morphology import label_image, pixels

if TYPE_CHECKING:
    import geopandas
    import torch

_WIDTH = 256
_BLOCK = 1024
_SEEN_AROUND = 64
"""A block of this many pixels is seen with so many more on every side: memory does not grow with the tile."""


class Prepared(NamedTuple):
    """A view as the network wants it, and where its cells are.

    Attributes
    ----------
    image : numpy.ndarray
        H × W × 3 uint8 at 0.5 µm/px.
    x, y, cell : numpy.ndarray
        Pixels of cells, and the cell (0…n-1) of each; at least one for each cell.
    """

    image: np.ndarray
    x: np.ndarray
    y: np.ndarray
    cell: np.ndarray


class InstanSegEncoder:
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
    standardise = True
    """Channels differ in their range."""
    margin_um = _SEEN_AROUND * instanseg.InstanSeg.mpp
    cells_at_once = None
    """One pass serves all cells of a view."""

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

    def start(self, cells: geopandas.GeoDataFrame, out: np.ndarray, *, mpp: float) -> None:
        """See `Embedder.start`."""
        self._polygons = cells.geometry.to_numpy()
        self._out, self._mpp = out, mpp

    def prepare(self, view: Patch) -> Prepared:
        """Bring a view to the resolution of the network, and find the pixels of its cells."""
        left, top, right, bottom = view.bounds
        factor = self._mpp / instanseg.InstanSeg.mpp
        wide, high = (max(1, round(side * factor)) for side in (right - left, bottom - top))
        shrinks = wide < view.image.shape[1]
        how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        seen = Patch(cv2.resize(view.image, (wide, high), interpolation=how), view.bounds, view.rows)
        drawn = shapely.transform(self._polygons[view.rows], seen.to_image)
        labels = label_image(drawn, np.arange(1, len(drawn) + 1), (high, wide))
        pixel, cell = pixels(labels, seen, self._polygons)
        return Prepared(seen.image, pixel % wide, pixel // wide, cell)

    def take(self, rows: np.ndarray, prepared: Prepared) -> None:
        """Run the network and average over cells."""
        sums = sum(self._sums(block, len(rows)) for block in _blocks(prepared))
        sizes = np.bincount(prepared.cell, minlength=len(rows))
        self._out[rows] = sums / sizes[:, None]

    def finish(self) -> None:
        """Nothing is missing."""

    def _sums(self, block: Prepared, count: int) -> np.ndarray:
        """Return count × 256: the map, interpolated at the pixels, added up by cell."""
        image = instanseg.padded(block.image)
        found = self._network(self._intensity.scale(image).transpose(2, 0, 1)[None])[0]
        shares = _shares(block, count, stride=image.shape[0] // found.shape[1], shape=found.shape[1:])
        return shares @ found.reshape(len(found), -1).T


def _source(weights: str | os.PathLike, device: torch.device) -> engine.Source:
    """The encoder of an InstanSeg model."""
    import torch

    model = instanseg.load(weights, device=device)
    try:
        stages = [stage for _, stage in model.fcn.encoder.named_children()]
    except AttributeError as error:
        raise ClusterfirstError(f"weights {weights}: no InstanSeg model: it has no encoder") from error
    return engine.Source(torch.nn.Sequential(*stages), instanseg.example(device), {})


def _shares(block: Prepared, count: int, *, stride: int, shape: tuple[int, int]) -> sparse.csr_array:
    """How much of each pixel of a map of that shape a cell is given, interpolated at its own pixels: count × h·w."""
    high, wide = shape
    # Centres of pixels, in pixels of the map from the centre of its first.
    y, x = (np.clip((at + 0.5) / stride - 0.5, 0, side - 1) for at, side in ((block.y, high), (block.x, wide)))
    top, left = np.floor(y).astype(int), np.floor(x).astype(int)
    down, right = y - top, x - left
    below, beside = np.minimum(top + 1, high - 1), np.minimum(left + 1, wide - 1)
    corners = ((top, left, (1 - down) * (1 - right)), (top, beside, (1 - down) * right))
    corners += ((below, left, down * (1 - right)), (below, beside, down * right))
    pixel = np.concatenate([row * wide + column for row, column, _ in corners])
    weight = np.concatenate([share for _, _, share in corners]).astype(np.float32)
    return sparse.csr_array((weight, (np.tile(block.cell, 4), pixel)), (count, high * wide))


def _blocks(whole: Prepared) -> Iterator[Prepared]:
    """Cut a large view into blocks, each pixel in one of them; each is seen with some surroundings."""
    high, wide = whole.image.shape[:2]
    for top in range(0, high, _BLOCK):
        for left in range(0, wide, _BLOCK):
            inside = (whole.x // _BLOCK == left // _BLOCK) & (whole.y // _BLOCK == top // _BLOCK)
            if inside.any():
                x0, y0 = max(0, left - _SEEN_AROUND), max(0, top - _SEEN_AROUND)
                image = whole.image[y0 : top + _BLOCK + _SEEN_AROUND, x0 : left + _BLOCK + _SEEN_AROUND]
                yield Prepared(image, whole.x[inside] - x0, whole.y[inside] - y0, whole.cell[inside])
