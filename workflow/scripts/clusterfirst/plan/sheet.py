"""The sample sheet: one row per slide, checked as a whole."""

from __future__ import annotations

import csv
import difflib
import io
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from .. import paths
from ..io import ClusterfirstError, check_names
from .layout import RESERVED
from .settings import in_words


@dataclass(frozen=True)
class Sample:
    """A row of the sample sheet."""

    slide: str
    path: str
    tissue: str | None = None
    mpp: float | None = None
    objects: str | None = None
    truth: str | None = None
    patient: str | None = None
    split: str | None = None


def read_sheet(path: str | Path, schema: dict, *, exists: Callable[[str], bool] | None = None) -> list[Sample]:
    """Read and check the sample sheet.

    Parameters
    ----------
    path
        CSV with a header row; comma, semicolon or tab between columns, a byte-order mark is accepted, and Excel's
        first line ``sep=;``. Paths of slides are relative to the working directory; see `paths.written_out`.
    schema
        JSON schema of one row.
    exists
        Says whether a file that a row names is there or will be. By default, whether it is there.

    Raises
    ------
    ClusterfirstError
        Lists every problem of every row, with row (as a spreadsheet counts, the header is row 1) and column.
    """
    path = Path(path)
    if not path.is_file():
        raise ClusterfirstError(f"sample sheet {path} not found: make it, or set `slides:` in the config to your own")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ClusterfirstError(f"sample sheet {path} is not UTF-8 text ({error}): save it as 'CSV UTF-8'") from error
    text, separator = _separated(text)
    try:
        return _read_rows(path, csv.reader(io.StringIO(text), delimiter=separator), schema, exists or _is_file)
    except csv.Error as error:
        raise ClusterfirstError(f"sample sheet {path} is no table: {error}. Is a quotation mark not closed?") from error


def _read_rows(path: Path, reader, schema: dict, exists: Callable[[str], bool]) -> list[Sample]:
    header = [name.strip() for name in next(reader, [])]

    problems = list(_header_problems(header, schema))
    samples, seen = [], {}
    if not problems:
        check = _RowCheck(header, schema, exists)
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            row = reader.line_num
            sample, wrong = check(cells)
            key = sample.slide.casefold() if sample else None
            if key in seen:
                wrong.append(f"column slide: '{sample.slide}' stands in row {seen[key]} already")
            elif key:
                seen[key] = row
            problems += [f"row {row}, {line}" for line in wrong]
            samples.append(sample)
        if not samples:
            problems.append(
                "no rows: add one line per slide, or give the configuration of your run, which names your sheet "
                '(`slides:`): --configfile FILE, with make ARGS="--configfile FILE" (the demo\'s is config/demo.yaml)'
            )
    if problems:
        count = f"{len(problems)} problem{'s' * (len(problems) > 1)}"
        raise ClusterfirstError("\n  ".join([f"sample sheet {path} has {count}:", *problems]))
    return samples


def _separated(text: str) -> tuple[str, str]:
    """Return the sheet without Excel's line ``sep=;``, which counts as no row there, and its separator."""
    first, _, rest = text.partition("\n")
    if said := re.fullmatch(r'"?sep=([^"\r])"?[,;\t]*\r?', first, flags=re.IGNORECASE):
        return rest, said[1]
    return text, max(",;\t", key=first.count)


def _is_file(name: str) -> bool:
    return Path(name).is_file()


def _header_problems(header: list[str], schema: dict) -> Iterator[str]:
    known = schema["properties"]
    for name in schema["required"]:
        if name not in header:
            yield f"row 1: column '{name}' is missing (the header has: {', '.join(header) or 'nothing'})"
    for name in header:
        # Columns of one's own (stain, scanner, …) are welcome; a misspelt one would silently do nothing.
        if name not in known and (near := difflib.get_close_matches(name.casefold(), known, n=1, cutoff=0.75)):
            yield f"row 1: unknown column '{name}'; did you mean '{near[0]}'?"
        if name and header.count(name) > 1:
            yield f"row 1: column '{name}' appears more than once"


def _finite(text: str) -> float:
    """NaN would pass any minimum and maximum."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


@dataclass
class _RowCheck:
    header: list[str]
    schema: dict
    exists: Callable[[str], bool]

    def __call__(self, cells: list[str]) -> tuple[Sample | None, list[str]]:
        """Return the row as a `Sample` (None if it has no usable id) and what is wrong with it."""
        from jsonschema import Draft202012Validator

        wrong = []
        if len(cells) > len(self.header):
            wrong.append(f"{len(cells)} cells for {len(self.header)} columns: quote a cell that holds the separator")
        row: dict[str, Any] = {
            name: text for name, cell in zip(self.header, cells, strict=False) if (text := cell.strip())
        }
        if "mpp" in row:
            text = row.pop("mpp")
            try:
                row["mpp"] = _finite(text)
            except ValueError:
                wrong.append(f"column mpp: '{text}' is not a number (µm per pixel, with a decimal point)")
        row, unclear = paths.in_document(row, self.schema)
        wrong += [f"column {line}" for line in unclear]
        for error in Draft202012Validator(self.schema).iter_errors(row):
            column = str(error.path[0]) if error.path else error.message.split("'")[1]
            wrong.append(f"column {column}: {'is empty' if error.validator == 'required' else in_words(error)}")
        for column in ("path", "objects", "truth"):
            unknown = any(line.startswith(f"{column}:") for line in unclear)
            if column in row and not unknown and not self.exists(row[column]):
                check_names([row[column]])
                what = "a folder, not a file:" if Path(row[column]).is_dir() else "no file"
                wrong.append(f"column {column}: {what} {row[column]} (relative to {Path.cwd()})")
        if "slide" not in row:
            return None, wrong
        if row["slide"].casefold() in RESERVED:
            wrong.append(f"column slide: '{row['slide']}' is the name of a folder of the workflow's own")
        known = {field.name: row.get(field.name) for field in fields(Sample)}
        return Sample(**known), wrong
