"""JSON of many cells, put together column by column in Arrow's kernels.

A million cells are a gigabyte of text; a loop over cells, or over the vertices of their outlines, would take ten times
as long (benchmarks/geojson.md).
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import shapely

DIGITS = 2
"""Of coordinates. A hundredth of a pixel is far below what an outline knows."""


def numbers(values: pa.Array | np.ndarray, digits: int = 4) -> pa.StringArray:
    """Return numbers as JSON; null for nulls, NaN and infinities, which JSON does not know."""
    values = values if isinstance(values, pa.Array) else pa.array(np.ascontiguousarray(values))
    if pa.types.is_floating(values.type):
        values = pc.round(values.cast(pa.float64()), digits)
        values = pc.if_else(pc.is_finite(values), values, None)
    return values.cast(pa.string())


def strings(values: pa.Array, none: str | None = None) -> pa.StringArray:
    """Return strings as JSON; `none` (JSON, too) for nulls."""
    coded = values.dictionary_encode()
    texts = [json.dumps(one, ensure_ascii=False) for one in coded.dictionary.to_pylist()]
    return pa.array(texts, pa.string()).take(coded.indices).fill_null(none)


def objects(members: Mapping[str, pa.StringArray]) -> pa.StringArray:
    """Return JSON objects of members that are JSON already; null members are left out."""
    parts = [concatenated(json.dumps(name, ensure_ascii=False) + ":", texts) for name, texts in members.items()]
    return concatenated("{", pc.binary_join_element_wise(*parts, ",", null_handling="skip"), "}")


def lists(*items: pa.StringArray) -> pa.StringArray:
    """Return JSON lists of items that are JSON already."""
    return concatenated("[", pc.binary_join_element_wise(*items, ","), "]")


def concatenated(*parts: str | pa.StringArray) -> pa.StringArray:
    """Put texts side by side, row by row; null where any of them is."""
    return pc.binary_join_element_wise(*parts, "")


def joined(texts: pa.StringArray, between: str) -> pa.Buffer:
    """Return all rows as one text."""
    whole = pa.ListArray.from_arrays(pa.array([0, len(texts)], pa.int32()), texts)
    return pc.binary_join(whole, between)[0].as_buffer()


def grouped(texts: pa.StringArray, owner: np.ndarray, count: int, between: str) -> pa.StringArray:
    """Join the texts of each owner.

    Parameters
    ----------
    texts
        n texts.
    owner
        n ascending integers from 0 to `count` − 1.
    count
        Of owners; one that has none gets an empty text.
    between
        Stands between two texts of an owner.
    """
    ends = np.searchsorted(owner, np.arange(count + 1)).astype(np.int32)
    return pc.binary_join(pa.ListArray.from_arrays(pa.array(ends), texts), between)


def points(xy: np.ndarray) -> pa.StringArray:
    """Return n × 2 coordinates as ``x,y``."""
    x, y = (pa.array(values).cast(pa.string()) for values in np.round(xy, DIGITS).T.copy())
    return pc.binary_join_element_wise(x, y, ",")


def rings(polygons: np.ndarray) -> pa.StringArray:
    """Return the ``coordinates`` of polygons as GeoJSON has them: rings of ``[x,y]``, the last as the first."""
    lines, polygon = shapely.get_rings(polygons, return_index=True)
    xy, line = shapely.get_coordinates(lines, return_index=True)
    of_line = grouped(points(xy), line, len(lines), "],[")
    return concatenated("[[[", grouped(of_line, polygon, len(polygons), "]],[["), "]]]")
