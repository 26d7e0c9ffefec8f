"""What people say that cells are, as a file has it: nobody knows yet which cells there are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from .checks import check, check_points, classified
from .features import NO_OUTLINE, REGIONS, Features

_SPREAD = "are regions, not cells as the others: cells in them take their class"


@dataclass(frozen=True)
class Said:
    """What a file says, an entry for each outline, point and region, in the order of the file.

    Attributes
    ----------
    shapes : numpy.ndarray
        ``shapely.Polygon`` as from `foreign.read`, or ``shapely.Point``; None where the file itself says that it is a
        region.
    areas : numpy.ndarray
        Of outlines and regions the whole area, should it be a region: valid ``shapely.Polygon`` or
        ``shapely.MultiPolygon``, with all pieces and all holes. None of points.
    names : numpy.ndarray
        The class, or None; not all are None.
    types : numpy.ndarray
        What the file says that it is, in QuPath's words; empty where it says nothing.
    """

    shapes: np.ndarray
    areas: np.ndarray
    names: np.ndarray
    types: np.ndarray


def said(features: Features, path: Path, width: int, height: int, *, mpp: float, given: Mapping[str, Any]) -> Said:
    """Check what a reader found, and keep areas whole; see `foreign.read_said`."""
    marked, regions = np.unique(features.point_owner), np.unique(features.region_owner)
    features = replace(features, remarks=_remarks(features, marked, regions))
    parts = []
    if len(features.polygons) or not (len(marked) or len(regions)):
        shapes, rows = check(features, path, width, height, mpp=mpp, given=given, regions=True)
        parts.append((shapes, _areas(features, shapes, rows), rows))
        features = replace(features, remarks=[])  # told once
    if len(marked):
        points, rows = check_points(features, path, width, height, given=given)
        parts.append((points, np.full(len(rows), None), rows))
    parts.append((np.full(len(regions), None), _whole(features.regions, features.region_owner, regions), regions))
    shapes, areas, rows = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(rows, kind="stable")
    shapes, areas, rows = shapes[order], areas[order], rows[order]
    classified(features.names[rows], rows, features, path)
    types = features.types if len(features.types) else np.full(len(features), "", object)
    return Said(shapes, areas, features.names[rows], types[rows])


def _remarks(features: Features, marked: np.ndarray, regions: np.ndarray) -> list:
    """Return what is to be told when points and regions are no longer left out."""
    named = np.array([row for row in regions if features.names[row] is not None], int)
    out = []
    for what, which in features.remarks:
        if what in (NO_OUTLINE, REGIONS):
            which = np.setdiff1d(which, marked)
        if what == REGIONS:
            out.append((_SPREAD, np.intersect1d(which, named)))
            which = np.setdiff1d(which, named)
        out.append((what, which))
    return out


def _areas(features: Features, shapes: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return areas of checked outlines: themselves, unless holes were filled, pieces dropped or crossings repaired."""
    out = shapes.copy()
    drawn, kept = (
        np.bincount(owner, shapely.area(polygons), minlength=len(features))
        for owner, polygons in ((features.owner, features.polygons), (rows, shapes))
    )
    changed = np.flatnonzero(drawn != kept)
    changed = changed[np.isin(changed, rows)]
    of_changed = np.isin(features.owner, changed)
    whole = _whole(features.polygons[of_changed], features.owner[of_changed], changed)
    touched = np.flatnonzero(np.isin(rows, changed))
    out[touched] = whole[np.searchsorted(changed, rows[touched])]
    # Of a feature that holds several, each has its own part of the area.
    several = touched[np.bincount(rows)[rows[touched]] > 1]
    out[several] = shapely.intersection(out[several], shapes[several])
    return out


def _whole(polygons: np.ndarray, owner: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return for each of `rows` all of its polygons as one valid geometry, with their holes."""
    out = np.full(len(rows), shapely.Polygon(), object)
    polygons = shapely.force_2d(polygons)
    wrong = ~shapely.is_valid(polygons)
    polygons[wrong] = shapely.make_valid(polygons[wrong], method="structure", keep_collapsed=False)
    ends = np.searchsorted(owner, [rows, rows + 1])
    for place, (start, end) in enumerate(ends.T):
        # Most are one polygon, and a union would reorder its points.
        out[place] = polygons[start] if end - start == 1 else shapely.union_all(polygons[start:end])
    return out
