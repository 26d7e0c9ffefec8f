"""What people say each detected cell is, and what they say that was never detected."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely

from ..labels import by_cell_id
from ..outlines import foreign
from . import frames
from .matching import match, overlaps

log = logging.getLogger(__name__)

_SHARED = 0.5
"""A true outline and a cell that share this fraction of the smaller one may be the same cell. IoU would not do: the
outline of a nucleus and that of its whole cell are the same cell at an IoU of 0.2. What IoU ≥ 0.5 matches, this does
too."""

REACH_UM = 2.0
"""A point this far outside a cell still means it, if it is in no other: a click beside a small nucleus, or an outline
that is drawn tightly. A fifth of a nucleus, and less than the gap to the next."""


@dataclass(frozen=True)
class Truth:
    """Truth of a slide's cells.

    Attributes
    ----------
    kind : str
        ``outlines``, ``points``, ``outlines and points`` or ``labels``.
    name : numpy.ndarray
        Per detected cell its class, or None where nobody said.
    missed : dict
        For each class, how many true cells have no detected cell.
    """

    kind: str
    name: np.ndarray
    missed: dict[str, int]


def read(
    path: str | os.PathLike, cells: np.ndarray, *, width: int, height: int, mpp: float, given: Mapping[str, Any]
) -> Truth:
    """Read a file of truth and find whom it means.

    Parameters
    ----------
    path
        Outlines or points (see `foreign.read_truth`), or classes by cell id (see `by_cell_id.read`).
    cells
        ``shapely.Polygon`` of the detected cells, in level-0 pixels, in the order of their ids.
    width, height
        The slide, in level-0 pixels.
    mpp
        µm per level-0 pixel.
    given
        That section of the settings.

    Raises
    ------
    ClusterfirstError
        The file cannot be read or does not belong to this slide; or its coordinates are in other units.
    """
    if by_cell_id.holds_labels(path):
        return Truth("labels", by_cell_id.read(path, len(cells)), {})
    truth = foreign.read_truth(path, width=width, height=height, mpp=mpp, given=given)
    frames.check(path, cells, truth.geometry.to_numpy(), width=width, height=height, mpp=mpp)
    told = assign(cells, truth.geometry.to_numpy(), truth["name"].to_numpy(), mpp=mpp)
    missed = sum(told.missed.values())
    if 2 * missed > len(truth):
        log.warning(
            "truth %s: %d of %d true cells meet no detected one. Are its coordinates pixels of the full resolution "
            "(not µm, nor of another level), x before y, and of this slide?",
            *(path, missed, len(truth)),
        )
    return told


def assign(
    cells: np.ndarray, shapes: np.ndarray, names: np.ndarray, *, mpp: float, reach_um: float = REACH_UM
) -> Truth:
    """Match true outlines and points to cells, one to one.

    An outline and a cell may match if they share half of the smaller one; of all such matchings, one with the most
    pairs is taken, and of those one with the greatest sum of IoU. Then a point goes to the cell that it lies in, or,
    in none, to the nearest within `reach_um`. Of several points the one inside wins over one outside, then the one
    nearer to the cell's centroid; the others are missed cells: where a detected cell covers two true ones, one of them
    was not found.

    Parameters
    ----------
    cells
        ``shapely.Polygon``, level-0 pixels.
    shapes
        ``shapely.Polygon`` or ``shapely.Point``, level-0 pixels.
    names
        The class of each of `shapes`.
    mpp
        µm per level-0 pixel.
    reach_um
        How far from its cell a point may lie.
    """
    point = shapely.get_type_id(shapes) == shapely.GeometryType.POINT
    name = np.full(len(cells), None)
    found = np.zeros(len(shapes), bool)

    outlines = np.flatnonzero(~point)
    cell, outline = _by_overlap(cells, shapes[outlines])
    name[cell], found[outlines[outline]] = names[outlines[outline]], True

    points, free = np.flatnonzero(point), np.flatnonzero(name == None)  # noqa: E711 (element by element)
    cell, marked = _by_nearness(cells[free], shapes[points], reach_um / mpp)
    name[free[cell]], found[points[marked]] = names[points[marked]], True

    kinds = [kind for kind, present in (("outlines", ~point), ("points", point)) if present.any()]
    return Truth(" and ".join(kinds) or "outlines", name, dict(sorted(Counter(names[~found]).items())))


def _by_overlap(cells: np.ndarray, outlines: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    pairs = overlaps(cells, outlines)
    smaller = np.minimum(shapely.area(cells)[pairs.i], shapely.area(outlines)[pairs.j])
    same = pairs.shared >= _SHARED * smaller
    i, j = pairs.i[same], pairs.j[same]
    chosen = match(i, j, pairs.iou[same], 0.0)
    return i[chosen], j[chosen]


def _by_nearness(cells: np.ndarray, points: np.ndarray, reach_px: float) -> tuple[np.ndarray, np.ndarray]:
    j, i = shapely.STRtree(cells).query(points, predicate="dwithin", distance=reach_px)
    outside = shapely.distance(cells[i], points[j])
    from_middle = shapely.distance(shapely.centroid(cells[i]), points[j])
    chosen, taken_cells, taken_points = [], set(), set()
    for pair in np.lexsort((j, i, from_middle, outside)):
        if i[pair] not in taken_cells and j[pair] not in taken_points:
            taken_cells.add(i[pair])
            taken_points.add(j[pair])
            chosen.append(pair)
    return i[chosen], j[chosen]
