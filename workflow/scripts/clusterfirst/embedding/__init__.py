"""Turn every cell into a row of numbers: the `Embedder` protocol, its backends, and the walk over a slide."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd

from .. import weights as registry
from ..io import ClusterfirstError, array_on_disk, bounded_map, progress
from ..slide.slide import Slide
from .crops import Crop, Patch
from .stain import Recolour, recolouring

if TYPE_CHECKING:
    import geopandas
    import torch


@dataclass(frozen=True)
class EmbeddingColumns:
    """What the columns of the written numbers are.

    Attributes
    ----------
    columns : list of str
        D names.
    models : list of dict
        One for each model, in the order of their columns: ``model`` (as it was asked for), ``columns`` (first, and
        one past the last), ``standardise`` (whether they need mean 0 and variance 1 before distances between rows mean
        anything) and ``weights_sha256`` (None for a model without weights).
    """

    columns: list[str]
    models: list[dict[str, Any]]


class Embedder(Protocol):
    """Turns cells into numbers, a view at a time.

    A backend must fail when it is built, before a tile is read, if it cannot work with its settings.
    """

    columns: Sequence[str]
    """A name for each number."""
    standardise: bool
    """See `EmbeddingColumns`."""
    margin_um: float
    """How far beyond a cell's bounding box the backend looks."""
    cells_at_once: int | None
    """Views with more cells are handed over in parts; None: never."""

    def start(self, cells: geopandas.GeoDataFrame, out: np.ndarray, *, mpp: float) -> None:
        """Begin a slide.

        Parameters
        ----------
        cells
            All cells of the slide.
        out
            N × D, to be filled in the order of `cells`.
        mpp
            µm per level-0 pixel.
        """
        ...

    def prepare(self, view: Patch) -> Any:
        """Do what needs nothing but the view; called from several threads, ahead of `take`."""
        ...

    def take(self, rows: np.ndarray, prepared: Any) -> None:
        """Take what `prepare` returned for a view of these cells; called from one thread, in the order of the tiles."""
        ...

    def finish(self) -> None:
        """Every cell has been taken: fill what is still missing."""
        ...


def embed_slide(
    slide: Slide,
    tiles: pd.DataFrame,
    cells: geopandas.GeoDataFrame,
    path: str | os.PathLike,
    *,
    models: Sequence[str],
    weights: Mapping[str, str | os.PathLike] | None = None,
    device: torch.device | None = None,
    histogram: np.ndarray | None = None,
    crop: str = "box",
    crop_um: float = 16.0,
    margin_um: float = 0.0,
    crop_px: int | None = None,
    batch_size: int | None = None,
    stain: str = "none",
    dtype: str = "float32",
    threads: int = 1,
) -> EmbeddingColumns:
    """Embed every cell of a slide, with several models side by side; the slide is read once.

    Parameters
    ----------
    slide
        The open slide.
    tiles
        The kept tiles (see `grid.grid`). Each cell is seen at the resolution of its tile.
    cells
        See `objects.read_objects`.
    path
        Where N × D numbers appear (``.npy``), row i for row i of `cells`. They are written as they come: memory does
        not grow with them.
    models
        ``morphology``, ``instanseg``, or networks that are shown crops: see `encoders.load`.
    weights
        The file of each network, by model; that of a path is the path itself.
    device
        Where networks compute.
    histogram
        The slide's intensities, 3 × 256 (see `tissue.histogram`); ``instanseg`` scales by them. None, or once colours
        are brought to a reference's: 0 to 255.
    crop, crop_um, margin_um
        What networks see: see `crops.Crop`.
    crop_px
        Edge of the square it is resized to; None: what each network was trained with.
    batch_size
        Crops that go through a network together; None: what suits the device.
    stain
        Colours are brought to a reference's first: see `stain.recolouring`.
    dtype
        ``float32`` or ``float16``, of the file.
    threads
        This many read and crop ahead of the networks.

    Raises
    ------
    ClusterfirstError
        A cell belongs to none of the tiles, weights cannot be used, or two models would share their columns' names.
    """
    files = {model: _file(model, weights or {}) for model in models}
    cut = Crop(crop, crop_um=crop_um, margin_um=margin_um)
    # The slide's own range would undo what recolouring does.
    known = histogram if stain == "none" else None
    embedders = {
        model: _embedder(model, file, known, device=device, crop=cut, crop_px=crop_px, batch_size=batch_size)
        for model, file in files.items()
    }
    digests = {model: file and registry.checked_sha256(file) for model, file in files.items()}
    described = _described(embedders, models, digests)
    margin = max(embedder.margin_um for embedder in embedders.values())
    owners = _owners(slide, tiles, cells)
    recolour = recolouring(slide, owners, method=stain if len(owners) else "none")
    with array_on_disk(path, (len(cells), len(described.columns)), dtype) as values:
        for block in described.models:
            embedders[block["model"]].start(cells, values[:, slice(*block["columns"])], mpp=slide.mpp)
        with ThreadPoolExecutor(threads) as pool:
            views = _views(slide, owners, cells, recolour, margin_um=margin, pool=pool, ahead=threads + 1)
            _walk(views, list(embedders.values()), pool=pool, ahead=2 * threads)
        for embedder in embedders.values():
            embedder.finish()
    return described


