"""How alike two partitions of the same cells are, from the table of their parts alone."""

from __future__ import annotations

import numpy as np


def ari(table: np.ndarray) -> float | None:
    """Adjusted Rand index (Hubert & Arabie 1985, doi:10.1007/BF01908075).

    Parameters
    ----------
    table
        Clusters × classes, numbers of cells.

    Returns
    -------
    float or None
        1 for the same partition, 0 on average for unrelated ones; None without cells.
    """
    total = _pairs(table.sum())
    if not table.sum():
        return None
    same_both, same_cluster, same_class = (_pairs(n).sum() for n in (table, table.sum(axis=1), table.sum(axis=0)))
    usual = same_cluster * same_class / total if total else 0.0
    most = (same_cluster + same_class) / 2
    return float((same_both - usual) / (most - usual)) if most != usual else 1.0


def homogeneity(table: np.ndarray) -> float | None:
    """How far clusters hold one class each (Rosenberg & Hirschberg 2007): 1 − H(class | cluster) / H(class)."""
    if not table.sum():
        return None
    whole = _entropy(table.sum(axis=0))
    return float(1 - (_entropy(table) - _entropy(table.sum(axis=1))) / whole) if whole else 1.0


def completeness(table: np.ndarray) -> float | None:
    """How far classes lie in one cluster each; `homogeneity` with the sides changed."""
    return homogeneity(table.T)


def ami(table: np.ndarray) -> float | None:
    """Adjusted mutual information (Vinh et al. 2010), normalised by the mean entropy; None without cells."""
    from sklearn.metrics import adjusted_mutual_info_score

    if not table.sum():
        return None
    clusters, classes = np.indices(table.shape).reshape(2, -1).repeat(table.ravel(), axis=1)
    return float(adjusted_mutual_info_score(classes, clusters))


def _pairs(count: np.ndarray) -> np.ndarray:
    count = np.asarray(count, float)
    return count * (count - 1) / 2


def _entropy(counts: np.ndarray) -> float:
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log(share)).sum())
