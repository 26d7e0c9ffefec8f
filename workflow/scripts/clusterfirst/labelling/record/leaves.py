"""The fine clusters that can be named, and how they join: what every action of a person is about."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np

from ...clustering.document import Clustering
from ...clustering.numbering import NOISE
from ...io import atomic

SHORT = 12
"""So many digits of fingerprints, and of `Leaves.cells`, stand in names of files and in messages."""


@dataclass(frozen=True)
class Leaves:
    """Leaves of n cells, and the clusters they were in before anybody touched them.

    Attributes
    ----------
    of_cell : numpy.ndarray
        n int32: each cell's leaf, −1 for noise.
    start : numpy.ndarray
        L int32: the key (smallest leaf) of the cluster that each leaf began in.
    merges : numpy.ndarray
        (L − 1) × 2 int32: which nodes join, as in ``clusters.json``: leaf *i* is node *i*, row *r* makes node L + *r*.
    cells : str
        sha256 of which cells these are and where they lie: the same as long as nobody segments again.
    """

    of_cell: np.ndarray
    start: np.ndarray
    merges: np.ndarray
    cells: str

    @classmethod
    def of(cls, clusters: Clustering, cells: str) -> Self:
        """Take the leaves out of the clusters of a group.

        Parameters
        ----------
        clusters
            As they were found.
        cells
            See the class.
        """
        start = np.empty(len(clusters.tree.sizes), np.int32)
        for entry in clusters.entries:
            start[entry.leaves] = min(entry.leaves, default=NOISE)
        return cls(clusters.leaf_id.astype(np.int32), start, clusters.tree.merges[:, :2].astype(np.int32), cells)

    def save(self, path: str | os.PathLike) -> None:
        """Keep the leaves beside the labels, which mean nothing without them once cells are clustered anew."""
        with atomic(path) as part:
            np.savez(part, of_cell=self.of_cell, start=self.start, merges=self.merges, cells=np.array(self.cells))

    @classmethod
    def load(cls, path: str | os.PathLike) -> Self:
        """Read what `save` wrote."""
        with np.load(Path(path), allow_pickle=False) as kept:
            return cls(kept["of_cell"], kept["start"], kept["merges"], str(kept["cells"]))

    def __len__(self) -> int:
        return len(self.start)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 that says which clustering of which cells this is: names hold for this one only."""
        digest = hashlib.sha256(self.cells.encode())
        for array in (self.of_cell, self.start, self.merges):
            digest.update(np.ascontiguousarray(array, "<i4").tobytes())
        return digest.hexdigest()

    @cached_property
    def sizes(self) -> np.ndarray:
        """Cells of each leaf."""
        return np.bincount(self.of_cell[self.of_cell >= 0], minlength=len(self))

    @cached_property
    def noise(self) -> int:
        """Cells in no leaf."""
        return len(self.of_cell) - int(self.sizes.sum())

    @cached_property
    def _sorted(self) -> tuple[np.ndarray, np.ndarray]:
        """All rows, those of noise first, then leaf by leaf; and where each leaf's rows begin."""
        order = np.argsort(self.of_cell, kind="stable").astype(np.int32)
        return order, self.noise + np.concatenate([[0], np.cumsum(self.sizes)])

    def rows(self, leaves) -> np.ndarray:
        """Return the rows of the cells of some leaves, leaf by leaf."""
        order, begin = self._sorted
        parts = [order[begin[leaf] : begin[leaf + 1]] for leaf in leaves]
        return np.concatenate(parts) if parts else np.empty(0, np.int32)

    @cached_property
    def _spans(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Each leaf's place in an order in which every node's leaves stand together; each node's first and last + 1."""
        count, nodes = len(self), len(self) + len(self.merges)
        width = np.ones(nodes, np.int64)
        for row, (one, other) in enumerate(self.merges):
            width[count + row] = width[one] + width[other]
        first = np.zeros(nodes, np.int64)
        for row in range(len(self.merges) - 1, -1, -1):
            one, other = self.merges[row]
            first[one] = first[count + row]
            first[other] = first[one] + width[one]
        return first[:count], first, first + width

    def split(self, leaves) -> tuple[list[int], list[int]]:
        """Part some leaves as the tree does: at the last merge that joined all of them.

        Parameters
        ----------
        leaves
            At least two.

        Returns
        -------
        tuple of list of int
            The two children, the one with the smallest leaf first.
        """
        leaves = np.sort(np.asarray(leaves, int))
        place, first, end = self._spans
        own = place[leaves]
        holds_all = (first <= own.min()) & (end > own.max())
        top = int(np.argmin(np.where(holds_all, end - first, np.iinfo(np.int64).max)))
        one = self.merges[top - len(self), 0]
        left = (own >= first[one]) & (own < end[one])
        return tuple(sorted((leaves[left].tolist(), leaves[~left].tolist())))
