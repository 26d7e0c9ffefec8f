"""One table of everything that is known of a slide's cells: what they are, where they lie, and what they are called."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from ..io import ClusterfirstError
from ..labelled import Exported


def table(cells: pa.Table, found: dict, plane: np.ndarray, labels: Exported | None) -> pa.Table:
    """Join ``masks.parquet`` with clusters, map and labels.

    Parameters
    ----------
    cells
        The rows of ``masks.parquet``, with its metadata.
    found
        The content of ``clusters.json``.
    plane
        n × 2: ``umap2d.npy``.
    labels
        Of these cells, or None.

    Returns
    -------
    pyarrow.Table
        All columns of `cells`, and ``cluster_id``, ``leaf_id`` (int32, −1 for noise), ``confidence``, ``umap_x``,
        ``umap_y`` (float32), ``label``, ``label_source`` (see `labelled.SOURCES`), ``labelled_by`` (strings,
        null where nobody said). Metadata stay: it is GeoParquet still.

    Raises
    ------
    ClusterfirstError
        The parts have different numbers of cells.
    """
    own = found["cells"]
    if not len(cells) == len(own["cluster_id"]) == len(plane):
        raise ClusterfirstError(
            f"masks.parquet has {len(cells):,} cells, clusters.json {len(own['cluster_id']):,}, umap2d.npy "
            f"{len(plane):,}: they are of different runs. Run the workflow again"
        )
    nobody = np.full(len(cells), None)
    told = (labels.label, labels.source, labels.who) if labels else (nobody,) * 3
    columns = {
        "cluster_id": pa.array(own["cluster_id"], pa.int32()),
        "leaf_id": pa.array(own["leaf_id"], pa.int32()),
        "confidence": pa.array(own["confidence"], pa.float32()),
        "umap_x": pa.array(plane[:, 0], pa.float32()),
        "umap_y": pa.array(plane[:, 1], pa.float32()),
        **{
            name: pa.array(values, pa.string())
            for name, values in zip(("label", "label_source", "labelled_by"), told, strict=True)
        },
    }
    for name, values in columns.items():
        cells = cells.append_column(name, values)
    return cells
