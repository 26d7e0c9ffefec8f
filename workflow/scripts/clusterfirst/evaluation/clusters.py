"""How well clusters match what people say: what a person gets for naming some of them, and the usual indices.

**Label efficiency** is the measure that counts. A person names the K largest clusters, each by what most of its cells
are; the name reaches every cell of the cluster. The efficiency is the fraction of all cells that are right then. Noise
and unnamed cells are wrong.

What gets one name is a *unit*: one cluster of one group of slides that were clustered together. Where slides are
clustered one by one, cluster 0 of two slides is two things to name.

Everything follows from a table of units × classes, so that slides can be pooled and drawn again at no cost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..clustering import NOISE, variance
from . import hungarian, partitions
from .truth import Truth

NAMES = variance.SOME_NAMES
"""So many names a person gives: from a coffee break to an afternoon."""

HEADLINE = variance.NAMES
"""Names of the figure that is told first."""


@dataclass(frozen=True)
class Counts:
    """What was counted on one slide.

    Attributes
    ----------
    classes : tuple of str
        All that people named, ascending.
    size : numpy.ndarray
        Per cluster its number of detected cells, with a truth or without: by it a person chooses what to name.
    noise : int
        Detected cells in no cluster.
    table : numpy.ndarray
        Of the cells with a truth, clusters × classes; the last row is noise.
    missed : numpy.ndarray
        Per class its true cells that were not detected.
    tiles : hungarian.Tiles
        See there.
    """

    classes: tuple[str, ...]
    size: np.ndarray
    noise: int
    table: np.ndarray
    missed: np.ndarray
    tiles: hungarian.Tiles

    def document(self) -> dict:
        """Return the counts, JSON-ready; `from_document` reads them."""
        return {
            "classes": list(self.classes),
            "size": self.size.tolist(),
            "noise": self.noise,
            "table": self.table.tolist(),
            "missed": self.missed.tolist(),
            "tiles": self.tiles._asdict(),
        }

    @classmethod
    def from_document(cls, document: Mapping) -> Counts:
        """Read what `document` gave."""
        classes = tuple(document["classes"])
        return cls(
            classes=classes,
            size=np.array(document["size"], np.int64),
            noise=document["noise"],
            table=np.array(document["table"], np.int64).reshape(len(document["table"]), len(classes)),
            missed=np.array(document["missed"], np.int64),
            tiles=hungarian.Tiles(**document["tiles"]),
        )


def count(cluster_id: np.ndarray, truth: Truth, tile_id: np.ndarray, *, seed: int = 0) -> Counts:
    """Count a slide's cells by cluster and class.

    Parameters
    ----------
    cluster_id
        Per detected cell; −1 is noise.
    truth
        Of the same cells.
    tile_id
        Per detected cell, of any type.
    seed
        Of the shuffled baseline.
    """
    judged = np.array([name is not None for name in truth.name], bool)
    classes = sorted({*truth.name[judged], *truth.missed})
    label = np.searchsorted(classes, truth.name[judged].astype(str)) if judged.any() else np.empty(0, int)
    clusters = int(cluster_id.max(initial=NOISE)) + 1
    # Noise is −1, and so the last row.
    table = np.zeros((clusters + 1, len(classes)), np.int64)
    np.add.at(table, (cluster_id[judged], label), 1)
    tile = np.unique(np.asarray(tile_id)[judged], return_inverse=True)[1]
    return Counts(
        classes=tuple(classes),
        size=np.bincount(cluster_id[cluster_id != NOISE], minlength=clusters),
        noise=int(np.count_nonzero(cluster_id == NOISE)),
        table=table,
        missed=np.array([truth.missed.get(name, 0) for name in classes], np.int64),
        tiles=hungarian.per_tile(cluster_id[judged], label, tile, seed=seed),
    )


@dataclass(frozen=True)
class Units:
    """Things to name, of one slide or of many.

    Attributes
    ----------
    group : numpy.ndarray
        Per unit the group of slides that it belongs to, 0…G-1.
    size : numpy.ndarray
        Per unit its number of detected cells.
    table : numpy.ndarray
        Units × classes, cells with a truth.
    noise_table : numpy.ndarray
        Groups × classes, cells with a truth that are noise.
    noise : int
        Detected cells that are noise.
    missed : numpy.ndarray
        Per class, true cells that were not detected.
    tiles : hungarian.Tiles
        Summed.
    """

    group: np.ndarray
    size: np.ndarray
    table: np.ndarray
    noise_table: np.ndarray
    noise: int
    missed: np.ndarray
    tiles: hungarian.Tiles

    @cached_property
    def judged(self) -> int:
        """Detected cells with a truth."""
        return int(self.table.sum() + self.noise_table.sum())

    @property
    def detected(self) -> int:
        """All detected cells."""
        return int(self.size.sum()) + self.noise

    @cached_property
    def order(self) -> np.ndarray:
        """Units in the order in which they are named: the largest first.

        Of equal ones first what has more cells right, then by the cells of each class: so how clusters are numbered
        changes no figure.
        """
        return np.lexsort((*-self.table.T[::-1], -self.right, -self.size))

    @cached_property
    def right(self) -> np.ndarray:
        """Per unit, cells that are right once it has the name of its most common class."""
        return self.table.max(axis=1, initial=0)

    @cached_property
    def name(self) -> np.ndarray:
        """Per unit its name, as the number of a class; of two as common, the first of the alphabet."""
        return self.table.argmax(axis=1) if self.table.size else np.zeros(len(self.table), int)

    def efficiency(self, names: int | None) -> float | None:
        """Fraction of cells with a truth that are right after `names` names (None: all); None without such cells."""
        return _ratio(int(self.right[self.order[:names]].sum()), self.judged)

    def curve(self) -> np.ndarray:
        """Efficiency after 0, 1, 2, … names; NaN without cells."""
        sums = np.concatenate([[0], np.cumsum(self.right[self.order])])
        return sums / self.judged if self.judged else np.full(len(sums), np.nan)

    def confusion(self, names: int | None) -> np.ndarray:
        """Cells by true class (rows) and name after `names` names (columns, the last for cells without one)."""
        classes = len(self.missed)
        out = np.zeros((classes, classes + 1), np.int64)
        named = self.order[:names]
        np.add.at(out.T, self.name[named], self.table[named])
        out[:, -1] = self.table.sum(axis=0) + self.noise_table.sum(axis=0) - out.sum(axis=1)
        return out


def figures(units: Units, *, costly: bool = True) -> dict[str, float | None]:
    """Return all figures by name; one whose denominator is 0 is None.

    ``efficiency_K``, ``efficiency_all``
        Label efficiency after K names and after all: of the cells with a truth, those that are right.
    ``efficiency_K_of_true``, ``efficiency_all_of_true``
        The same over all true cells: those that were not detected are wrong, too.
    ``majority``
        Efficiency of giving all cells the most common class, clusters or not.
    ``hungarian_tile``, ``…_one_cluster``, ``…_shuffled``
        The paper's accuracy and its baselines (see `hungarian.Tiles`).
    ``hungarian_group``, ``…_one_cluster``
        Assigned once for each group of slides clustered together (a slide alone is a group), and the most common class
        of each group.
    ``ari``, ``ami``, ``homogeneity``, ``completeness``
        Of units and classes; the noise of a group counts as one more unit. ``ami`` is None unless `costly`.
    ``noise_fraction``
        Of all detected cells.
    ``units``
        Things that there are to name.
    """
    true = units.judged + int(units.missed.sum())
    kept = np.concatenate([units.table, units.noise_table])
    kept = kept[kept.any(axis=1)]
    by_group = _split(units)
    out: dict[str, float | None] = {}
    for names, key in (*((names, str(names)) for names in NAMES), (None, "all")):
        right = int(units.right[units.order[:names]].sum())
        out[f"efficiency_{key}"] = _ratio(right, units.judged)
        out[f"efficiency_{key}_of_true"] = _ratio(right, true)
    in_all = kept.sum(axis=0)
    out |= {
        "majority": _ratio(in_all.max(initial=0), units.judged),
        "hungarian_tile": _ratio(units.tiles.clusters, units.tiles.judged),
        "hungarian_tile_one_cluster": _ratio(units.tiles.one_cluster, units.tiles.judged),
        "hungarian_tile_shuffled": _ratio(units.tiles.shuffled, units.tiles.judged),
        "hungarian_group": _ratio(sum(hungarian.right(table) for table, _ in by_group), units.judged),
        "hungarian_group_one_cluster": _ratio(
            sum((table.sum(axis=0) + noise).max(initial=0) for table, noise in by_group), units.judged
        ),
        "ari": partitions.ari(kept),
        "ami": partitions.ami(kept) if costly else None,
        "homogeneity": partitions.homogeneity(kept),
        "completeness": partitions.completeness(kept),
        "noise_fraction": _ratio(units.noise, units.detected),
        "units": len(units.size),
    }
    return out


def by_class(units: Units) -> dict[str, list[float | None]]:
    """Return figures of each class, in the order of classes.

    ``recall_K``, ``recall_all``
        Of the cells of the class that were detected, those that are right after K (`HEADLINE`) names or after all.
    ``precision_K``, ``precision_all``
        Of the cells so named, those that are right.
    """
    out = {}
    for names, key in ((HEADLINE, str(HEADLINE)), (None, "all")):
        table = units.confusion(names)
        right = table.diagonal()
        out[f"recall_{key}"] = [_ratio(*pair) for pair in zip(right, table.sum(axis=1), strict=True)]
        out[f"precision_{key}"] = [_ratio(*pair) for pair in zip(right, table[:, :-1].sum(axis=0), strict=True)]
    return out


def _split(units: Units) -> list[tuple[np.ndarray, np.ndarray]]:
    """Group by group, the table of its units and the row of its noise."""
    order = np.argsort(units.group, kind="stable")
    ends = np.cumsum(np.bincount(units.group, minlength=len(units.noise_table)))
    return list(zip(np.split(units.table[order], ends[:-1]), units.noise_table, strict=True))


def _ratio(part: float, whole: float) -> float | None:
    return float(part / whole) if whole else None
