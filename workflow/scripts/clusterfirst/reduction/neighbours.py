"""Who is near whom among the features: exactly while that is cheap, then by NN-descent."""

from __future__ import annotations

import numpy as np

_EXACT_PAIRS = 50_000**2
"""Up to here, comparing all pairs costs less than the half minute in which NN-descent compiles itself."""

_FEW_EACH = 1024
"""Rows that ask, for each thread: scikit-learn's own limit."""


class Exact:
    """Compares all pairs."""

    kind = "exact"

    def __init__(self, values: np.ndarray, *, metric: str, threads: int):
        from sklearn.neighbors import NearestNeighbors

        self._values, self._threads = values, threads
        self._search = NearestNeighbors(metric=metric, n_jobs=threads).fit(values)

    def among_themselves(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Distances and indices of each row's `k` nearest rows, itself among them."""
        return self.of(self._values, k)

    def of(self, others: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Distances and indices of the `k` rows nearest to each of `others`."""
        from threadpoolctl import threadpool_limits

        # Where few ask, scikit-learn's threads share out the rows that are searched, and which of those that coincide
        # are found depends on how many threads there are.
        threads = self._threads if len(others) > _FEW_EACH * self._threads else 1
        with threadpool_limits(threads, user_api="openmp"):
            return self._search.kneighbors(others, k)


class Approximate:
    """NN-descent (Dong et al. 2011). With a seed on one thread: what it finds would depend on their number."""

    kind = "approximate"

    def __init__(self, values: np.ndarray, *, metric: str, seed: int | None, threads: int):
        self._values, self._metric, self._seed = values, metric, seed
        self._threads = threads if seed is None else 1

    def among_themselves(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """See `Exact`."""
        from umap.umap_ import nearest_neighbors

        indices, distances, self._index = nearest_neighbors(
            *(self._values, k, self._metric, {}, False),
            random_state=np.random.RandomState(self._seed),
            n_jobs=self._threads,
        )
        return distances, indices

    def of(self, others: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """See `Exact`; after `among_themselves`."""
        indices, distances = self._index.query(others, k)
        return distances, indices


def search(values: np.ndarray, *, asked: int, metric: str, seed: int | None, threads: int) -> Exact | Approximate:
    """Choose how to look for neighbours among `values`, of `asked` rows in all."""
    if len(values) * asked <= _EXACT_PAIRS:
        return Exact(values, metric=metric, threads=threads)
    return Approximate(values, metric=metric, seed=seed, threads=threads)
