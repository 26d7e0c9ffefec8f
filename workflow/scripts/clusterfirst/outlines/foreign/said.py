"""What people say that cells are, as a file has it: outlines of single cells, points, and regions around many."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from ...slide.facts import SlideFacts
from .checks import check, check_points, check_regions, classified
from .features import NO_OUTLINE, REGIONS, Features
from .frames import Corner

Judge = Callable[[np.ndarray], np.ndarray]
"""Says of areas (``shapely.Polygon`` or ``shapely.MultiPolygon``, valid, level-0 pixels) which are regions: that shows
beside the cells of the slide, of which nothing is known here."""

_SPREAD = "are regions, not cells as the others: cells in them take their class"


@dataclass(frozen=True)
class Said:
    """What a file says, an entry for each outline, point and region, in the order of the file.

    Attributes
    ----------
    shapes : numpy.ndarray
        Of single cells ``shapely.Polygon`` as from `foreign.read`, or ``shapely.Point``. Of regions the whole area:
        valid ``shapely.Polygon`` or ``shapely.MultiPolygon``, with all pieces and all holes.
    region : numpy.ndarray
        Whether it is a region: because the file says so, or by its area.
    names : numpy.ndarray
        The class, or None; not all are None.
    types : numpy.ndarray
        What the file says that it is, in QuPath's words; empty where it says nothing.
    begins : Corner
        Where the coordinates of the file begin; those here begin at the corner of level 0.
    """

    shapes: np.ndarray
    region: np.ndarray
    names: np.ndarray
    types: np.ndarray
    begins: Corner


def said(features: Features, path: Path, slide: SlideFacts, *, given: Mapping[str, Any], is_region: Judge) -> Said:
    """Check what a reader found, cells as a set and regions each by itself; see `foreign.read_said`."""
    types = features.types if len(features.types) else np.full(len(features), "", object)
    features = _apart(features, types, is_region)
    marked, regions = np.unique(features.point_owner), np.unique(features.region_owner)
    features = replace(features, remarks=_remarks(features, marked, regions))
    parts = []
    if len(features.polygons) or (not len(marked) and (len(regions) < len(features) or not len(features))):
        shapes, rows = check(features, path, slide, given=given, regions=True)
        parts.append((shapes, np.zeros(len(rows), bool), rows))
        features = replace(features, remarks=[])  # told once
    if len(marked):
        points, rows = check_points(features, path, slide, given=given)
        parts.append((points, np.zeros(len(rows), bool), rows))
    areas = _whole(features.regions, features.region_owner, regions)
    there = check_regions(areas, regions, features, path, slide)
    areas, regions = areas[there], regions[there]
    parts.append((areas, np.ones(len(regions), bool), regions))
    shapes, region, rows = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(rows, kind="stable")
    rows = rows[order]
    classified(features.names[rows], rows, features, path)
    return Said(shapes[order], region[order], features.names[rows], types[rows], features.begins)


def _apart(features: Features, types: np.ndarray, is_region: Judge) -> Features:
    """Put polygons that are regions with those of which the file says so.

    Polygon by polygon, for one feature may hold all cells of a class; but the small pieces of what is mostly a region
    belong to it.
    """
    areas = _valid(features.polygons)
    region = is_region(areas) & (types[features.owner] != "cell")
    size = shapely.area(areas)
    of_all, of_regions = (np.bincount(features.owner, of, len(features)) for of in (size, size * region))
    region |= (2 * of_regions > of_all)[features.owner]
    owner = np.concatenate([features.region_owner, features.owner[region]])
    order = np.argsort(owner, kind="stable")
    return replace(
        features,
        polygons=features.polygons[~region],
        owner=features.owner[~region],
        regions=np.concatenate([features.regions, areas[region]])[order],
        region_owner=owner[order],
    )


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


def _valid(polygons: np.ndarray) -> np.ndarray:
    polygons = shapely.force_2d(polygons)
    wrong = ~shapely.is_valid(polygons)
    polygons[wrong] = shapely.make_valid(polygons[wrong], method="structure", keep_collapsed=False)
    return polygons


def _whole(polygons: np.ndarray, owner: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return for each of `rows` all of its polygons as one valid geometry, with their holes."""
    out = np.full(len(rows), shapely.Polygon(), object)
    polygons = _valid(polygons)
    ends = np.searchsorted(owner, [rows, rows + 1])
    for place, (start, end) in enumerate(ends.T):
        # Most are one polygon, and a union would reorder its points.
        out[place] = polygons[start] if end - start == 1 else shapely.union_all(polygons[start:end])
    return out
