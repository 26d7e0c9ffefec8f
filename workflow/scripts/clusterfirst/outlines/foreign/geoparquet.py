"""GeoParquet."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

from ...io import ClusterfirstError
from ...slide.facts import SlideFacts
from . import frames
from .features import NO_NUCLEUS, NO_OUTLINE, REGIONS, Features, Remark
from .geojson import class_name, regions_among

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    import geopandas
    import pyarrow as pa

_CLASS_COLUMNS = ("name", "class", "label", "classification")
_TYPE_COLUMN = "objectType"
"""geopandas keeps what QuPath says that an object is."""
_NUCLEI = re.compile(r"(?<![a-z])nucle")
_POLYGONS = {"Polygon", "MultiPolygon", "GeometryCollection", "Polygon Z", "MultiPolygon Z", "GeometryCollection Z"}


def read(path: Path, slide: SlideFacts, given: Mapping[str, Any]) -> Features:
    """Read rows; see `foreign.read`.

    Raises
    ------
    ClusterfirstError
        The file is no GeoParquet.
    """
    import geopandas
    import pyarrow.parquet as pq

    objects_of = given["objects_of"]
    try:
        schema = pq.read_schema(path)
        if b"geo" not in (schema.metadata or {}):
            raise ValueError("it has no 'geo' metadata, so no column is known to hold geometries")
        told = json.loads(schema.metadata[b"geo"])
        geometry, other = _columns(told["primary_column"], _outlining(told["columns"]), objects_of)
        column = _class_column(schema)
        kind = _TYPE_COLUMN if _is_text(schema, _TYPE_COLUMN) else None
        wanted = dict.fromkeys(filter(None, (geometry, other, column, kind)))
        table = geopandas.read_parquet(path, columns=list(wanted))
        shapes, remarks = _shapes(table, geometry, other, objects_of, path)
        polygons, owner = _parts(shapes, shapely.GeometryType.POLYGON)
        points, point_owner = _parts(shapes, shapely.GeometryType.POINT)
    # Damage may be anywhere, and each library below says so in a way of its own.
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        OSError,
        MemoryError,
        shapely.errors.ShapelyError,
    ) as error:
        raise ClusterfirstError(
            f"outlines {path} cannot be read as GeoParquet: {error}. "
            "Expected a table with a column of polygons, as geopandas' to_parquet() writes it"
        ) from error
    # The centre that a collection has beside its outline is no second cell.
    marked = ~np.isin(point_owner, owner)
    points, point_owner = points[marked], point_owner[marked]
    filled = np.flatnonzero(~shapely.is_missing(shapes) & ~shapely.is_empty(shapes))
    names = [class_name(value) for value in table[column]] if column else [None] * len(table)
    types = np.array([str(value or "").lower() for value in table[kind]] if kind else [], object)
    region = regions_among(types) if kind else np.zeros(len(table), bool)
    return Features(
        polygons=polygons[~region[owner]],
        owner=owner[~region[owner]],
        names=np.array(names, object),
        place=lambda row: f"row {row + 1}",
        remarks=[(REGIONS, np.flatnonzero(region)), (NO_OUTLINE, np.setdiff1d(filled, owner)), *remarks],
        points=shapely.get_coordinates(points),
        point_owner=point_owner,
        regions=polygons[region[owner]],
        region_owner=owner[region[owner]],
        types=types,
        begins=frames.of_table(slide, path, "tables of geometries"),
    )


def _outlining(columns: dict[str, dict]) -> list[str]:
    """The columns that hold outlines, as far as the file says: not those of centres."""
    return [name for name, of in columns.items() if not (kinds := of.get("geometry_types")) or _POLYGONS & {*kinds}]


def _columns(main: str, columns: list[str], objects_of: str) -> tuple[str, str | None]:
    """Return the column of geometries that is wanted, and the one for rows that have nothing in it."""
    of_nuclei = [name for name in columns if _NUCLEI.search(name.lower())]
    others = [name for name in columns if name not in of_nuclei]
    if not of_nuclei or not others:
        return main, None
    nuclei, cells = of_nuclei[0], main if main in others else others[0]
    return (nuclei, cells) if objects_of == "nucleus" else (cells, None)


def _shapes(
    table: geopandas.GeoDataFrame, geometry: str, other: str | None, objects_of: str, path: Path
) -> tuple[np.ndarray, list[Remark]]:
    shapes = np.asarray(table[geometry], object)
    if not other:
        return shapes, []
    log.info("outlines %s: column %s is taken (given.objects_of: %s), beside %s", path, geometry, objects_of, other)
    bare = shapely.is_missing(shapes) | shapely.is_empty(shapes)
    return np.where(bare, np.asarray(table[other], object), shapes), [(NO_NUCLEUS, np.flatnonzero(bare))]


def _class_column(schema: pa.Schema) -> str | None:
    import pyarrow as pa

    for name in _CLASS_COLUMNS:
        # geopandas keeps the classification of a QuPath file as a struct.
        if _is_text(schema, name) or (name in schema.names and pa.types.is_struct(schema.field(name).type)):
            return name
    return None


def _is_text(schema: pa.Schema, name: str) -> bool:
    import pyarrow as pa

    if name not in schema.names:
        return False
    kind = schema.field(name).type
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _parts(shapes: np.ndarray, kind: shapely.GeometryType) -> tuple[np.ndarray, np.ndarray]:
    """Polygons or points in geometries of any type, and whose they are; empty points are none."""
    parts, owner = shapely.get_parts(shapes, return_index=True)
    # Twice: a collection may hold a MultiPolygon.
    parts, part = shapely.get_parts(parts, return_index=True)
    wanted = (shapely.get_type_id(parts) == kind) & ~((kind == shapely.GeometryType.POINT) & shapely.is_empty(parts))
    return parts[wanted], owner[part][wanted]
