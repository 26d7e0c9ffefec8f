"""What can be said of clusters without knowing any truth. None of it says that they mean something."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from ..clustering import NOISE
from ..clustering.neighbours import USUAL, nearest
from ..clustering.variance import NAMES

_SAMPLE = 10_000
"""Silhouettes take time and memory with the square of the number of cells."""
_SHARE = 0.8
SUBSAMPLES = 5


class Value(NamedTuple):
    """A figure, or None with the reason why it is not defined."""

    value: float | None
    reason: str | None = None


def shape(values: np.ndarray, cluster_id: np.ndarray, *, seed: int = 0) -> dict[str, Value]:
    """Say how large, compact and apart clusters are.

    Parameters
    ----------
    values
        N × D reduced embedding.
    cluster_id
        Per row; −1 is noise.
    seed
        Of the sample for the silhouette.

    Returns
    -------
    dict of str to Value
        ``clusters``; ``noise_fraction``; ``share_of_largest`` (of all cells, noise included, in the 25 largest
        clusters); and, without noise, ``silhouette`` (−1 to 1, higher is better; of 10,000 cells at most),
        ``davies_bouldin`` (from 0, lower is better) and ``calinski_harabasz`` (higher is better; grows with the number
        of cells).
    """
    real = cluster_id != NOISE
    sizes = np.sort(np.bincount(cluster_id[real]))[::-1]
    clusters = int(np.count_nonzero(sizes))
    out = {"clusters": Value(clusters)}
    for key, part in (("noise_fraction", np.count_nonzero(~real)), ("share_of_largest", sizes[:NAMES].sum())):
        out[key] = Value(float(part / len(cluster_id))) if len(cluster_id) else Value(None, "there are no cells")
    return out | _compactness(values[real], cluster_id[real], seed)


def _compactness(values: np.ndarray, cluster_id: np.ndarray, seed: int) -> dict[str, Value]:
    from sklearn import metrics

    reason = _undefined(cluster_id)
    rng = np.random.default_rng(seed)
    sample = np.sort(rng.choice(len(values), min(_SAMPLE, len(values)), replace=False))
    sample_reason = reason or _undefined(cluster_id[sample])
    return {
        "silhouette": Value(None, sample_reason)
        if sample_reason
        else Value(float(metrics.silhouette_score(values[sample], cluster_id[sample]))),
        "davies_bouldin": Value(None, reason)
        if reason
        else Value(float(metrics.davies_bouldin_score(values, cluster_id))),
        "calinski_harabasz": Value(None, reason)
        if reason
        else Value(float(metrics.calinski_harabasz_score(values, cluster_id))),
    }


def _undefined(cluster_id: np.ndarray) -> str | None:
    clusters = len(np.unique(cluster_id))
    if clusters < 2:
        return f"it compares clusters, and there are {clusters}"
    if clusters >= len(cluster_id):
        return "every cluster is a single cell"
    return None


def stability(
    values: np.ndarray,
    cluster_id: np.ndarray,
    recluster: Callable[[np.ndarray], np.ndarray],
    *,
    seed: int = 0,
    subsamples: int = SUBSAMPLES,
) -> Value:
    """Cluster 80 % of the cells again and compare: the mean adjusted Rand index with the clusters that there are.

    Noise counts as one more cluster on both sides.

    Parameters
    ----------
    values
        N × D.
    cluster_id
        Per row.
    recluster
        Returns a group number per row of the values given.
    seed
        Of the subsamples.
    subsamples
        How many; 0 leaves it out.
    """
    from sklearn.metrics import adjusted_rand_score

    if not subsamples:
        return Value(None, "not asked for")
    taken = round(_SHARE * len(values))
    if taken < 2:
        return Value(None, f"there are {len(values)} cells")
    if len(np.unique(cluster_id)) < 2:
        return Value(None, "all cells are in one cluster, or all are noise")
    rng = np.random.default_rng(seed)
    scores = []
    for _ in range(subsamples):
        rows = np.sort(rng.choice(len(values), taken, replace=False))
        scores.append(adjusted_rand_score(cluster_id[rows], recluster(values[rows])))
    return Value(float(np.mean(scores)))


def spread(sizes: np.ndarray) -> Value:
    """Say how evenly clusters are spread over slides.

    Per cluster the entropy of its cells over slides, each slide weighted as if all had as many cells, divided by that
    of an even spread; averaged over clusters by their cells. 0: every cluster is of one slide; 1: every slide has its
    share of every cluster. Slides of unlike tissue should not reach 1.

    Parameters
    ----------
    sizes
        Slides × clusters, numbers of cells; of slides that were clustered together.
    """
    sizes = np.asarray(sizes, float)
    sizes = sizes[sizes.sum(axis=1) > 0][:, sizes.sum(axis=0) > 0]
    if len(sizes) < 2:
        return Value(None, f"it compares slides, and there are {len(sizes)} with cells in clusters")
    even = sizes / sizes.sum(axis=1, keepdims=True)
    share = even / even.sum(axis=0)
    logs = np.log(share, out=np.zeros_like(share), where=share > 0)
    entropy = -(share * logs).sum(axis=0) / np.log(len(sizes))
    return Value(float(np.clip(np.average(entropy, weights=sizes.sum(axis=0)), 0, 1)))


def mixing(values: Mapping[str, np.ndarray], *, seed: int = 0, threads: int = 1) -> Value:
    """Say how much cells keep to their own slide: the share of a cell's 15 nearest neighbours that are of its slide,
    over that expected by chance.

    1: slides are mixed as if shuffled; above: they lie apart, by batch or by tissue.

    Parameters
    ----------
    values
        Per slide N × D, all of one reduction; may be mapped from disk.
    seed
        Of the sample of 10,000 cells whose neighbours are looked at; neighbours are looked for among the sample.
    """
    lengths = [len(one) for one in values.values()]
    total, starts = sum(lengths), np.cumsum([0, *lengths])
    rng = np.random.default_rng(seed)
    sample = np.sort(rng.choice(total, min(_SAMPLE, total), replace=False))
    slide = np.searchsorted(starts, sample, side="right") - 1
    counts = np.bincount(slide)
    slides = np.count_nonzero(counts)
    if slides < 2:
        return Value(None, f"it compares slides, and there are {slides} with cells")
    points = [one[sample[slide == number] - starts[number]] for number, one in enumerate(values.values())]
    _, indices = nearest(np.concatenate(points), USUAL, seed=0, threads=threads)
    own = (slide[indices] == slide[:, None]).mean()
    by_chance = (counts * (counts - 1)).sum() / (len(sample) * (len(sample) - 1))
    if not by_chance:
        return Value(None, "every slide has a single cell")
    return Value(float(own / by_chance))


def document(values: Mapping[str, Value]) -> dict:
    """Return figures, JSON-ready: the value by its name, and the reason under ``…_reason`` where there is none."""
    out = {}
    for name, value in values.items():
        out[name] = value.value
        if value.value is None:
            out[f"{name}_reason"] = value.reason
    return out
