"""QuPath's GeoJSON."""

from __future__ import annotations

import contextlib
import gzip
import json
import logging
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from ...io import ClusterfirstError
from ...slide.facts import SlideFacts
from . import frames
from .features import BROKEN, DETECTED, NO_NUCLEUS, NO_OUTLINE, PLANES, REGIONS, Features, Remark

log = logging.getLogger(__name__)

_BATCH = 500
"""So many features at a time become polygons: lists of numbers take ten times the memory of their text, and Python's
garbage collector looks through all that there are again and again."""

_EXPECTED = "expected a FeatureCollection as QuPath exports it, a list of features, or one feature"
_UNBOUNDED = {"Point", "MultiPoint", "LineString", "MultiLineString"}
_REGIONS = {"annotation", "tile", "tma_core", "root"}
# QuPath before 0.4 told the type of an object by its id.
_TYPES = {
    "PathCellObject": "cell",
    "PathDetectionObject": "detection",
    "PathAnnotationObject": "annotation",
    "PathTileObject": "tile",
    "TMACoreObject": "tma_core",
    "PathRootObject": "root",
}
_CELL_SIZED = 5
"""An annotation smaller than so many median detections that holds none of them is a cell that somebody drew."""

_GZIP = b"\x1f\x8b"
_DECODER = json.JSONDecoder()
_SURROGATE = re.compile("[\ud800-\udfff]")
_SPACE = re.compile(r"[ \t\n\r]*")
# Between documents, the record separator of GeoJSON text sequences, too.
_BETWEEN = re.compile(r"[ \t\n\r\x1e]*")


def read(path: Path, slide: SlideFacts, given: Mapping[str, Any], *, small_are_cells: bool = True) -> Features:
    """Read features; see `foreign.read`.

    Parameters
    ----------
    path, slide, given
        See `foreign.read`.
    small_are_cells
        Whether annotations beside detections that are of the size of these, and hold none, are cells that were drawn
        where the detection had missed them. In a truth they are regions, which say what the cells found in them are.

    Raises
    ------
    ClusterfirstError
        The file cannot be read, is no JSON, or holds something that is no feature; with the place.
    """
    objects_of = given["objects_of"]
    polygons, owner = [np.empty(0, object)], [np.empty(0, int)]
    names, types, ids, planes, nucleus, unbounded, broken = [], [], [], [], [], [], []
    points, point_owner = [], []
    origins: dict[str, list] = {}
    features = enumerate(_features(_text(path), path, origins))
    while batch := list(islice(features, _BATCH)):
        geometries = {number: _wanted(feature, objects_of) for number, feature in batch}
        nested = {number: _nested(geometry, path, number) for number, geometry in geometries.items()}
        unbounded += [number for number, rings in nested.items() if rings is None]
        found, of = _polygons({number: rings for number, rings in nested.items() if rings}, path)
        polygons.append(found)
        owner.append(of)
        broken += _broken(nested, of)
        for number, feature in batch:
            marked = _points(geometries[number]) if nested[number] is None else []
            points += marked
            point_owner += [number] * len(marked)
            properties = feature.get("properties") if isinstance(feature.get("properties"), dict) else {}
            ids.append(feature.get("id"))
            types.append(str(properties.get("objectType") or _TYPES.get(str(ids[-1]), "")))
            names.append(_whole_name(class_name(properties.get("classification")), path, number))
            planes.append(_plane(feature["geometry"]))
            nucleus.append(_has_nucleus(feature))
    polygons, owner = np.concatenate(polygons), np.concatenate(owner)

    regions = regions_among(types)
    if small_are_cells and regions.any():
        regions &= ~_drawn_cells(polygons, owner, np.isin(types, DETECTED), np.array(types, object) == "annotation")
    elsewhere = _elsewhere(planes, ~regions, path)
    left = regions | elsewhere
    points, point_owner = np.array(points, float).reshape(-1, 2), np.array(point_owner, int)
    kept = (np.array(which, int)[~left[np.array(which, int)]] for which in (unbounded, broken))
    return Features(
        polygons=polygons[~left[owner]],
        owner=owner[~left[owner]],
        names=np.array(names, object),
        place=lambda row: (
            f"feature {row + 1}" + (f" with id {_printable(str(ids[row]))}" if ids[row] not in (None, row + 1) else "")
        ),
        remarks=[
            (REGIONS, np.flatnonzero(regions)),
            (PLANES, np.flatnonzero(elsewhere)),
            *zip((NO_OUTLINE, BROKEN), kept, strict=True),
            *_of_nuclei(np.array(nucleus, bool), np.array(types, object), ~left, objects_of, path),
        ],
        points=points[~elsewhere[point_owner]],
        point_owner=point_owner[~elsewhere[point_owner]],
        regions=polygons[regions[owner]],
        region_owner=owner[regions[owner]],
        types=np.array(types, object),
        begins=frames.of_geojson(origins, slide, path, given),
    )


