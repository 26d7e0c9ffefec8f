"""Regions that people drew around many cells: which outlines are regions, and which class each cell in them has.

A **region** is what the file says is one (QuPath: an annotation or tile beside cells or detections), or an outline that
cannot be one cell's, judged by the cells that were found:

- no cell in it fills half of it, and
- it holds the centroids of two or more cells and is `MUCH_LARGER` times as large as the median cell, and as the median
  of the cells in it; or it is so large (`NO_CELL` median cells) that it is no cell, whatever it holds.

So one nucleus that was found in two or three pieces stays an outline, and so does a giant cell, found whole with some
crumbs in it. Where the rule errs, a large outline gives its class to all that was found in it, and not to one of them.

A cell belongs to the regions that its centroid lies in; holes are not in a region. Of several the smallest counts if it
lies in the others that have another class: the inner one. If it does not, the regions contradict each other there, and
the cell has no class by them; nor has it where a region was drawn twice, with two classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import shapely

from .matching import shared_area

MUCH_LARGER = 5
"""Times the median cell. Two cells side by side, with what a hand leaves around them, are less."""

NO_CELL = 100
"""Times the median cell. A megakaryocyte among lymphocytes is less, nucleus by nucleus."""

_FILLED = 0.5
"""Of an outline by a cell: then their IoU can be 0.5, and they are the same."""

_WITHIN = 0.95
"""Of a region within another: the pen slips where people follow a border twice."""


@dataclass(frozen=True)
class Places:
    """Where cells are, as far as regions need it.

    Attributes
    ----------
    cells : numpy.ndarray
        ``shapely.Polygon``, level-0 pixels.
    """

    cells: np.ndarray

    @cached_property
    def area(self) -> np.ndarray:
        """Of each cell."""
        return shapely.area(self.cells)

    @cached_property
    def usual_area(self) -> float:
        """Of the median cell; without cells nothing is larger."""
        return float(np.median(self.area)) if len(self.cells) else np.inf

    @cached_property
    def centroids(self) -> shapely.STRtree:
        """Of all cells."""
        return shapely.STRtree(shapely.centroid(self.cells))

    def held_by(self, area: shapely.Geometry) -> np.ndarray:
        """Return the cells whose centroid lies in an area, ascending."""
        held = [self.centroids.query(piece, predicate="contains") for piece in shapely.get_parts(area)]
        return np.unique(np.concatenate(held)) if held else np.empty(0, int)

    def is_region(self, area: shapely.Geometry) -> bool:
        """Say whether an outline is a region, by what it holds (see the module)."""
        times = shapely.area(area) / self.usual_area
        if times < MUCH_LARGER:
            return False
        held = self.area[self.held_by(area)]
        if held.max(initial=0) >= _FILLED * shapely.area(area):
            return False
        return times >= NO_CELL or (len(held) >= 2 and shapely.area(area) >= MUCH_LARGER * np.median(held))


def find(areas: np.ndarray, places: Places) -> np.ndarray:
    """Say of each outline whether it is a region.

    Parameters
    ----------
    areas
        ``shapely.Polygon`` or ``shapely.MultiPolygon``, valid, level-0 pixels; or None.
    places
        The cells.
    """
    out = shapely.area(areas) >= MUCH_LARGER * places.usual_area
    for number in np.flatnonzero(out):
        out[number] = places.is_region(areas[number])
    return out


def around_cells(outlines: np.ndarray, found: Places) -> np.ndarray:
    """Say of true outlines which are regions, where outlines are to be scored.

    There, what was found must not decide alone: of a nucleus that was found in crumbs, the miss would be forgotten. So
    a region is what holds two or more other outlines of the same file, `MUCH_LARGER` times as large as their median and
    as that of the file; or two or more of the cells found, and `NO_CELL` times as large as their median.

    Parameters
    ----------
    outlines
        ``shapely.Polygon``, valid, level-0 pixels.
    found
        The cells found.
    """
    own = Places(outlines)
    out = own.area >= MUCH_LARGER * min(own.usual_area, NO_CELL / MUCH_LARGER * found.usual_area)
    for number in np.flatnonzero(out):
        others = np.setdiff1d(own.held_by(outlines[number]), number)
        usual = np.median(own.area[others]) if len(others) >= 2 else np.inf
        out[number] = own.area[number] >= MUCH_LARGER * max(own.usual_area, usual) or (
            own.area[number] >= NO_CELL * found.usual_area and len(found.held_by(outlines[number])) >= 2
        )
    return out


@dataclass(frozen=True)
class Spread:
    """Which region each cell belongs to.

    Attributes
    ----------
    region : numpy.ndarray
        Per cell its region, −1 without one.
    doubtful : numpy.ndarray
        Per cell whether regions of different classes contradict each other there; it has no region, then.
    empty : int
        Regions that hold no cell.
    """

    region: np.ndarray
    doubtful: np.ndarray
    empty: int


def spread(areas: np.ndarray, names: np.ndarray, places: Places) -> Spread:
    """Find out which region each cell belongs to.

    Parameters
    ----------
    areas, names
        Of each region: valid ``shapely.Polygon`` or ``shapely.MultiPolygon``, level-0 pixels; and its class.
    places
        The cells.
    """
    # Each piece lies in others, or does not, on its own: what is drawn in one hand may lie all over the slide.
    pieces, region = shapely.get_parts(areas, return_index=True)
    owner, held = np.full(len(places.cells), -1), np.zeros(len(areas), bool)
    for piece in np.argsort(-shapely.area(pieces), kind="stable"):
        inside = places.centroids.query(pieces[piece], predicate="contains")
        owner[inside] = piece  # the smallest comes last
        held[region[piece]] |= len(inside) > 0
    doubtful = np.zeros(len(owner), bool)
    own = _by_owner(owner)
    for inner, outer in _contradictions(pieces, names[region], np.array(list(own), int)):
        doubtful[own[inner]] |= shapely.intersects(pieces[outer], places.centroids.geometries[own[inner]])
    return Spread(np.where(doubtful, -1, np.append(region, -1)[owner]), doubtful, int(np.count_nonzero(~held)))


def _by_owner(owner: np.ndarray) -> dict[int, np.ndarray]:
    """Return the cells of each owner."""
    order = np.argsort(owner, kind="stable")
    order = order[np.searchsorted(owner[order], 0) :]
    groups = np.split(order, np.flatnonzero(np.diff(owner[order])) + 1) if len(order) else []
    return {int(owner[rows[0]]): rows for rows in groups}


def _contradictions(pieces: np.ndarray, names: np.ndarray, owners: np.ndarray) -> list[tuple[int, int]]:
    """Return pairs of an owner and a piece of another class, not smaller, that it overlaps but does not lie in."""
    inner, outer = shapely.STRtree(pieces).query(pieces[owners], predicate="intersects")
    inner, area = owners[inner], shapely.area(pieces)
    # Of two as large either may be the one that a cell was given to.
    some = (names[inner] != names[outer]) & (area[inner] <= area[outer])
    inner, outer = inner[some], outer[some]
    shapely.prepare(pieces[outer])
    within = shapely.covers(pieces[outer], pieces[inner]) & (area[inner] < area[outer])
    # Others may lie in it but for a slip of the pen; or they are one region, drawn twice.
    inner, outer = inner[~within], outer[~within]
    shared = shared_area(pieces, pieces, inner, outer)
    within = (shared >= _WITHIN * area[inner]) & (shared < _WITHIN * area[outer])
    wrong = (shared > 0) & ~within
    return list(zip(inner[wrong].tolist(), outer[wrong].tolist(), strict=True))
