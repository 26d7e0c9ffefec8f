"""What InstanSeg's encoder sees in a nucleus: features of a network that knows histology, at no cost in weights.

The network that outlines nuclei has learnt what they look like. The deepest map of its encoder (256 channels, a pixel
for every 4 µm) is averaged over each cell. It takes one pass per tile, where networks fed with crops take one per cell.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np
import shapely

from ..devices import computes_bf16
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
        device: torch.device,
        histogram: np.ndarray | None,
        settings: Mapping[str, Any] | None = None,
    ):
        network = instanseg.load(weights, device=device)
        try:
            self._stages = [stage for _, stage in network.fcn.encoder.named_children()]
        except AttributeError as error:
            raise ClusterfirstError(f"weights {weights}: no InstanSeg model: it has no encoder") from error
        self._device, self._bf16 = device, computes_bf16(device)
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
        import torch

        sums = torch.zeros(len(rows), _WIDTH, device=self._device)
        for block in _blocks(prepared):
            sums += self._sums(block, len(rows))
        sizes = np.bincount(prepared.cell, minlength=len(rows))
        self._out[rows] = sums.cpu().numpy() / sizes[:, None]

    def finish(self) -> None:
        """Nothing is missing."""

    def _sums(self, block: Prepared, count: int) -> torch.Tensor:
        """Return count × 256: the map, interpolated at the pixels, added up by cell."""
        import torch

        scaled = torch.from_numpy(self._intensity.scale(_padded(block.image))[None]).to(self._device)
        high, wide = scaled.shape[1:3]
        # Centres of pixels, in shares of the image from −1 to 1.
        places = np.stack([(2 * block.x + 1) / wide - 1, (2 * block.y + 1) / high - 1], axis=-1)
        grid = torch.from_numpy(places.astype(np.float32)[None, None]).to(self._device)
        with torch.inference_mode():
            found = scaled.permute(0, 3, 1, 2)
            with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=self._bf16):
                for stage in self._stages:
                    found = stage(found)
            at = torch.nn.functional.grid_sample(found.float(), grid, padding_mode="border", align_corners=False)
            cell = torch.from_numpy(block.cell).to(self._device)
            return torch.zeros(count, _WIDTH, device=self._device).index_add_(0, cell, at[0, :, 0].T)


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


def _padded(image: np.ndarray) -> np.ndarray:
    """Mirror the right and lower edges until the sides are multiples of the stride, and not tiny."""
    stride = instanseg.InstanSeg.stride
    high, wide = (max(4 * stride, -(-side // stride) * stride) for side in image.shape[:2])
    below, beside = high - image.shape[0], wide - image.shape[1]
    return cv2.copyMakeBorder(image, 0, below, 0, beside, cv2.BORDER_REFLECT)
