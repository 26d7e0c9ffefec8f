"""The cells of a group: where they lie, which leaves they are in, how surely, and what their clusters look like."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import pyarrow.parquet as pq

from ...clustering import palette
from ...clustering.confidence import representatives
from ...clustering.document import Clustering
from ...io import ClusterfirstError
from ...labels import model
from ...outlines import objects
from ..record import titles
from ..record.leaves import Leaves
from .results import GroupInfo, SlideInfo, is_inside

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Group:
    """The cells of a group, row by row: members one after the other.

    Attributes
    ----------
    info : GroupInfo
    leaves : Leaves
    x, y : numpy.ndarray
        n float32: centroids in level-0 pixels of each cell's slide.
    slide : numpy.ndarray
        n uint16: place of the cell's slide in ``info.slides``.
    cell_id : numpy.ndarray
        n int32: its id in the slide's ``masks.parquet``.
    confidence : numpy.ndarray
        n float32 in [0, 1].
    umap2d : numpy.ndarray
        n × 2 float32.
    typical : dict of int to list of int
        Rows that show each of the first clusters best, by key.
    colours : dict of int to str
        Colours of the first clusters, by key.
    ids : dict of int to int
        Ids of the first clusters in ``clusters.json``, by key.
    proposals : Proposals or None
        What a model called the first clusters.
    """

    info: GroupInfo
    leaves: Leaves
    x: np.ndarray
    y: np.ndarray
    slide: np.ndarray
    cell_id: np.ndarray
    confidence: np.ndarray
    umap2d: np.ndarray
    typical: dict[int, list[int]]
    colours: dict[int, str]
    ids: dict[int, int]
    proposals: model.Proposals | None = None
    _chosen: dict = field(default_factory=dict, repr=False)
    _titles: dict = field(default_factory=dict, repr=False)

    @cached_property
    def confidence_sum(self) -> np.ndarray:
        """Per leaf, the sum of its cells' confidence."""
        in_leaf = self.leaves.of_cell >= 0
        return np.bincount(self.leaves.of_cell[in_leaf], self.confidence[in_leaf], minlength=len(self.leaves))

    @property
    def cluster_id(self) -> np.ndarray:
        """Per cell, the id of its first cluster in ``clusters.json``; −1 for noise."""
        of_leaf = np.array([self.ids[key] for key in self.leaves.start.tolist()] + [-1])
        return of_leaf[self.leaves.of_cell]

    @property
    def fingerprint(self) -> str:
        """See `Leaves.fingerprint`."""
        return self.leaves.fingerprint

    def cells_sha256(self, rows: slice) -> str:
        """Say which cells the ids of a slide mean, and where they lie; see `objects.fingerprint`."""
        return objects.fingerprint(self.x[rows], self.y[rows], self.cell_id[rows])

    def __len__(self) -> int:
        return len(self.x)

    def colour(self, key: int) -> str:
        """Return the colour of a cluster: its first one, or, of one that came of opening, always the same other."""
        return self.colours.get(key) or palette.colour(len(self.colours) + key)

    def representatives(self, leaves: tuple[int, ...]) -> list[int]:
        """Return rows that show a cluster best, the most typical first."""
        key, start = leaves[0], self.leaves.start
        if key in self.typical and tuple(np.flatnonzero(start == key).tolist()) == leaves:
            return self.typical[key]
        if leaves not in self._chosen:
            values = np.load(self.info.folder.reduced, mmap_mode="r")
            most = max(map(len, self.typical.values()))
            rows = self.leaves.rows(leaves)
            chosen = representatives(values, rows, self.confidence, most, 0.0) if len(rows) else rows
            self._chosen[leaves] = chosen.tolist()
        return self._chosen[leaves]

    def title(self, leaves: tuple[int, ...]) -> tuple[str, int | None]:
        """Return what a cluster is called (see `titles`), and its id in ``clusters.json``, if it is one of those."""
        if leaves not in self._titles:
            pieces = titles.pieces(leaves, self.leaves, self.ids)
            first = pieces == [str(self.ids.get(leaves[0]))]
            self._titles[leaves] = titles.joined(pieces), self.ids[leaves[0]] if first else None
        return self._titles[leaves]

    def proposal(self, leaves: tuple[int, ...]) -> dict | None:
        """Return what a model would call a cluster; None if it did not say, or was unsure.

        ``class`` and its ``colour``; the ``share`` of ``views`` that said so; the ``rationale`` of one; the ``model``.
        What came of opening a cluster inherits its proposal; merged clusters keep one that all of them have, with the
        least of their shares.
        """
        if self.proposals is None:
            return None
        proposed = [
            self.proposals.clusters.get(self.ids[key]) for key in np.unique(self.leaves.start[list(leaves)]).tolist()
        ]
        if len({entry and entry.name for entry in proposed}) > 1 or proposed[0] is None or proposed[0].name is None:
            return None
        least = min(proposed, key=lambda entry: entry.share)
        return {
            "class": least.name,
            "colour": next(entry["colour"] for entry in self.proposals.classes if entry["name"] == least.name),
            "share": least.share,
            "views": least.views,
            "rationale": least.rationale,
            "model": self.proposals.model,
        }

    def place(self, row: int) -> tuple[SlideInfo, int]:
        """Return a cell's slide and its row there."""
        number = int(self.slide[row])
        return self.info.slides[number], row - self.info.starts[number]


