"""Which cells are drawn, what colours them, and what can be said of each."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow.parquet as pq

from ..clustering import NOISE
from ..clustering.document import Clustering
from ..io import read_metadata
from ..labels import GUESSES
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
    guess : numpy.ndarray
        Per cell, how a model came to call it so (see `labels.GUESSES`); None where people did, or nobody.
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
    guess: np.ndarray
    note: str = ""

    @classmethod
    def of_clusters(cls, polygons: np.ndarray, cluster_id: np.ndarray, key: ColourKey = CLUSTERS) -> Cells:
        """Return cells of which no more is known than their clusters."""
        count = len(polygons)
        unknown, nobody = np.full(count, np.nan), np.full(count, None, object)
        return cls(polygons, cluster_id, key, np.arange(count), cluster_id, unknown, nobody, nobody)

    def __len__(self) -> int:
        return len(self.polygons)

    def take(self, rows: np.ndarray) -> Cells:
        """Return some of the cells: rows, or whether to take each."""
        columns = ("polygons", "number", "cell_id", "cluster_id", "confidence", "named", "guess")
        return replace(self, **{name: getattr(self, name)[rows] for name in columns})

    @property
    def guessed(self) -> np.ndarray:
        """How a model came to the class that each cell has the colour of; None where it did not."""
        return np.where(self.key.of_classes & (self.number != NOISE), self.guess, None)

    def text(self, row: int, parts: Sequence[str]) -> str:
        """Return what is to be written beside a cell: any of its class, cluster and confidence."""
        told = {
            "class": self.named[row] and self.named[row] + "?" * bool(self.guess[row]),
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
            self.named[row] and self.named[row] + (f" ({self.guess[row]})" if self.guess[row] else ""),
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
    guess : numpy.ndarray
        Per cell, how a model came to call it so (see `labels.GUESSES`); None where people did, or nobody.
    classes : list of dict
        ``name`` and ``colour`` (``#rrggbb``) of each.
    """

    name: np.ndarray
    guess: np.ndarray
    classes: list[dict]


def read_classes(path: str | os.PathLike) -> Named:
    """Read from ``cells.parquet`` what cells are called."""
    import pandas as pd

    table, facts = pq.ParquetFile(path).read(columns=["label", "label_source"]), read_metadata(path)
    name, how = (table[column].to_numpy(zero_copy_only=False) for column in ("label", "label_source"))
    guess = np.array([one if one in GUESSES else None for one in how], object)
    return Named(np.where(pd.isna(name), None, name), guess, facts["classes"])


def select_cells(
    polygons: np.ndarray, clusters: Clustering, named: Named | None = None, *, colour: str, drop_unclassified: bool
) -> tuple[Cells, np.ndarray]:
    """Choose the cells that are drawn, and what colours them.

    Parameters
    ----------
    polygons
        All cells in level-0 pixels, by cell id.
    clusters
        Their clusters.
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
    cluster_id = clusters.cluster_id
    name = named.name if named else np.full(len(polygons), None, object)
    number, key = _coloured(clusters, named, name, colour)
    note = _NOBODY if named and (name == None).all() else ""  # noqa: E711 (element by element)
    if note:
        log.warning("%s: name clusters in the labelling app and press Export there", note)
    guess = named.guess if named else name
    ids, confidence = np.arange(len(polygons)), clusters.confidence
    cells = Cells(polygons, number, key, ids, cluster_id, confidence, name, guess, note)
    rows = np.flatnonzero(name != None) if drop_unclassified else np.arange(len(polygons))  # noqa: E711
    return cells.take(rows), rows


def _coloured(clusters: Clustering, named: Named | None, name: np.ndarray, colour: str) -> tuple[np.ndarray, ColourKey]:
    """What numbers the cells, and what the numbers mean."""
    if colour == "cluster":
        return clusters.cluster_id, clusters_key(clusters)
    if colour == "none":
        return np.zeros_like(clusters.cluster_id), ONE_COLOUR
    if named is None:
        raise ValueError(f"colour: {colour} needs to know what cells are called")
    places = {entry["name"]: place for place, entry in enumerate(named.classes)}
    number = np.array([places.get(one, NOISE) for one in name], int)
    if colour == "label":
        by_people = ~named.guess.astype(bool)
        return np.where(by_people, number, NOISE), classes_key(named.classes, none="no label")
    return number, classes_key(named.classes)
