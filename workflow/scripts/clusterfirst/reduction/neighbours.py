"""Who is near whom among the features: exactly while that is cheap, then by NN-descent."""

from __future__ import annotations

import numpy as np

_EXACT_PAIRS = 50_000**2
"""Up to here, comparing all pairs costs less than the half minute in which NN-descent compiles itself."""

_FEW_PAIRS = 5_000**2
"""Up to here, products of matrices in NumPy take less time than importing scikit-learn does."""
_PRODUCTS = ("euclidean", "cosine", "correlation")
"""Distances that follow from products of rows."""
_CHUNK_PAIRS = 4_000_000

_FEW_EACH = 1024
"""Rows that ask, for each thread: scikit-learn's own limit."""


class Few:
    """Compares all pairs, by products of matrices alone."""

    kind = "exact"

    def __init__(self, values: np.ndarray, *, metric: str):
        self._metric = metric
        self._rows = self._made_alike(values)
        self._squares = np.square(self._rows).sum(axis=1) if metric == "euclidean" else 1.0

    def among_themselves(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """See `Exact`; each row comes first among its own, however many coincide with it."""
        return self._nearest(self._rows, k, own=True)

    def of(self, others: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """See `Exact`."""
        return self._nearest(self._made_alike(others), k, own=False)

    def _made_alike(self, values: np.ndarray) -> np.ndarray:
        """Rows whose squared distance is twice the distance that is asked for, or its square."""
        rows = np.asarray(values, np.float64)
        if self._metric == "euclidean":
            return rows
        if self._metric == "correlation":
            rows = rows - rows.mean(axis=1, keepdims=True)
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        return rows / np.where(lengths > 0, lengths, 1)

    def _nearest(self, others: np.ndarray, k: int, *, own: bool) -> tuple[np.ndarray, np.ndarray]:
        distances, indices = np.empty((len(others), k)), np.empty((len(others), k), np.int64)
        each = max(1, _CHUNK_PAIRS // len(self._rows))
        for start in range(0, len(others), each):
            chunk = others[start : start + each]
            # Squared distances but for what is the same for all of a row's.
            far = self._squares - 2 * (chunk @ self._rows.T)
            if own:
                far[np.arange(len(chunk)), start + np.arange(len(chunk))] = -np.inf
            near = np.argpartition(far, k - 1, axis=1)[:, :k] if k < far.shape[1] else np.argsort(far, axis=1)
            near.sort(axis=1)
            # Products leave rounding errors where rows coincide; differences do not.
            square = np.square(self._rows[near] - chunk[:, None]).sum(axis=2)
            if self._metric != "euclidean":  # a row of zeros has no direction: 1 from all others
                square += 2 - chunk.any(axis=1)[:, None] - self._rows.any(axis=1).astype(int)[near]
            if own:
                square[near == start + np.arange(len(chunk))[:, None]] = -1
            order = np.argsort(square, axis=1, kind="stable")
            indices[start : start + each] = np.take_along_axis(near, order, axis=1)
            square = np.maximum(np.take_along_axis(square, order, axis=1), 0)
            distances[start : start + each] = np.sqrt(square) if self._metric == "euclidean" else square / 2
        return distances, indices


class Exact:
    """Compares all pairs, however many columns they have, on all threads."""

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


def search(values: np.ndarray, *, asked: int, metric: str, seed: int | None, threads: int) -> Few | Exact | Approximate:
    """Choose how to look for neighbours among `values`, of `asked` rows in all."""
    pairs = len(values) * asked
    if pairs <= _FEW_PAIRS and metric in _PRODUCTS:
        return Few(values, metric=metric)
    if pairs <= _EXACT_PAIRS:
        return Exact(values, metric=metric, threads=threads)
    return Approximate(values, metric=metric, seed=seed, threads=threads)