def load_group(info: GroupInfo) -> Group:
    """Read the cells of a group: positions, leaves, confidence, map. Outlines stay on disk.

    Raises
    ------
    ClusterfirstError
        Files are damaged or do not belong together.
    """
    folder = info.folder
    try:
        clusters = Clustering.read(folder.clusters)
        x, y, cell_id = _cells(info)
        umap2d = np.load(folder.plane).astype(np.float32, copy=False)
        digest = hashlib.sha256("\n".join(slide.id for slide in info.slides).encode())
        for array in (x, y, cell_id):
            digest.update(array.tobytes())
        leaves = Leaves.of(clusters, digest.hexdigest())
        confidence = clusters.confidence.astype(np.float32)
        first = {min(entry.leaves): entry for entry in clusters.entries if entry.leaves}
    except (KeyError, ValueError, OSError, TypeError) as error:
        raise ClusterfirstError(f"{folder.path}: cannot be read ({error!r}): run the workflow again") from error
    if not len(leaves.of_cell) == len(x) == len(umap2d) == len(confidence) == info.cells:
        raise ClusterfirstError(f"{folder.path}: its files have different numbers of cells: run the workflow again")
    group = Group(
        info=info,
        leaves=leaves,
        x=x,
        y=y,
        slide=np.repeat(np.arange(len(info.slides), dtype=np.uint16), [slide.cells for slide in info.slides]),
        cell_id=cell_id,
        confidence=confidence,
        umap2d=umap2d,
        typical={key: entry.representatives for key, entry in first.items()},
        colours={key: entry.colour for key, entry in first.items()},
        ids={key: entry.id for key, entry in first.items()},
    )
    return with_proposals(group)


def with_proposals(group: Group) -> Group:
    """Return the group with what a model calls its clusters by now."""
    return replace(group, proposals=_proposals(group))


def _proposals(group: Group) -> model.Proposals | None:
    """What a model called the clusters. That it did not, or called others, is no reason not to label."""
    path = group.info.folder.proposals
    if not path.is_file() or not is_inside(path, group.info.folder.path):
        return None
    try:
        proposals = model.read(path)
    except ClusterfirstError as error:
        log.warning("%s", error)
        return None
    if not proposals.are_of(group.cluster_id):
        log.warning("%s is of other clusters, which have changed since: run `snakemake classify`", path)
        return None
    return proposals


def _cells(info: GroupInfo) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    # Not read_table: that imports pyarrow's datasets, which takes longer than reading.
    tables = [pq.ParquetFile(slide.folder.cells).read(columns=["x", "y", "cell_id"]) for slide in info.slides]
    return tuple(
        np.concatenate([table[name].to_numpy() for table in tables]).astype(kind)
        for name, kind in (("x", np.float32), ("y", np.float32), ("cell_id", np.int32))
    )
