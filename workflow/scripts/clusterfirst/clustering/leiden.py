"""Leiden (Traag et al. 2019): groups that are closely knit in the neighbour graph, as single-cell studies have it."""

from __future__ import annotations

import random

import numpy as np

from ..io import ClusterfirstError
from .neighbours import Points

_ITERATIONS = 2
"""More raise the modularity in the fourth decimal."""


class Leiden:
    """Groups cells by modularity of the graph that joins each to its nearest; none of them is noise.

    A pair that is near from both sides counts twice. The neighbours may come from a GPU; the groups are found on a CPU.

    Parameters
    ----------
    resolution
        Larger: more and smaller groups.
    neighbors
        Neighbours of each cell in the graph.
    seed
        For the order in which cells are looked at.
    """

    k_distance = None

    def __init__(self, *, resolution: float, neighbors: int, seed: int):
        self.resolution = resolution
        self.neighbors = neighbors
        self.seed = seed
        self._modularity: float | None = None

    def fit(self, points: Points) -> np.ndarray:
        """Return one group number per row."""
        _, indices = points.nearest(self.neighbors)
        if not indices.size:
            return np.zeros(len(points), int)
        igraph = _igraph()
        ends = np.stack([np.repeat(np.arange(len(points)), indices.shape[1]), indices.ravel()], axis=1)
        graph = igraph.Graph(n=len(points), edges=ends)
        igraph.set_random_number_generator(random.Random(self.seed))
        try:
            found = graph.community_leiden("modularity", resolution=self.resolution, n_iterations=_ITERATIONS)
        finally:
            igraph.set_random_number_generator(random)
        self._modularity = float(found.modularity)
        return np.array(found.membership, int)

    def report(self) -> dict:
        """What was found, for ``clusters.json``."""
        return {"modularity": self._modularity}

    def advice(self, *, coarser: bool) -> str:
        """Tell the user which resolution to try next."""
        resolution = self.resolution * (0.5 if coarser else 2)
        return f"`clustering.resolution` was {self.resolution:g}: try {resolution:g}"


def _igraph():
    try:
        import igraph
    except ImportError as error:
        raise ClusterfirstError(
            "`clustering.method: leiden` needs the package igraph, which is not installed here. "
            "Install clusterfirst[leiden], or choose kmeans or hdbscan"
        ) from error
    return igraph
