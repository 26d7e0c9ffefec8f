"""From label images to polygons and measurements, and the GeoParquet table that holds them."""

from __future__ import annotations

import hashlib
import json
import math
import os

import numpy as np
import pandas as pd
import pyarrow as pa
import shapely

# Vertices this close (in label pixels) to the line between their neighbours are left out: staircases of exact 45° and
# straight runs collapse, the area stays.
_TOLERANCE_PX = 0.1


def outlines(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Outline every object of a label image.

    The outline runs through the middle of the edges between inside and outside pixels, so that a polygon's area is
    its object's number of pixels to within half a pixel. Holes are filled; of an object in several pieces, the
    largest is outlined.

    Parameters
    ----------
    labels
        H × W integers, 0 for background.

    Returns
    -------
    polygons : numpy.ndarray
        Valid ``shapely.Polygon`` in pixels, pixel (0, 0) spanning 0 to 1 on both axes; x to the right, y down.
    values : numpy.ndarray
        The label of each polygon, ascending.
    """
    from scipy import ndimage
    from skimage.measure import find_contours

    rings, values = [], []
    for value, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is None:
            continue
        padded = np.pad(labels[box] == value, 1).astype(np.float32)
        contours = find_contours(padded, 0.5, fully_connected="low")
        ring = max(contours, key=_ring_area) if len(contours) > 1 else contours[0]
        # Row and column of pixel centres in the padded crop, to x and y of the image with pixel edges at integers.
        rings.append(ring[:, ::-1] + (box[1].start - 0.5, box[0].start - 0.5))
        values.append(value)
    if not rings:
        return np.empty(0, object), np.empty(0, int)
    lengths = [len(ring) for ring in rings]
    polygons = shapely.polygons(
        shapely.linearrings(np.concatenate(rings), indices=np.repeat(np.arange(len(rings)), lengths))
    )
    return shapely.simplify(polygons, _TOLERANCE_PX), np.array(values)


def _ring_area(ring: np.ndarray) -> float:
    y, x = ring.T
    return abs(np.dot(x[:-1], y[1:]) - np.dot(x[1:], y[:-1]))


def measure(polygons: np.ndarray, *, mpp: float) -> pd.DataFrame:
    """Measure polygons.

    Parameters
    ----------
    polygons
        ``shapely.Polygon`` without holes, in level-0 pixels.
    mpp
        µm per level-0 pixel.

    Returns
    -------
    pandas.DataFrame
        ``x, y`` (centroid, level-0 px), ``area_um2``, ``perimeter_um``, ``major_um`` and ``minor_um`` (axes of the
        ellipse with the same second moments), ``eccentricity``, ``orientation`` (of the major axis, radians from the
        x axis towards y, −π/2 to π/2), ``circularity`` (4π·area/perimeter²), ``solidity`` (area over that of the
        convex hull), ``extent`` (area over that of the bounding box).
    """
    area, cx, cy, xx, yy, xy = _moments(polygons)
    perimeter = shapely.length(polygons)
    left, top, right, bottom = shapely.bounds(polygons).reshape(-1, 4).T
    spread = np.sqrt(((xx - yy) / 2) ** 2 + xy**2)
    middle = (xx + yy) / 2
    # An ellipse with half-axis a has the second moment a²/4 along it.
    major = 4 * np.sqrt(np.maximum(middle + spread, 0))
    minor = 4 * np.sqrt(np.maximum(middle - spread, 0))
    with np.errstate(divide="ignore", invalid="ignore"):
        return pd.DataFrame(
            {
                "x": cx,
                "y": cy,
                "area_um2": area * mpp**2,
                "perimeter_um": perimeter * mpp,
                "major_um": major * mpp,
                "minor_um": minor * mpp,
                "eccentricity": np.sqrt(np.clip(1 - (minor / major) ** 2, 0, 1)),
                "orientation": np.arctan2(2 * xy, xx - yy) / 2,
                "circularity": np.minimum(1, 4 * math.pi * area / perimeter**2),
                "solidity": area / shapely.area(shapely.convex_hull(polygons)),
                "extent": area / ((right - left) * (bottom - top)),
            }
        )


def _moments(polygons: np.ndarray) -> tuple[np.ndarray, ...]:
    """Area, centroid and central second moments of polygons, by Green's theorem, all vertices at once."""
    if not len(polygons):
        return (np.empty(0),) * 6
    points, owner = shapely.get_coordinates(shapely.get_exterior_ring(polygons), return_index=True)
    starts = np.flatnonzero(np.diff(owner, prepend=-1))
    # About each polygon's first vertex: at slide coordinates of 10⁵ the squares would swamp the differences.
    origin = points[starts]
    x, y = (points - origin[owner]).T
    # A ring ends where it starts, at its origin, so the step from its last vertex to the next ring's first counts 0.
    x0, y0, x1, y1 = x, y, np.roll(x, -1), np.roll(y, -1)
    cross = x0 * y1 - x1 * y0

    def total(values: np.ndarray) -> np.ndarray:
        return np.add.reduceat(values, starts)

    area = total(cross) / 2
    cx, cy = (total((a0 + a1) * cross) / (6 * area) for a0, a1 in ((x0, x1), (y0, y1)))
    xx = total((x0**2 + x0 * x1 + x1**2) * cross) / (12 * area) - cx**2
    yy = total((y0**2 + y0 * y1 + y1**2) * cross) / (12 * area) - cy**2
    xy = total((2 * x0 * y0 + x0 * y1 + x1 * y0 + 2 * x1 * y1) * cross) / (24 * area) - cx * cy
    return np.abs(area), cx + origin[:, 0], cy + origin[:, 1], xx, yy, xy


def table(objects: pd.DataFrame, *, mpp: float) -> pa.Table:
    """Build the table of objects, one row each, measured.

    Parameters
    ----------
    objects
        ``geometry`` (``shapely.Polygon``, level-0 px), ``tile_id``, ``score`` (float, NaN where the model gives
        none) and ``truncated`` (bool), in the order of the result.
    mpp
        µm per level-0 pixel.

    Returns
    -------
    pyarrow.Table
        ``cell_id`` (0…N-1), ``tile_id``, ``geometry`` (WKB), the columns of `measure`, ``bbox`` (a struct
        ``xmin, ymin, xmax, ymax``), ``score``, ``truncated``. Its ``geo`` metadata make it GeoParquet 1.1.
    """
    polygons = objects["geometry"].to_numpy()
    bounds = shapely.bounds(polygons).reshape(-1, 4)
    measures = measure(polygons, mpp=mpp)
    columns = {
        "cell_id": pa.array(np.arange(len(objects), dtype=np.int64)),
        "tile_id": pa.array(objects["tile_id"].to_numpy(), pa.string()),
        "geometry": pa.array(shapely.to_wkb(polygons), pa.binary()),
        **{name: pa.array(values.to_numpy()) for name, values in measures.items()},
        "bbox": pa.StructArray.from_arrays(
            [pa.array(side) for side in np.ascontiguousarray(bounds.T)], ["xmin", "ymin", "xmax", "ymax"]
        ),
        "score": pa.array(objects["score"].to_numpy(float), from_pandas=True),
        "truncated": pa.array(objects["truncated"].to_numpy(bool)),
    }
    return pa.table(columns).replace_schema_metadata({b"geo": json.dumps(_geo(bounds)).encode()})


def _geo(bounds: np.ndarray) -> dict:
    """GeoParquet 1.1 file metadata (https://geoparquet.org/releases/v1.1.0/)."""
    column = {
        "encoding": "WKB",
        "geometry_types": ["Polygon"] if len(bounds) else [],
        "crs": None,  # pixels, no place on Earth
        "covering": {"bbox": {side: ["bbox", side] for side in ("xmin", "ymin", "xmax", "ymax")}},
    }
    if len(bounds):
        column["bbox"] = [*bounds[:, :2].min(axis=0), *bounds[:, 2:].max(axis=0)]
    return {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}


def fingerprint(x: np.ndarray, y: np.ndarray, cell_id: np.ndarray) -> str:
    """Say which cells these are: the same as long as nobody segments the slide again.

    Parameters
    ----------
    x, y
        Centroids, level-0 px; float32 is enough.
    cell_id
        In the order of the table.

    Returns
    -------
    str
        A sha256.
    """
    digest = hashlib.sha256()
    for values, kind in ((x, "<f4"), (y, "<f4"), (cell_id, "<i4")):
        digest.update(np.ascontiguousarray(values, kind).tobytes())
    return digest.hexdigest()


def read_objects(path: str | os.PathLike):
    """Read ``masks.parquet``.

    Returns
    -------
    geopandas.GeoDataFrame
        The columns of `table` without ``bbox``.
    """
    import geopandas

    return geopandas.read_parquet(path)
