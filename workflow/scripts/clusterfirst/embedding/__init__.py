"""Turn every cell into a row of numbers: the `Embedder` protocol, its backends, and the walk over a slide."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pandas as pd

from ..io import ClusterfirstError, bounded_map, progress
from ..slides import Slide
from .crops import View

if TYPE_CHECKING:
    import geopandas
    import torch

_BACKENDS = {"morphology": ("morphology", "Morphology"), "resnet50": ("resnet50", "ResNet50")}


@dataclass(frozen=True)
class Embedding:
    """All cells of a slide as numbers.

    Attributes
    ----------
    values : numpy.ndarray
        N × D float32; row i is row i of the table of cells.
    columns : list of str
        D names.
    standardise : bool
        Whether columns need mean 0 and variance 1 before distances between rows mean anything.
    """

    values: np.ndarray
    columns: list[str]
    standardise: bool


class Embedder(Protocol):
    """Turns cells into numbers.

    A backend is built with the settings named in its `options`, and must fail there, before a tile is read, if it
    cannot work with them.
    """

    options: tuple[str, ...]
    """Those settings of `embed_slide` that the backend is built with."""
    columns: tuple[str, ...]
    """A name for each number."""
    standardise: bool
    """See `Embedding`."""
    margin_um: float
    """How far beyond a cell's bounding box the backend looks."""

    def embed(self, views: Iterable[View], cells: geopandas.GeoDataFrame, *, mpp: float) -> np.ndarray:
        """Embed cells.

        Parameters
        ----------
        views
            Every cell is in exactly one of them. To be taken one at a time: they are big.
        cells
            All cells of the slide.
        mpp
            µm per level-0 pixel.

        Returns
        -------
        numpy.ndarray
            N × D float32, in the order of `cells`.
        """
        ...


def backend(model: str) -> type[Embedder]:
    """Return the class of that name; its packages are imported only now."""
    module, name = _BACKENDS[model]
    return getattr(import_module(f".{module}", __name__), name)


def embed_slide(
    slide: Slide,
    tiles: pd.DataFrame,
    cells: geopandas.GeoDataFrame,
    *,
    model: str,
    device: torch.device | None = None,
    weights: str | os.PathLike | None = None,
    crop: str = "box",
    crop_um: float = 16.0,
    batch_size: int = 64,
    threads: int = 1,
) -> Embedding:
    """Embed every cell of a slide.

    Parameters
    ----------
    slide
        The open slide.
    tiles
        The kept tiles (see `tiling.grid`). Each cell is seen at the resolution of its tile.
    cells
        See `objects.read_objects`.
    model
        Name of the backend.
    device
        Where torch computes; for backends that use it.
    weights
        File of the backend's weights.
    crop, crop_um
        See `crops.crops`.
    batch_size
        Crops that go through the network together.
    threads
        Tiles are read ahead by this many threads.

    Raises
    ------
    ClusterfirstError
        A cell belongs to none of the tiles, or the weights cannot be used.
    """
    settings = {
        "device": device,
        "weights": weights,
        "crop": crop,
        "crop_um": crop_um,
        "batch_size": batch_size,
    }
    kind = backend(model)
    embedder = kind(**{name: settings[name] for name in kind.options})
    views = _views(slide, tiles, cells, margin_um=embedder.margin_um, threads=threads)
    return Embedding(embedder.embed(views, cells, mpp=slide.mpp), list(embedder.columns), embedder.standardise)


def _views(
    slide: Slide, tiles: pd.DataFrame, cells: geopandas.GeoDataFrame, *, margin_um: float, threads: int
) -> Iterator[View]:
    """Yield one view per tile that owns cells, in the order of the tiles, read ahead by `threads` threads."""
    rows = cells.groupby("tile_id", sort=False).indices
    strangers = sorted(set(rows) - set(tiles["tile_id"]))
    if strangers:
        raise ClusterfirstError(
            f"slide {slide.facts.path}: {len(strangers)} of the tiles that cells belong to are not among the "
            f"slide's, {strangers[0]} first: tiles and cells come from different runs. Segment the slide again"
        )
    bounds = cells.geometry.bounds.to_numpy()
    owners = tiles[tiles["tile_id"].isin(list(rows))]

    def read(tile) -> View:
        mine = rows[tile.tile_id]
        seen = _rectangle(bounds[mine], slide=slide, mpp=tile.mpp, margin_um=margin_um)
        left, top, right, bottom = seen
        # A margin may reach into damage that the cell's own tile was spared.
        return View(slide.read(left, top, right - left, bottom - top, mpp=tile.mpp, patch=True), seen, mine)

    with ThreadPoolExecutor(threads) as pool:
        views = bounded_map(pool, read, owners.itertuples(), ahead=2 * threads)
        yield from progress(views, total=len(owners), what="embed")


def _rectangle(boxes: np.ndarray, *, slide: Slide, mpp: float, margin_um: float) -> tuple[int, int, int, int]:
    """Return left, top, right, bottom (level-0 px) around boxes and a margin, cut off at the slide's border."""
    # Whole pixels of a coarser resolution, counted from the slide's origin: every view samples the slide alike.
    quantum = max(1, round(mpp / slide.mpp))
    margin = margin_um / slide.mpp
    low = np.floor((boxes[:, :2].min(axis=0) - margin) / quantum) * quantum
    high = np.ceil((boxes[:, 2:].max(axis=0) + margin) / quantum) * quantum
    size = np.array(slide.size)
    low = np.clip(low, 0, size - 1)
    high = np.clip(high, low + 1, size)
    return tuple(int(edge) for edge in (*low, *high))
