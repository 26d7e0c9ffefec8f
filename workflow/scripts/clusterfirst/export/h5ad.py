"""AnnData, for scanpy, squidpy and what else single-cell people use."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from ..clustering import NOISE, palette
from ..io import atomic, log, read_json, read_metadata
from ..labels.join import same_length
from ..slide.facts import SlideFacts
from . import Source

if TYPE_CHECKING:
    from anndata import AnnData

MEASURES = (
    *("area_um2", "perimeter_um", "major_um", "minor_um", "eccentricity", "orientation", "circularity"),
    *("solidity", "extent"),
)
_NUMBERS = ("cell_id", "truncated", "cluster_id", "leaf_id", "confidence", "label_confidence")
_SOME = ("tile_id", "label_source", "labelled_by")
_NAMED = "morphology"
"""The embedder whose numbers have names that mean something."""


def export(source: Source, to: str | os.PathLike) -> None:
    """Write what `table` returns as a ``.h5ad``, atomically; see there."""
    adata = table(source)
    with atomic(to) as part:
        adata.write_h5ad(part)
    log.info("%d cells × %d measures; %s", *adata.shape, ", ".join(adata.obsm))


def table(source: Source) -> AnnData:
    """Put together an AnnData of all cells of a slide; embeddings stay on disk until it is written.

    Cells are called ``{slide}_{cell_id}``, so that slides can be put together.

    Returns
    -------
    anndata.AnnData
        ``X``: `MEASURES` and, if it was used, what the embedder *morphology* measures (a name that both have is taken
        from the first), float32. ``obs``: cluster and label as categories, and the rest. ``obsm``: ``spatial``
        (centroid, level-0 px), ``X_umap`` (the plane), ``X_reduced`` (what was clustered), ``X_embedding``. ``uns``:
        ``cluster_colors``, ``label_colors``, ``spatial`` (scale factors, as squidpy looks for them),
        ``embedding_columns``, and ``clusterfirst``, all metadata as JSON.

    Raises
    ------
    ClusterfirstError
        The parts have different numbers of cells.
    """
    from anndata import AnnData

    facts, described, slide = read_metadata(source.cells), read_json(source.parts["columns"]), source.slide
    cells = pq.read_table(
        source.cells, columns=["x", "y", "umap_x", "umap_y", *MEASURES, *_NUMBERS, *_SOME, "label"]
    ).to_pandas()
    files = (source.parts["embeddings"], source.parts["reduced"])
    vectors, low = (np.asarray(np.load(file, mmap_mode="r")) for file in files)
    for file, values in zip(files, (vectors, low), strict=True):
        same_length(Path(file).name, len(values), len(cells))
    x, names = _measured(cells, vectors, described["columns"], described["models"])
    # AnnData writes strings of Python, not those of Arrow that pandas prefers.
    cells.index = pd.Index([f"{slide}_{cell}" for cell in cells["cell_id"]], dtype=object)
    obs, var = _observed(cells, slide, facts["classes"]), pd.DataFrame(index=pd.Index(names, dtype=object))
    adata = AnnData(x, obs=obs, var=var)
    adata.obsm["spatial"] = cells[["x", "y"]].to_numpy()
    adata.obsm["X_umap"] = cells[["umap_x", "umap_y"]].to_numpy()
    adata.obsm["X_reduced"] = low
    adata.obsm["X_embedding"] = vectors
    adata.uns |= _unstructured(adata, slide, facts, described["columns"])
    return adata


def _measured(
    cells: pd.DataFrame, vectors: np.ndarray, columns: Sequence[str], models: Sequence[dict]
) -> tuple[np.ndarray, list[str]]:
    named = [range(*one["columns"]) for one in models if one["model"] == _NAMED]
    more = [place for one in named for place in one if columns[place] not in MEASURES]
    x = np.column_stack([cells[list(MEASURES)].to_numpy(np.float32), vectors[:, more].astype(np.float32, copy=False)])
    return x, [*MEASURES, *(columns[place] for place in more)]


def _observed(cells: pd.DataFrame, slide: str, classes: Sequence[dict]) -> pd.DataFrame:
    clusters = cells["cluster_id"].map(_cluster_name)
    kinds = {
        "slide": categories([slide] * len(cells), [slide]),
        "cluster": categories(clusters, map(_cluster_name, sorted(cells["cluster_id"].unique()))),
        "label": categories(cells["label"], [entry["name"] for entry in _used(cells["label"], classes)]),
        **{name: categories(cells[name], sorted(cells[name].dropna().unique())) for name in _SOME},
    }
    return cells[list(_NUMBERS)].assign(**kinds)


def _used(labels: pd.Series, classes: Sequence[dict]) -> list[dict]:
    """Those that a cell has: scanpy compares and plots no groups without cells."""
    return [entry for entry in classes if (labels == entry["name"]).any()]


def categories(values: Sequence[str], names: Iterable[str]) -> pd.Categorical:
    """Return categories as AnnData can write them."""
    return pd.Categorical(pd.array(values, dtype=object), pd.Index(list(names), dtype=object))


def _cluster_name(cluster: int) -> str:
    return "noise" if cluster == NOISE else str(cluster)


def _unstructured(adata: AnnData, slide: str, facts: dict, columns: Sequence[str]) -> dict:
    numbers = [NOISE if name == "noise" else int(name) for name in adata.obs["cluster"].cat.categories]
    colours = {entry["name"]: entry["colour"] for entry in facts["classes"]}
    # Colours of no categories cannot be written.
    used = adata.obs["label"].cat.categories
    labelled = {"label_colors": [colours[name] for name in used]} if len(used) else {}
    # As a circle of the cells' mean area; squidpy draws spots of this size where it has no outlines.
    mean_um2 = adata[:, "area_um2"].X.mean() if len(adata) else 0.0
    spot_px = float(2 * np.sqrt(mean_um2 / np.pi) / SlideFacts.told(facts, slide).mpp)
    return labelled | {
        "cluster_colors": [palette.colour(number) for number in numbers],
        "embedding_columns": list(columns),
        "spatial": {slide: {"images": {}, "scalefactors": {"spot_diameter_fullres": spot_px}, "metadata": {}}},
        "clusterfirst": json.dumps(facts, ensure_ascii=False, sort_keys=True),
    }