def _file(model: str, weights: Mapping[str, str | os.PathLike]) -> str | os.PathLike | None:
    if model == "morphology":
        return None
    return weights.get(model, model)


def _embedder(
    model: str, file: str | os.PathLike | None, histogram: np.ndarray | None, *, device: torch.device | None, **options
) -> Embedder:
    """Build a backend; its packages are imported only now."""
    if file is None:
        from .morphology import Morphology

        return Morphology()
    if model == "instanseg":
        from .instanseg import InstanSegEncoder

        return InstanSegEncoder(file, device=device, histogram=histogram)
    from .networks import Network

    return Network(model, file, device=device, **options)


def _described(
    embedders: Mapping[str, Embedder], models: Sequence[str], digests: Mapping[str, str | None]
) -> EmbeddingColumns:
    columns, blocks = [], []
    for model in models:
        embedder, start = embedders[model], len(columns)
        columns += embedder.columns
        span = [start, len(columns)]
        about = {"standardise": embedder.standardise, "weights_sha256": digests[model]}
        blocks.append({"model": model, "columns": span} | about)
    if len(set(columns)) < len(columns):
        raise ClusterfirstError(
            f"embedding.models: {', '.join(models)} would give columns of the same name: list a model once, and give "
            "files of networks different names"
        )
    return EmbeddingColumns(columns, blocks)


def _walk(views: Iterator[Patch], embedders: Sequence[Embedder], *, pool: ThreadPoolExecutor, ahead: int) -> None:
    """Show every view to every embedder; what it asks to be prepared is, by the pool, ahead of time."""

    def jobs() -> Iterator[tuple[Embedder, Patch]]:
        for view in views:
            for embedder in embedders:
                for part in view.parts(embedder.cells_at_once):
                    yield embedder, part

    def prepare(job: tuple[Embedder, Patch]) -> tuple[Embedder, np.ndarray, Any]:
        embedder, part = job
        return embedder, part.rows, embedder.prepare(part)

    for embedder, rows, prepared in bounded_map(pool, prepare, jobs(), ahead=ahead):
        embedder.take(rows, prepared)


def _owners(slide: Slide, tiles: pd.DataFrame, cells: geopandas.GeoDataFrame) -> pd.DataFrame:
    """Return the tiles that cells belong to."""
    named = set(cells["tile_id"])
    if strangers := sorted(named - set(tiles["tile_id"])):
        raise ClusterfirstError(
            f"slide {slide.facts.path}: {len(strangers)} of the tiles that cells belong to are not among the "
            f"slide's, {strangers[0]} first: tiles and cells come from different runs. Segment the slide again"
        )
    return tiles[tiles["tile_id"].isin(named)]


def _views(
    slide: Slide,
    owners: pd.DataFrame,
    cells: geopandas.GeoDataFrame,
    recolour: Recolour,
    *,
    margin_um: float,
    pool: ThreadPoolExecutor,
    ahead: int,
) -> Iterator[Patch]:
    """Yield one view per tile, in the order of the tiles, read ahead by the pool."""
    rows = cells.groupby("tile_id", sort=False).indices
    bounds = cells.geometry.bounds.to_numpy()

    def read(tile) -> Patch:
        mine = rows[tile.tile_id]
        seen = _rectangle(bounds[mine], slide=slide, mpp=tile.mpp, margin_um=margin_um)
        left, top, right, bottom = seen
        # A margin may reach into damage that the cell's own tile was spared.
        image = slide.read(left, top, right - left, bottom - top, mpp=tile.mpp, patch=True)
        return Patch(recolour(image), seen, mine)

    views = bounded_map(pool, read, owners.itertuples(), ahead=ahead)
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
