"""Whether coordinates of a truth are pixels of the slide: beside its cells, that shows."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator

import numpy as np
import shapely

from ..io import ClusterfirstError
from ..outlines.foreign import Corner, end_early
from ..slide.facts import SlideFacts

log = logging.getLogger(__name__)

_FEWEST = 20
_MOST = 2000
"""So many are enough to tell; fewer than the first are not."""

_FITS = 0.6
_TIMES = 2
"""Coordinates are in other units if, read in these, so large a fraction of all would hit cells, and so many times as
many as now."""


_ALL_OVER = 0.5
"""Of the cells so many lie where no region is, if these may be in other units."""


def check(path: str | os.PathLike, cells: np.ndarray, shapes: np.ndarray, slide: SlideFacts, begins: Corner) -> None:
    """Refuse a truth whose points and outlines would fit the cells in other units, and do not as they are.

    In dense tissue, half of the points of any truth lie in some cell: the scores would be wrong, and not look it.

    Parameters
    ----------
    path
        For messages.
    cells
        ``shapely.Polygon`` of the detected cells, level-0 pixels.
    shapes
        What the truth holds, as if in level-0 pixels.
    slide
        Whose cells they are.
    begins
        Where the coordinates of the file begin.

    Raises
    ------
    ClusterfirstError
        They are µm, pixels of another level, or y before x; or they begin at another corner.
    """
    if len(shapes) < _FEWEST or not len(cells):
        return
    points = shapely.get_coordinates(shapely.centroid(shapes[:: -(-len(shapes) // _MOST)]))
    tree = shapely.STRtree(cells)

    def hits(xy: np.ndarray) -> float:
        return len(np.unique(tree.query(shapely.points(xy), predicate="intersects")[0])) / len(xy)

    now = hits(points)
    for units, read in _others(points, slide, begins):
        inside = (read <= (slide.width, slide.height)).all()
        if inside and (share := hits(read)) >= max(_FITS, _TIMES * now) and share > now:
            raise ClusterfirstError(
                f"truth {path}: {share:.0%} of its points and outlines would lie in detected cells if coordinates were "
                f"{units}, and {now:.0%} do as they are. They must be pixels of the slide at its full resolution "
                "(level 0), x before y"
            )


def check_regions(
    path: str | os.PathLike, cells: np.ndarray, regions: np.ndarray, slide: SlideFacts, begins: Corner
) -> None:
    """Warn of regions that all end in the upper left of a slide with cells all over it.

    Any place of a region has cells in it, so nothing shows whether it is the right one.

    Parameters
    ----------
    path, cells, slide, begins
        See `check`.
    regions
        ``shapely.Polygon`` or ``shapely.MultiPolygon``, as if in level-0 pixels.
    """
    if not len(regions) or not len(cells) or not end_early(regions, slide, begins.at):
        return
    right, bottom = shapely.total_bounds(regions)[2:]
    beyond = (shapely.get_coordinates(shapely.centroid(cells)) > (right, bottom)).any(axis=1)
    if beyond.mean() > _ALL_OVER:
        log.warning(
            "truth %s: regions end at x %.0f, y %.0f, and %.0f %% of the cells lie farther right or down: are these "
            "µm, or pixels of a lower resolution? Coordinates must be pixels of the full resolution (level 0; %g µm "
            "each here)",
            *(path, right, bottom, 100 * beyond.mean(), slide.mpp),
        )


def _others(points: np.ndarray, slide: SlideFacts, begins: Corner) -> Iterator[tuple[str, np.ndarray]]:
    """Yield other units, and where points would then lie."""
    told = points - begins.at
    for corner in sorted({(0, 0), slide.origin} - {begins.at}):
        yield "counted from ({:g}, {:g})".format(*corner) + f" ({begins.otherwise})", told + corner
    if abs(slide.mpp - 1) > 0.05:
        yield "µm", told / slide.mpp + begins.at
    for times in (2, 4, 8, 16, 32, 64):
        yield f"pixels of a level {times} times smaller", told * times + begins.at
    yield "y before x", told[:, ::-1] + begins.at
