"""Outlines and classes that people already have, whatever the file; bad ones cost no good ones, but are told."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ...io import ClusterfirstError
from ...slide.facts import SlideFacts
from . import frames, geojson, geoparquet, label_image, points
from .checks import check
from .features import DETECTED, FRAME, Features, ends_in_star, middle
from .frames import LEVEL0, Corner, end_early
from .geojson import class_colours
from .said import Judge, Said, said

if TYPE_CHECKING:
    import geopandas

__all__ = [
    "DETECTED",
    "FRAME",
    "LEVEL0",
    "Corner",
    "Judge",
    "Said",
    "class_colours",
    "end_early",
    "ends_in_star",
    "middle",
    "read",
    "read_said",
    "read_truth",
]

_Reader = Callable[[Path, SlideFacts, Mapping[str, Any]], Features]
_READERS: Mapping[_Reader, tuple[str, ...]] = {
    geojson.read: (".geojson", ".json", ".geojson.gz", ".json.gz"),
    geoparquet.read: (".parquet", ".geoparquet"),
    label_image.read: (".tif", ".tiff", ".png"),
}
_TRUTH_READERS: Mapping[_Reader, tuple[str, ...]] = {
    geojson.read_said: _READERS[geojson.read],
    geoparquet.read: _READERS[geoparquet.read],
    label_image.read: _READERS[label_image.read],
    points.read: (".csv", ".tsv", ".txt"),
}


def read(path: str | os.PathLike, slide: SlideFacts, *, given: Mapping[str, Any]) -> geopandas.GeoDataFrame:
    """Read outlines drawn by people or made by other programs.

    ``.geojson``, ``.json``
        QuPath's GeoJSON, as a collection, a list of features or one feature, or several of these one after the other;
        with ``.gz``, compressed. Coordinates begin where ``given.geojson_origin`` has it: at the corner of the scanned
        part, as QuPath's do, unless the file says otherwise (member ``clusterfirst:origin``). The class is
        ``properties.classification``. Where there are cells or detections, annotations and tiles are regions around
        them and left out, but for annotations of their size that hold none: cells drawn by hand. Of cells with a
        nucleus, ``given.objects_of`` says which outline is taken; of several planes, the one with most objects.
    ``.parquet``, ``.geoparquet``
        GeoParquet; the class is the text in column ``name``, ``class``, ``label`` or ``classification``. Columns of
        geometries beside the main one may be those of nuclei, or of cells. Coordinates begin at the corner of level 0.
    ``.tif``, ``.tiff``, ``.png``
        A label image of the whole slide: integers, 0 for background (or whatever else fills most of it, up to all its
        borders), at the slide's size or smaller; or of its scanned part. It has no classes.

    Outlines across the border of the slide are clipped, crossed ones repaired, holes filled. A feature that holds
    several cells is several cells; of one in pieces see `pieces.cells`. Regions and what is there twice are left out.
    Empty outlines and those outside the slide are lost. Each kind is one warning in the log, with the first places, and
    one line has their numbers.

    Parameters
    ----------
    path
        The file; its suffix says what it is.
    slide
        Whose outlines they are.
    given
        That section of the settings.

    Returns
    -------
    geopandas.GeoDataFrame
        ``geometry`` (valid ``shapely.Polygon`` without holes, level-0 pixels of the slide) and ``name`` (the class,
        or None), in the order of the file; no rows if the file holds no features.

    Raises
    ------
    ClusterfirstError
        The file cannot be read or is of another kind; or more than ``given.max_lost`` of the cells would be lost; or
        none is usable; or all are regions, or in other units than pixels.
    """
    features, path = _features(path, "outlines", _READERS, slide, given)
    polygons, rows = check(features, path, slide, given=given, regions=False)
    return _frame(polygons, features.names[rows])


def read_said(path: str | os.PathLike, slide: SlideFacts, *, given: Mapping[str, Any], is_region: Judge) -> Said:
    """Read what people say that cells are: outlines, points and regions, with classes.

    Outlines of cells are read and checked as by `read`, but that none is left out for its size. Points are Point and
    MultiPoint features of GeoJSON or GeoParquet (each point of a MultiPoint is a cell), or rows of

    ``.csv``, ``.tsv``, ``.txt``
        Columns ``x``, ``y`` (pixels, from the corner of level 0) and ``class``, or one of the other usual headers;
        separated by commas, semicolons or tabs. Numbers may have decimal commas, where these do not separate columns.

    Points outside the slide and with coordinates that are no numbers are dropped. Annotations and tiles of QuPath
    beside cells or detections are regions; of other outlines `is_region` says which are. A region keeps its holes and
    pieces, and may be there twice: nothing that is looked for among cells is looked for among regions.

    Parameters
    ----------
    path
        The file; its suffix says what it is.
    slide, given
        See `read`.
    is_region
        See `evaluation.regions`, which knows the cells of the slide.

    Raises
    ------
    ClusterfirstError
        As of `read`; or nothing has a class.
    """
    features, path = _features(path, "truth", _TRUTH_READERS, slide, given)
    return said(features, path, slide, given=given, is_region=is_region)


def read_truth(path: str | os.PathLike, slide: SlideFacts, *, given: Mapping[str, Any]) -> geopandas.GeoDataFrame:
    """Read outlines and points that have a class; see `read_said`, which knows regions, too.

    Returns
    -------
    geopandas.GeoDataFrame
        ``geometry`` (``shapely.Polygon`` as from `read`, or ``shapely.Point``) and ``name`` (the class, never None), in
        the order of the file.
    """
    told = read_said(path, slide, given=given, is_region=lambda areas: np.zeros(len(areas), bool))
    known = (told.names != None) & ~told.region  # noqa: E711 (element by element)
    return _frame(told.shapes[known], told.names[known])


def _frame(shapes: np.ndarray, names: np.ndarray) -> geopandas.GeoDataFrame:
    import geopandas

    # Left to itself, pandas would turn None into NaN.
    return geopandas.GeoDataFrame({"geometry": shapes, "name": pd.Series(names, dtype=object)}, geometry="geometry")


def _features(
    path: str | os.PathLike,
    what: str,
    readers: Mapping[_Reader, tuple[str, ...]],
    slide: SlideFacts,
    given: Mapping[str, Any],
) -> tuple[Features, Path]:
    path = Path(path)
    if not path.is_file():
        raise ClusterfirstError(f"{what} {path}: no such file")
    for reader, suffixes in readers.items():
        if path.name.lower().endswith(suffixes):
            return frames.placed(reader(path, slide, given), slide, path, given["max_lost"]), path
    known = ", ".join(chain.from_iterable(readers.values()))
    raise ClusterfirstError(f"{what} {path}: of no known kind; the name must end in one of {known}")
