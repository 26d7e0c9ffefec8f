"""Classes that people gave to cells of the slide, by the cells' ids: what the labelling app writes."""

from __future__ import annotations

import json
import logging
import os
import re
from pathlib import Path
from typing import Any

import numpy as np

from ..io import ClusterfirstError
from ..text import a_few

log = logging.getLogger(__name__)

_START_BYTES = 10_000
_GEOJSON = re.compile(r'"(features|geometry)"\s*:')
_EXPECTED = 'expected {"cells": [{"cell_id": 17, "class": "lymphocyte"}, …]} or {"17": "lymphocyte", …}'


def holds_labels(path: str | os.PathLike) -> bool:
    """Whether a file is one of classes by cell id: a JSON object that does not begin as GeoJSON does.

    Its beginning is enough: GeoJSON may be larger than memory is, once decoded.
    """
    path = Path(path)
    if path.suffix.lower() != ".json" or not path.is_file():
        return False
    with path.open("rb") as file:
        start = file.read(_START_BYTES).decode("utf-8-sig", errors="replace").lstrip()
    return start.startswith("{") and not _GEOJSON.search(start)


def read(path: str | os.PathLike, count: int) -> np.ndarray:
    """Read classes by cell id.

    A cell without a class (null or blank) is one without truth. Of several classes of one cell the last counts, as in
    a protocol that is only ever added to; contradictions are one warning.

    Parameters
    ----------
    path
        JSON (see the module).
    count
        Number of cells of the slide; their ids are 0 to `count` − 1.

    Returns
    -------
    numpy.ndarray
        `count` classes, or None.

    Raises
    ------
    ClusterfirstError
        The file is of another kind, or has ids that are no cell of the slide; with the first of them.
    """
    return checked(_pairs(path), path, count)


def checked(pairs: list[tuple[Any, Any]], path: str | os.PathLike, count: int) -> np.ndarray:
    """Return classes by cell id; see `read`.

    Parameters
    ----------
    pairs
        Ids and classes, as `path` holds them.
    path
        For messages.
    count
        Number of cells of the slide.
    """
    wrong = [cell for cell, _ in pairs if _number(cell) is None or not 0 <= _number(cell) < count]
    if wrong:
        raise ClusterfirstError(
            f"labels {path}: {len(wrong):,} of {len(pairs):,} cell ids are none of the slide's {count:,} cells (ids 0 "
            f"to {count - 1}): {a_few(wrong)}. Labels belong to one segmentation: after another one, cells must be "
            "labelled again, or the old labels given as points"
        )
    misnamed = [cell for cell, name in pairs if not (name is None or isinstance(name, str))]
    if misnamed:
        raise ClusterfirstError(f"labels {path}: {len(misnamed):,} classes are no text: cells {a_few(misnamed)}")
    names, changed = np.full(count, None), {}
    for cell, name in ((_number(cell), (name or "").strip() or None) for cell, name in pairs):
        if names[cell] not in (None, name):
            changed[cell] = True
        names[cell] = name
    if changed:
        log.warning(
            "labels %s: %s cells have several classes, of which the last counts (cells %s)",
            *(path, f"{len(changed):,}", a_few(list(changed))),
        )
    return names


def _pairs(path: str | os.PathLike) -> list[tuple[Any, Any]]:
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8-sig"))
        if "cells" in document:
            return [(row["cell_id"], row["class"]) for row in document["cells"]]
        return list(document.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ClusterfirstError(f"labels {path} cannot be read: {error!r}; {_EXPECTED}") from error


def _number(cell: Any) -> int | None:
    """The id as a number; None if it is none."""
    if isinstance(cell, str) and cell.strip().isdecimal():
        return int(cell)
    return cell if isinstance(cell, int) and not isinstance(cell, bool) else None
