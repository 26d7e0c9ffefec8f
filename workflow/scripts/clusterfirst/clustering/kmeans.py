"""k-means: as many groups as wished, each a ball, none of them noise."""

from __future__ import annotations

import warnings

import numpy as np

from .neighbours import Points

_FEW_CELLS = 20_000
"""Up to here, NumPy is done before scikit-learn, which takes half the time then, has been imported."""
_FULL_CELLS = 50_000
"""Beyond, batches of cells move the centres (Sculley 2010), which is many times faster and nearly as good."""
_BATCH = 8192


class KMeans:
    """Splits the cells into `fine` balls, or into `groups` of them where that is more.

    Parameters
    ----------
    fine
        How many; at most one per cell.
    groups
        How many they will be joined to.
    seed
        For the first centres.
    """

    k_distance = None

    def __init__(self, *, fine: int, groups: int | None, seed: int):
        self.fine = max(fine, groups or 0)
        self.seed = seed
        self._made = 0

    def fit(self, points: Points) -> np.ndarray:
        """Return one group number per row."""
        self._made = min(self.fine, len(points))
        if not len(points):
            return np.empty(0, int)
        if points.gpu:
            from cuml.cluster import KMeans as OnGpu

            return np.asarray(OnGpu(n_clusters=self._made, random_state=self.seed).fit_predict(points.values), int)
        return self._on_cpu(points)

    def _on_cpu(self, points: Points) -> np.ndarray:
        from threadpoolctl import threadpool_limits

        if len(points) <= _FEW_CELLS:
            from .lloyd import k_means

            with threadpool_limits(1):  # as below
                return k_means(points.values, self._made, seed=self.seed)
        from sklearn.cluster import KMeans as Full
        from sklearn.cluster import MiniBatchKMeans
        from sklearn.exceptions import ConvergenceWarning

        if len(points) > _FULL_CELLS:
            method = MiniBatchKMeans(self._made, batch_size=_BATCH, n_init=3, random_state=self.seed)
            threads = points.threads
        else:
            # Threads would add up their sums in any order, and the same seed would give other clusters.
            method, threads = Full(self._made, n_init=1, random_state=self.seed), 1
        with threadpool_limits(threads), warnings.catch_warnings():
            # Cells that coincide make fewer groups than wished; so be it.
            warnings.simplefilter("ignore", ConvergenceWarning)
            return method.fit_predict(points.values).astype(int)

    def report(self) -> dict:
        """What was chosen, for ``clusters.json``."""
        return {"fine": self._made}

    def advice(self, *, coarser: bool) -> str:
        """Tell the user what to set for coarser or finer groups."""
        return f"`clustering.fine` was {self._made}: {'lower' if coarser else 'raise'} it, or set `clustering.groups`"
