"""What must hold of outlines before anything is computed from them; the same for every format."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import shapely

from ...io import ClusterfirstError
from ...text import a_few
from .features import HOLED, PIECES, Features, Remark

log = logging.getLogger(__name__)

_MOST_OUTSIDE = 0.1
"""A larger fraction outside the slide is no slip of the pen: the outlines belong to something else."""

_EMPTY = "have no area: dropped"
_CROSSED = "cross themselves: repaired; of what fell apart, the largest piece kept"
_OUTSIDE = "lie wholly outside the slide: dropped"
_NO_NUMBER = "have a coordinate that is no number: dropped"
_BEYOND = "reach beyond the slide: clipped"


def check(features: Features, path: Path, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Mend and drop, and warn of all that was wrong.

    Parameters
    ----------
    features
        What `path` holds.
    path
        For messages.
    width, height
        The slide, in level-0 pixels.

    Returns
    -------
    polygons : numpy.ndarray
        Valid ``shapely.Polygon`` without holes, within the slide.
    rows : numpy.ndarray
        For each its feature, ascending: at most one polygon per feature.

    Raises
    ------
    ClusterfirstError
        More than a tenth lie outside the slide, or none is usable though there are some.
    """
    polygons, rows, wrong = _mended(features)
    polygons, rows, misplaced = _inside(polygons, rows, width, height)
    where = f"outlines {path}"
    _tell(where, [*features.remarks, *wrong, *misplaced], rows, len(features), features.place, (width, height))
    return polygons, rows


def check_points(features: Features, path: Path, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Drop points that lie nowhere on the slide, and warn of them.

    Returns
    -------
    points : numpy.ndarray
        ``shapely.Point`` within the slide.
    rows : numpy.ndarray
        For each its feature, ascending.

    Raises
    ------
    ClusterfirstError
        As of `check`.
    """
    x, y = features.points.T
    numbers = np.isfinite(features.points).all(axis=1)
    inside = (x >= 0) & (x <= width) & (y >= 0) & (y <= height)
    owner = features.point_owner
    remarks = [*features.remarks, (_NO_NUMBER, owner[~numbers]), (_OUTSIDE, owner[numbers & ~inside])]
    total = len(owner) + sum(len(which) for _, which in features.remarks)
    _tell(f"points {path}", remarks, owner[inside], total, features.place, (width, height))
    return shapely.points(features.points[inside]), owner[inside]


def classified(names: np.ndarray, rows: np.ndarray, features: Features, path: Path) -> np.ndarray:
    """Say which of the `rows` have a class, and warn of those that have none.

    Raises
    ------
    ClusterfirstError
        None has one, though there are some.
    """
    known = np.array([name is not None for name in names], bool)
    if len(known) and not known.any():
        raise ClusterfirstError(
            f"truth {path}: none of {len(known):,} has a class, and without classes there is nothing to compare "
            "clusters with. Give classes to the annotations in QuPath, or name them in a column 'class'"
        )
    if not known.all():
        bare = rows[~known]
        total = f"{len(known):,}"
        log.warning(
            "truth %s: %s of %s have no class: left out (%s)",
            *(path, f"{len(bare):,}", total, a_few(bare, features.place)),
        )
    return known


def _tell(
    where: str,
    remarks: list[Remark],
    rows: np.ndarray,
    total: int,
    place: Callable[[int], str],
    size: tuple[int, int],
) -> None:
    """Warn of all that was wrong, one line for each kind; raise if too much was, given the `rows` that are left."""
    remarks = [(what, which) for what, which in remarks if len(which)]
    for what, which in remarks:
        log.warning("%s: %s of %s %s (%s)", where, f"{len(which):,}", f"{total:,}", what, a_few(which, place))
    outside = dict(remarks).get(_OUTSIDE, ())
    if len(outside) > _MOST_OUTSIDE * (len(outside) + len(rows)):
        raise ClusterfirstError(
            f"{where}: {len(outside):,} of {len(outside) + len(rows):,} lie wholly outside the slide of "
            f"{size[0]} × {size[1]} px ({a_few(outside, place)}), so they probably belong to another slide or "
            "another resolution: coordinates must be pixels of this slide at its full resolution (level 0)"
        )
    if total and not len(rows):
        reasons = "; ".join(f"{len(which):,} {what}" for what, which in remarks)
        raise ClusterfirstError(
            f"{where}: none of {total:,} is usable: {reasons}. "
            "Give polygons around cells (as truth, points in them will do), in level-0 pixels of the slide"
        )


def _mended(features: Features) -> tuple[np.ndarray, np.ndarray, list[Remark]]:
    """Return one valid polygon without holes for every feature that has any area, its feature, and remarks."""
    polygons, owner = shapely.force_2d(features.polygons), features.owner
    # Holes first: one that sticks out of its outline would else count as a crossing.
    holed = shapely.get_num_interior_rings(polygons) > 0
    polygons[holed] = _filled(polygons[holed])
    crossed = ~shapely.is_valid(polygons)
    polygons[crossed] = _largest_parts(shapely.make_valid(polygons[crossed], method="structure", keep_collapsed=False))
    area = shapely.area(polygons)
    some = area > 0
    polygons, owner, area, crossed, holed = (values[some] for values in (polygons, owner, area, crossed, holed))
    accounted = np.concatenate([owner, features.point_owner, *(which for _, which in features.remarks)])
    remarks = [
        (_EMPTY, np.setdiff1d(np.arange(len(features)), accounted)),
        (_CROSSED, np.unique(owner[crossed])),
        (HOLED, np.unique(owner[holed])),
        (PIECES, np.unique(owner[1:][owner[1:] == owner[:-1]])),
    ]
    largest = _largest(area, owner)
    return polygons[largest], owner[largest], remarks


def _inside(
    polygons: np.ndarray, rows: np.ndarray, width: int, height: int
) -> tuple[np.ndarray, np.ndarray, list[Remark]]:
    """Clip to the slide, drop what has no area there, and say so."""
    left, top, right, bottom = shapely.bounds(polygons).reshape(-1, 4).T
    beyond = np.flatnonzero((left < 0) | (top < 0) | (right > width) | (bottom > height))
    clipped = _largest_parts(shapely.intersection(polygons[beyond], shapely.box(0, 0, width, height)))
    outside = shapely.area(clipped) == 0
    polygons[beyond] = clipped
    remarks = [(_BEYOND, rows[beyond[~outside]]), (_OUTSIDE, rows[beyond[outside]])]
    return np.delete(polygons, beyond[outside]), np.delete(rows, beyond[outside]), remarks


def _filled(polygons: np.ndarray) -> np.ndarray:
    return shapely.polygons(shapely.get_exterior_ring(polygons))


def _largest_parts(geometries: np.ndarray) -> np.ndarray:
    """Of each geometry the largest polygon, its holes filled; an empty polygon where there is none."""
    parts, owner = shapely.get_parts(geometries, return_index=True)
    solid = (shapely.get_type_id(parts) == shapely.GeometryType.POLYGON) & ~shapely.is_empty(parts)
    parts, owner = _filled(parts[solid]), owner[solid]
    largest = _largest(shapely.area(parts), owner)
    out = np.full(len(geometries), shapely.Polygon(), object)
    out[owner[largest]] = parts[largest]
    return out


def _largest(area: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """Index of the largest of every owner, in the order of owners."""
    order = np.lexsort((area, owner))
    return order[np.flatnonzero(np.diff(owner[order], append=-1))]
