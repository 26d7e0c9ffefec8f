"""What DBSCAN and HDBSCAN share: the tree of mutual reachability, and what to do where it would take too long."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable

import numpy as np

from .neighbours import Points
from .numbering import NOISE

log = logging.getLogger(__name__)

_SAMPLE = 50_000
"""So few are searched exactly, whatever their directions (see `Points.searchable`)."""


def hierarchy(values: np.ndarray, *, min_samples: int, min_cluster_size: int, selection: str = "eom", exact: bool):
    """Fit scikit-learn-contrib's HDBSCAN (Campello et al. 2013; McInnes & Healy 2017) by k-d trees, in O(N) memory.

    Parameters
    ----------
    min_samples
        Points within reach, itself included, that make a core; at most N.
    exact
        Find the very minimum spanning tree, and keep it.
    """
    from hdbscan import HDBSCAN

    fitted = HDBSCAN(
        min_cluster_size=min_cluster_size,
        min_samples=min_samples - 1,  # this library leaves the point itself out
        cluster_selection_method=selection,
        algorithm="boruvka_kdtree",
        approx_min_span_tree=not exact,
        gen_min_span_tree=exact,
        core_dist_n_jobs=1,
    )
    with warnings.catch_warnings():
        # Distances of 0 between coinciding cells are divided by on the way; they come out as infinite densities.
        warnings.filterwarnings("ignore", "(divide by zero|invalid value)", RuntimeWarning)
        return fitted.fit(np.asarray(values, np.float64))


def spanning_tree(values: np.ndarray, *, min_samples: int) -> np.ndarray:
    """Return the minimum spanning tree of mutual reachability, (N − 1) × 3: two rows, and their distance.

    The mutual reachability of two points is the least eps at which both are cores of DBSCAN and within each other's
    reach. So the edges up to eps connect the cores of each of DBSCAN's clusters, for any eps.
    """
    fitted = hierarchy(values, min_samples=min_samples, min_cluster_size=max(2, len(values) // 2), exact=True)
    return fitted.minimum_spanning_tree_.to_numpy()


def fit(points: Points, method: Callable[[Points], np.ndarray], reach: Callable[[], float]) -> tuple[np.ndarray, int]:
    """Run a method on all points, or on a sample of them where a k-d tree cannot serve.

    Parameters
    ----------
    method
        Returns one group number per point.
    reach
        Asked afterwards: a point outside the sample joins the group of the nearest sampled one, if that is so near.

    Returns
    -------
    groups : numpy.ndarray
        Per point; −1 is noise.
    fitted : int
        How many points the method saw.
    """
    if points.gpu or points.searchable():
        return method(points), len(points)
    log.warning(
        "%d cells vary in too many directions for a search by density: groups are found on %d of them, and the others "
        "join the nearest. `reduction.method: umap` avoids this",
        len(points),
        _SAMPLE,
    )
    rows = np.sort(np.random.default_rng(points.seed).choice(len(points), _SAMPLE, replace=False))
    sample = Points(points.values[rows], threads=points.threads, seed=points.seed)
    groups = method(sample)
    distances, nearest = _nearest_of(sample, points)
    joined = np.where(distances <= reach(), groups[nearest], NOISE)
    joined[rows] = groups
    return joined, len(rows)


def _nearest_of(sample: Points, points: Points) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.neighbors import NearestNeighbors

    search = NearestNeighbors(n_neighbors=1, algorithm="brute", n_jobs=points.threads).fit(sample.values)
    distances, nearest = search.kneighbors(points.values)
    return distances[:, 0], nearest[:, 0]
