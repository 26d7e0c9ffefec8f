"""What must hold of outlines before anything is computed from them; the same for every format."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import shapely

from ...io import ClusterfirstError
from ...slide.facts import SlideFacts
from ...text import a_few, counted
from . import pieces, together
from .features import (
    BEYOND,
    BROKEN,
    CONTRADICT,
    CROSSED,
    DUPLICATES,
    EMPTY,
    FAR_PIECES,
    HOLED,
    JOINED,
    LEFT_OUT,
    LOST,
    NO_NUMBER,
    OUTSIDE,
    PIECES,
    REPAIRED,
    RINGS,
    SPLIT,
    Features,
    Remark,
)

log = logging.getLogger(__name__)

_HINTS = {
    OUTSIDE: "If many lie outside, they belong to another slide or another resolution: coordinates must be pixels of "
    "this slide at its full resolution (level 0)",
    NO_NUMBER: "Write numbers with a decimal point, and nothing else in the cell",
    FAR_PIECES: "In a label image every cell has a number of its own: this may be a map of classes, or was saved with "
    "too few bits (8 bits have 255 numbers)",
}


@dataclass(frozen=True)
class Frame:
    """Whom outlines belong to.

    Attributes
    ----------
    where : str
        The file, as messages call it.
    slide : SlideFacts
    begins : tuple of float
        Where the coordinates of the file begin, in level-0 pixels.
    """

    where: str
    slide: SlideFacts
    begins: tuple[float, float] = (0, 0)

    @property
    def size(self) -> str:
        """Of the slide, as messages have it."""
        return f"{self.slide.width} × {self.slide.height} px"


def check(
    features: Features, path: Path, slide: SlideFacts, *, given: Mapping[str, Any], regions: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Mend and leave out, and tell of all that was wrong.

    Parameters
    ----------
    features
        What `path` holds.
    path
        For messages.
    slide
        Whose outlines they are.
    given
        The section of the settings.
    regions
        Whether regions, which say what the cells in them are, are wanted: `features` has them apart, and what is still
        among its polygons is none, however large. Nothing of this concerns them.

    Returns
    -------
    polygons : numpy.ndarray
        Valid ``shapely.Polygon`` without holes, within the slide.
    rows : numpy.ndarray
        For each its feature, ascending: several of a feature that holds several cells.

    Raises
    ------
    ClusterfirstError
        More than ``given.max_lost`` of the cells would be lost, or none is usable though there are some; or the
        outlines are in other units.
    """
    frame = Frame(f"outlines {path}", slide, features.begins.at)
    polygons, rows, wrong = _mended(features)
    polygons, rows, misplaced = _inside(polygons, rows, slide)
    remarks = [*features.remarks, *wrong, *misplaced]
    if len(polygons):
        kept, twice = together.distinct(polygons, rows, features.names[rows])
        polygons, rows = polygons[kept], rows[kept]
        remarks += twice
    if len(polygons) and not regions:
        kept, others = together.nuclei_or_cells(polygons, rows, features.names[rows], frame, given["objects_of"])
        polygons, rows = polygons[kept], rows[kept]
        remarks += others
    beside = len(np.union1d(features.region_owner, features.point_owner)) if regions else 0
    _tell(frame, remarks, rows, len(features), features.place, given["max_lost"], beside)
    together.check_size(polygons, frame, path, given["min_median_um2"], regions_too=regions)
    return polygons, rows


