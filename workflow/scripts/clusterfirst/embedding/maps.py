"""Maps of networks, averaged over cells: one pass serves all cells of a tile, where crops take one pass each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
import shapely
from scipy import sparse

from .crops import Patch
from .morphology import label_image, pixels

if TYPE_CHECKING:
    import geopandas

_BLOCK = 1024
"""A network that takes images of any size sees so many pixels at once: memory does not grow with the tile."""


class Prepared(NamedTuple):
    """A view as a network wants it, and where its cells are.

    Attributes
    ----------
    image : numpy.ndarray
        H × W × 3 uint8 at the network's µm per pixel.
    x, y, cell : numpy.ndarray
        Pixels of cells, and the cell (0…n-1) of each; at least one for each cell.
    """

    image: np.ndarray
    x: np.ndarray
    y: np.ndarray
    cell: np.ndarray


class MapEmbedder:
    """An `Embedder` whose network gives a map of a whole view.

    A backend says how its network looks (`_look`), and:

    Attributes
    ----------
    columns : sequence of str
        A name for each channel of the map.
    mpp : float
        µm per pixel of what the network sees.
    around : int
        So many pixels around what a cell lies in are seen, too.
    window : int or None
        Edge of what the network sees, in pixels; None: it takes any size.
    """

    columns: Sequence[str]
    standardise = True
    """Channels differ in their range."""
    cells_at_once = None
    """One pass serves all cells of a view."""
    mpp: float
    around: int
    window: int | None = None

    @property
    def margin_um(self) -> float:
        """See `Embedder`."""
        return self.around * self.mpp

    def start(self, cells: geopandas.GeoDataFrame, out: np.ndarray, *, mpp: float) -> None:
        """See `Embedder.start`."""
        self._polygons = cells.geometry.to_numpy()
        self._out, self._mpp = out, mpp

    def prepare(self, view: Patch) -> Prepared:
        """Bring a view to the resolution of the network, and find the pixels of its cells."""
        left, top, right, bottom = view.bounds
        factor = self._mpp / self.mpp
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
        blocks = _blocks(prepared, around=self.around, window=self.window)
        sums = sum(self._sums(block, len(rows)) for block in blocks)
        sizes = np.bincount(prepared.cell, minlength=len(rows))
        self._out[rows] = sums / sizes[:, None]

    def finish(self) -> None:
        """Nothing is missing."""

    def _look(self, image: np.ndarray) -> tuple[np.ndarray, float]:
        """Return a map of an image, H × W × 3 uint8: C × h × w, and how many pixels there are for one of its own."""
        raise NotImplementedError

    def _sums(self, block: Prepared, count: int) -> np.ndarray:
        """Return count × C: the map, interpolated at the pixels, added up by cell."""
        found, stride = self._look(block.image)
        shares = _shares(block, count, stride=stride, shape=found.shape[1:])
        return shares @ found.reshape(len(found), -1).T


def _shares(block: Prepared, count: int, *, stride: float, shape: tuple[int, int]) -> sparse.csr_array:
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


def _blocks(whole: Prepared, *, around: int, window: int | None) -> Iterator[Prepared]:
    """Cut a large view into blocks, each pixel in one of them; each is seen with some surroundings.

    With a window, all are of that size: at the edges of the view they begin farther in, and a view that is smaller is
    seen with itself mirrored.
    """
    high, wide = whole.image.shape[:2]
    core = window - 2 * around if window else _BLOCK
    for top in range(0, high, core):
        for left in range(0, wide, core):
            inside = (whole.x // core == left // core) & (whole.y // core == top // core)
            if not inside.any():
                continue
            x0, y0 = max(0, left - around), max(0, top - around)
            if window:
                x0, y0 = max(0, min(x0, wide - window)), max(0, min(y0, high - window))
                image = _mirrored(whole.image[y0 : y0 + window, x0 : x0 + window], window, window)
            else:
                image = whole.image[y0 : top + core + around, x0 : left + core + around]
            yield Prepared(image, whole.x[inside] - x0, whole.y[inside] - y0, whole.cell[inside])


def to_multiple(image: np.ndarray, of: int) -> np.ndarray:
    """Mirror the right and lower edges of H × W × 3 until the sides are multiples."""
    high, wide = (-(-side // of) * of for side in image.shape[:2])
    return _mirrored(image, high, wide)


def _mirrored(image: np.ndarray, high: int, wide: int) -> np.ndarray:
    below, beside = high - image.shape[0], wide - image.shape[1]
    return np.pad(image, ((0, below), (0, beside), (0, 0)), mode="symmetric") if below or beside else image
