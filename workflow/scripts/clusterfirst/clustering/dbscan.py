"""DBSCAN (Ester et al. 1996), its reach given or read off the k-distance curve."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np

from .neighbours import nearest

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
        ``given``, ``knee``, or ``quantile`` where the curve has no knee.
    """

    k: int
    curve: np.ndarray
    eps: float
    source: str


def k_distance(values: np.ndarray, *, min_samples: int, eps: float | None, threads: int = 1) -> KDistance:
    """Draw the k-distance curve and choose eps.

    A point is a core of DBSCAN if `min_samples` points, itself included, lie within eps: if its distance to its
    (min_samples − 1)-th neighbour is at most eps. That is the k of the curve, so the share of the curve below eps is
    the share of cores.
    """
    k = min_samples - 1
    distances, _ = nearest(values, k, threads=threads)
    curve = np.sort(distances[:, -1]) if distances.shape[1] else np.empty(0)
    if len(curve) > _CURVE_POINTS:
        curve = np.quantile(curve, np.linspace(0, 1, _CURVE_POINTS))
    if eps is not None:
        return KDistance(k, curve, float(eps), "given")
    found = _knee(curve)
    if found is not None:
        return KDistance(k, curve, found, "knee")
    positive = curve[curve > 0]
    fallback = float(np.quantile(positive, _FALLBACK)) if len(positive) else 1.0
    if len(positive):
        log.warning("the k-distance curve has no knee: eps is its %.0f %% quantile, %.4g", 100 * _FALLBACK, fallback)
    return KDistance(k, curve, fallback, "quantile")


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
        Reach of a neighbourhood; None: the knee of the k-distance curve.
    min_samples
        Cells within reach, itself included, that make a core.
    """

    def __init__(self, *, eps: float | None = None, min_samples: int = 5):
        self.eps = eps
        self.min_samples = min_samples
        self.k_distance: KDistance | None = None

    def fit(self, values: np.ndarray, *, threads: int = 1) -> np.ndarray:
        """Return one group number per row of N × D `values`; −1 is noise. Fills `k_distance`."""
        from sklearn.cluster import DBSCAN as Sklearn

        self.k_distance = k_distance(values, min_samples=self.min_samples, eps=self.eps, threads=threads)
        if not len(values):
            return np.empty(0, int)
        # A cell at exactly the chosen distance belongs; scikit-learn's own distances are exact to float32 at best.
        eps = self.k_distance.eps * (1 + 1e-6)
        return Sklearn(eps=eps, min_samples=self.min_samples, n_jobs=threads).fit_predict(values)

    def report(self) -> dict:
        """What was chosen, for ``clusters.json``."""
        chosen = self.k_distance
        return {"eps": chosen.eps, "eps_source": chosen.source, "k": chosen.k}

    def advice(self, *, coarser: bool) -> str:
        """Tell the user which reach to try next; the useful range is narrow."""
        factor = 1.25 if coarser else 0.8
        return (
            f"eps was {self.k_distance.eps:.3g} ({self.k_distance.source}): "
            f"try `clustering.eps: {self.k_distance.eps * factor:.2g}`, and look at k_distance.png"
        )