def regions_among(types: Sequence[str]) -> np.ndarray:
    """Say which objects are regions by their types; without cells, the annotations are the cells: drawn by hand."""
    return np.isin(types, list(_REGIONS)) & np.isin(types, DETECTED).any()


def read_said(path: Path, slide: SlideFacts, given: Mapping[str, Any]) -> Features:
    """Read features; see `foreign.read_said`."""
    return read(path, slide, given, small_are_cells=False)


def _drawn_cells(polygons: np.ndarray, owner: np.ndarray, detected: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Say of features whether they are cells drawn beside detections: `drawn`, as small, and around none of them."""
    area = shapely.area(polygons)
    cells, few = detected[owner] & (area > 0), np.flatnonzero(drawn[owner])
    if not cells.any() or not len(few):
        return np.zeros(len(drawn), bool)
    region = area[few] >= _CELL_SIZED * np.median(area[cells])
    middles = shapely.centroid(polygons[cells])
    small = few[~region]
    holding = shapely.STRtree(middles).query(polygons[small], predicate="intersects")[0]
    regions = np.concatenate([owner[few[region]], owner[small[holding]]])
    out = drawn & np.isin(np.arange(len(drawn)), owner[few])
    out[regions] = False
    return out


def _wanted(feature: dict, objects_of: str) -> Any:
    """The geometry of the nucleus, if that is wanted and there is one; else that of the object."""
    return feature["nucleusGeometry"] if objects_of == "nucleus" and _has_nucleus(feature) else feature["geometry"]


def _has_nucleus(feature: dict) -> bool:
    """Whether there is one: null and an empty geometry both say that there is none."""
    nucleus = feature.get("nucleusGeometry")
    if not isinstance(nucleus, dict):
        return False
    return all(nucleus.get(key) not in ([], [[]], [[[]]]) for key in ("coordinates", "geometries"))


def _broken(nested: dict[int, list | None], of: np.ndarray) -> list[int]:
    """Features of whose polygons some became none, once for each; those without any are empty anyway."""
    built = Counter(of.tolist())
    lost = {number: len(rings) - built[number] for number, rings in nested.items() if rings and built[number]}
    return list(chain.from_iterable([number] * count for number, count in lost.items()))


def _of_nuclei(nucleus: np.ndarray, types: np.ndarray, wanted: np.ndarray, objects_of: str, path: Path) -> list[Remark]:
    """Say which outlines of cells with nuclei are taken."""
    cells = wanted & (nucleus | (types == "cell"))
    if nucleus.any():
        log.info(
            "outlines %s: %d of %d cells have a nucleus; the outline of the %s is taken (given.objects_of)",
            *(path, np.count_nonzero(nucleus & cells), np.count_nonzero(cells), objects_of),
        )
    return [(NO_NUCLEUS, np.flatnonzero(cells & ~nucleus))] if objects_of == "nucleus" else []


def _whole_name(name: str | None, path: Path, number: int) -> str | None:
    """Return the class; refuse half of a character, as JSON may hold, which no result can be written with."""
    if name is None or not _SURROGATE.search(name):
        return name
    raise ClusterfirstError(
        f"outlines {path}, feature {number + 1}: the class {_brief(name)} holds half of a character (a lone "
        "surrogate), which cannot be written into any file. Rename the class, and export the file again"
    )


def _plane(geometry: Any) -> tuple[int, int]:
    """Slice and time point, as QuPath writes them."""
    plane = geometry.get("plane") if isinstance(geometry, dict) else None
    plane = plane if isinstance(plane, dict) else {}
    z, t = (plane.get(axis) for axis in ("z", "t"))
    return (z if isinstance(z, int) else 0, t if isinstance(t, int) else 0)


def _elsewhere(planes: list[tuple[int, int]], wanted: np.ndarray, path: Path) -> np.ndarray:
    """Say of which plane objects are taken, and which lie on others: a slide has one picture."""
    counts = Counter(plane for plane, one in zip(planes, wanted, strict=True) if one)
    if not counts:
        return np.zeros(len(planes), bool)
    (taken, _), *others = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    if others:
        log.warning(
            "outlines %s: objects of several planes; taken: z %d, t %d, which has most. Which plane the picture of the "
            "slide is, the slide's file says: give a file with the objects of that one",
            *(path, *taken),
        )
    return np.array([plane != taken for plane in planes], bool) & wanted


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
        # By what it holds: what unpacks files on their way leaves their names as they were.
        return (gzip.decompress(data) if data.startswith(_GZIP) else data).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ClusterfirstError(
            f"outlines {path}: byte {error.start:,} is not UTF-8, as JSON must be; {_EXPECTED}"
        ) from error
    except (OSError, EOFError, zlib.error) as error:
        raise ClusterfirstError(
            f"outlines {path} cannot be read: {error}. The file is probably incomplete or damaged: copy it again"
        ) from error


def _features(text: str, path: Path, origins: dict[str, list]) -> Iterator[dict]:
    """Decode features one by one; leave in `origins` what kinds of documents say of where coordinates begin."""
    number = 0
    try:
        for number, feature in enumerate(_items(text, origins), start=1):
            if not isinstance(feature, dict) or "geometry" not in feature:
                raise ClusterfirstError(f"outlines {path}, feature {number}: {_EXPECTED}, found {_brief(feature)}")
            yield feature
    except json.JSONDecodeError as error:
        raise ClusterfirstError(
            f"outlines {path} is not JSON at line {error.lineno}, column {error.colno}, after {number:,} features: "
            f"{error.msg}. The file is probably incomplete, or was edited by hand; {_EXPECTED}"
        ) from error
    except ValueError as error:  # a number of thousands of digits
        raise ClusterfirstError(
            f"outlines {path} cannot be read after {number:,} features: {error}; {_EXPECTED}"
        ) from error
    except RecursionError as error:
        raise ClusterfirstError(
            f"outlines {path} is nested too deeply for GeoJSON after {number:,} features; {_EXPECTED}"
        ) from error


def _items(text: str, origins: dict[str, list]) -> Iterator[Any]:
    """Decode features one by one, of one document after the other: some write a line for each, some join files."""
    at = 0
    while True:
        said: list = []
        at = yield from _document(text, at, said)
        origins.setdefault(repr(said), said)
        at = _BETWEEN.match(text, at).end()
        if at == len(text):
            return


def _document(text: str, at: int, said: list) -> Iterator[Any]:
    """Decode a collection's features, or a list's items, one by one; anything else whole. Return where it ends.

    What it says of where its coordinates begin is added to `said`.
    """
    at = _BETWEEN.match(text, at).end()
    start = at
    within = text.startswith("{", at)
    at = _value_of(text, at, "features", said) if within else at
    if at is None or not text.startswith("[", at):
        item, at = _DECODER.raw_decode(text, start)
        yield item
        return at
    at = yield from _list(text, at)
    return _end_of(text, at, "features", said) if within else at


def _list(text: str, at: int) -> Iterator[Any]:
    """Decode the items of the list that begins at `at`. Return where it ends."""
    at = _past_space(text, at + 1)
    more = not text.startswith("]", at)
    while more:
        item, at = _DECODER.raw_decode(text, at)
        yield item
        at = _past_space(text, at)
        more = text.startswith(",", at)
        if not more and not text.startswith("]", at):
            raise json.JSONDecodeError("Expecting ',' or ']'", text, at)
        at = _past_space(text, at + 1) if more else at
    return at + 1


def _end_of(text: str, at: int, once: str, said: list) -> int:
    """Where an object ends of which a value ends at `at`; no more of its keys may be `once`."""
    at = _past_space(text, at)
    while text.startswith(",", at):
        at = _past_space(text, at + 1)
        if not text.startswith('"', at):
            raise json.JSONDecodeError("Expecting property name enclosed in double quotes", text, at)
        start = at
        key, at = _DECODER.raw_decode(text, at)
        if key == once or (key == frames.ORIGIN and said):
            raise json.JSONDecodeError(f"a second '{key}' in the same object", text, start)
        at = _past_space(text, at)
        if not text.startswith(":", at):
            raise json.JSONDecodeError("Expecting ':' delimiter", text, at)
        value, at = _DECODER.raw_decode(text, _past_space(text, at + 1))
        said += [value] if key == frames.ORIGIN else []
        at = _past_space(text, at)
    if not text.startswith("}", at):
        raise json.JSONDecodeError("Expecting ',' or '}'", text, at)
    return at + 1


def _value_of(text: str, at: int, wanted: str, said: list) -> int | None:
    """Where the value of a key stands, of the object that begins at `at`; None if it has no such key."""
    at = _past_space(text, at + 1)
    while text.startswith('"', at):
        start = at
        key, at = _DECODER.raw_decode(text, at)
        if key == frames.ORIGIN and said:
            raise json.JSONDecodeError(f"a second '{key}' in the same object", text, start)
        at = _past_space(text, at)
        if not text.startswith(":", at):
            return None
        at = _past_space(text, at + 1)
        if key == wanted:
            return at
        value, at = _DECODER.raw_decode(text, at)
        said += [value] if key == frames.ORIGIN else []
        at = _past_space(text, at)
        if not text.startswith(",", at):
            return None
        at = _past_space(text, at + 1)
    return None


def _past_space(text: str, at: int) -> int:
    return _SPACE.match(text, at).end()


def _nested(geometry: Any, path: Path, number: int) -> list | None:
    """Return polygons as GeoJSON has them, lists of rings of points; None of what outlines nothing."""
    try:
        return _nested_polygons(geometry)
    except (KeyError, TypeError, RecursionError) as error:
        raise _malformed(geometry, path, number) from error


def _nested_polygons(geometry: dict | None) -> list | None:
    if geometry is None:
        return []
    if geometry["type"] in _UNBOUNDED:
        return None
    if geometry["type"] == "Polygon":
        return [geometry["coordinates"]]
    if geometry["type"] == "MultiPolygon":
        return list(geometry["coordinates"])
    if geometry["type"] == "GeometryCollection":
        parts = [_nested_polygons(part) for part in geometry["geometries"]]
        return None if parts and not any(parts) else list(chain.from_iterable(filter(None, parts)))
    raise TypeError(geometry["type"])


def _points(geometry: dict | None) -> list[tuple[float, float]]:
    """Points of a geometry, NaN for what is no pair of numbers; none of lines."""
    if geometry is None:
        return []
    if geometry["type"] == "GeometryCollection":
        return list(chain.from_iterable(map(_points, geometry["geometries"])))
    if geometry["type"] not in {"Point", "MultiPoint"}:
        return []
    coordinates = geometry.get("coordinates")
    several = [coordinates] if geometry["type"] == "Point" else coordinates
    return [_pair(one) for one in several] if isinstance(several, list) else []


def _pair(point: Any) -> tuple[float, float]:
    try:
        return float(point[0]), float(point[1])
    except (TypeError, ValueError, IndexError, KeyError, OverflowError):
        return float("nan"), float("nan")


def _malformed(geometry: Any, path: Path, number: int) -> ClusterfirstError:
    return ClusterfirstError(
        f"outlines {path}, feature {number + 1}: expected a Polygon or MultiPolygon with pairs of numbers for "
        f"coordinates, found {_brief(geometry)}"
    )


def _brief(value: Any) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False)
    except RecursionError:
        text = "something nested very deeply"
    text = _printable(text)
    return text if len(text) <= 100 else text[:100] + "…"


def _printable(text: str) -> str:
    """Return text without halves of characters, which no log can be written with."""
    return _SURROGATE.sub("\ufffd", text)


def _polygons(nested: dict[int, list], path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Build polygons, all at once; those without three corners, or with a coordinate that is no number, are left out.

    Returns
    -------
    polygons, owner : numpy.ndarray
        See `Features`.
    """
    try:
        points, ring, polygon, owner = _flat(nested)
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        if len(nested) == 1:
            ((number, polygons),) = nested.items()
            raise _malformed(polygons, path, number) from error
        # One by one shows which it is; or none is wrong, but some have points of two numbers and some of three.
        parts = [_polygons({number: polygons}, path) for number, polygons in nested.items()]
        return tuple(np.concatenate(column) for column in zip(*parts, strict=True))
    sound = np.ones(len(polygon), bool)
    sound[ring[~np.isfinite(points).all(axis=1)]] = False
    shells = np.flatnonzero(np.diff(polygon, prepend=-1))
    sound &= sound[shells][polygon]
    if not sound.any():
        return np.empty(0, object), np.empty(0, int)
    points, ring = points[sound[ring]], ring[sound[ring]]
    rings = shapely.linearrings(points, indices=np.unique(ring, return_inverse=True)[1])
    kept, of_ring = np.unique(polygon[sound], return_inverse=True)
    return shapely.polygons(rings, indices=of_ring), owner[kept]


def _flat(nested: dict[int, list]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return points (P × 2), the ring of each point, the polygon of each ring, the feature of each polygon."""
    rings, polygon, owner = [], [], []
    for number, polygons in nested.items():
        for shell, *holes in filter(None, polygons):
            if len(shell) >= 3:
                whole = [shell, *(hole for hole in holes if len(hole) >= 3)]
                rings += whole
                polygon += [len(owner)] * len(whole)
                owner.append(number)
    ring = np.repeat(np.arange(len(rings)), np.array([len(one) for one in rings], int))
    points = np.array(list(chain.from_iterable(rings)), float) if rings else np.empty((0, 2))
    if points.ndim != 2 or points.shape[1] < 2:
        raise ValueError("points are no pairs of numbers")
    return points[:, :2], ring, np.array(polygon, int), np.array(owner, int)


def class_colours(path: Path) -> dict[str, str]:
    """Return the colours (``#rrggbb``) that a file gives its classes; the first of each counts.

    Raises
    ------
    ClusterfirstError
        See `read`.
    """
    found = {}
    for feature in _features(_text(path), path, {}):
        properties = feature.get("properties")
        told = properties.get("classification") if isinstance(properties, dict) else None
        name, shade = class_name(told), told.get("color") if isinstance(told, dict) else None
        if name is not None and _is_rgb(shade):
            found.setdefault(name, "#{:02x}{:02x}{:02x}".format(*shade))
    return found


def _is_rgb(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(type(v) is int and 0 <= v <= 255 for v in value)


def class_name(classification: Any) -> str | None:
    """Return the class as QuPath shows it, whatever version wrote it; None where there is none."""
    if isinstance(classification, str) and classification.startswith("{"):
        with contextlib.suppress(ValueError, RecursionError):
            classification = json.loads(classification)
    if isinstance(classification, dict):
        # A derived class such as "Tumor: Positive" may come as its parts.
        parts = classification.get("names")
        classification = classification.get("name") or (": ".join(map(str, parts)) if isinstance(parts, list) else None)
    return (classification.strip() or None) if isinstance(classification, str) else None
