"""Principal components from a covariance: exact, and the rows need not be held."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

_CHUNK_VALUES = 4_000_000
"""Values that are held in float64 at a time, 32 MB."""


def row_chunks(values: np.ndarray, columns: slice = slice(None)) -> Iterable[np.ndarray]:
    """Yield copies of some columns of `values` in float64, a bounded number of rows at a time."""
    wide = len(range(*columns.indices(values.shape[1])))
    rows = max(1, _CHUNK_VALUES // max(1, wide))
    for start in range(0, len(values), rows):
        yield np.array(values[start : start + rows, columns], np.float64)


def mean_and_variance(chunks: Iterable[np.ndarray], width: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of every column, without differences of large sums.

    Chan, Golub & LeVeque 1983, "Algorithms for computing the sample variance".
    """
    count, mean, scatter = 0, np.zeros(width), np.zeros(width)
    for chunk in chunks:
        middle = chunk.mean(axis=0)
        total, shift = count + len(chunk), middle - mean
        scatter += ((chunk - middle) ** 2).sum(axis=0) + shift**2 * (count * len(chunk) / total)
        mean += shift * (len(chunk) / total)
        count = total
    return mean, scatter / max(1, count)


def mean_and_covariance(chunks: Iterable[np.ndarray], width: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of columns that have been centred, nearly at least."""
    count, sums, products = 0, np.zeros(width), np.zeros((width, width))
    for chunk in chunks:
        count += len(chunk)
        sums += chunk.sum(axis=0)
        products += chunk.T @ chunk
    mean = sums / max(1, count)
    return mean, products / max(1, count) - np.outer(mean, mean)


def axes(covariance: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the `count` principal axes as columns, and the variance along each, largest first.

    An axis and its opposite serve alike: the largest component is made positive, so that the same data give the same.
    """
    from scipy.linalg import eigh

    width = len(covariance)
    variance, vectors = eigh(covariance, subset_by_index=(width - count, width - 1))
    vectors = vectors[:, ::-1]
    largest = np.take_along_axis(vectors, np.abs(vectors).argmax(axis=0)[None], axis=0)
    return vectors * np.where(largest < 0, -1, 1), np.maximum(variance[::-1], 0)


def principal(values: np.ndarray, dimensions: int) -> np.ndarray:
    """Principal coordinates, N × dimensions float32, filled up with zeros where `values` has fewer columns."""
    out = np.zeros((len(values), dimensions), np.float32)
    kept = min(dimensions, values.shape[1])
    if not len(values) or not kept:
        return out
    mean, _ = mean_and_variance(row_chunks(values), values.shape[1])
    _, covariance = mean_and_covariance((chunk - mean for chunk in row_chunks(values)), values.shape[1])
    vectors, _ = axes(covariance, kept)
    start = 0
    for chunk in row_chunks(values):
        out[start : start + len(chunk), :kept] = (chunk - mean) @ vectors
        start += len(chunk)
    return out
