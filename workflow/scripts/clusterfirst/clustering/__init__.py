"""Group cells that look alike: the `Clusterer` protocol, its backends, and what is said of every cluster."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol

import numpy as np

from . import palette
from .neighbours import nearest

log = logging.getLogger(__name__)

NOISE = -1
_BACKENDS = {"dbscan": ("dbscan", "DBSCAN")}
_OPTIONS = {"dbscan": ("eps", "min_samples")}
_CONFIDENCE_NEIGHBOURS = 15
_CANDIDATES = 2000
"""Representatives are spread over this many confident cells of a cluster at most."""


class Clusterer(Protocol):
    """Groups rows."""

    def fit(self, values: np.ndarray, *, threads: int = 1) -> np.ndarray:
        """Return one group number per row of N × D `values`; −1 is noise."""
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
    confidence : numpy.ndarray
        Per cell, in [0, 1] (see `confidence`).
    representatives : list of numpy.ndarray
        Per cluster, rows of cells, the most typical first.
    clusterer : Clusterer
        The fitted backend.
    """

    cluster_id: np.ndarray
    confidence: np.ndarray
    representatives: list[np.ndarray]
    clusterer: Clusterer


def clusterer(method: str, settings: dict) -> Clusterer:
    """Build the backend of that name with its own keys of the ``clustering`` section."""
    module, name = _BACKENDS[method]
    kind = getattr(import_module(f".{module}", __name__), name)
    return kind(**{key: settings[key] for key in _OPTIONS[method]})


def cluster(values: np.ndarray, settings: dict, *, threads: int = 1) -> Clusters:
    """Cluster cells.

    Parameters
    ----------
    values
        N × D reduced embeddings. Any N will do; what comes of few cells is valid, and said in the log.
    settings
        The ``clustering`` section of the configuration.
    """
    values = np.asarray(values)
    method = clusterer(settings["method"], settings)
    cluster_id = by_size(method.fit(values, threads=threads))
    count = int(cluster_id.max(initial=NOISE)) + 1
    noise = int(np.count_nonzero(cluster_id == NOISE))
    log.info("%d cells: %d clusters, %d cells are noise", len(values), count, noise)
    if not len(values):
        log.warning("there are no cells to cluster")
    elif noise > len(values) / 2:
        log.warning("%.0f %% of the cells are noise; %s", 100 * noise / len(values), method.advice(coarser=True))
    elif count == 1:
        log.warning("there is one cluster only; %s", method.advice(coarser=False))
    sure = confidence(values, cluster_id, threads=threads)
    chosen = [
        representatives(values, np.flatnonzero(cluster_id == number), sure, settings["representatives"])
        for number in range(count)
    ]
    return Clusters(cluster_id, sure, chosen, method)


def by_size(groups: np.ndarray) -> np.ndarray:
    """Renumber groups so that 0 is the largest; ties by the first cell. Noise stays −1."""
    names, first, sizes = np.unique(groups, return_index=True, return_counts=True)
    real = names != NOISE
    order = np.lexsort((first[real], -sizes[real]))
    renamed = {name: rank for rank, name in enumerate(names[real][order])} | {NOISE: NOISE}
    return np.array([renamed[name] for name in names], int)[np.searchsorted(names, groups)]


def confidence(values: np.ndarray, cluster_id: np.ndarray, *, threads: int = 1) -> np.ndarray:
    """Say how surely each cell belongs to its cluster.

    ``agreement · min(1, 2m / (m + d))``: *agreement* is the share of a cell's 15 nearest neighbours that are in its
    cluster, *d* its distance to the farthest of them, and *m* the median of *d* over the cluster. So the second factor
    is 1 for a cell that lies as densely as its cluster's median cell, and ½ at three times the distance. Both factors
    are ratios: stretching the whole embedding changes nothing. Noise has 0.

    Parameters
    ----------
    values
        N × D.
    cluster_id
        Per row; −1 is noise.

    Returns
    -------
    numpy.ndarray
        N floats in [0, 1].
    """
    distances, indices = nearest(values, _CONFIDENCE_NEIGHBOURS, threads=threads)
    sure = np.zeros(len(values))
    if not distances.shape[1]:
        sure[cluster_id != NOISE] = 1.0
        return sure
    agreeing = (cluster_id[indices] == cluster_id[:, None]).mean(axis=1)
    reach = distances[:, -1]
    for number in range(int(cluster_id.max(initial=NOISE)) + 1):
        members = cluster_id == number
        usual = np.median(reach[members])
        total = usual + reach[members]
        nearness = np.divide(2 * usual, total, out=np.ones_like(total), where=total > 0)
        sure[members] = agreeing[members] * np.minimum(1, nearness)
    return sure


def representatives(values: np.ndarray, members: np.ndarray, sure: np.ndarray, wanted: int) -> np.ndarray:
    """Choose cells that show a cluster: the most typical one, then the ones most unlike those chosen already.

    Parameters
    ----------
    values
        N × D of all cells.
    members
        Rows of the cluster's cells.
    sure
        Confidence of all cells. Only the surer half of the cluster is looked at, so that spread is not strays.
    wanted
        How many at most.
    """
    surest = members[np.argsort(-sure[members], kind="stable")]
    pool = surest[: max(wanted, len(surest) // 2)]
    pool = pool[np.unique(np.linspace(0, len(pool) - 1, min(len(pool), _CANDIDATES)).round().astype(int))]
    points = values[pool].astype(np.float64)
    from_middle = np.linalg.norm(points - values[members].mean(axis=0), axis=1)
    chosen = [int(from_middle.argmin())]
    away = np.linalg.norm(points - points[chosen[0]], axis=1)
    while len(chosen) < min(wanted, len(pool)):
        away[chosen] = -1
        chosen.append(int(away.argmax()))
        away = np.minimum(away, np.linalg.norm(points - points[chosen[-1]], axis=1))
    return pool[chosen]


def document(clusters: Clusters, settings: dict, cell_id: np.ndarray) -> dict:
    """Write clusters down, JSON-ready.

    Parameters
    ----------
    clusters
        What `cluster` returned.
    settings
        The ``clustering`` section that was used.
    cell_id
        The cells' ids, row by row.

    Returns
    -------
    dict
        ``settings`` (as given, and what was chosen while fitting), ``counts``, ``clusters`` (id, size, colour, mean
        confidence, representatives as cell ids, largest first) and ``cells`` (columns ``cell_id``, ``cluster_id``,
        ``confidence``).
    """
    labels, sure = clusters.cluster_id, clusters.confidence
    noise = int(np.count_nonzero(labels == NOISE))
    return {
        "settings": {**settings, **clusters.clusterer.report()},
        "counts": {
            "cells": len(labels),
            "clusters": len(clusters.representatives),
            "noise": noise,
            "noise_fraction": noise / len(labels) if len(labels) else 0.0,
        },
        "clusters": [
            {
                "id": number,
                "size": int(np.count_nonzero(labels == number)),
                "colour": palette.colour(number),
                "mean_confidence": round(float(sure[labels == number].mean()), 4),
                "representatives": [int(cell_id[row]) for row in rows],
            }
            for number, rows in enumerate(clusters.representatives)
        ],
        "cells": {
            "cell_id": [int(cell) for cell in cell_id],
            "cluster_id": labels.tolist(),
            "confidence": sure.round(4).tolist(),
        },
    }
