"""Lead embedders over a slide, which is read once."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..io import ClusterfirstError, array_on_disk, bounded_map, progress
from ..slide.slide import Slide
from ..weights import checked_sha256
from . import Embedder, EmbeddingColumns, backend
from .crops import Patch
from .stain import Recolour, recolouring

if TYPE_CHECKING:
    import geopandas

    from ..devices import Device


def embed_slide(
    slide: Slide,
    tiles: pd.DataFrame,
    cells: geopandas.GeoDataFrame,
    path: str | os.PathLike,
    *,
    settings: Mapping[str, Any],
    weights: Mapping[str, str | os.PathLike],
    device: Device | None = None,
    histogram: np.ndarray | None = None,
    threads: int = 1,
) -> EmbeddingColumns:
    """Embed every cell of a slide, with several models side by side.

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
    settings
        The ``embedding`` section of the configuration.
    weights
        The file of each network, by model; that of a path is the path itself.
    device
        Where networks compute.
    histogram
        The slide's intensities, 3 × 256 (see `tissue.histogram`), for models that scale by them. None, or once
        colours are brought to a reference's: 0 to 255.
    threads
        This many read and crop ahead of the networks.

    Raises
    ------
    ClusterfirstError
        A cell belongs to none of the tiles, weights cannot be used, or two models would share their columns' names.
    """
    models, stain = settings["models"], settings["stain"]
    files = {model: weights.get(model, model) if backend(model).weights else None for model in models}
    # The slide's own range would undo what recolouring does.
    seen = {"device": device, "histogram": histogram if stain == "none" else None, "settings": settings}
    embedders = {model: backend(model).load()(model, file, **seen) for model, file in files.items()}
    digests = {model: file and checked_sha256(file) for model, file in files.items()}
    described = _described(embedders, models, digests)
    margin = max(embedder.margin_um for embedder in embedders.values())
    owners = _owners(slide, tiles, cells)
    recolour = recolouring(slide, owners, method=stain if len(owners) else "none")
    with array_on_disk(path, (len(cells), len(described.columns)), settings["dtype"]) as values:
        for block in described.models:
            embedders[block["model"]].start(cells, values[:, slice(*block["columns"])], mpp=slide.mpp)
        with ThreadPoolExecutor(threads) as pool:
            views = _views(slide, owners, cells, recolour, margin_um=margin, pool=pool, ahead=threads + 1)
            _walk(views, list(embedders.values()), pool=pool, ahead=2 * threads)
        for embedder in embedders.values():
            embedder.finish()
    return described


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
