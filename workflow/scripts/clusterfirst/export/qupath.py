"""GeoJSON for QuPath: a detection for every cell, with its class and the class's colour."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import shapely

from ..clustering import palette
from ..io import atomic, progress

_BATCH = 5000
_DIGITS = 2
"""A hundredth of a pixel is far below what an outline knows."""


def write(
    path: str | os.PathLike,
    polygons: np.ndarray,
    names: np.ndarray,
    colours: Mapping[str, str],
    measurements: Mapping[str, np.ndarray],
) -> None:
    """Write cells as they come; memory holds some thousands at a time. The same cells give the same bytes.

    QuPath (0.4 and later: *File → Import objects from file*) reads it compressed as it is. Coordinates are level-0
    pixels, as QuPath has them.

    Parameters
    ----------
    path
        A ``.geojson.gz``; written atomically.
    polygons
        n ``shapely.Polygon``.
    names
        n classes, or None: such cells are unclassified.
    colours
        ``#rrggbb`` of each class.
    measurements
        n numbers each, by name.
    """
    classes = {
        name: json.dumps({"name": name, "color": list(palette.rgb(shade))}, ensure_ascii=False)
        for name, shade in colours.items()
    }
    starts = range(0, len(polygons), _BATCH)
    with (
        atomic(path) as part,
        part.open("wb") as raw,
        # Neither name nor time of the file is written into it.
        gzip.GzipFile("", "wb", compresslevel=6, fileobj=raw, mtime=0) as file,
    ):
        file.write(b'{"type":"FeatureCollection","features":[')
        for start in progress(starts, total=len(starts), what="GeoJSON"):
            rows = slice(start, start + _BATCH)
            own = {name: values[rows].tolist() for name, values in measurements.items()}
            lines = ",\n".join(_features(polygons[rows], names[rows], classes, own))
            file.write((("\n" if start == 0 else ",\n") + lines).encode())
        file.write(b"\n]}\n")


def _features(
    polygons: np.ndarray, names: np.ndarray, classes: Mapping[str, str], measurements: Mapping[str, list]
) -> Iterator[str]:
    shapes = shapely.to_geojson(shapely.transform(polygons, lambda points: np.round(points, _DIGITS)))
    for row, (shape, name) in enumerate(zip(shapes, names, strict=True)):
        of_class = f'"classification":{classes[name]},' if name is not None else ""
        known = json.dumps({key: _number(values[row]) for key, values in measurements.items()}, allow_nan=False)
        yield (
            f'{{"type":"Feature","geometry":{shape},'
            f'"properties":{{"objectType":"detection",{of_class}"measurements":{known}}}}}'
        )


def _number(value: Any) -> float | int:
    return round(value, 4) if isinstance(value, float) else value
