"""Which pieces of a feature are cells of their own, and which are bits of one cell."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import shapely

_SMALL = 0.1
"""A piece of less than this fraction of the largest, no farther from it than it is wide, is a bit of it: a pixel or two
that a network has left beside its nucleus."""

_NEAR = 0.1
"""Pieces may be halves of one cell if the gap between them is no wider than this, of the square root of their area."""

_WHOLE = 0.92
"""Halves fill this fraction of their convex hull. Two ellipses side by side, as neighbouring nuclei are, fill 0.88."""

_FEW = 3
"""A feature with more pieces that are no bits is a collection, as CellViT writes one for each class."""


@dataclass(frozen=True)
class Cells:
    """The cells of all features.

    Attributes
    ----------
    polygons : numpy.ndarray
        One valid ``shapely.Polygon`` for each cell.
    rows : numpy.ndarray
        For each its feature, ascending.
    split, joined, bits : numpy.ndarray
        Features of several cells; those of which pieces were joined; those of which bits were left out.
    """

    polygons: np.ndarray
    rows: np.ndarray
    split: np.ndarray
    joined: np.ndarray
    bits: np.ndarray


def cells(polygons: np.ndarray, owner: np.ndarray) -> Cells:
    """Find the cells of features that have one or more polygons.

    A feature of one polygon is a cell. Of several, a bit of the largest is left out, halves that make one whole are
    joined, and everything else is a cell of its own: no piece that may be a cell is lost. Where most polygons of a file
    stand in collections, pieces of all its features are cells, however small.

    Parameters
    ----------
    polygons
        Valid ``shapely.Polygon`` with some area.
    owner
        For each its feature, ascending.
    """
    starts = np.flatnonzero(np.diff(owner, prepend=-1))
    counts = np.diff(starts, append=len(owner))
    several = np.flatnonzero(counts > 1)
    nothing = np.empty(0, int)
    if not len(several):
        return Cells(polygons, owner, nothing, nothing, nothing)
    features = [(int(owner[starts[one]]), slice(starts[one], starts[one] + counts[one])) for one in several]
    collections = {row for row, pieces in features if _is_collection(polygons[pieces])}
    of_collections = sum(pieces.stop - pieces.start for row, pieces in features if row in collections)
    if 2 * of_collections > len(polygons):
        return Cells(polygons, owner, np.array([row for row, _ in features]), nothing, nothing)

    keep, merged = np.ones(len(polygons), bool), polygons.copy()
    split, joined, bits = [], [], []
    for row, pieces in features:
        if row in collections:
            split.append(row)
            continue
        heads, has_joined, has_bits = _heads(polygons[pieces])
        keep[pieces] = False
        for place, polygon in heads.items():
            keep[pieces.start + place], merged[pieces.start + place] = True, polygon
        for told, holds in ((split, len(heads) > 1), (joined, has_joined), (bits, has_bits)):
            if holds:
                told.append(row)
    return Cells(merged[keep], owner[keep], *(np.array(rows, int) for rows in (split, joined, bits)))


def _is_collection(pieces: np.ndarray) -> bool:
    if len(pieces) <= _FEW:
        return False
    area = shapely.area(pieces)
    largest = area.argmax()
    return np.count_nonzero(~_are_bits(pieces, area, pieces[largest], area[largest])) > _FEW


def _are_bits(pieces: np.ndarray, area: np.ndarray, of: shapely.Polygon, of_area: float) -> np.ndarray:
    return (area < _SMALL * of_area) & (shapely.distance(pieces, of) <= math.sqrt(of_area))


def _heads(pieces: np.ndarray) -> tuple[dict[int, shapely.Polygon], bool, bool]:
    """Return the cells of a feature by the place of their largest piece; whether any were joined, or bits left out."""
    area = shapely.area(pieces)
    largest = area.argmax()
    bit = _are_bits(pieces, area, pieces[largest], area[largest])
    heads: dict[int, shapely.Polygon] = {}
    has_joined = False
    for place in sorted(np.flatnonzero(~bit), key=lambda place: -area[place]):
        whole = ((head, _joined(polygon, pieces[place])) for head, polygon in heads.items())
        head, polygon = next(((head, polygon) for head, polygon in whole if polygon), (int(place), pieces[place]))
        has_joined |= head in heads
        heads[head] = polygon
    return heads, has_joined, bool(bit.any())


def _joined(one: shapely.Polygon, other: shapely.Polygon) -> shapely.Polygon | None:
    """Return the whole that two pieces make, the gap between them closed; None if they are two cells."""
    gap, wide = shapely.distance(one, other), math.sqrt(one.area)
    if gap > _NEAR * wide:
        return None
    both = shapely.union(one, other)
    if both.area < _WHOLE * shapely.convex_hull(both).area:
        return None
    if both.geom_type != "Polygon":
        # A little more than half the gap, so that they meet.
        reach = 0.6 * gap + 0.01 * wide
        both = both.buffer(reach, join_style="mitre").buffer(-reach, join_style="mitre")
    return shapely.Polygon(both.exterior) if both.geom_type == "Polygon" else None
