"""What people say each detected cell is, and what they say that was never detected."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import shapely

from ..io import ClusterfirstError
from ..labels import by_cell_id
from ..outlines import foreign
from ..slide.facts import SlideFacts
from ..text import a_few, counted
from . import frames, regions
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
class Tally:
    """What a file held, and how many cells took a class of it.

    Attributes
    ----------
    regions, outlines, points : int
        With a class.
    by_regions, by_outlines, by_points : int
        Cells that have their class of them.
    empty : int
        Regions that hold no cell.
    doubtful : int
        Cells without a class because regions of different classes contradict each other there.
    ignored : int
        Cells without a class because what says most of them has one that QuPath ignores.
    unnamed : int
        Regions that say nothing: without a class, or frames (``Region*``).
    covered : int
        Cells without a class though an outline covers them: it means one cell, and that is another.
    """

    regions: int = 0
    by_regions: int = 0
    outlines: int = 0
    by_outlines: int = 0
    points: int = 0
    by_points: int = 0
    empty: int = 0
    doubtful: int = 0
    ignored: int = 0
    unnamed: int = 0
    covered: int = 0

    @property
    def is_plain(self) -> bool:
        """Whether the file had single cells only, whose classes are all meant."""
        return not (self.regions or self.unnamed or self.ignored or self.empty)

    @property
    def left_out(self) -> int:
        """Cells and regions that the file speaks of, and from which nothing follows."""
        return self.empty + self.doubtful + self.ignored + self.unnamed

    def sentences(self) -> list[str]:
        """Tell it; of a file of single cells only what was left out."""
        kinds = [(self.regions, "region", self.by_regions)]
        kinds += [(self.outlines, "outline", self.by_outlines), (self.points, "point", self.by_points)]
        said = [
            f"{counted(many, thing)} label{'s' if many == 1 else ''} {counted(cells, 'cell')}"
            for many, thing, cells in kinds
            if many and not self.is_plain
        ]
        out = [", ".join(said) + "."] if said else []
        rest = {
            "Regions that hold no cell": self.empty,
            "Cells left out, because regions of different classes overlap there and neither lies in the other": (
                self.doubtful
            ),
            "Cells left out, because their class ends in *, which QuPath ignores": self.ignored,
            f"Regions without a class, or of class {foreign.FRAME}, which say nothing": self.unnamed,
            "Cells left out, because the outline that covers them means one cell, and that is another": self.covered,
        }
        out += [f"{what}: {count:,}." for what, count in rest.items() if count]
        return out


@dataclass(frozen=True)
class Truth:
    """Truth of a slide's cells.

    Attributes
    ----------
    kind : str
        ``labels``, or what there was of ``outlines``, ``points`` and ``regions``, joined by *and*.
    name : numpy.ndarray
        Per detected cell its class, or None where nobody said.
    missed : dict
        For each class, how many true cells have no detected cell. Nobody knows that of the cells in regions.
    tally : Tally
        How cells came by their classes; empty of ``labels``.
    begins : foreign.Corner
        Where the coordinates of the file begin.
    """

    kind: str
    name: np.ndarray
    missed: dict[str, int]
    tally: Tally = Tally()
    begins: foreign.Corner = foreign.LEVEL0


def read(path: str | os.PathLike, cells: np.ndarray, slide: SlideFacts, *, given: Mapping[str, Any]) -> Truth:
    """Read a file of truth and find whom it means.

    Outlines and points mean one cell each (see `assign`), regions all cells in them (see `regions`) of which no outline
    and no point says what they are.

    Parameters
    ----------
    path
        Outlines, points and regions (see `foreign.read_said`), or classes by cell id (see `by_cell_id.read`).
    cells
        ``shapely.Polygon`` of the detected cells, in level-0 pixels, in the order of their ids.
    slide
        Whose cells they are.
    given
        That section of the settings.

    Raises
    ------
    ClusterfirstError
        The file cannot be read or does not belong to this slide; or its coordinates are in other units.
    """
    if by_cell_id.holds_labels(path):
        return Truth("labels", by_cell_id.read(path, len(cells)), {})
    places = regions.Places(cells)
    is_region = partial(regions.find, places=places)
    said = foreign.read_said(path, slide, given=given, is_region=is_region)
    frames.check(path, cells, said.shapes[~said.region], slide, said.begins)
    frames.check_regions(path, cells, said.shapes[said.region], slide, said.begins)
    told = find(places, said, mpp=slide.mpp)
    if not told.tally.is_plain:
        level = logging.WARNING if told.tally.left_out else logging.INFO
        log.log(level, "truth %s: %s", path, " ".join(told.tally.sentences()))
    missed, single = sum(told.missed.values()), told.tally.outlines + told.tally.points
    if 2 * missed > single:
        log.warning(
            "truth %s: %d of %d true cells meet no detected one. Are its coordinates pixels of the full resolution "
            "(not µm, nor of another level), x before y, and of this slide?",
            *(path, missed, single),
        )
    return told


def read_outlines(
    path: str | os.PathLike, cells: np.ndarray, slide: SlideFacts, *, given: Mapping[str, Any]
) -> np.ndarray:
    """Read true outlines, without the regions around them, which are no outlines of cells.

    Parameters
    ----------
    path
        See `foreign.read`.
    cells, slide, given
        See `read`.

    Raises
    ------
    ClusterfirstError
        The file cannot be read, does not belong to this slide, or holds regions and nothing else.
    """
    outlines = foreign.read(path, slide, given=given)["geometry"].to_numpy()
    region = regions.around_cells(outlines, regions.Places(cells))
    if len(region) and region.all():
        raise ClusterfirstError(
            f"truth {path}: the outlines ({len(region):,}) hold many cells each, as regions do, and only outlines of "
            "single cells can be scored as outlines. Outline cells, or leave column 'truth' empty of this slide here: "
            "regions are a truth for `snakemake evaluate`"
        )
    if region.any():
        log.warning(
            "truth %s: %s of %s outlines hold many cells each: regions, which are not scored (around %s)",
            *(path, f"{region.sum():,}", f"{len(region):,}", a_few(shapely.centroid(outlines[region]), foreign.middle)),
        )
    return outlines[~region]


def find(places: regions.Places, said: foreign.Said, *, mpp: float) -> Truth:
    """Find whom outlines, points and regions mean; see `read`.

    Parameters
    ----------
    places
        Of the detected cells.
    said
        What a file says.
    mpp
        µm per level-0 pixel.
    """
    region, named = said.region, said.names != None  # noqa: E711 (element by element)
    # In a table, or of detections such as ours, a star is part of the name.
    quiet = (region | (said.types != "")) & ~np.isin(said.types, foreign.DETECTED) & foreign.ends_in_star(said.names)
    frame = quiet & (said.names == foreign.FRAME)

    single, many = (np.flatnonzero(named & ~frame & which) for which in (~region, region))
    alone, covered = _matched(places.cells, said.shapes[single], REACH_UM / mpp)
    spread = regions.spread(said.shapes[many], said.names[many], places)
    free = alone < 0
    source = np.where(free, np.append(many, -1)[spread.region], np.append(single, -1)[alone])
    ignored = np.append(quiet, False)[source]
    name = np.append(said.names, None)[source]
    name[ignored] = None

    point = _is_point(said.shapes)
    kinds = {"outlines": ~region & ~point, "points": point, "regions": region}
    meant = {kind: which & named & ~quiet for kind, which in kinds.items()}
    labelled = {kind: int(np.count_nonzero(np.append(which, False)[source])) for kind, which in meant.items()}
    missed = Counter(said.names[np.setdiff1d(single[~quiet[single]], source)])
    tally = Tally(
        **{kind: int(np.count_nonzero(which)) for kind, which in meant.items()},
        **{f"by_{kind}": count for kind, count in labelled.items()},
        empty=spread.empty,
        doubtful=int(np.count_nonzero(free & spread.doubtful)),
        ignored=int(np.count_nonzero(ignored)),
        unnamed=int(np.count_nonzero(frame | (region & ~named))),
        covered=int(np.count_nonzero(covered & (source < 0))),
    )
    return Truth(_kind(meant), name, dict(sorted(missed.items())), tally, said.begins)


def _kind(shapes: Mapping[str, np.ndarray]) -> str:
    return " and ".join(kind for kind, present in shapes.items() if present.any()) or "outlines"


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
    of_cell, _ = _matched(cells, shapes, reach_um / mpp)
    point = _is_point(shapes)
    missed = Counter(np.delete(names, of_cell[of_cell >= 0]))
    kind = _kind({"outlines": ~point, "points": point})
    return Truth(kind, np.append(names, None)[of_cell], dict(sorted(missed.items())))


def _matched(cells: np.ndarray, shapes: np.ndarray, reach_px: float) -> tuple[np.ndarray, np.ndarray]:
    """Return for each cell its outline or point, −1 without one; and whether an outline may have meant it."""
    point = _is_point(shapes)
    out, covered = np.full(len(cells), -1), np.zeros(len(cells), bool)

    outlines = np.flatnonzero(~point)
    cell, outline, chosen = _by_overlap(cells, shapes[outlines])
    covered[cell] = True
    out[cell[chosen]] = outlines[outline[chosen]]

    points, free = np.flatnonzero(point), np.flatnonzero(out < 0)
    cell, marked = _by_nearness(cells[free], shapes[points], reach_px)
    out[free[cell]] = points[marked]
    return out, covered


def _is_point(shapes: np.ndarray) -> np.ndarray:
    return shapely.get_type_id(shapes) == shapely.GeometryType.POINT


def _by_overlap(cells: np.ndarray, outlines: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pairs of cells and outlines that may match, and which of the pairs do."""
    pairs = overlaps(cells, outlines)
    smaller = np.minimum(shapely.area(cells)[pairs.i], shapely.area(outlines)[pairs.j])
    same = pairs.shared >= _SHARED * smaller
    i, j = pairs.i[same], pairs.j[same]
    return i, j, match(i, j, pairs.iou[same], 0.0)


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
