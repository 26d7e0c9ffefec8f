"""Group cells that look alike: the `Clusterer` protocol, its backends, and what is said of every cluster."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol

import numpy as np

from . import palette
from .confidence import cell_confidence, representatives
from .neighbours import Points
from .noise import adopt
from .numbering import NOISE, by_size, members
from .tree import Tree, grow
from .variance import NAMES, explained, means

log = logging.getLogger(__name__)

NO_TYPICAL = {"max_items": 0, "min_confidence": 0.0}

_BACKENDS = {
    "dbscan": ("dbscan", "DBSCAN", ("eps", "min_samples")),
    "hdbscan": ("hdbscan", "HDBSCAN", ("min_cluster_size", "min_samples", "groups")),
    "kmeans": ("kmeans", "KMeans", ("fine", "groups", "seed")),
    "leiden": ("leiden", "Leiden", ("resolution", "neighbors", "seed")),
}
"""Where a method's class is, and its own keys of the configuration."""


class Clusterer(Protocol):
    """Groups cells."""

    def fit(self, points: Points) -> np.ndarray:
        """Return one group number per cell; −1 is noise."""
        ...

    def report(self) -> dict:
        """Return what was chosen while fitting, JSON-ready."""
        ...

    def advice(self, *, coarser: bool) -> str:
        """Tell the user what to set for coarser or finer groups than those just found."""
        ...


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


def clusterer(method: str, settings: dict) -> Clusterer:
    """Build the backend of that name with its own keys of the ``clustering`` section."""
    module, name, options = _BACKENDS[method]
    kind = getattr(import_module(f".{module}", __name__), name)
    return kind(**{key: settings[key] for key in options})


def cluster(
    values: np.ndarray, settings: dict, typical: dict | None = None, *, threads: int = 1, gpu: bool = False
) -> Clusters:
    """Cluster cells.

    Parameters
    ----------
    values
        N × D reduced embeddings. Any N will do; what comes of few cells is valid, and said in the log.
    settings
        The ``clustering`` section of the configuration.
    typical
        ``max_items`` and ``min_confidence`` of the ``representatives`` section; None: no representatives.
    threads
        CPU threads.
    gpu
        Compute with cuML where the method can (see `devices.rapids`).
    """
    points = Points(values, threads=threads, gpu=gpu, seed=settings["seed"])
    method = clusterer(settings["method"], settings)
    found = method.fit(points)
    noise = found == NOISE
    leaf_id = by_size(adopt(points, by_size(found)) if settings["assign_noise"] else found)
    assigned = noise & (leaf_id != NOISE)
    tree = grow(*means(points.values, leaf_id))
    cluster_id = np.append(tree.cut(settings["groups"]), NOISE)[leaf_id]
    _tell(points.values, cluster_id, noise, len(tree.sizes), settings["groups"], method)
    sure = cell_confidence(points, cluster_id, assigned)
    chosen = [representatives(points.values, rows, sure, **(typical or NO_TYPICAL)) for rows in members(cluster_id)]
    _tell_of_bare(chosen, typical)
    return Clusters(cluster_id, leaf_id, assigned, sure, chosen, tree, method)


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


def _tell_of_bare(chosen: list[np.ndarray], typical: dict | None) -> None:
    """Say in the log which clusters have no typical cells, where these were wished for."""
    bare = [str(number) for number, cells in enumerate(chosen) if not len(cells)]
    if typical and bare:
        log.warning(
            "no cell of cluster %s has a confidence of %g (representatives.min_confidence): no picture will show it",
            ", ".join(bare),
            typical["min_confidence"],
        )


def document(clusters: Clusters, settings: dict, cell_id: np.ndarray, typical: dict | None = None) -> dict:
    """Write clusters down, JSON-ready.

    Parameters
    ----------
    clusters
        What `cluster` returned.
    settings
        The ``clustering`` section that was used.
    cell_id
        The cells' ids, row by row.
    typical
        What `cluster` was given.

    Returns
    -------
    dict
        ``settings`` (as given, and what was chosen while fitting), ``counts``, ``clusters`` (id, size, colour, mean
        confidence, leaves, representatives as cell ids, largest first), ``tree`` (see `Tree.document`) and ``cells``
        (columns ``cell_id``, ``cluster_id``, ``leaf_id``, ``confidence``).
    """
    of_leaf = clusters.tree.cut(settings["groups"])
    rows = members(clusters.cluster_id)
    return {
        "settings": {**settings, **clusters.clusterer.report(), "representatives": typical or NO_TYPICAL},
        "counts": _counts(clusters.cluster_id, len(rows)) | {"assigned": int(np.count_nonzero(clusters.assigned))},
        "clusters": [
            {
                "id": number,
                "size": len(rows[number]),
                "colour": palette.colour(number),
                "mean_confidence": round(float(clusters.confidence[rows[number]].mean()), 4),
                "leaves": np.flatnonzero(of_leaf == number).tolist(),
                "representatives": cell_id[chosen].tolist(),
            }
            for number, chosen in enumerate(clusters.representatives)
        ],
        "tree": clusters.tree.document(settings["groups"]),
        "cells": {
            "cell_id": cell_id.tolist(),
            "cluster_id": clusters.cluster_id.tolist(),
            "leaf_id": clusters.leaf_id.tolist(),
            "confidence": clusters.confidence.round(4).tolist(),
        },
    }


def _counts(cluster_id: np.ndarray, clusters: int) -> dict:
    noise = int(np.count_nonzero(cluster_id == NOISE))
    return {
        "cells": len(cluster_id),
        "clusters": clusters,
        "noise": noise,
        "noise_fraction": noise / len(cluster_id) if len(cluster_id) else 0.0,
    }


def share(found: dict, values: np.ndarray, *, start: int) -> dict:
    """Return the document of one slide out of that of several slides' cells.

    Clusters keep their ids, colours, leaves and tree, so that one name serves all slides. Sizes, mean confidence,
    representatives and counts become the slide's own; the group's stand beside them as ``size_in_group`` and
    ``counts_in_group``. A cluster without cells on the slide stays listed: size 0, mean confidence null.

    Parameters
    ----------
    found
        What `document` returned for all slides' cells.
    values
        n × D: the slide's rows of what was clustered.
    start
        The slide's first row. Its cells' ids are 0 to n − 1.
    """
    columns = {name: column[start : start + len(values)] for name, column in found["cells"].items()}
    cluster_id, sure = np.array(columns["cluster_id"], int), np.array(columns["confidence"])
    rows = members(cluster_id)
    rows += [np.empty(0, int)] * (len(found["clusters"]) - len(rows))
    typical = found["settings"]["representatives"]
    clusters = [
        {
            **entry,
            "size": len(own),
            "size_in_group": entry["size"],
            "mean_confidence": round(float(sure[own].mean()), 4) if len(own) else None,
            "representatives": representatives(values, own, sure, **typical).tolist() if len(own) else [],
        }
        for entry, own in zip(found["clusters"], rows, strict=True)
    ]
    return {
        **found,
        "counts": _counts(cluster_id, len(clusters)),
        "counts_in_group": found["counts"],
        "clusters": clusters,
        "cells": columns | {"cell_id": list(range(len(values)))},
    }
