"""Group cells that look alike: the `Clusterer` protocol and its backends.

`clusters` runs one and says what came of it, `document` is the type of ``clusters.json``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from ..backends import Backend
from .numbering import NOISE

if TYPE_CHECKING:
    import numpy as np

    from .dbscan import KDistance
    from .neighbours import Points

__all__ = ["BACKENDS", "NOISE", "Clusterer", "clusterer"]

BACKENDS: Mapping[str, Backend] = {
    "dbscan": Backend("clustering.dbscan:DBSCAN", keys=("eps", "min_samples")),
    "hdbscan": Backend("clustering.hdbscan:HDBSCAN", keys=("min_cluster_size", "min_samples", "groups")),
    "kmeans": Backend("clustering.kmeans:KMeans", keys=("fine", "groups", "seed")),
    "leiden": Backend("clustering.leiden:Leiden", keys=("resolution", "neighbors", "seed")),
}
"""By the name that ``clustering.method`` has for them; each is built with its keys of the section."""


class Clusterer(Protocol):
    """Groups cells."""

    k_distance: KDistance | None
    """Of a method that reads its reach off that curve: for a plot, once it was fitted."""

    def fit(self, points: Points) -> np.ndarray:
        """Return one group number per cell; −1 is noise."""
        ...

    def report(self) -> dict:
        """Return what was chosen while fitting, JSON-ready."""
        ...

    def advice(self, *, coarser: bool) -> str:
        """Tell the user what to set for coarser or finer groups than those just found."""
        ...


def clusterer(settings: Mapping[str, Any]) -> Clusterer:
    """Build the backend that the ``clustering`` section names."""
    backend = BACKENDS[settings["method"]]
    return backend.load()(**{key: settings[key] for key in backend.keys})
