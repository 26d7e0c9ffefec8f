"""What an atlas says of the cells of a slide: ``learnt.parquet``, written by ``snakemake apply``.

``results/<slide>/learnt.parquet``: ``cell_id``, ``label`` (null: it abstains), ``probability`` of the likeliest class,
and ``novelty``, 0 to 1; row *i* is cell *i*. Its metadata name the atlas, its sha256, and the classes with colours.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..io import ClusterfirstError, log, read_metadata, write_table
from . import Labels

if TYPE_CHECKING:
    from ..clustering.document import Clustering

KIND, MOST = "learnt", "max_novelty"


def write(
    path: str | os.PathLike,
    *,
    cell_id: np.ndarray,
    label: np.ndarray,
    probability: np.ndarray,
    novelty: np.ndarray,
    metadata: Mapping[str, Any],
) -> None:
    """Write the file, atomically.

    Parameters
    ----------
    cell_id
        n integers.
    label
        n str, or None.
    probability, novelty
        n, in 0 to 1.
    metadata
        ``atlas`` (its name and sha256), ``classes``, and what else is to be remembered.
    """
    import pyarrow as pa

    table = pa.table(
        {
            "cell_id": pa.array(cell_id, pa.int64()),
            "label": pa.array(label, pa.string()),
            "probability": pa.array(probability, pa.float32()),
            "novelty": pa.array(novelty, pa.float32()),
        }
    )
    write_table(table, path, {KIND: dict(metadata)})


def novel_rows(paths: Sequence[str | os.PathLike]) -> np.ndarray:
    """Return which cells of some slides, one after the other, are unlike anything that their atlas was taught."""
    import pyarrow.parquet as pq

    novel = [
        pq.read_table(path, columns=["novelty"])["novelty"].to_numpy() > read_metadata(path)[KIND]["settings"][MOST]
        for path in paths
    ]
    found = np.concatenate(novel)
    facts = read_metadata(paths[0])[KIND]
    log.info(
        "%d of %d cells (%.1f %%) look like nothing that atlas %s was taught (of taught kinds %.1f %% would)",
        *(found.sum(), len(found), 100 * found.mean() if len(found) else 0),
        *(facts["atlas"]["name"], 100 * (1 - facts["settings"][MOST])),
    )
    return np.flatnonzero(found)


def read_labels(path: str | os.PathLike, masks: str | os.PathLike, clusters: Clustering) -> Labels:
    """Read what an atlas said; see `labels.LabelSource`."""
    import pyarrow.parquet as pq

    table, facts = pq.read_table(path), read_metadata(path).get(KIND)
    cells = pq.read_table(masks, columns=["cell_id"])["cell_id"].to_numpy()
    if facts is None or not np.array_equal(table["cell_id"].to_numpy(), cells):
        raise ClusterfirstError(f"{path} is not of the cells of {masks}: delete it and run the workflow again")
    label = np.array(table["label"].to_pylist(), object)
    # Comparisons with None go element by element.
    said = label != None  # noqa: E711
    confidence = np.where(said, table["probability"].to_numpy(), np.nan).astype(np.float32)
    who = np.where(said, f"atlas {facts['atlas']['name']}", None)
    return Labels(label, np.full(len(label), None), who, confidence, facts["classes"], facts)
