"""Outlines as a set: what cannot be seen of any of them alone."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import shapely
from scipy.spatial import cKDTree

from ...io import ClusterfirstError
from ...text import a_few
from .features import AROUND, CONTRADICT, DUPLICATES, FRAME, REGIONS, WITHIN, Remark, ends_in_star, middle
from .frames import end_early, extent

if TYPE_CHECKING:
    from .checks import Frame

log = logging.getLogger(__name__)

_SAME_PX = 1.0
"""Outlines whose boxes differ by no more, and which share `_SAME` of their area, are one object: rounding, or a second
run of the same network, moves a border that far."""
_SAME = 0.9

_OF_SLIDE = 0.5
_MEDIANS = 200
_SPACIOUS_UM2 = 2_000
"""A region covers this fraction of the slide, or is so many times the median and larger than any but a giant cell."""

_HELD = 5
_HELD_MEDIANS = 10
_AROUND_ONE = 50
"""A region is around so many others, of which the median is smaller by the second factor; or around any, smaller by the
third."""

_NESTED = 0.25
"""If a larger fraction of outlines lies in others, the file has cells and nuclei as objects of their own."""

_HELD_FEW = 2
_CRUMBS = 0.2
"""Or around so few, smaller by that third factor, however small itself: if these are no crumbs, which are smaller than
this fraction of the median outline."""

_STICKS_OUT = 0.9
_SMALLER = 1.3
_NUCLEAR = 10
"""A nucleus lies in its cell with at least the first fraction of its area (pixels and smoothing move borders); the cell
is so many times larger, and no more than the third."""

_TWINS = 0.5
_ALIKE = 2
_FEW_TWINS = 20
_TOLD_TWINS = 0.02
"""Outlines that share more than the first of the smaller one's area, of areas within the second factor, are one cell
found twice; more than so many, and than that fraction, are no accident."""

_SOME = 50
"""More outlines than this in the upper left quarter are to be doubted, where there is no other."""

_VAST_UM2 = 100_000
_LARGE_UM2 = 1_500
"""Half of the outlines larger than the first are regions; than the second, it is to be doubted that they are nuclei."""


def distinct(polygons: np.ndarray, rows: np.ndarray, names: np.ndarray) -> tuple[np.ndarray, list[Remark]]:
    """Find outlines that are there already, with another first corner or somewhat rounded if need be.

    Parameters
    ----------
    polygons
        Valid ``shapely.Polygon``.
    rows
        For each its feature.
    names
        For each its class, or None: of equal outlines the first with a class stays.

    Returns
    -------
    kept : numpy.ndarray
        bool for each.
    remarks : list of Remark
    """
    order = np.argsort([name is None for name in names], kind="stable")
    # Copies first: of thousands of one outline, the search for pairs would find millions.
    codes = pd.factorize(shapely.to_wkb(shapely.normalize(polygons[order])))[0]
    first = order[np.unique(codes, return_index=True)[1]]
    twin = np.empty(len(polygons), int)
    twin[order] = first[codes]
    pairs = cKDTree(shapely.bounds(polygons[first])).query_pairs(_SAME_PX, p=np.inf, output_type="ndarray")
    one, other = first[pairs.min(axis=1)], first[pairs.max(axis=1)]
    shared = shapely.area(shapely.intersection(polygons[one], polygons[other]))
    same = shared >= _SAME * (shapely.area(polygons[one]) + shapely.area(polygons[other]) - shared)
    twin[other[same]] = one[same]
    again = twin != np.arange(len(polygons))
    other_class = again & (names != None) & (names != names[twin])  # noqa: E711 (element by element)
    return ~again, [(DUPLICATES, rows[again & ~other_class]), (CONTRADICT, rows[other_class])]


def nuclei_or_cells(
    polygons: np.ndarray, rows: np.ndarray, names: np.ndarray, frame: Frame, objects_of: str
) -> tuple[np.ndarray, list[Remark]]:
    """Find regions among cells; and, where nuclei and cells are objects of their own, those that are not wanted.

    Parameters
    ----------
    polygons
        Valid ``shapely.Polygon``, each once.
    rows, names
        For each its feature, and its class or None.
    frame
        The slide.
    objects_of
        ``nucleus`` or ``cell``.

    Returns
    -------
    kept : numpy.ndarray
        bool for each.
    remarks : list of Remark
    """
    area = shapely.area(polygons)
    outer, inner = _held(polygons, area)
    region = _regions(area, outer, inner, names, frame)
    unwanted = np.zeros(len(polygons), bool)
    large, small, share = _sharing(polygons)
    sticks_out = (share >= _STICKS_OUT) & (area[large] > _SMALLER * area[small])
    outer, inner = np.concatenate([outer, large[sticks_out]]), np.concatenate([inner, small[sticks_out]])
    nested = ~region[outer] & ~region[inner]
    outer, inner = outer[nested], inner[nested]
    what = AROUND if objects_of == "nucleus" else WITHIN
    if len(np.unique(inner)) > _NESTED * np.count_nonzero(~region):
        unwanted[outer if objects_of == "nucleus" else inner] = True
    elif len(inner):
        log.warning(
            "%s: %d of %d outlines lie wholly in others, and are taken for cells",
            *(frame.where, len(np.unique(inner)), len(area)),
        )
    left = ~(region | unwanted)
    twins = (share > _TWINS) & (area[large] <= _ALIKE * area[small]) & left[large] & left[small]
    _tell_twins(np.unique([large[twins], small[twins]]), polygons, np.count_nonzero(left), frame)
    return left, [(REGIONS, np.sort(rows[region])), (what, np.sort(rows[unwanted]))]


def _held(polygons: np.ndarray, area: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of outlines of which the first is around the second."""
    inner, outer = shapely.STRtree(polygons).query(polygons, predicate="covered_by")
    true = area[outer] > area[inner]
    return outer[true], inner[true]


