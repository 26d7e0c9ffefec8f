"""How well outlines match truth: F1 over IoU thresholds, panoptic quality, aggregated Jaccard index."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import shapely

from .matching import Overlaps, match, overlaps, shared_area, valid

if TYPE_CHECKING:
    import pandas as pd

THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
"""IoU from 0.50 to 0.95, as in COCO."""

DOUBLED = 0.3
"""Two objects of one set that share this fraction of the smaller one are one nucleus outlined twice."""


@dataclass(frozen=True)
class Scores:
    """What was counted; every figure follows from it, for one slide and for many alike.

    A figure whose denominator is 0 is None: precision where nothing was found, recall where there is nothing to find,
    F1, PQ and AJI where neither is anything. It is not 1: an empty slide tells nothing of a method.

    Attributes
    ----------
    found, truth : int
        Number of objects.
    hits : tuple of int
        Matched pairs at each of `THRESHOLDS` (see `matching.match`).
    iou : float
        Summed IoU of the pairs matched at 0.5.
    shared, union : float
        Numerator and denominator of AJI (see `score`), level-0 pixels.
    """

    found: int
    truth: int
    hits: tuple[int, ...]
    iou: float
    shared: float
    union: float

    @property
    def precision(self) -> list[float | None]:
        """Hits over found objects, at each of `THRESHOLDS`."""
        return [_ratio(hits, self.found) for hits in self.hits]

    @property
    def recall(self) -> list[float | None]:
        """Hits over true objects, at each of `THRESHOLDS`."""
        return [_ratio(hits, self.truth) for hits in self.hits]

    @property
    def f1(self) -> list[float | None]:
        """Harmonic mean of precision and recall, at each of `THRESHOLDS`."""
        return [_ratio(2 * hits, self.found + self.truth) for hits in self.hits]

    @property
    def mean_f1(self) -> float | None:
        """F1, averaged over `THRESHOLDS`."""
        return _mean(self.f1)

    @property
    def sq(self) -> float | None:
        """Segmentation quality: mean IoU of the hits at 0.5."""
        return _ratio(self.iou, self.hits[0])

    @property
    def dq(self) -> float | None:
        """Detection quality: F1 at 0.5."""
        return self.f1[0]

    @property
    def pq(self) -> float | None:
        """Panoptic quality, DQ times SQ (Kirillov et al. 2019, doi:10.1109/CVPR.2019.00963); 0 without hits."""
        return _ratio(2 * self.iou, self.found + self.truth)

    @property
    def aji(self) -> float | None:
        """Aggregated Jaccard index (see `score`)."""
        return _ratio(self.shared, self.union)

    def figures(self) -> dict[str, float | None]:
        """Return all figures by name; precision, recall and F1 without a threshold are those at IoU 0.5."""
        return {
            "precision": self.precision[0],
            "recall": self.recall[0],
            "f1": self.f1[0],
            "mean_f1": self.mean_f1,
            "pq": self.pq,
            "sq": self.sq,
            "dq": self.dq,
            "aji": self.aji,
            **{f"f1_{iou:.2f}": f1 for iou, f1 in zip(THRESHOLDS, self.f1, strict=True)},
        }

    def document(self) -> dict:
        """Return counts and figures, JSON-ready; `from_document` reads it."""
        by_threshold = zip(THRESHOLDS, self.hits, self.precision, self.recall, self.f1, strict=True)
        names = ("iou", "hits", "precision", "recall", "f1")
        return {
            "objects": {"found": self.found, "truth": self.truth},
            "sums": {"iou": self.iou, "shared": self.shared, "union": self.union},
            **{name: getattr(self, name) for name in ("mean_f1", "pq", "sq", "dq", "aji")},
            "thresholds": [dict(zip(names, row, strict=True)) for row in by_threshold],
        }

    @classmethod
    def from_document(cls, document: Mapping) -> Scores:
        """Read what `document` gave; the figures follow from the counts."""
        hits = tuple(row["hits"] for row in document["thresholds"])
        return cls(**document["objects"], hits=hits, **document["sums"])


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def score(found: np.ndarray, truth: np.ndarray) -> Scores:
    """Score outlines against truth.

    AJI is that of Kumar et al. 2017 (doi:10.1109/TMI.2017.2677499): every true object takes the found object of
    greatest IoU (of equals, the one that shares the most area), if it overlaps any; their intersections are summed
    above, their unions below, together with the areas of true objects that overlap nothing and of found objects that
    nobody took. As published, a found object may be taken by several true ones; its intersection and union with each
    of them are then summed. (Cellpose's function of that name is another: matched one to one, over the union of all
    masks.)

    Parameters
    ----------
    found, truth
        ``shapely.Polygon`` in the same coordinates. Those that cross themselves are repaired first.
    """
    found, truth = valid(found), valid(truth)
    pairs = overlaps(found, truth)
    matched = [match(pairs.i, pairs.j, pairs.iou, threshold) for threshold in THRESHOLDS]
    shared, union = _jaccard(pairs, shapely.area(found), shapely.area(truth))
    return Scores(
        found=len(found),
        truth=len(truth),
        hits=tuple(map(len, matched)),
        iou=float(pairs.iou[matched[0]].sum()),
        shared=shared,
        union=union,
    )


def _jaccard(pairs: Overlaps, found_area: np.ndarray, truth_area: np.ndarray) -> tuple[float, float]:
    """Numerator and denominator of AJI."""
    order = np.lexsort((pairs.i, -pairs.shared, -pairs.iou, pairs.j))
    best = order[np.flatnonzero(np.diff(pairs.j[order], prepend=-1))]
    i, j, shared = pairs.i[best], pairs.j[best], pairs.shared[best]
    unions = found_area[i] + truth_area[j] - shared
    unmatched = np.delete(truth_area, j).sum() + np.delete(found_area, np.unique(i)).sum()
    return float(shared.sum()), float(unions.sum() + unmatched)


def hits(found: np.ndarray, truth: np.ndarray, *, threshold: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """Say of every object whether it has a partner.

    Parameters
    ----------
    found, truth
        As in `score`.
    threshold
        IoU from which on two objects match.

    Returns
    -------
    found_hit : numpy.ndarray
        Per found object: True for a hit, False for a false alarm.
    truth_hit : numpy.ndarray
        Per true object: True for a hit, False for a miss.
    """
    pairs = overlaps(found, truth)
    matched = match(pairs.i, pairs.j, pairs.iou, threshold)
    found_hit, truth_hit = np.zeros(len(found), bool), np.zeros(len(truth), bool)
    found_hit[pairs.i[matched]] = truth_hit[pairs.j[matched]] = True
    return found_hit, truth_hit


def pool(scores: Iterable[Scores]) -> tuple[Scores, dict[str, float | None]]:
    """Pool the scores of several slides.

    Returns
    -------
    micro : Scores
        Over all objects: counts and sums added up. Slides with many cells weigh more.
    mean : dict
        Each of `Scores.figures`, averaged over the slides where it is defined. All slides weigh the same.
    """
    scores = list(scores)
    micro = Scores(
        found=sum(one.found for one in scores),
        truth=sum(one.truth for one in scores),
        hits=tuple(sum(one.hits[step] for one in scores) for step in range(len(THRESHOLDS))),
        iou=sum(one.iou for one in scores),
        shared=sum(one.shared for one in scores),
        union=sum(one.union for one in scores),
    )
    figures = [one.figures() for one in scores]
    return micro, {name: _mean(one[name] for one in figures) for name in micro.figures()}


def table(scores: Mapping[str, Scores]) -> pd.DataFrame:
    """Return a row per slide, then ``pooled (micro)`` and ``mean over slides`` (see `pool`).

    Returns
    -------
    pandas.DataFrame
        ``slide``, ``found`` and ``truth`` (numbers of objects), and the columns of `Scores.figures`.
    """
    import pandas as pd

    micro, mean = pool(scores.values())
    rows = [
        {"slide": name, "found": one.found, "truth": one.truth, **one.figures()}
        for name, one in (*scores.items(), ("pooled (micro)", micro))
    ]
    rows.append({"slide": "mean over slides", **mean})
    return pd.DataFrame(rows).astype({"found": "Int64", "truth": "Int64"})


@dataclass(frozen=True)
class Agreement:
    """How alike two sets of outlines are.

    Attributes
    ----------
    of_found, of_reference : float or None
        Fraction of each set that has a partner in the other; None of an empty set.
    doubled : int
        Pairs within the found set that share `DOUBLED` or more of the smaller one.
    """

    of_found: float | None
    of_reference: float | None
    doubled: int


def agreement(found: np.ndarray, reference: np.ndarray, *, iou: float = 0.7) -> Agreement:
    """Compare two sets of outlines of the same tissue, neither of which is the truth.

    Parameters
    ----------
    found, reference
        ``shapely.Polygon`` in the same coordinates.
    iou
        From which on two objects match, one to one.
    """
    pairs = overlaps(found, reference)
    matched = len(match(pairs.i, pairs.j, pairs.iou, iou))
    return Agreement(_ratio(matched, len(found)), _ratio(matched, len(reference)), doubled(found))


def doubled(polygons: np.ndarray) -> int:
    """Count pairs of objects that share `DOUBLED` or more of the smaller one."""
    polygons = valid(polygons)
    i, j = shapely.STRtree(polygons).query(polygons, predicate="intersects")
    i, j = i[i < j], j[i < j]
    area = shapely.area(polygons)
    return int((shared_area(polygons, polygons, i, j) >= DOUBLED * np.minimum(area[i], area[j])).sum())
