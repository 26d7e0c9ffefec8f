"""Tables of points: a row per cell, with where it is and what it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from ...io import ClusterfirstError
from ...text import from_spreadsheet
from .features import NO_OUTLINE, Features

_HEADERS = {
    "x": ("x", "x_px", "centroid_x", "centroid x", "centroid x px"),
    "y": ("y", "y_px", "centroid_y", "centroid y", "centroid y px"),
    "class": ("class", "classification", "class_name", "cell_type", "celltype", "type", "label", "name"),
}
"""Headers in use, the likelier first; case does not matter. µm are not among them: they would need a scale."""

_DELIMITERS = (",", "\t", ";")


def read(path: Path, _width: int, _height: int) -> Features:
    """Read a table of points separated by commas, semicolons or tabs; see `foreign.read_truth`.

    Raises
    ------
    ClusterfirstError
        The file is no table, or lacks a column.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            header = file.readline()
        delimiter = max(_DELIMITERS, key=header.count)
        # As text: a class may be called "NA" or "1".
        table = pd.read_csv(path, sep=delimiter, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (OSError, ValueError) as error:  # pandas' parser errors and wrong encodings are ValueErrors
        raise ClusterfirstError(
            f"truth {path} cannot be read as a table: {error}. Expected columns x, y and class with a header"
        ) from error
    columns = {wanted: _column(table, wanted, path) for wanted in _HEADERS}
    xy = [pd.to_numeric(columns[axis], errors="coerce").to_numpy(float) for axis in ("x", "y")]
    names = [from_spreadsheet(name).strip() or None for name in columns["class"].fillna("")]
    rows = np.arange(len(table))
    return Features(
        polygons=np.empty(0, object),
        owner=np.empty(0, int),
        names=np.array(names, object),
        place=lambda row: f"line {row + 2}",
        remarks=[(NO_OUTLINE, rows)],
        points=np.stack(xy, axis=1),
        point_owner=rows,
    )


def _column(table: pd.DataFrame, wanted: str, path: Path) -> pd.Series:
    present = {str(name).strip().lower(): name for name in reversed(table.columns)}
    for name in _HEADERS[wanted]:
        if name in present:
            return table[present[name]]
    raise ClusterfirstError(
        f"truth {path} has no column '{wanted}' but {', '.join(map(repr, table.columns))}. "
        "Name the columns x, y (level-0 pixels of the slide, not µm) and class in the first line"
    )