def check_points(
    features: Features, path: Path, slide: SlideFacts, *, given: Mapping[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """Drop points that lie nowhere on the slide, or were there already, and tell of them.

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
    inside = (x >= 0) & (x <= slide.width) & (y >= 0) & (y <= slide.height)
    owner = features.point_owner
    twice, other_class = _again(features.points, features.names[owner])
    kept = inside & ~twice & ~other_class
    remarks = [
        *features.remarks,
        (NO_NUMBER, owner[~numbers]),
        (OUTSIDE, owner[numbers & ~inside]),
        (DUPLICATES, owner[inside & twice]),
        (CONTRADICT, owner[inside & other_class]),
    ]
    total = len(owner) + sum(len(which) for _, which in features.remarks)
    _tell(Frame(f"points {path}", slide), remarks, owner[kept], total, features.place, given["max_lost"])
    return shapely.points(features.points[kept]), owner[kept]


def _again(points: np.ndarray, names: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which points were there already; and which of these, with another class."""
    places = pd.factorize(pd.MultiIndex.from_arrays(points.T))[0]
    order = np.argsort([name is None for name in names], kind="stable")
    first = np.empty(len(points), int)
    first[places[order[::-1]]] = order[::-1]
    again = first[places] != np.arange(len(points))
    other_class = again & (names != None) & (names != names[first[places]])  # noqa: E711 (element by element)
    return again & ~other_class, other_class


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
    frame: Frame,
    remarks: list[Remark],
    rows: np.ndarray,
    total: int,
    place: Callable[[int], str],
    max_lost: float,
    beside: int = 0,
) -> None:
    """Warn of all that was wrong, one line for each kind; raise if too much was, given the `rows` that are left.

    Of a file with some regions or points (so many `beside`) and no cell, a slip of the mouse is not refused.
    """
    remarks = [(what, which) for what, which in remarks if len(which)]
    for what, which in remarks:
        level = logging.INFO if what == SPLIT else logging.WARNING
        log.log(level, "%s: %s of %s %s (%s)", frame.where, f"{len(which):,}", f"{total:,}", what, a_few(which, place))
    _summarise(frame, remarks, rows, total, beside)
    lost = {what: which for what, which in remarks if what in LOST}
    gone = sum(map(len, lost.values()))
    if gone > max_lost * (gone + len(rows)):
        _refuse(frame, lost, gone, len(rows), place, max_lost)
    if total and not len(rows) and (gone > beside or not beside):
        reasons = "; ".join(f"{len(which):,} {what}" for what, which in remarks)
        raise ClusterfirstError(
            f"{frame.where}: none of {total:,} is usable: {reasons}. "
            "Give polygons around cells (as truth, points in them will do), in level-0 pixels of the slide"
        )


def _summarise(frame: Frame, remarks: list[Remark], rows: np.ndarray, total: int, beside: int) -> None:
    """Say in one line what became of the file."""

    def number(kinds: frozenset[str]) -> str:
        return f"{sum(len(which) for what, which in remarks if what in kinds):,}"

    log.info(
        "%s: %s read, %s split, %s repaired, %s left out, %s lost; %s taken%s",
        *(frame.where, counted(total, "object"), number(frozenset({SPLIT})), number(REPAIRED), number(LEFT_OUT)),
        *(number(LOST), f"{len(rows):,}", f", beside {beside:,} regions or points" if beside else ""),
    )


def _refuse(
    frame: Frame, lost: dict[str, np.ndarray], gone: int, left: int, place: Callable[[int], str], max_lost: float
) -> None:
    if not left and OUTSIDE not in lost:
        return  # of none usable, all reasons are told
    outside = lost.get(OUTSIDE, ())
    advice = f"If the others are right as they are, raise given.max_lost ({max_lost:g} now)"
    if len(outside) > max_lost * (len(outside) + left):
        raise _elsewhere(frame, outside, len(outside) + left, place, advice)
    reasons = "; ".join(f"{len(which):,} {what} ({a_few(which, place)})" for what, which in lost.items())
    hints = [_HINTS[what] for what in lost if what in _HINTS]
    raise ClusterfirstError(
        f"{frame.where}: {gone:,} of {gone + left:,} cells would be lost: {reasons}. " + ". ".join([*hints, advice])
    )


def _elsewhere(
    frame: Frame, outside: np.ndarray, total: int, place: Callable[[int], str], advice: str
) -> ClusterfirstError:
    return ClusterfirstError(
        f"{frame.where}: {len(outside):,} of {total:,} lie wholly outside the slide of {frame.size} "
        f"({a_few(outside, place)}), so they probably belong to another slide or another resolution: coordinates must "
        f"be pixels of this slide at its full resolution (level 0). {advice}"
    )


def check_regions(areas: np.ndarray, rows: np.ndarray, features: Features, path: Path, slide: SlideFacts) -> np.ndarray:
    """Say which regions lie on the slide, at least in part, and tell of the others.

    Parameters
    ----------
    areas, rows
        Of regions, valid; and their features.

    Raises
    ------
    ClusterfirstError
        Most lie elsewhere.
    """
    on_slide = shapely.intersects(areas, shapely.box(0, 0, slide.width, slide.height)) | shapely.is_empty(areas)
    outside, frame = rows[~on_slide], Frame(f"regions {path}", slide)
    if 2 * len(outside) > len(rows):
        raise _elsewhere(frame, outside, len(rows), features.place, "Else remove these")
    if len(outside):
        which = a_few(outside, features.place)
        log.warning("%s: %s of %s %s (%s)", frame.where, f"{len(outside):,}", f"{len(rows):,}", OUTSIDE, which)
    return on_slide


def _mended(features: Features) -> tuple[np.ndarray, np.ndarray, list[Remark]]:
    """Return a valid polygon without holes for every cell that has any area, its feature, and remarks."""
    polygons, owner, ringed = _with_own_rings(shapely.force_2d(features.polygons), features.owner)
    # Holes first: one that sticks out of its outline would else count as a crossing.
    holed = shapely.get_num_interior_rings(polygons) > 0
    polygons[holed] = _filled(polygons[holed])
    crossed = ~shapely.is_valid(polygons)
    polygons[crossed] = _largest_parts(shapely.make_valid(polygons[crossed], method="structure", keep_collapsed=False))
    some = shapely.area(polygons) > 0
    flat = owner[~some]
    polygons, owner, crossed, holed = (values[some] for values in (polygons, owner, crossed, holed))
    told = [which for what, which in features.remarks if what in LEFT_OUT | LOST and what != BROKEN]
    accounted = np.concatenate([owner, features.point_owner, features.region_owner, *told])
    cells = pieces.cells(polygons, owner)
    remarks = [
        (EMPTY, np.setdiff1d(np.arange(len(features)), accounted)),
        (BROKEN, flat[np.isin(flat, owner)]),
        (CROSSED, np.unique(owner[crossed])),
        (HOLED, np.unique(owner[holed])),
        (RINGS, ringed),
        (SPLIT, cells.split),
        (JOINED, cells.joined),
        (PIECES, cells.bits),
    ]
    return cells.polygons, cells.rows, remarks


def _with_own_rings(polygons: np.ndarray, owner: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Make outlines of rings that are no holes: some write all cells as rings of one polygon."""
    holed = np.flatnonzero(shapely.get_num_interior_rings(polygons) > 0)
    extra, of = [], []
    for place in holed:
        shell = shapely.Polygon(polygons[place].exterior)
        rings = shapely.polygons(shapely.get_rings(polygons[place])[1:])
        if not shapely.is_valid(shell):
            continue
        beside = shapely.disjoint(rings, shell) | (shapely.is_valid(rings) & shapely.touches(rings, shell))
        extra += list(rings[beside])
        of += [place] * int(beside.sum())
    if not extra:
        return polygons, owner, np.empty(0, int)
    # After the polygon whose they were, so that features stay in order.
    at = np.array(of) + 1
    ringed = np.unique(owner[of])
    return np.insert(polygons, at, np.array(extra, object)), np.insert(owner, at, owner[of]), ringed


def _inside(polygons: np.ndarray, rows: np.ndarray, slide: SlideFacts) -> tuple[np.ndarray, np.ndarray, list[Remark]]:
    """Clip to the slide, drop what has no area there, and say so."""
    left, top, right, bottom = shapely.bounds(polygons).reshape(-1, 4).T
    beyond = np.flatnonzero((left < 0) | (top < 0) | (right > slide.width) | (bottom > slide.height))
    clipped = _largest_parts(shapely.intersection(polygons[beyond], shapely.box(0, 0, slide.width, slide.height)))
    outside = shapely.area(clipped) == 0
    polygons[beyond] = clipped
    remarks = [(BEYOND, rows[beyond[~outside]]), (OUTSIDE, rows[beyond[outside]])]
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
