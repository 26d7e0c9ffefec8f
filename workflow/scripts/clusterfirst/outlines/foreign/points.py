"""Tables of points: a row per cell, with where it is and what it is."""

from __future__ import annotations

import codecs
import csv
import io
import logging
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...io import ClusterfirstError
from ...slide.facts import SlideFacts
from ...text import from_spreadsheet
from . import frames, numbers
from .features import NO_OUTLINE, Features

log = logging.getLogger(__name__)

_HEADERS = {
    "x": ("x", "x_px", "centroid_x", "centroid x", "centroid x px"),
    "y": ("y", "y_px", "centroid_y", "centroid y", "centroid y px"),
    "class": ("class", "classification", "class_name", "cell_type", "celltype", "type", "label", "name"),
}
"""Headers in use, the likelier first; case does not matter. µm are not among them: they would need a scale."""

_DELIMITERS = (",", "\t", ";")
_EXCEL = re.compile(r'"?sep=([,;|\t])"?\s*')
"""Excel's own first line, which names the delimiter."""
_EXPECTED = "Expected columns x, y and class with a header"


def read(path: Path, slide: SlideFacts, _given: Mapping[str, Any]) -> Features:
    """Read a table of points separated by commas, semicolons or tabs; see `foreign.read_truth`.

    Raises
    ------
    ClusterfirstError
        The file is no table, or lacks a column; or numbers have units, or may mean two things.
    """
    header, table, lines = _table(path)
    x, y, name = (_column(header, wanted, path) for wanted in _HEADERS)
    # Both columns at once: one of them alone may have nothing that tells what its commas mean.
    texts = [row[column] for column in (x, y) for row in table]
    xy = numbers.read(texts, lines * 2, f"truth {path}").reshape(2, -1).T
    rows = np.arange(len(table))
    names = [from_spreadsheet(row[name]).strip() or None for row in table]
    _tell_of_missing(names, path)
    return Features(
        polygons=np.empty(0, object),
        owner=np.empty(0, int),
        names=np.array(names, object),
        place=lambda row: f"line {lines[row]}",
        remarks=[(NO_OUTLINE, rows)],
        points=xy,
        point_owner=rows,
        begins=frames.of_table(slide, path, "tables of points"),
    )


def _tell_of_missing(names: list[str | None], path: Path) -> None:
    """Warn of what R and pandas write for no class: it may be one, too."""
    for word, count in Counter(name for name in names if name and name.lower() in numbers.MISSING).items():
        log.warning(
            "truth %s: %s of %s are of class '%s', which is taken for one: leave the cell empty if there is none",
            *(path, f"{count:,}", f"{len(names):,}", word),
        )


def _table(path: Path) -> tuple[list[str], list[list[str]], list[int]]:
    """Return the header, the rows, all as long, and the line of each."""
    file = io.StringIO(_text(path), newline="")
    first = file.readline()
    told = _EXCEL.fullmatch(first)
    skipped = 1 if told else 0
    if not told:
        file.seek(0)
    delimiter = told[1] if told else max(_DELIMITERS, key=first.count)
    reader = csv.reader(file, delimiter=delimiter, strict=True)
    rows, lines = [], []
    try:
        header = next(reader)
        for row in reader:
            line = reader.line_num + skipped
            if any(map(str.strip, row[len(header) :])):
                raise ClusterfirstError(
                    f"truth {path} cannot be read as a table: line {line} has {len(row)} cells for {len(header)} "
                    "columns. Decimal commas need another separator between columns, or quotes; and so does text that "
                    "holds the separator"
                )
            if any(map(str.strip, row)):
                rows.append([*row[: len(header)], *[""] * (len(header) - len(row))])
                lines.append(line)
    except (csv.Error, StopIteration) as error:
        why = str(error) or "it is empty"
        raise ClusterfirstError(f"truth {path} cannot be read as a table: {why}. {_EXPECTED}") from error
    return header, rows, lines


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
        # Excel's "Unicode text".
        wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        return data.decode("utf-16" if wide else "utf-8-sig")
    except OSError as error:
        raise ClusterfirstError(f"truth {path} cannot be read as a table: {error}. {_EXPECTED}") from error
    except UnicodeDecodeError as error:
        raise ClusterfirstError(
            f"truth {path} cannot be read as a table: byte {error.start:,} is not UTF-8. Save it as 'CSV UTF-8'; other "
            "encodings do not say which letters their bytes are"
        ) from error


def _column(header: list[str], wanted: str, path: Path) -> int:
    present = [name.strip().lower() for name in header]
    for name in _HEADERS[wanted]:
        if present.count(name) > 1:
            raise ClusterfirstError(f"truth {path} has {present.count(name)} columns '{name}': leave one")
        if name in present:
            return present.index(name)
    raise ClusterfirstError(
        f"truth {path} has no column '{wanted}' but {', '.join(map(repr, header))}. "
        "Name the columns x, y (level-0 pixels of the slide, not µm) and class in the first line"
    )
