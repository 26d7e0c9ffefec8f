"""DBSCAN (Ester et al. 1996), its reach given, chosen from a list, or read off the k-distance curve."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from . import density
from .neighbours import Points
from .numbering import NOISE, by_size
from .variance import NAMES, explained

log = logging.getLogger(__name__)

_CURVE_POINTS = 2000
"""The curve is looked at through this many quantiles: kneed's time and memory would grow with the cells."""
_FALLBACK = 0.9


@dataclass(frozen=True)
class KDistance:
    """The k-distance curve and the reach chosen on it.

    Attributes
    ----------
    k : int
        Which neighbour, the point itself not counted.
    curve : numpy.ndarray
        Ascending distances to the k-th neighbour (quantiles, if there are many cells).
    eps : float
    source : str
        ``given``, ``list``, ``knee``, or ``quantile`` where the curve has no knee.
    """

    k: int
    curve: np.ndarray
    eps: float
    source: str


def curve_of(points: Points, *, min_samples: int) -> np.ndarray:
    """Return the ascending distances of points to their (min_samples − 1)-th neighbour, or quantiles of them.

    A point is a core of DBSCAN if `min_samples` points, itself included, lie within eps: if its distance to its
    (min_samples − 1)-th neighbour is at most eps. So the share of the curve below eps is the share of cores.
    """
    distances, _ = points.nearest(min_samples - 1)
    curve = np.sort(distances[:, -1]) if distances.shape[1] else np.empty(0)
    return np.quantile(curve, np.linspace(0, 1, _CURVE_POINTS)) if len(curve) > _CURVE_POINTS else curve


def reach(curve: np.ndarray) -> tuple[float, str]:
    """Choose eps on a k-distance curve; return it and where it comes from, ``knee`` or ``quantile``."""
    found = _knee(curve)
    if found is not None:
        return found, "knee"
    positive = curve[curve > 0]
    fallback = float(np.quantile(positive, _FALLBACK)) if len(positive) else 1.0
    if len(positive):
        log.warning("the k-distance curve has no knee: eps is its %.0f %% quantile, %.4g", 100 * _FALLBACK, fallback)
    return fallback, "quantile"


def _knee(curve: np.ndarray) -> float | None:
    from kneed import KneeLocator

    if len(curve) < 10 or curve[-1] <= curve[0]:
        return None
    knee = KneeLocator(np.arange(len(curve)), curve, curve="convex", direction="increasing").knee_y
    return float(knee) if knee is not None and knee > 0 else None


class DBSCAN:
    """Groups dense regions; what lies in none is noise.

    Parameters
    ----------
    eps
        Reach of a neighbourhood; None: the knee of the k-distance curve. Of several, the one whose 25 largest groups
        tell most of the cells' variance (see `explained`), the smallest of those that tell the same.
    min_samples
        Cells within reach, itself included, that make a core.
    """

    def __init__(self, *, eps: float | Sequence[float] | None, min_samples: int):
        self.eps = eps
        self.min_samples = min_samples
        self.k_distance: KDistance | None = None
        self.tried: list[dict] = []
        self._fitted = 0

    def fit(self, points: Points) -> np.ndarray:
        """Return one group number per row; −1 is noise. Fills `k_distance` and, for several eps, `tried`."""
        groups, self._fitted = density.fit(points, self._groups, lambda: self.k_distance.eps)
        return groups

    def _groups(self, points: Points) -> np.ndarray:
        curve = curve_of(points, min_samples=self.min_samples)
        at = _grouper(points, self.min_samples)
        if isinstance(self.eps, Sequence):
            self.tried = [self._outcome(points, eps, at(eps)) for eps in sorted(self.eps)]
            # Of those that tell nothing, rather one cluster for all than noise.
            best = max(self.tried, key=lambda outcome: (outcome["explained"], -outcome["noise_fraction"]))
            eps, source = best["eps"], "list"
        elif self.eps is None:
            eps, source = reach(curve)
        else:
            eps, source = float(self.eps), "given"
        self.k_distance = KDistance(self.min_samples - 1, curve, eps, source)
        return at(eps)

    def _outcome(self, points: Points, eps: float, groups: np.ndarray) -> dict:
        numbers = by_size(groups)
        outcome = {
            "eps": float(eps),
            "clusters": int(numbers.max(initial=NOISE)) + 1,
            "noise_fraction": round(float(np.mean(numbers == NOISE)), 4) if len(numbers) else 0.0,
            "explained": round(explained(points.values, numbers), 4),
        }
        log.info(
            "eps %.4g: %d clusters, %.0f %% noise; the %d largest explain %.3f of the variance",
            eps,
            outcome["clusters"],
            100 * outcome["noise_fraction"],
            NAMES,
            outcome["explained"],
        )
        return outcome

    def report(self) -> dict:
        """What was chosen, for ``clusters.json``."""
        chosen = self.k_distance
        found = {"eps": chosen.eps, "eps_source": chosen.source, "k": chosen.k, "fitted": self._fitted}
        return found | ({"eps_tried": self.tried} if self.tried else {})

    def advice(self, *, coarser: bool) -> str:
        """Tell the user which reach to try next; the useful range is narrow."""
        factor = 1.25 if coarser else 0.8
        return (
            f"eps was {self.k_distance.eps:.3g} ({self.k_distance.source}): "
            f"try `clustering.eps: {self.k_distance.eps * factor:.2g}`, and look at clusters.png"
        )


def _grouper(points: Points, min_samples: int) -> Callable[[float], np.ndarray]:
    """Prepare DBSCAN for any eps; what is returned gives the groups at one."""
    if len(points) < min_samples:
        return lambda _: np.full(len(points), NOISE)
    if points.gpu:
        return lambda eps: _on_gpu(points, eps, min_samples)
    edges = density.spanning_tree(points.values, min_samples=min_samples)
    distances, indices = points.nearest(min_samples - 1)
    return lambda eps: _groups_at(eps * (1 + 1e-9), edges, distances, indices)  # a cell at exactly eps belongs


def _groups_at(eps: float, edges: np.ndarray, distances: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Group cores that are connected up to eps; any other point joins its nearest core within eps.

    That core is among the point's neighbours in `indices`: were there more points within eps, it would be one itself.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    count = len(distances)
    core = distances[:, -1] <= eps
    near = edges[edges[:, 2] <= eps]
    one, other = near[:, 0].astype(int), near[:, 1].astype(int)
    _, group = connected_components(coo_array((np.ones(len(near), bool), (one, other)), (count, count)), directed=False)
    within = core[indices] & (distances <= eps)
    nearest_core = indices[np.arange(count), within.argmax(axis=1)]
    return np.where(core, group, np.where(within.any(axis=1), group[nearest_core], NOISE))


def _on_gpu(points: Points, eps: float, min_samples: int) -> np.ndarray:
    from cuml.cluster import DBSCAN as OnGpu

    # Not all neighbourhoods at once: in a dense embedding they are more than any GPU holds.
    method = OnGpu(eps=eps, min_samples=min_samples, max_mbytes_per_batch=2000)
    return np.asarray(method.fit_predict(points.values), int)
