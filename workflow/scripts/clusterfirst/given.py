"""Outlines that people already have: QuPath GeoJSON, GeoParquet and label images, checked and mended."""

from __future__ import annotations

import gzip
import json
import logging
import os
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

from .io import ClusterfirstError
from .objects import outlines

if TYPE_CHECKING:
    import geopandas

log = logging.getLogger(__name__)

_MOST_OUTSIDE = 0.1
"""More than this fraction outside the slide is no slip of a pen: the outlines belong to something else."""

_BATCH = 10_000
"""This many features at a time go from JSON to polygons: as Python lists they take ten times the memory."""

_LARGEST_LABEL = 10_000_000
"""Beyond this, labels are numbered anew: `outlines` looks at every number up to the largest."""

_BLOCK_ROWS = 1024
_IN_MEMORY_BYTES = 1 << 30
_CLASS_COLUMNS = ("name", "class", "label", "classification")
_NO_OUTLINE = {"Point", "MultiPoint", "LineString", "MultiLineString"}
_CELLS = {"cell", "detection"}
_REGIONS = {"annotation", "tile", "tma_core", "root"}
# QuPath before 0.3 wrote the type of an object into its id.
_TYPES_BY_ID = {
    "PathCellObject": "cell",
    "PathDetectionObject": "detection",
    "PathAnnotationObject": "annotation",
    "PathTileObject": "tile",
    "TMACoreObject": "tma_core",
    "PathRootObject": "root",
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
        classes. Compressed TIFFs of more than a gigabyte are unpacked to a temporary file, not into memory.

    Bad outlines cost no good ones, but are told, one warning per kind: empty ones and those outside the slide are
    dropped, those across its border clipped, crossed ones repaired, holes filled; of several pieces the largest is
    kept.

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
        The file cannot be read or is of another kind; or more than a tenth of the outlines lie outside the slide, or
        all are unusable.
    """
    import geopandas
    import pandas as pd

    path = Path(path)
    if not path.is_file():
        raise ClusterfirstError(f"outlines {path}: no such file")
    features = _reader(path)(path, width, height)
    polygons, rows = _check(features, path, width, height)
    # Without a dtype pandas would turn None into NaN.
    names = pd.Series(features.names[rows], dtype=object)
    return geopandas.GeoDataFrame({"name": names}, geometry=polygons)[["geometry", "name"]]


@dataclass
class _Features:
    """What a file holds, before it is checked.

    Attributes
    ----------
    polygons : numpy.ndarray
        ``shapely.Polygon`` in level-0 pixels, holes and errors included. A feature may have none or several.
    owner : numpy.ndarray
        For each polygon, its feature: 0 for the file's first. Ascending.
    names : numpy.ndarray
        Per feature, its class or None.
    place : callable
        Says of a feature where it stands in the file.
    remarks : list
        What the reader has to tell, each with the features that it concerns.
    """

    polygons: np.ndarray
    owner: np.ndarray
    names: np.ndarray
    place: Callable[[int], str]
    remarks: list[tuple[str, np.ndarray]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.names)


def _reader(path: Path) -> Callable[[Path, int, int], _Features]:
    readers = {
        _read_geojson: (".geojson", ".json", ".geojson.gz", ".json.gz"),
        _read_geoparquet: (".parquet", ".geoparquet"),
        _read_labels: (".tif", ".tiff", ".png"),
    }
    for reader, suffixes in readers.items():
        if path.name.lower().endswith(suffixes):
            return reader
    known = ", ".join(chain.from_iterable(readers.values()))
    raise ClusterfirstError(f"outlines {path}: of no known kind; the name must end in one of {known}")


# Checks, the same for every format.


def _check(features: _Features, path: Path, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the usable outlines, at most one per feature, and their features; warn of all that was wrong."""
    remarks = list(features.remarks)
    polygons, owner = _mended(features, remarks)
    polygons, owner = _inside(polygons, owner, remarks, width, height)
    remarks = [(what, rows) for what, rows in remarks if len(rows)]
    for what, rows in remarks:
        log.warning(
            "outlines %s: %d of %d %s (%s)", path, len(rows), len(features), what, _places(rows, features.place)
        )
    outside = dict(remarks).get(_OUTSIDE, ())
    if len(outside) > _MOST_OUTSIDE * (len(outside) + len(owner)):
        raise ClusterfirstError(
            f"outlines {path}: {len(outside)} of {len(outside) + len(owner)} lie wholly outside the slide of "
            f"{width} × {height} px ({_places(outside, features.place)}), so they probably belong to another slide or "
            "another resolution: coordinates must be pixels of this slide at its full resolution (level 0)"
        )
    if len(features) and not len(owner):
        reasons = "; ".join(f"{len(rows)} {what}" for what, rows in remarks)
        raise ClusterfirstError(
            f"outlines {path}: none of {len(features)} is usable: {reasons}. "
            "Needed are polygons around cells, in level-0 pixels of the slide"
        )
    return polygons, owner


_EMPTY = "have no area: dropped"
_CROSSED = "cross themselves: repaired, of several pieces the largest kept"
_HOLED = "have holes: filled"
_PIECES = "are in several pieces: the largest kept"
_OUTSIDE = "lie wholly outside the slide: dropped"
_BEYOND = "reach beyond the slide: clipped"


def _mended(features: _Features, remarks: list) -> tuple[np.ndarray, np.ndarray]:
    """One valid polygon without holes for every feature that has any area, and its feature."""
    polygons, owner = features.polygons.copy(), features.owner
    holed = shapely.get_num_interior_rings(polygons) > 0
    polygons[holed] = _filled(polygons[holed])
    crossed = ~shapely.is_valid(polygons)
    repaired = shapely.make_valid(polygons[crossed], method="structure", keep_collapsed=False)
    polygons[crossed] = _largest_parts(repaired)

    area = shapely.area(polygons)
    some = area > 0
    polygons, owner, area, crossed, holed = (values[some] for values in (polygons, owner, area, crossed, holed))
    accounted = [owner, *(rows for _, rows in remarks)]
    remarks += [
        (_EMPTY, np.setdiff1d(np.arange(len(features)), np.concatenate(accounted))),
        (_CROSSED, np.unique(owner[crossed])),
        (_HOLED, np.unique(owner[holed])),
        (_PIECES, np.unique(owner[1:][owner[1:] == owner[:-1]])),
    ]
    largest = _largest(area, owner)
    return polygons[largest], owner[largest]


def _inside(
    polygons: np.ndarray, owner: np.ndarray, remarks: list, width: int, height: int
) -> tuple[np.ndarray, np.ndarray]:
    """Clip to the slide, and drop what has no area there."""
    left, top, right, bottom = shapely.bounds(polygons).reshape(-1, 4).T
    beyond = np.flatnonzero((left < 0) | (top < 0) | (right > width) | (bottom > height))
    clipped = _largest_parts(shapely.intersection(polygons[beyond], shapely.box(0, 0, width, height)))
    outside = shapely.area(clipped) == 0
    remarks += [(_BEYOND, owner[beyond[~outside]]), (_OUTSIDE, owner[beyond[outside]])]
    polygons[beyond] = clipped
    return np.delete(polygons, beyond[outside]), np.delete(owner, beyond[outside])


def _filled(polygons: np.ndarray) -> np.ndarray:
    return shapely.polygons(shapely.get_exterior_ring(polygons))


def _largest_parts(geometries: np.ndarray) -> np.ndarray:
    """Of each geometry the largest polygon, holes filled; an empty polygon where there is none."""
    parts, owner = shapely.get_parts(geometries, return_index=True)
    solid = (shapely.get_type_id(parts) == shapely.GeometryType.POLYGON) & ~shapely.is_empty(parts)
    parts, owner = _filled(parts[solid]), owner[solid]
    out = np.full(len(geometries), shapely.Polygon(), object)
    largest = _largest(shapely.area(parts), owner)
    out[owner[largest]] = parts[largest]
    return out


def _largest(area: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """Index of the largest of each owner's, in the order of the owners."""
    order = np.lexsort((area, owner))
    return order[np.flatnonzero(np.diff(owner[order], append=-1))]


def _places(rows: np.ndarray, place: Callable[[int], str], most: int = 3) -> str:
    return ", ".join([*map(place, rows[:most]), *(["…"] if len(rows) > most else [])])


# QuPath GeoJSON.


def _read_geojson(path: Path, _width: int, _height: int) -> _Features:
    polygons, owner, names, kinds, ids, pointed = [], [], [], [], [], []
    waiting = enumerate(_features(_text(path), path))
    while batch := list(islice(waiting, _BATCH)):
        nested = []
        for number, feature in batch:
            rings, name, kind, given_id = _parse(feature, path, number)
            pointed.append(rings is None)
            nested.append((number, rings or []))
            names.append(name)
            kinds.append(kind)
            ids.append(given_id)
        found, of = _polygons(nested, path)
        polygons.append(found)
        owner.append(of)
    polygons = np.concatenate([np.empty(0, object), *polygons])
    owner = np.concatenate([np.empty(0, int), *owner])

    region = np.isin(kinds, list(_REGIONS)) if _CELLS.intersection(kinds) else np.zeros(len(kinds), bool)
    no_outline = np.array(pointed, bool) & ~region
    remarks = [
        ("are regions or tiles, not cells as the others: left out", np.flatnonzero(region)),
        ("are points or lines, which outline nothing: left out", np.flatnonzero(no_outline)),
    ]
    cells = ~region[owner]
    return _Features(
        polygons[cells],
        owner[cells],
        np.array(names, object),
        lambda row: f"feature {row + 1}" + (f" with id {ids[row]}" if ids[row] else ""),
        remarks,
    )


def _text(path: Path) -> str:
    try:
        opened = gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb")
        with opened as file:
            return file.read().decode("utf-8-sig")
    except (OSError, EOFError, zlib.error) as error:
        raise ClusterfirstError(
            f"outlines {path} cannot be read: {error}. The file is probably damaged or incomplete: copy it again"
        ) from error
    except UnicodeDecodeError as error:
        raise ClusterfirstError(f"outlines {path}: byte {error.start:,} is not UTF-8 text, as JSON must be") from error


_EXPECTED = "expected a GeoJSON FeatureCollection as QuPath exports it, a list of features, or one feature"
_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\n\r]*")


def _features(text: str, path: Path) -> Iterator[dict]:
    """Decode features one at a time."""
    number = 0
    try:
        for number, feature in enumerate(_decoded(text), start=1):
            if not isinstance(feature, dict) or "geometry" not in feature:
                raise ClusterfirstError(f"outlines {path}, feature {number}: {_EXPECTED}, found {_brief(feature)}")
            yield feature
    except json.JSONDecodeError as error:
        raise ClusterfirstError(
            f"outlines {path} is not JSON at line {error.lineno}, column {error.colno}, after {number} whole features: "
            f"{error.msg}. Probably the file is incomplete, or was edited by hand; {_EXPECTED}"
        ) from error


def _decoded(text: str) -> Iterator[Any]:
    at = _past_space(text, 0)
    if text.startswith("{", at):
        at = _value_of(text, at, "features")
    if at is None or not text.startswith("[", at):
        yield json.loads(text)
        return
    at = _past_space(text, at + 1)
    more = not text.startswith("]", at)
    while more:
        item, at = _DECODER.raw_decode(text, at)
        yield item
        at = _past_space(text, at)
        more = text.startswith(",", at)
        if not more and not text.startswith("]", at):
            raise json.JSONDecodeError("Expecting ',' or ']'", text, at)
        at = _past_space(text, at + 1)


def _value_of(text: str, at: int, wanted: str) -> int | None:
    """Where the value of a key begins, of the object that begins at `at`; None if there is no such key."""
    at = _past_space(text, at + 1)
    while text.startswith('"', at):
        key, at = _DECODER.raw_decode(text, at)
        at = _past_space(text, at)
        if not text.startswith(":", at):
            return None
        at = _past_space(text, at + 1)
        if key == wanted:
            return at
        _, at = _DECODER.raw_decode(text, at)
        at = _past_space(text, at)
        at = _past_space(text, at + 1) if text.startswith(",", at) else at
    return None


def _past_space(text: str, at: int) -> int:
    return _SPACE.match(text, at).end()


def _parse(feature: dict, path: Path, number: int) -> tuple[list | None, str | None, str, str | None]:
    """Return rings (see `_rings`), class, type of object and id of a feature."""
    try:
        rings = _rings(feature["geometry"])
    except (AttributeError, KeyError, TypeError) as error:
        raise _malformed(path, number, feature["geometry"]) from error
    properties = feature.get("properties")
    properties = properties if isinstance(properties, dict) else {}
    given_id = feature.get("id")
    kind = properties.get("objectType") or _TYPES_BY_ID.get(str(given_id), "")
    return rings, _class_name(properties.get("classification")), str(kind), None if given_id is None else str(given_id)


def _rings(geometry: dict | None) -> list | None:
    """Return a list of polygons, each a list of rings, the outer one first; None of what outlines nothing."""
    if geometry is None:
        return []
    kind = geometry["type"]
    if kind in _NO_OUTLINE:
        return None
    if kind == "Polygon":
        return [geometry["coordinates"]]
    if kind == "MultiPolygon":
        return list(geometry["coordinates"])
    if kind == "GeometryCollection":
        found = [rings for part in geometry["geometries"] if (rings := _rings(part)) is not None]
        return list(chain.from_iterable(found)) if found or not geometry["geometries"] else None
    raise TypeError(kind)


def _malformed(path: Path, number: int, geometry: Any) -> ClusterfirstError:
    return ClusterfirstError(
        f"outlines {path}, feature {number + 1}: expected a GeoJSON Polygon or MultiPolygon with pairs of numbers for "
        f"coordinates, found {_brief(geometry)}"
    )


def _brief(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 100 else text[:100] + " …"


def _polygons(nested: list[tuple[int, list]], path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Build polygons from nested lists, all at once.

    Parameters
    ----------
    nested
        Numbers of features, and their polygons: lists of rings of x, y (and perhaps z).

    Returns
    -------
    polygons, owner : numpy.ndarray
        See `_Features`. Polygons without three corners or with a number that is none are left out.
    """
    try:
        points, ring, polygon, owner = _flat(nested)
    except (TypeError, ValueError) as error:
        if len(nested) == 1:
            number, rings = nested[0]
            raise _malformed(path, number, rings) from error
        # One by one: that finds the culprit, or there is none, just points of two and of three numbers.
        parts = [_polygons([one], path) for one in nested]
        return tuple(np.concatenate(column) for column in zip(*parts, strict=True))
    rotten = np.unique(polygon[ring[~np.isfinite(points).all(axis=1)]])
    sound = ~np.isin(polygon, rotten)
    points, ring = points[sound[ring]], ring[sound[ring]]
    if not len(points):
        return np.empty(0, object), np.empty(0, int)
    rings = shapely.linearrings(points, indices=np.unique(ring, return_inverse=True)[1])
    kept, of_ring = np.unique(polygon[sound], return_inverse=True)
    return shapely.polygons(rings, indices=of_ring), owner[kept]


def _flat(nested: list[tuple[int, list]]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return points (P × 2), the ring of each, the polygon of each ring, the feature of each polygon."""
    rings, polygon, owner = [], [], []
    for number, polygons in nested:
        for shell, *holes in filter(None, polygons):
            if len(shell) >= 3:
                whole = [shell, *(hole for hole in holes if len(hole) >= 3)]
                rings += whole
                polygon += [len(owner)] * len(whole)
                owner.append(number)
    points = np.array(list(chain.from_iterable(rings)), float)
    if rings and (points.ndim != 2 or points.shape[1] < 2):
        raise ValueError("points are no pairs of numbers")
    ring = np.repeat(np.arange(len(rings)), [len(one) for one in rings])
    return points.reshape(len(ring), -1)[:, :2], ring, np.array(polygon, int), np.array(owner, int)


def _class_name(classification: Any) -> str | None:
    """QuPath's class as it shows it, whatever the version wrote; None where there is none."""
    if isinstance(classification, str) and classification.startswith("{"):
        try:
            classification = json.loads(classification)
        except json.JSONDecodeError:
            pass
    if isinstance(classification, dict):
        names = classification.get("names")
        # A derived class, such as Tumor: Positive, is the list of its parts.
        classification = classification.get("name") or (": ".join(map(str, names)) if isinstance(names, list) else None)
    return (classification.strip() or None) if isinstance(classification, str) else None


# GeoParquet.


def _read_geoparquet(path: Path, _width: int, _height: int) -> _Features:
    import geopandas
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(path)
        if b"geo" not in (schema.metadata or {}):
            raise ValueError("it has no 'geo' metadata")
        geometry = json.loads(schema.metadata[b"geo"])["primary_column"]
        column = _class_column(schema)
        table = geopandas.read_parquet(path, columns=[geometry, *([column] if column else [])])
    except (ValueError, KeyError, OSError, shapely.errors.ShapelyError) as error:
        raise ClusterfirstError(
            f"outlines {path} cannot be read as GeoParquet: {error}. "
            "Expected a table with a column of polygons, as geopandas' to_parquet() writes it"
        ) from error
    names = [_class_name(value) for value in table[column]] if column else [None] * len(table)
    shapes = table.geometry.to_numpy()
    polygons, owner = _polygons_in(shapes)
    no_outline = np.flatnonzero(~(shapely.is_missing(shapes) | shapely.is_empty(shapes)))
    remarks = [("are points or lines, which outline nothing: left out", np.setdiff1d(no_outline, owner))]
    return _Features(polygons, owner, np.array(names, object), lambda row: f"row {row + 1}", remarks)


def _class_column(schema) -> str | None:
    import pyarrow as pa

    by_name = {name.casefold(): name for name in reversed(schema.names)}
    for name in filter(None, map(by_name.get, _CLASS_COLUMNS)):
        kind = schema.field(name).type
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind
        # geopandas keeps QuPath's classification as a struct.
        if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_struct(kind):
            return name
    return None


def _polygons_in(shapes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Polygons in geometries of any type, and whose they are."""
    parts, owner = shapely.get_parts(shapes, return_index=True)
    # Twice: a collection may hold a MultiPolygon.
    parts, inner = shapely.get_parts(parts, return_index=True)
    solid = shapely.get_type_id(parts) == shapely.GeometryType.POLYGON
    return parts[solid], owner[inner][solid]


# Label images.


def _read_labels(path: Path, width: int, height: int) -> _Features:
    labels = _label_image(path)
    scale = _scale(labels.shape[1], labels.shape[0], width, height, path)
    labels, originals = _numbered(labels)
    polygons, values = outlines(labels)
    pixels = _count(labels)[values]
    # Outlines differ from their pixels by half a pixel, unless something was left out or filled.
    gained = shapely.area(polygons) - pixels
    remarks = [(_PIECES, np.flatnonzero(gained < -0.75)), (_HOLED, np.flatnonzero(gained > 0.25))]
    if len(polygons) == 1 and gained[0] < -0.75:
        raise ClusterfirstError(
            f"outlines {path}: all objects have the same number, {originals(values[0])}, so it is a mask, not a label "
            "image: give every cell a number of its own (for example with scikit-image's label())"
        )
    if scale != (1, 1):
        polygons = shapely.transform(polygons, lambda xy: xy * scale)
    return _Features(
        polygons,
        np.arange(len(polygons)),
        np.full(len(polygons), None),
        lambda row: f"label {originals(values[row])}",
        remarks,
    )


def _label_image(path: Path) -> np.ndarray:
    """Return H × W integers; of a large TIFF, mapped from disk."""
    try:
        labels = _read_png(path) if path.suffix.lower() == ".png" else _read_tiff(path)
    except ImportError as error:
        raise _unreadable(path, error) from error
    except (OSError, RuntimeError, ValueError, SyntaxError, IndexError) as error:
        raise _unreadable(path, error) from error
    if labels.ndim == 3 and labels.shape[-1] in (2, 3, 4):
        raise ClusterfirstError(
            f"outlines {path} is a colour image ({labels.shape[-1]} channels), not a label image: save the labels "
            "themselves, one channel of 16- or 32-bit integers, 0 for background"
        )
    if labels.ndim != 2:
        raise ClusterfirstError(
            f"outlines {path}: a stack of shape {' × '.join(map(str, labels.shape))}; a label image has one channel"
        )
    if labels.dtype == bool:
        labels = labels.view(np.uint8)
    if not np.issubdtype(labels.dtype, np.integer):
        raise ClusterfirstError(
            f"outlines {path}: pixels of type {labels.dtype} are no labels; save 16- or 32-bit integers, 0 for background"
        )
    return labels


def _unreadable(path: Path, error: Exception) -> ClusterfirstError:
    return ClusterfirstError(
        f"outlines {path} cannot be read as an image: {str(error) or type(error).__name__}. "
        "If other programs open it, save it again as a TIFF with deflate compression; else it is damaged: copy it again"
    )


def _read_png(path: Path) -> np.ndarray:
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None  # as in `slides`: people's own files are big by nature
    with Image.open(path) as image:
        return np.asarray(image)


def _read_tiff(path: Path) -> np.ndarray:
    import tifffile

    with tifffile.TiffFile(path) as file:
        series = file.series[0]
        labels = series.asarray(out="memmap" if series.nbytes > _IN_MEMORY_BYTES else None)
        planar = series.axes.startswith("S")
    return np.moveaxis(labels, 0, -1) if planar else np.squeeze(labels)


def _scale(wide: int, high: int, width: int, height: int, path: Path) -> tuple[float, float]:
    """Level-0 pixels per pixel of the label image, along x and y."""
    if (wide, high) == (width, height):
        return 1, 1
    alike = abs(wide * height / width - high) <= 1 or abs(high * width / height - wide) <= 1
    if not alike or wide > width or high > height:
        raise ClusterfirstError(
            f"outlines {path}: the label image is {wide} × {high} px, the slide {width} × {height} px; it must cover the "
            "whole slide, at the slide's full resolution or a lower one"
        )
    log.warning(
        "outlines %s: the label image is %d × %d px, the slide %d × %d px: taken for the whole slide at 1/%.3g of its "
        "resolution",
        *(path, wide, high, width, height, width / wide),
    )
    return width / wide, height / high


def _numbered(labels: np.ndarray) -> tuple[np.ndarray, Callable[[int], int]]:
    """Number labels anew if they are very large; return a function that gives the original ones."""
    if labels.max(initial=0) <= _LARGEST_LABEL:
        return labels, int
    present = np.unique(np.concatenate([np.unique(block) for block in _blocks(labels)]))
    present = present[present > 0]
    out = np.zeros(labels.shape, np.int32)
    for block, renamed in zip(_blocks(labels), _blocks(out), strict=True):
        renamed[:] = np.where(block > 0, np.searchsorted(present, block) + 1, 0)
    return out, lambda number: int(present[number - 1])


def _count(labels: np.ndarray) -> np.ndarray:
    """Pixels of each label from 0 to the largest."""
    length = int(labels.max(initial=0)) + 1
    total = np.zeros(length, np.int64)
    for block in _blocks(labels):
        total += np.bincount(block[block > 0].astype(np.int64), minlength=length)
    return total


def _blocks(image: np.ndarray) -> Iterator[np.ndarray]:
    """Views of rows: calculations on the whole of a mapped image would draw it into memory."""
    for top in range(0, len(image), _BLOCK_ROWS):
        yield image[top : top + _BLOCK_ROWS]
