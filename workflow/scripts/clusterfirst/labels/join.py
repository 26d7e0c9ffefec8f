"""One table of everything that is known of a slide's cells: what they are, where they lie, and what they are called."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..clustering import palette
from ..clustering.document import Clustering
from ..io import METADATA_KEY, ClusterfirstError, atomic, progress, to_json
from ..plan.layout import SlideFolder
from . import Labels

ROWS = 10_000
"""Cells in memory at a time."""


def known(clusters: Clustering, plane: np.ndarray, labels: Sequence[Labels]) -> pa.Table:
    """Put together what is known of cells beside their outlines.

    Parameters
    ----------
    clusters
        Those of n cells.
    plane
        n × 2: ``umap2d.npy``.
    labels
        What each source says of these cells, those first that have the last word: a cell that somebody gave no label
        on purpose is given none.

    Returns
    -------
    pyarrow.Table
        ``cluster_id``, ``leaf_id`` (int32, −1 for noise), ``confidence``, ``umap_x``, ``umap_y`` (float32), ``label``,
        ``label_source`` (see `Labels.how`), ``labelled_by`` (strings, null where nobody said) and
        ``label_confidence`` (float32: null for what people said).

    Raises
    ------
    ClusterfirstError
        The parts have different numbers of cells.
    """
    count = len(clusters)
    same_length(SlideFolder.plane, len(plane), count)
    label, how, who = (np.full(count, None) for _ in range(3))
    confidence = np.full(count, np.nan, np.float32)
    spelt: dict[str, str] = {}
    for one in labels:
        name = np.array([word and spelt.get(word.casefold(), word) for word in one.label], object)
        # Comparisons with None go element by element.
        open_ = (how == None) & (one.how != None)  # noqa: E711
        label, how, who = (np.where(open_, new, old) for new, old in ((name, label), (one.how, how), (one.who, who)))
        confidence[open_] = one.confidence[open_]
        spelt |= {key: word for key, word in _spelling(one.classes).items() if key not in spelt}
    return pa.table(
        {
            "cluster_id": pa.array(clusters.cluster_id, pa.int32()),
            "leaf_id": pa.array(clusters.leaf_id, pa.int32()),
            "confidence": pa.array(clusters.confidence, pa.float32()),
            "umap_x": pa.array(plane[:, 0], pa.float32()),
            "umap_y": pa.array(plane[:, 1], pa.float32()),
            "label": pa.array(label, pa.string()),
            "label_source": pa.array(how, pa.string()),
            "labelled_by": pa.array(who, pa.string()),
            "label_confidence": pa.array(confidence, from_pandas=True),
        }
    )


def same_length(name: str, count: int, cells: int) -> None:
    """Refuse to join what is not of the same cells.

    Raises
    ------
    ClusterfirstError
        `name` has another number of cells.
    """
    if count != cells:
        raise ClusterfirstError(f"{name} is of {count:,} cells, but there are {cells:,}: run the workflow again")


def classes(labels: Sequence[Labels]) -> list[dict]:
    """Return ``name`` and ``colour`` of every class that a cell can have, in the order of the sources.

    "Stroma" and "stroma" are one, written as the first source does. A guessed class that looks like one before it gets
    another colour. Which does not depend on the cells, so that it is the same on all slides.
    """
    every: list[dict] = []
    for one in labels:
        spelt = _spelling(every)
        for entry in one.classes:
            if entry["name"].casefold() in spelt:
                continue
            shade = entry["colour"]
            if not one.by_people:
                shade = palette.free(shade, [other["colour"] for other in every])
            every.append({"name": entry["name"], "colour": shade})
    return every


def _spelling(classes: Sequence[dict]) -> dict[str, str]:
    """How classes are written, by what is the same in capitals."""
    return {entry["name"].casefold(): entry["name"] for entry in classes}


def write(masks: str | os.PathLike, beside: pa.Table, path: str | os.PathLike, metadata: dict) -> None:
    """Write ``cells.parquet``: the columns of ``masks.parquet``, then others; some thousand cells at a time.

    Parameters
    ----------
    masks
        ``masks.parquet``.
    beside
        Columns for the same cells; see `known`.
    path
        The file; written atomically. It is GeoParquet, as `masks` is.
    metadata
        Added to those of `masks`; read all with `io.read_metadata`.

    Raises
    ------
    ClusterfirstError
        The parts have different numbers of cells.
    """
    with pq.ParquetFile(masks, pre_buffer=False) as source:
        same_length(SlideFolder.clusters, len(beside), source.metadata.num_rows)
        schema = source.schema_arrow
        for field in beside.schema:
            schema = schema.append(field)
        schema = schema.with_metadata({**source.schema_arrow.metadata, METADATA_KEY: to_json(metadata)})
        with atomic(path) as part, pq.ParquetWriter(part, schema, compression="zstd") as writer:
            start = 0
            for batch in source.iter_batches(ROWS):
                others = beside.slice(start, len(batch))
                start += len(batch)
                writer.write_table(pa.Table.from_arrays([*batch.columns, *others.columns], schema=schema))


def read(
    path: str | os.PathLike, columns: Sequence[str] | None = None, *, what: str = "cells", rows: int = ROWS
) -> Iterator[pa.RecordBatch]:
    """Yield ``cells.parquet`` (or ``masks.parquet``) in order, at most `rows` cells at a time, and log how far that is.

    Parameters
    ----------
    path
        The file.
    columns
        Which; None for all.
    what
        What is being made of them, for the log.
    rows
        Cells of each batch.
    """
    # Read ahead, a column of a row group would be in memory whole, and there may be one group only.
    with pq.ParquetFile(path, pre_buffer=False) as file:
        batches = -(-file.metadata.num_rows // rows)
        yield from progress(file.iter_batches(rows, columns=columns), total=batches, what=what)
