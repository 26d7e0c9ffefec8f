"""What a file of outlines holds, as its reader found it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

Remark = tuple[str, np.ndarray]
"""Something to tell, as a predicate (*have holes: filled*), and the features that it concerns, ascending."""

HOLED = "have holes: filled"
PIECES = "are in several pieces: the largest kept"
NO_OUTLINE = "are points or lines, which outline nothing: left out"
REGIONS = "are regions, not cells as the others: left out"


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
        wants them; their features are remarked on as `REGIONS`.
    region_owner : numpy.ndarray
        For each of `regions` its feature. Ascending.
    types : numpy.ndarray
        For each feature what the file says that it is, in QuPath's words (``cell``, ``detection``, ``annotation``, …);
        empty of a file that says nothing.
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

    def __len__(self) -> int:
        return len(self.names)