def _sharing(polygons: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find pairs of outlines that share half of the smaller one's area, or more, of about one size.

    Returns
    -------
    large, small : numpy.ndarray
        The pairs.
    share : numpy.ndarray
        Of the smaller one's area.
    """
    area, (left, top, right, bottom) = shapely.area(polygons), shapely.bounds(polygons).reshape(-1, 4).T
    large, small = shapely.STRtree(polygons).query(polygons)
    ordered = (area[large] > area[small]) | ((area[large] == area[small]) & (large < small))
    likely = ordered & (area[large] <= _NUCLEAR * area[small])
    large, small = large[likely], small[likely]
    # Most neighbours have no more than corners of their boxes in common: these need no intersection.
    wide = np.minimum(right[large], right[small]) - np.maximum(left[large], left[small])
    high = np.minimum(bottom[large], bottom[small]) - np.maximum(top[large], top[small])
    likely = wide * high >= _TWINS * area[small]
    large, small = large[likely], small[likely]
    share = shapely.area(shapely.intersection(polygons[large], polygons[small])) / area[small]
    much = share >= _TWINS
    return large[much], small[much], share[much]


def _tell_twins(twins: np.ndarray, polygons: np.ndarray, total: int, frame: Frame) -> None:
    if len(twins) <= max(_FEW_TWINS, _TOLD_TWINS * total):
        return
    log.warning(
        "%s: %s of %s outlines share more than half with another of their size (%s), and are taken for cells all the "
        "same: was detection run twice, or are cells at the borders of tiles there twice?",
        *(frame.where, f"{len(twins):,}", f"{total:,}", a_few(shapely.centroid(polygons[twins]), middle)),
    )


def _regions(area: np.ndarray, outer: np.ndarray, inner: np.ndarray, names: np.ndarray, frame: Frame) -> np.ndarray:
    spacious = area * frame.slide.mpp**2 > _SPACIOUS_UM2
    of_slide = _OF_SLIDE * frame.slide.width * frame.slide.height
    region = spacious & ((area > _MEDIANS * np.median(area)) | (area >= of_slide))
    order = np.lexsort((area[inner], outer))
    outer, inner = outer[order], inner[order]
    holders, first, count = np.unique(outer, return_index=True, return_counts=True)
    held = area[inner[first + count // 2]]
    times = area[holders] / held
    region[holders] |= (
        ((count >= _HELD) & (times > _HELD_MEDIANS))
        | ((times > _AROUND_ONE) & spacious[holders])
        | ((times > _AROUND_ONE) & (count >= _HELD_FEW) & (held >= _CRUMBS * np.median(area)))
        | (ends_in_star(names[holders]) & (times > 1))
    )
    return region | (names == FRAME)


def check_size(polygons: np.ndarray, frame: Frame, path: Path, least_um2: float, *, regions_too: bool) -> None:
    """Refuse outlines whose size and place say that they are in other units than pixels of level 0.

    Parameters
    ----------
    polygons
        ``shapely.Polygon``.
    frame
        The slide.
    path
        For messages.
    least_um2
        Half of all nuclei are larger.
    regions_too
        Whether large ones may be regions that say something of the cells in them.

    Raises
    ------
    ClusterfirstError
        Half of the outlines are smaller, and all lie in a corner; or they are as large as regions.
    """
    if not len(polygons):
        return
    slide = frame.slide
    median = float(np.median(shapely.area(polygons))) * slide.mpp**2
    in_corner = end_early(polygons, slide, frame.begins)
    right, bottom = shapely.total_bounds(polygons)[2:] - frame.begins
    width, height = extent(slide, frame.begins)
    said = f"outlines {path}: half of the {len(polygons):,} outlines are"
    if median < least_um2 and in_corner:
        raise ClusterfirstError(
            f"{said} smaller than {median:.3g} µm², and all lie in the first {right:.0f} × {bottom:.0f} px of the "
            f"slide's {width} × {height}: are these µm, or pixels of a lower resolution? Coordinates must be pixels of "
            f"the full resolution (level 0; {slide.mpp:g} µm each here). If they are, and your cells so small, lower "
            "given.min_median_um2"
        )
    if median < least_um2 / 2:
        log.warning(
            "%s smaller than %.3g µm²: are they nuclei, and is the slide's mpp (%g) right?", *(said, median, slide.mpp)
        )
    if regions_too:
        return
    if in_corner and len(polygons) > _SOME:
        log.warning(
            "outlines %s: all %s lie in the first %.0f × %.0f px of the slide's %d × %d: are these µm, or pixels of a "
            "lower resolution? Coordinates must be pixels of the full resolution (level 0; %g µm each here)",
            *(path, f"{len(polygons):,}", right, bottom, width, height, slide.mpp),
        )
    if median > _VAST_UM2:
        raise ClusterfirstError(
            f"{said} larger than {median:,.0f} µm²: these are regions, not cells. Give outlines of single cells; "
            "regions with classes belong in column 'truth', or into the labelling app (Import)"
        )
    if median > _LARGE_UM2:
        log.warning("%s larger than %.0f µm²: are they cells, and pixels of this slide's level 0?", *(said, median))
