"""Which cells are drawn, what colours them, and what can be said of each."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from ..clustering import NOISE
from ..io import read_metadata
from ..labels.people import PROPOSED
from .colour_keys import CLUSTERS, ONE_COLOUR, ColourKey, classes_key, clusters_key
from .legends import legend_rows

log = logging.getLogger(__name__)

_NOBODY = "no cell has a class yet"


@dataclass(frozen=True)
class Cells:
    """Cells to be drawn.

    Attributes
    ----------
    polygons : numpy.ndarray
        ``shapely.Polygon`` in level-0 pixels.
    number : numpy.ndarray
        Per cell, what `key` gives a colour and a name; −1: none.
    key : ColourKey
        What numbers mean.
    cell_id : numpy.ndarray
        Per cell.
    cluster_id, confidence : numpy.ndarray
        Per cell; −1 is noise.
    named : numpy.ndarray
        Per cell, its class, or None.
    proposed : numpy.ndarray
        Per cell, whether it is only a model that calls it so.
    note : str
        What the legend says besides.
    """

    polygons: np.ndarray
    number: np.ndarray
    key: ColourKey
    cell_id: np.ndarray
    cluster_id: np.ndarray
    confidence: np.ndarray
    named: np.ndarray
    proposed: np.ndarray
    note: str = ""

    @classmethod
    def of_clusters(cls, polygons: np.ndarray, cluster_id: np.ndarray, key: ColourKey = CLUSTERS) -> Cells:
        """Return cells of which no more is known than their clusters."""
        count = len(polygons)
        sure, nobody = np.full(count, np.nan), np.full(count, None, object)
        return cls(polygons, cluster_id, key, np.arange(count), cluster_id, sure, nobody, np.zeros(count, bool))

    def __len__(self) -> int:
        return len(self.polygons)

    def take(self, rows: np.ndarray) -> Cells:
        """Return some of the cells: rows, or whether to take each."""
        columns = ("polygons", "number", "cell_id", "cluster_id", "confidence", "named", "proposed")
        return replace(self, **{name: getattr(self, name)[rows] for name in columns})

    @property
    def guessed(self) -> np.ndarray:
        """Whether each cell has the colour of a class that only a model proposed."""
        return self.proposed & self.key.of_classes & (self.number != NOISE)

    def text(self, row: int, parts: Sequence[str]) -> str:
        """Return what is to be written beside a cell: any of its class, cluster and confidence."""
        told = {
            "class": self.named[row] and self.named[row] + "?" * bool(self.proposed[row]),
            "cluster": "noise" if self.cluster_id[row] == NOISE else str(self.cluster_id[row]),
            "confidence": "" if np.isnan(self.confidence[row]) else f"{self.confidence[row]:.2f}",
        }
        return " · ".join(told[part] for part in parts if told[part])

    def title(self, row: int) -> str:
        """Return all that is known of a cell, in a line."""
        cluster, sure = (self.text(row, [part]) for part in ("cluster", "confidence"))
        parts = [
            f"cell {self.cell_id[row]}",
            cluster if self.cluster_id[row] == NOISE else f"cluster {cluster}",
            f"confidence {sure}" if sure else "",
            self.named[row] and self.named[row] + " (proposed)" * bool(self.proposed[row]),
        ]
        return ", ".join(part for part in parts if part)


def noted(cells: Cells) -> list[tuple[str, str]]:
    """Return legend rows, colour and text, of some cells."""
    return legend_rows(cells.number, cells.key, cells.guessed) + ([("#ffffff", cells.note)] if cells.note else [])


@dataclass(frozen=True)
class Named:
    """What cells are called.

    Attributes
    ----------
    name : numpy.ndarray
        Per cell, its class; None where it has none.
    by_people : numpy.ndarray
        Per cell, whether people called it so, not a model.
    classes : list of dict
        ``name`` and ``colour`` (``#rrggbb``) of each.
    """

    name: np.ndarray
    by_people: np.ndarray
    classes: list[dict]


def read_classes(path: str | os.PathLike) -> Named:
    """Read from ``cells.parquet`` what cells are called."""
    table, facts = pq.ParquetFile(path).read(columns=["label", "label_source"]), read_metadata(path)
    name, source = (table[column].to_numpy(zero_copy_only=False) for column in ("label", "label_source"))
    return Named(np.where(pd.isna(name), None, name), source != PROPOSED, facts["classes"])


def typical_rows(found: dict) -> np.ndarray:
    """Return the representatives of all clusters of ``clusters.json``, in their order in the slide."""
    return np.array(sorted(cell for cluster in found["clusters"] for cell in cluster["representatives"]), int)


def select_cells(
    polygons: np.ndarray, found: dict, named: Named | None = None, *, colour: str, drop_unclassified: bool
) -> tuple[Cells, np.ndarray]:
    """Choose the cells that are drawn, and what colours them.

    Parameters
    ----------
    polygons
        All cells in level-0 pixels, by cell id.
    found
        The content of ``clusters.json``.
    named
        What cells are called; None if nothing that is drawn needs it.
    colour, drop_unclassified
        Keys of the ``annotation`` section.

    Returns
    -------
    cells : Cells
        Those to be drawn.
    rows : numpy.ndarray
        Their rows.
    """
    own = found["cells"]
    cluster_id, sure = np.array(own["cluster_id"], int), np.array(own["confidence"], float)
    name = named.name if named else np.full(len(polygons), None, object)
    number, key = _coloured(found, cluster_id, named, name, colour)
    note = _NOBODY if named and (name == None).all() else ""  # noqa: E711 (element by element)
    if note:
        log.warning("%s: name clusters in the labelling app and press Export there", note)
    proposed = ~named.by_people & (name != None) if named else np.zeros(len(polygons), bool)  # noqa: E711
    cells = Cells(polygons, number, key, np.arange(len(polygons)), cluster_id, sure, name, proposed, note)
    rows = np.flatnonzero(name != None) if drop_unclassified else np.arange(len(polygons))  # noqa: E711
    return cells.take(rows), rows


def _coloured(
    found: dict, cluster_id: np.ndarray, named: Named | None, name: np.ndarray, colour: str
) -> tuple[np.ndarray, ColourKey]:
    """What numbers the cells, and what the numbers mean."""
    if colour == "cluster":
        return cluster_id, clusters_key(found)
    if colour == "none":
        return np.zeros_like(cluster_id), ONE_COLOUR
    if named is None:
        raise ValueError(f"colour: {colour} needs to know what cells are called")
    places = {entry["name"]: place for place, entry in enumerate(named.classes)}
    number = np.array([places.get(one, NOISE) for one in name], int)
    if colour == "label":
        return np.where(named.by_people, number, NOISE), classes_key(named.classes, none="no label")
    return number, classes_key(named.classes)
