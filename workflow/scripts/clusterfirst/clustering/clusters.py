"""Run a method of clustering, join what it finds along a tree, and choose what shows each cluster."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..coinciding import Coinciding
from . import Clusterer, clusterer
from .confidence import cell_confidence, representatives
from .neighbours import Points
from .noise import adopt
from .numbering import NOISE, by_size, members
from .tree import Tree, grow
from .variance import NAMES, explained, means

log = logging.getLogger(__name__)

NO_TYPICAL = {"max_items": 0, "min_confidence": 0.0}
"""Of ``representatives``, where nobody wants any."""


@dataclass(frozen=True)
class Clusters:
    """Cells in clusters.

    Attributes
    ----------
    cluster_id : numpy.ndarray
        Per cell; 0 is the largest cluster, −1 noise.
    leaf_id : numpy.ndarray
        Per cell, the fine cluster before joining, numbered likewise.
    assigned : numpy.ndarray
        Per cell, whether it was noise and then given to a cluster.
    confidence : numpy.ndarray
        Per cell, in [0, 1] (see `confidence.cell_confidence`).
    representatives : list of numpy.ndarray
        Per cluster, rows of cells, the most typical first.
    tree : Tree
        How leaves join.
    clusterer : Clusterer
        The fitted backend.
    """

    cluster_id: np.ndarray
    leaf_id: np.ndarray
    assigned: np.ndarray
    confidence: np.ndarray
    representatives: list[np.ndarray]
    tree: Tree
    clusterer: Clusterer

    def among(self, count: int, rows: np.ndarray) -> Clusters:
        """Return the same clusters among so many cells, all others being noise.

        Parameters
        ----------
        count
            Of cells.
        rows
            Which of them are clustered.
        """

        def spread(values: np.ndarray, others) -> np.ndarray:
            every = np.full(count, others, values.dtype)
            every[rows] = values
            return every

        return replace(
            self,
            cluster_id=spread(self.cluster_id, NOISE),
            leaf_id=spread(self.leaf_id, NOISE),
            assigned=spread(self.assigned, False),
            confidence=spread(self.confidence, 0),
            representatives=[rows[chosen] for chosen in self.representatives],
        )


def cluster(
    values: np.ndarray, settings: Mapping[str, Any], typical: Mapping[str, Any], *, threads: int = 1, gpu: bool = False
) -> Clusters:
    """Cluster cells.

    Parameters
    ----------
    values
        N × D reduced embeddings. Any N will do; what comes of few cells is valid, and said in the log.
    settings
        The ``clustering`` section of the configuration.
    typical
        ``max_items`` and ``min_confidence`` of the ``representatives`` section (see `NO_TYPICAL`).
    threads
        CPU threads.
    gpu
        Compute with cuML where the method can (see `devices.rapids`).
    """
    points = Points(values, threads=threads, gpu=gpu, seed=settings["seed"])
    method = clusterer(settings)
    alike = Coinciding.among(points.values)
    found = _together(method.fit(points), alike)
    noise = found == NOISE
    leaf_id = by_size(adopt(points, by_size(found)) if settings["assign_noise"] else found)
    assigned = noise & (leaf_id != NOISE)
    tree = grow(*means(points.values, leaf_id))
    cluster_id = np.append(tree.cut(settings["groups"]), NOISE)[leaf_id]
    _tell(points.values, cluster_id, noise, len(tree.sizes), settings["groups"], method)
    _tell_of_repeated(alike, settings["groups"])
    confidence = cell_confidence(points, cluster_id, assigned)
    chosen = [representatives(points.values, rows, confidence, **typical) for rows in members(cluster_id)]
    _tell_of_bare(chosen, typical)
    return Clusters(cluster_id, leaf_id, assigned, confidence, chosen, tree, method)


def _together(found: np.ndarray, alike: Coinciding) -> np.ndarray:
    """Give cells that are the same the same group: a graph of neighbours would part them, for all are as near."""
    if len(found) > 1 and len(alike.different) == 1:
        return np.zeros(len(found), int)
    return found[alike.first]


def _tell_of_repeated(alike: Coinciding, groups: int | None) -> None:
    """Say in the log that there cannot be as many clusters as wished for."""
    count, different = len(alike.first), len(alike.different)
    if different < min(count, max(2, groups or 0)):
        log.warning(
            "of %d cells, only %d differ in what they are clustered by, so there are no more clusters than that: are "
            "outlines or embeddings repeated?",
            count,
            different,
        )


def _tell(
    values: np.ndarray, cluster_id: np.ndarray, noise: np.ndarray, leaves: int, groups: int | None, method: Clusterer
) -> None:
    """Say in the log what was found, and what to change if it is of little use."""
    if not len(values):
        log.warning("there are no cells to cluster")
        return
    count = int(cluster_id.max()) + 1
    joined = f", joined to {count}" if count < leaves else ""
    log.info("%d cells: %d clusters%s; %d cells were noise", len(values), leaves, joined, np.count_nonzero(noise))
    log.info("the %d largest explain %.3f of the variance", min(NAMES, count), explained(values, cluster_id))
    if noise.mean() > 0.5:
        log.warning("%.0f %% of the cells are noise; %s", 100 * noise.mean(), method.advice(coarser=True))
    elif groups and count < groups:
        log.warning("only %d clusters were found, not %d; %s", count, groups, method.advice(coarser=False))
    elif count == 1:
        log.warning("there is one cluster only; %s", method.advice(coarser=False))


def _tell_of_bare(chosen: list[np.ndarray], typical: Mapping[str, Any]) -> None:
    """Say in the log which clusters have no typical cells, where these were wished for."""
    bare = [str(number) for number, cells in enumerate(chosen) if not len(cells)]
    if typical["max_items"] and bare:
        log.warning(
            "no cell of cluster %s has a confidence of %g (representatives.min_confidence): no picture will show it",
            ", ".join(bare),
            typical["min_confidence"],
        )
