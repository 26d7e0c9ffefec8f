"""What a file of outlines holds, as its reader found it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import shapely

from .frames import LEVEL0, Corner

FRAME = "Region*"
"""QuPath's class of frames in which something was done: never a cell, and nothing is said of the cells in it."""

DETECTED = ("cell", "detection")
"""What QuPath calls objects that are cells."""

Remark = tuple[str, np.ndarray]
"""Something to tell, as a predicate (*have holes: filled*), and the features that it concerns, ascending; of a feature
that holds several cells, once for each of them."""

HOLED = "have holes: filled"
RINGS = "have rings beside their outline, not in it: outlines of their own"
CROSSED = "cross themselves: repaired; of what fell apart, the largest piece kept"
JOINED = "are in pieces that lie close and make one whole: joined"
PIECES = "are in several pieces: the largest kept"
BEYOND = "reach beyond the slide: clipped"
SPLIT = "hold several outlines apart from each other: each is one cell"
NO_NUCLEUS = "are cells without a nucleus: their boundaries are taken"

REGIONS = "are regions, not cells as the others: left out"
DUPLICATES = "are there already: left out"
CONTRADICT = "are there already with another class: left out, the first class counts"
AROUND = "lie around another outline, as a cell around its nucleus: left out (given.objects_of)"
WITHIN = "lie in another outline, as a nucleus in its cell: left out (given.objects_of)"
PLANES = "lie on another plane (z, t) than most: left out"

NO_OUTLINE = "are points or lines, which outline nothing: left out"
EMPTY = "have no area: dropped"
BROKEN = "have pieces without area: these dropped"
FAR_PIECES = "are in pieces far from each other, as if several cells had one number: the largest kept"
NO_NUMBER = "have a coordinate that is no number: dropped"
OUTSIDE = "lie wholly outside the slide: dropped"

REPAIRED = frozenset({HOLED, RINGS, CROSSED, JOINED, PIECES, BEYOND})
LEFT_OUT = frozenset({REGIONS, DUPLICATES, CONTRADICT, AROUND, WITHIN, PLANES})
"""What is no cell, or one that is there all the same."""
LOST = frozenset({NO_OUTLINE, EMPTY, BROKEN, FAR_PIECES, NO_NUMBER, OUTSIDE})
"""Cells of the file, as far as anybody knows, that do not arrive: no more than ``given.max_lost``."""


@dataclass(frozen=True)
class Features:
    """Outlines before they are checked.

    Attributes
    ----------
    polygons : numpy.ndarray
        ``shapely.Polygon`` in level-0 pixels, with holes and errors if need be. A feature may have none or several.
    owner : numpy.ndarray
        For each polygon its feature: 0 for the first in the file. Ascending.
    names : numpy.ndarray
        For each feature its class, or None.
    place : callable
        Says where in the file a feature stands.
    remarks : list of Remark
        What the reader has to tell. A feature without polygons that is in none of them is an empty one.
    points : numpy.ndarray
        P × 2, x and y in level-0 pixels, NaN for what is no number. Only `read_truth` wants them; to others their
        features are remarked on as `NO_OUTLINE`.
    point_owner : numpy.ndarray
        For each point its feature. Ascending.
    regions : numpy.ndarray
        Polygons of what the file says are regions around its cells, which `polygons` is without. Only `read_said`
        wants them, and adds those that it finds; as the file has them, their features are remarked on as `REGIONS`.
    region_owner : numpy.ndarray
        For each of `regions` its feature. Ascending.
    types : numpy.ndarray
        For each feature what the file says that it is, in QuPath's words (``cell``, ``detection``, ``annotation``, …);
        empty of a file that says nothing.
    begins : Corner
        Where coordinates begin, as readers return them; after `frames.placed`, all count from the corner of level 0.
    """

    polygons: np.ndarray
    owner: np.ndarray
    names: np.ndarray
    place: Callable[[int], str]
    remarks: list[Remark]
    points: np.ndarray = field(default_factory=lambda: np.empty((0, 2)))
    point_owner: np.ndarray = field(default_factory=lambda: np.empty(0, int))
    regions: np.ndarray = field(default_factory=lambda: np.empty(0, object))
    region_owner: np.ndarray = field(default_factory=lambda: np.empty(0, int))
    types: np.ndarray = field(default_factory=lambda: np.empty(0, object))
    begins: Corner = LEVEL0

    def __len__(self) -> int:
        return len(self.names)


def ends_in_star(names: np.ndarray) -> np.ndarray:
    """Say which classes have QuPath's mark of those that are none."""
    return np.array([name is not None and name.endswith("*") for name in names], bool)


def middle(point: shapely.Point) -> str:
    """Return where something lies, for messages."""
    return f"x {point.x:.0f}, y {point.y:.0f}"
