"""``clusters.json``: the clusters of a slide, or of slides that are clustered together, and the cells in them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..io import ClusterfirstError, read_json, write_json
from . import palette
from .clusters import Clusters
from .confidence import representatives
from .numbering import NOISE, fingerprint, members
from .tree import Tree

_HEAD = 1 << 16
"""Settings and counts stand first, before a line for every cell."""
_KINDS = {"cell_id": int, "cluster_id": int, "leaf_id": int, "confidence": float}
_COLUMNS = tuple(_KINDS)
_DIGITS = 4


@dataclass(frozen=True)
class Entry:
    """A cluster.

    Attributes
    ----------
    id : int
        0 is the largest of the group.
    size : int
        Cells.
    colour : str
        ``#rrggbb``.
    mean_confidence : float or None
        None without cells.
    leaves : list of int
        Fine clusters that it was joined from.
    representatives : list of int
        Ids of cells that show it, the most typical first.
    size_in_group : int or None
        Of a slide's share: cells on all slides of the group.
    """

    id: int
    size: int
    colour: str
    mean_confidence: float | None
    leaves: list[int]
    representatives: list[int]
    size_in_group: int | None = None

    def document(self) -> dict:
        """Return it JSON-ready."""
        return {key: value for key, value in vars(self).items() if key != "size_in_group" or value is not None}


@dataclass(frozen=True)
class Counts:
    """How many there are.

    Attributes
    ----------
    cells, clusters, noise : int
    noise_fraction : float
        0 without cells.
    assigned : int or None
        Noise that was given to clusters; not counted for a slide's share.
    """

    cells: int
    clusters: int
    noise: int
    noise_fraction: float
    assigned: int | None = None

    @classmethod
    def of(cls, cluster_id: np.ndarray, clusters: int, assigned: int | None = None) -> Counts:
        """Count the cells of so many clusters."""
        cells, noise = len(cluster_id), int(np.count_nonzero(cluster_id == NOISE))
        return cls(cells, clusters, noise, noise / cells if cells else 0.0, assigned)

    def document(self) -> dict:
        """Return them JSON-ready."""
        return {key: value for key, value in vars(self).items() if key != "assigned" or value is not None}


class Head(NamedTuple):
    """What can be told of a ``clusters.json`` without reading its cells."""

    settings: dict
    counts: Counts


@dataclass(frozen=True)
class Clustering:
    """The clusters of a slide or group, and its n cells, row by row.

    Attributes
    ----------
    settings : dict
        The ``clustering`` section that was used, what was chosen while fitting, and ``representatives``.
    counts : Counts
    entries : list of Entry
        By id.
    tree : Tree
        How leaves join.
    groups : int or None
        What the tree was cut to.
    cell_id, cluster_id, leaf_id : numpy.ndarray
        n int; −1 is noise.
    confidence : numpy.ndarray
        n floats in [0, 1].
    counts_in_group : Counts or None
        Of a slide's share: all slides of the group.
    """

    settings: Mapping[str, Any]
    counts: Counts
    entries: list[Entry]
    tree: Tree
    groups: int | None
    cell_id: np.ndarray
    cluster_id: np.ndarray
    leaf_id: np.ndarray
    confidence: np.ndarray
    counts_in_group: Counts | None = None

    @classmethod
    def of(cls, clusters: Clusters, settings: Mapping[str, Any], typical: Mapping[str, Any]) -> Clustering:
        """Write down what clustering found; row i is cell i.

        Parameters
        ----------
        clusters
            What `clusters.cluster` returned.
        settings
            The ``clustering`` section that was used.
        typical
            What `clusters.cluster` was given.
        """
        groups, rows = settings["groups"], members(clusters.cluster_id)
        of_leaf = clusters.tree.cut(groups)
        entries = [
            Entry(
                id=number,
                size=len(rows[number]),
                colour=palette.colour(number),
                mean_confidence=_mean(clusters.confidence[rows[number]]),
                leaves=np.flatnonzero(of_leaf == number).tolist(),
                representatives=chosen.tolist(),
            )
            for number, chosen in enumerate(clusters.representatives)
        ]
        return cls(
            settings={**settings, **clusters.clusterer.report(), "representatives": typical},
            counts=Counts.of(clusters.cluster_id, len(rows), int(np.count_nonzero(clusters.assigned))),
            entries=entries,
            tree=clusters.tree,
            groups=groups,
            cell_id=np.arange(len(clusters.cluster_id)),
            cluster_id=clusters.cluster_id,
            leaf_id=clusters.leaf_id,
            confidence=clusters.confidence.round(_DIGITS),
        )

    @classmethod
    def read(cls, path: str | os.PathLike) -> Clustering:
        """Read ``clusters.json``.

        Raises
        ------
        ClusterfirstError
            The file is damaged, or something else.
        """
        try:
            found = cls._parsed(read_json(path))
            found._check()
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ClusterfirstError(f"{path} cannot be read ({error!r}): run `cluster` again") from error
        return found

    @classmethod
    def _parsed(cls, document: dict) -> Clustering:
        cells, tree, together = document["cells"], document["tree"], document.get("counts_in_group")
        return cls(
            settings=document["settings"],
            counts=Counts(**document["counts"]),
            entries=[Entry(**entry) for entry in document["clusters"]],
            tree=Tree.read(tree),
            groups=tree["groups"],
            # Of no cells, NumPy could not tell what they would be.
            **{name: np.array(cells[name], None if cells[name] else _KINDS[name]) for name in _COLUMNS},
            counts_in_group=together and Counts(**together),
        )

    def _check(self) -> None:
        if why := next(self._misfits(), None):
            raise ValueError(f"settings, clusters, tree and cells do not fit together: {why}")

    def _misfits(self) -> Iterator[str]:
        columns = {name: getattr(self, name) for name in _COLUMNS}
        shapes = {column.shape for column in columns.values()}
        if shapes != {(self.counts.cells,)}:
            yield f"columns of {sorted(shapes)} cells, counted {self.counts.cells}"
        kinds = {name: column.dtype.kind for name, column in columns.items() if column.size}
        if any(kind not in ("fi" if name == "confidence" else "i") for name, kind in kinds.items()):
            yield f"columns of kinds {kinds}"
        leaves, count = len(self.tree.sizes), len(self.entries)
        if len(self.tree.merges) != max(leaves - 1, 0):
            yield f"{leaves} leaves, and {len(self.tree.merges)} merges"
        if [entry.id for entry in self.entries] != list(range(self.counts.clusters)):
            yield f"ids of clusters are not 0 to {self.counts.clusters - 1}"
        if sorted(leaf for entry in self.entries for leaf in entry.leaves) != list(range(leaves)):
            yield f"clusters do not hold each of {leaves} leaves once"
        for name, numbers, end in (("cluster_id", self.cluster_id, count), ("leaf_id", self.leaf_id, leaves)):
            if numbers.size and not NOISE <= numbers.min() <= numbers.max() < end:
                yield f"{name} from {numbers.min()} to {numbers.max()}, of {end}"
        typical = self.typical_rows
        if typical.size and not 0 <= typical[0] <= typical[-1] < len(self):
            yield "representatives are no cells"
        if missing := {"method", "scope", "representatives"} - set(self.settings):
            yield f"settings lack {', '.join(sorted(missing))}"

    @classmethod
    def head(cls, path: str | os.PathLike) -> Head:
        """Return settings and counts, which stand first, without reading all of the file.

        Raises
        ------
        ClusterfirstError
            The file is damaged, or something else.
        """
        try:
            with Path(path).open(encoding="utf-8") as file:
                text = file.read(_HEAD)
            settings, counts = (_value(text, name) for name in ("settings", "counts"))
            return Head(settings, Counts(**counts))
        except (TypeError, ValueError):
            whole = cls.read(path)
            return Head(dict(whole.settings), whole.counts)

    def write(self, path: str | os.PathLike) -> None:
        """Write ``clusters.json``, atomically, settings and counts first."""
        write_json(self.document(), path, indent=None)

    def document(self) -> dict:
        """Return all of it JSON-ready."""
        together = self.counts_in_group
        return {
            "settings": {**self.settings},
            "counts": self.counts.document(),
            "clusters": [entry.document() for entry in self.entries],
            "tree": self.tree.document(self.groups),
            "cells": {name: getattr(self, name).tolist() for name in _COLUMNS},
        } | ({"counts_in_group": together.document()} if together else {})

    def of_slide(self, values: np.ndarray, *, start: int) -> Clustering:
        """Return one slide's share of the clusters of several.

        Clusters keep their ids, colours, leaves and tree, so that one name serves all slides. Sizes, mean confidence,
        representatives and counts become the slide's own; the group's stand beside them. A cluster without cells on the
        slide stays listed: size 0, mean confidence None.

        Parameters
        ----------
        values
            n × D: the slide's rows of what was clustered.
        start
            The slide's first row. Its cells' ids are 0 to n − 1.
        """
        part = slice(start, start + len(values))
        cluster_id, confidence, typical = self.cluster_id[part], self.confidence[part], self.settings["representatives"]
        rows = members(cluster_id)
        rows += [np.empty(0, int)] * (len(self.entries) - len(rows))
        entries = [
            replace(
                entry,
                size=len(own),
                size_in_group=entry.size,
                mean_confidence=_mean(confidence[own]),
                representatives=representatives(values, own, confidence, **typical).tolist() if len(own) else [],
            )
            for entry, own in zip(self.entries, rows, strict=True)
        ]
        return replace(
            self,
            counts=Counts.of(cluster_id, len(entries)),
            counts_in_group=self.counts,
            entries=entries,
            cell_id=np.arange(len(values)),
            cluster_id=cluster_id,
            leaf_id=self.leaf_id[part],
            confidence=confidence,
        )

    def __len__(self) -> int:
        return len(self.cell_id)

    @property
    def typical_rows(self) -> np.ndarray:
        """Representatives of all clusters, in the order of the cells."""
        return np.array(sorted(cell for entry in self.entries for cell in entry.representatives), int)

    @property
    def colours(self) -> dict[int, str]:
        """Colours by cluster id, noise included."""
        return {NOISE: palette.NOISE} | {entry.id: entry.colour for entry in self.entries}

    @cached_property
    def fingerprint(self) -> str:
        """A sha256 that says which cells are in which clusters."""
        return fingerprint(self.cluster_id)

    @cached_property
    def leaves_fingerprint(self) -> str:
        """A sha256 that says which cells are in which fine clusters."""
        return fingerprint(self.leaf_id)


def _mean(confidence: np.ndarray) -> float | None:
    return round(float(confidence.mean()), _DIGITS) if len(confidence) else None


def _value(text: str, name: str) -> Any:
    """The value of a key of the outermost object, from the beginning of a file."""
    at = text.index(f'"{name}":') + len(name) + 3
    at += len(text[at:]) - len(text[at:].lstrip())
    return json.JSONDecoder().raw_decode(text, at)[0]
