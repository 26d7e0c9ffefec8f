"""GeoParquet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import shapely

from ...io import ClusterfirstError
from .features import NO_OUTLINE, Features
from .geojson import class_name

if TYPE_CHECKING:
    import pyarrow as pa

_CLASS_COLUMNS = ("name", "class", "label", "classification")


def read(path: Path, _width: int, _height: int) -> Features:
    """Read rows; see `foreign.read`.

    Raises
    ------
    ClusterfirstError
        The file is no GeoParquet.
    """
    import geopandas
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(path)
        if b"geo" not in (schema.metadata or {}):
            raise ValueError("it has no 'geo' metadata, so no column is known to hold geometries")
        geometry = json.loads(schema.metadata[b"geo"])["primary_column"]
        column = _class_column(schema)
        table = geopandas.read_parquet(path, columns=[geometry, *([column] if column else [])])
    except (ValueError, KeyError, OSError, shapely.errors.ShapelyError) as error:
        raise ClusterfirstError(
            f"outlines {path} cannot be read as GeoParquet: {error}. "
            "Expected a table with a column of polygons, as geopandas' to_parquet() writes it"
        ) from error
    shapes = table.geometry.to_numpy()
    polygons, owner = _parts(shapes, shapely.GeometryType.POLYGON)
    points, point_owner = _parts(shapes, shapely.GeometryType.POINT)
    filled = np.flatnonzero(~shapely.is_missing(shapes) & ~shapely.is_empty(shapes))
    names = [class_name(value) for value in table[column]] if column else [None] * len(table)
    return Features(
        polygons=polygons,
        owner=owner,
        names=np.array(names, object),
        place=lambda row: f"row {row + 1}",
        remarks=[(NO_OUTLINE, np.setdiff1d(filled, owner))],
        points=shapely.get_coordinates(points),
        point_owner=point_owner,
    )


def _class_column(schema: pa.Schema) -> str | None:
    import pyarrow as pa

    for name in _CLASS_COLUMNS:
        if name in schema.names:
            kind = schema.field(name).type
            kind = kind.value_type if pa.types.is_dictionary(kind) else kind
            # geopandas keeps the classification of a QuPath file as a struct.
            if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_struct(kind):
                return name
    return None


def _parts(shapes: np.ndarray, kind: shapely.GeometryType) -> tuple[np.ndarray, np.ndarray]:
    """Polygons or points in geometries of any type, and whose they are; empty points are none."""
    parts, owner = shapely.get_parts(shapes, return_index=True)
    # Twice: a collection may hold a MultiPolygon.
    parts, part = shapely.get_parts(parts, return_index=True)
    wanted = (shapely.get_type_id(parts) == kind) & ~((kind == shapely.GeometryType.POINT) & shapely.is_empty(parts))
    return parts[wanted], owner[part][wanted]
