"""One table of everything that is known of a slide's cells: what they are, where they lie, and what they are called."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..clustering import palette
from ..io import METADATA_KEY, ClusterfirstError, atomic, progress, to_json
from .model import Proposals
from .people import PROPOSED, Exported

ROWS = 10_000
"""Cells in memory at a time."""


def known(found: dict, plane: np.ndarray, labels: Exported | None, proposed: Proposals | None) -> pa.Table:
    """Put together what is known of cells beside their outlines.

    Parameters
    ----------
    found
        The content of ``clusters.json``, for n cells.
    plane
        n × 2: ``umap2d.npy``.
    labels
        What people said of these cells, or None.
    proposed
        What a model called their clusters, or None. People have the last word: a cell that somebody gave no label on
        purpose is given none.

    Returns
    -------
    pyarrow.Table
        ``cluster_id``, ``leaf_id`` (int32, −1 for noise), ``confidence``, ``umap_x``, ``umap_y`` (float32), ``label``,
        ``label_source`` (see `labelled`), ``labelled_by`` (strings, null where nobody said) and
        ``label_confidence`` (float32: the share of votes for what was proposed, null for what people said).

    Raises
    ------
    ClusterfirstError
        The parts have different numbers of cells.
    """
    own = found["cells"]
    count = len(own["cluster_id"])
    same_length("umap2d.npy", len(plane), count)
    nobody = np.full(count, None)
    label, source, who = (labels.label, labels.source, labels.who) if labels else (nobody,) * 3
    share = np.full(count, np.nan, np.float32)
    if proposed:
        name, votes = proposed.of_cells(own["cluster_id"])
        # Comparisons with None go element by element.
        open_ = (source == None) & (name != None)  # noqa: E711
        spelt = _spelling(labels)
        name = np.array([word and spelt.get(word.casefold(), word) for word in name], object)
        label, source, who = (
            np.where(open_, new, old) for new, old in ((name, label), (PROPOSED, source), (proposed.model, who))
        )
        share[open_] = votes[open_]
    return pa.table(
        {
            "cluster_id": pa.array(own["cluster_id"], pa.int32()),
            "leaf_id": pa.array(own["leaf_id"], pa.int32()),
            "confidence": pa.array(own["confidence"], pa.float32()),
            "umap_x": pa.array(plane[:, 0], pa.float32()),
            "umap_y": pa.array(plane[:, 1], pa.float32()),
            "label": pa.array(label, pa.string()),
            "label_source": pa.array(source, pa.string()),
            "labelled_by": pa.array(who, pa.string()),
            "label_confidence": pa.array(share, from_pandas=True),
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


def classes(labels: Exported | None, proposed: Proposals | None) -> list[dict]:
    """Return ``name`` and ``colour`` of every class that a cell can have, those of people first.

    A proposed class that looks like one before it gets another colour. Which does not depend on the cells, so that it
    is the same on all slides.
    """
    people, model = (one.classes if one else [] for one in (labels, proposed))
    known = _spelling(labels)
    every = [{"name": entry["name"], "colour": entry["colour"]} for entry in people]
    for entry in model:
        if entry["name"].casefold() not in known:
            shade = palette.free(entry["colour"], [other["colour"] for other in every])
            every.append({"name": entry["name"], "colour": shade})
    return every


def _spelling(labels: Exported | None) -> dict[str, str]:
    """How people write their classes: "Stroma" and "stroma" are one."""
    return {entry["name"].casefold(): entry["name"] for entry in (labels.classes if labels else [])}


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
        same_length("clusters.json", len(beside), source.metadata.num_rows)
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
