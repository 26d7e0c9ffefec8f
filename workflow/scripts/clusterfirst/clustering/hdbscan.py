"""HDBSCAN: groups of whatever density, with no reach to choose."""

from __future__ import annotations

import numpy as np

from . import density
from .neighbours import Points
from .numbering import NOISE


class HDBSCAN:
    """Groups regions that stay together over the widest range of densities; what lies in none is noise.

    Parameters
    ----------
    min_cluster_size
        Cells of the smallest group.
    min_samples
        Cells within reach, itself included, that make a core. Larger: more noise.
    groups
        How many groups they will be joined to. Then the finest groups are taken (the leaves of HDBSCAN's tree), not
        the most lasting ones, which may be as few as two.
    """

    k_distance = None

    def __init__(self, *, min_cluster_size: int, min_samples: int, groups: int | None):
        self.min_cluster_size = min_cluster_size
        self.min_samples = min_samples
        self.selection = "eom" if groups is None else "leaf"
        self._fitted = 0

    def fit(self, points: Points) -> np.ndarray:
        """Return one group number per row; −1 is noise."""
        groups, self._fitted = density.fit(points, self._groups, lambda: np.inf)
        return groups

    def _groups(self, points: Points) -> np.ndarray:
        if len(points) < max(self.min_samples, self.min_cluster_size):
            return np.full(len(points), NOISE)
        if points.gpu:
            from cuml.cluster import HDBSCAN as OnGpu

            method = OnGpu(
                min_cluster_size=self.min_cluster_size,
                min_samples=self.min_samples,
                cluster_selection_method=self.selection,
            )
            return np.asarray(method.fit_predict(points.values), int)
        fitted = density.hierarchy(
            points.values,
            min_samples=self.min_samples,
            min_cluster_size=self.min_cluster_size,
            selection=self.selection,
            exact=False,
        )
        return fitted.labels_.astype(int)

    def report(self) -> dict:
        """What was chosen, for ``clusters.json``."""
        return {"selection": self.selection, "fitted": self._fitted}

    def advice(self, *, coarser: bool) -> str:
        """Tell the user what to set for coarser or finer groups."""
        size, samples = self.min_cluster_size, self.min_samples
        if coarser:
            return (
                f"`clustering.min_cluster_size` was {size} and `min_samples` {samples}: lower `min_samples` for less "
                "noise, raise `min_cluster_size` for fewer groups"
            )
        return f"`clustering.min_cluster_size` was {size}: try {max(2, size // 2)}, or set `clustering.groups`"
