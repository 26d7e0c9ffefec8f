"""Outlines that people already have, whatever the file; bad ones cost no good ones, but are told."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ..io import ClusterfirstError
from . import geojson, geoparquet, labels
from .checks import check
from .features import Features

if TYPE_CHECKING:
    import geopandas

_READERS = {
    geojson.read: (".geojson", ".json", ".geojson.gz", ".json.gz"),
    geoparquet.read: (".parquet", ".geoparquet"),
    labels.read: (".tif", ".tiff", ".png"),
}


def read(path: str | os.PathLike, *, width: int, height: int) -> geopandas.GeoDataFrame:
    """Read outlines drawn by people or made by other programs.

    ``.geojson``, ``.json``
        QuPath's GeoJSON, as a collection, a list of features or one feature; with ``.gz``, compressed. The class is
        ``properties.classification``. Where there are cells or detections, annotations and tiles are regions around
        them and left out.
    ``.parquet``, ``.geoparquet``
        GeoParquet; the class is the text in column ``name``, ``class``, ``label`` or ``classification``.
    ``.tif``, ``.tiff``, ``.png``
        A label image of the whole slide: integers, 0 for background, at the slide's size or smaller. It has no
        classes.

    Empty outlines and those outside the slide are dropped, those across its border clipped, crossed ones repaired,
    holes filled; of several pieces the largest is kept. Each kind is one warning in the log, with the first places.

    Parameters
    ----------
    path
        The file; its suffix says what it is.
    width, height
        The slide, in level-0 pixels.

    Returns
    -------
    geopandas.GeoDataFrame
        ``geometry`` (valid ``shapely.Polygon`` without holes, level-0 pixels of the slide) and ``name`` (the class,
        or None), in the order of the file; no rows if the file holds no features.

    Raises
    ------
    ClusterfirstError
        The file cannot be read or is of another kind; or more than a tenth of the outlines lie outside the slide; or
        none is usable.
    """
    import geopandas

    path = Path(path)
    if not path.is_file():
        raise ClusterfirstError(f"outlines {path}: no such file")
    features = _reader(path)(path, width, height)
    polygons, rows = check(features, path, width, height)
    # Left to itself, pandas would turn None into NaN.
    names = pd.Series(features.names[rows], dtype=object)
    return geopandas.GeoDataFrame({"geometry": polygons, "name": names}, geometry="geometry")


def _reader(path: Path) -> Callable[[Path, int, int], Features]:
    for reader, suffixes in _READERS.items():
        if path.name.lower().endswith(suffixes):
            return reader
    known = ", ".join(chain.from_iterable(_READERS.values()))
    raise ClusterfirstError(f"outlines {path}: of no known kind; the name must end in one of {known}")
