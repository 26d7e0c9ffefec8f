"""Where coordinates begin: at the corner of level 0, or of the scanned part, which is all that QuPath shows."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

from ...io import ClusterfirstError
from ...slide.facts import SlideFacts

if TYPE_CHECKING:
    from .features import Features

log = logging.getLogger(__name__)

ORIGIN = "clusterfirst:origin"
"""Member of a GeoJSON collection: where in level-0 pixels its coordinates begin. Ours have it if that is not (0, 0)."""

_MOST = 0.5
_FEWER = 10
"""Another corner is the right one if so many times fewer objects lie off the scanned part with it."""


@dataclass(frozen=True)
class Corner:
    """Where the coordinates of a file begin.

    Attributes
    ----------
    at : tuple of float
        In level-0 pixels.
    known : str
        From where that is known, for messages; empty where there is no other corner.
    otherwise : str
        What to do if it is another one.
    """

    at: tuple[float, float] = (0, 0)
    known: str = ""
    otherwise: str = ""

    def __str__(self) -> str:
        return _pair(self.at)


LEVEL0 = Corner()
"""That of the whole, where nobody can think of another."""


def _pair(at: tuple[float, float]) -> str:
    return "({:g}, {:g})".format(*at)


def extent(slide: SlideFacts, begins: tuple[float, float]) -> tuple[int, int]:
    """Width and height as the file has them, which knows of the scanned part only if it counts from there."""
    return slide.bounds[2:] if slide.bounds and begins == slide.origin else (slide.width, slide.height)


def end_early(shapes: np.ndarray, slide: SlideFacts, begins: tuple[float, float]) -> bool:
    """Say whether shapes all end where the slide's would if they were µm, or pixels of half the resolution.

    Parameters
    ----------
    shapes
        Level-0 pixels; at least one.
    slide
        Whose they are.
    begins
        Where the coordinates of the file begin.
    """
    right, bottom = shapely.total_bounds(shapes)[2:] - begins
    width, height = extent(slide, begins)
    part = max(slide.mpp, 0.5) if slide.mpp < 0.9 else 0.5
    return bool(right <= part * width + 1 and bottom <= part * height + 1)


def of_geojson(told: Mapping[str, list], slide: SlideFacts, path: Path, given: Mapping[str, Any]) -> Corner:
    """Find out where the coordinates of a GeoJSON begin, and tell of it where that may be in doubt.

    Parameters
    ----------
    told
        Of each kind of document in the file the values of its members `ORIGIN`, none or one, by their text.
    slide
        Whose objects they are.
    path
        For messages.
    given
        That section of the settings.

    Raises
    ------
    ClusterfirstError
        The file says it in no way that can be understood, or several ways.
    """
    scanned = f"the scanned part of the slide begins at {_pair(slide.origin)} of level 0"
    if any(told.values()):
        corner = _of_members(told, path)
        level = logging.INFO if corner.at in {(0, 0), slide.origin} else logging.WARNING
        log.log(level, "outlines %s: coordinates begin at %s, as %s; %s", path, corner, corner.known, scanned)
        return corner
    if not any(slide.origin):
        return LEVEL0
    begins_there = given["geojson_origin"] == "bounds"
    begins, other = (slide.origin, (0, 0)) if begins_there else ((0, 0), slide.origin)
    if begins_there:
        log.warning(
            "outlines %s: %s, and the file does not say where its coordinates begin: taken to begin there, as QuPath's "
            "do (given.geojson_origin: bounds). If they begin at the corner of level 0, (0, 0), set level0",
            *(path, scanned),
        )
    else:
        log.info(
            "outlines %s: coordinates begin at the corner of level 0, (0, 0) (given.geojson_origin: level0); %s",
            *(path, scanned),
        )
    return Corner(
        at=begins,
        known=f"given.geojson_origin ({given['geojson_origin']}) has it",
        otherwise=f"set given.geojson_origin to {'level0' if begins_there else 'bounds'}, or write the member "
        f'"{ORIGIN}": {list(other)} into the file',
    )


def _of_members(told: Mapping[str, list], path: Path) -> Corner:
    for text, values in told.items():
        if any(not isinstance(at, list) or len(at) != 2 or not all(map(_is_number, at)) for at in values):
            raise ClusterfirstError(
                f'outlines {path}: "{ORIGIN}" is {text[1:-1]:.100}; it must be two numbers, where in level-0 pixels '
                "the coordinates begin, such as [0, 0]"
            )
    if len(told) > 1:
        kinds = ", ".join(_pair(values[0]) if values else "not said" for values in list(told.values())[:3])
        raise ClusterfirstError(
            f'outlines {path} holds several documents whose coordinates begin at several corners ("{ORIGIN}": '
            f"{kinds}): give a file for each slide, with documents that begin at one corner"
        )
    ((at,),) = told.values()
    return Corner(tuple(at), f"the file says ({ORIGIN})", f'mend the member "{ORIGIN}" of the file')


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def of_table(slide: SlideFacts, path: Path, what: str) -> Corner:
    """Tables count from the corner of level 0, as ours do; say so where that may be in doubt."""
    if not any(slide.origin):
        return LEVEL0
    log.info(
        "outlines %s: coordinates begin at the corner of level 0, (0, 0), as those of all %s do; the scanned part of "
        "the slide begins at %s",
        *(path, what, _pair(slide.origin)),
    )
    remedy = "add {} to all x and {} to all y of the file".format(*slide.origin)
    return Corner((0, 0), f"in all {what}", remedy)


def placed(features: Features, slide: SlideFacts, path: Path, max_lost: float) -> Features:
    """Count coordinates from the corner of level 0, whatever the file counts from.

    Parameters
    ----------
    features
        As the file has them.
    slide
        Whose they are.
    path
        For messages.
    max_lost
        Of the settings.

    Raises
    ------
    ClusterfirstError
        More of them would lie off the scanned part than may be lost, and hardly any would if they began elsewhere.
    """
    begins = features.begins.at
    others = {(0, 0), slide.origin} - {begins}
    if features.begins.known and others:
        _check(features, slide, path, min(max_lost, _MOST), others)
    if not any(begins):
        return features

    def moved(polygons: np.ndarray) -> np.ndarray:
        return shapely.transform(polygons, lambda xy: xy + begins)

    polygons, regions = moved(features.polygons), moved(features.regions)
    return replace(features, polygons=polygons, regions=regions, points=features.points + begins)


def _check(features: Features, slide: SlideFacts, path: Path, most: float, others: set[tuple[float, float]]) -> None:
    boxes = shapely.bounds(np.concatenate([features.polygons, features.regions])).reshape(-1, 2, 2)
    middles = np.concatenate([boxes.mean(axis=1), features.points])
    middles = middles[np.isfinite(middles).all(axis=1)]
    x, y, width, height = slide.bounds or (0, 0, slide.width, slide.height)

    def off(begins: tuple[float, float]) -> int:
        at = middles + begins - (x, y)
        return int(np.count_nonzero(~((at >= 0) & (at <= (width, height))).all(axis=1)))

    now = off(features.begins.at)
    other, fewer = min(((one, off(one)) for one in sorted(others)), key=lambda pair: pair[1])
    if now > most * len(middles) and fewer * _FEWER <= now:
        raise ClusterfirstError(
            f"outlines {path}: {now:,} of {len(middles):,} objects would lie off the scanned part of the slide (x {x} "
            f"to {x + width}, y {y} to {y + height}) if coordinates began at {features.begins}, as "
            f"{features.begins.known}; {fewer:,} would if they began at {_pair(other)}. If that is so, "
            f"{features.begins.otherwise}"
        )
