"""What the labelling app exports of a slide: one JSON file for each time somebody pressed Export, never changed.

``results/<slide>/labels/2026-11-21T19-45-30.123Z.json``: ``cells`` are classes by cell id, as `given.by_id` reads
them, each with its ``source`` (see `SOURCES`) and ``who``; ``classes`` have colours; ``cells_sha256`` says which cells
the ids mean (`objects.fingerprint`), ``leaves_sha256`` in which fine clusters they were.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from .io import ClusterfirstError

SOURCES = ("cluster", "reviewed", "exception")
"""How a label came about: the name of the cell's cluster; the same, and somebody looked at the cell and found it right;
said of the cell itself."""

_NAME = re.compile(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}Z\.json")
# No colons: they cannot be in names of files everywhere.
_TIME = "%Y-%m-%dT%H-%M-%S"


@dataclass(frozen=True)
class Exported:
    """Labels of a slide's n cells.

    Attributes
    ----------
    file : str
        Name of the file.
    facts : dict
        What stands beside the cells: ``time``, ``who`` (exported), ``clustering``, ``cells_sha256``, ….
    classes : list of dict
        ``name``, ``colour``; every class that a cell has is among them.
    label, source, who : numpy.ndarray
        n of str, or None: class; how it came about; who said so. A cell that was explicitly given no label has a
        source and no class.
    """

    file: str
    facts: dict
    classes: list[dict]
    label: np.ndarray
    source: np.ndarray
    who: np.ndarray


def stem(time: datetime) -> str:
    """Return the name of an export without suffix; names sort as times do."""
    time = time.astimezone(UTC)
    return f"{time:{_TIME}}.{time.microsecond // 1000:03}Z"


def next_stem(folder: str | os.PathLike, now: datetime) -> str:
    """Return a name after all that there are: a clock that was set back must not make the latest labels older ones."""
    last = newest(folder)
    if last:
        seconds, milliseconds = last.name.removesuffix("Z.json").split(".")
        before = datetime.strptime(seconds, _TIME).replace(tzinfo=UTC, microsecond=1000 * int(milliseconds))
        now = max(now, before + timedelta(milliseconds=1))
    return stem(now)


def newest(folder: str | os.PathLike) -> Path | None:
    """Return the latest export of a ``labels`` folder, None if there is none. Other files there do not count."""
    try:
        names = [name for name in os.listdir(folder) if _NAME.fullmatch(name)]
    except (FileNotFoundError, NotADirectoryError):
        return None
    return Path(folder, max(names)) if names else None


def leaves_sha256(leaf_id: np.ndarray) -> str:
    """Say in which fine clusters cells are."""
    return hashlib.sha256(np.ascontiguousarray(leaf_id, "<i4").tobytes()).hexdigest()


def read(path: str | os.PathLike, count: int, *, cells_sha256: str) -> Exported:
    """Read an export.

    Parameters
    ----------
    path
        The file.
    count
        Number of cells of the slide.
    cells_sha256
        Of these cells: labels of others mean nothing.

    Raises
    ------
    ClusterfirstError
        The file is damaged, no export, or about other cells.
    """
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
        facts = {key: value for key, value in document.items() if key not in ("cells", "classes")}
        labelled_sha256 = facts["cells_sha256"]
        classes = [{"name": entry["name"], "colour": entry["colour"]} for entry in document["classes"]]
        rows = [(row["cell_id"], row["class"], row["source"], row["who"]) for row in document["cells"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ClusterfirstError(
            f"labels {path} cannot be read as an export of the labelling app: {error!r}. Export again, or move the "
            "file away; the one before it counts then"
        ) from error
    if labelled_sha256 != cells_sha256:
        raise ClusterfirstError(
            f"labels {path} are of other cells: the slide was segmented again since, and cell ids mean other cells "
            "now. Name clusters anew and export (or, in the labelling app, import a GeoJSON of the old labels, which "
            "are matched by overlap); or move the file away"
        )
    # Not above: planning looks for exports, and needs nothing of what reads outlines.
    from .given import by_id

    label = by_id.checked([row[:2] for row in rows], path, count)
    missing = set(label[label != None]) - {entry["name"] for entry in classes}  # noqa: E711 (element by element)
    if missing:
        raise ClusterfirstError(f"labels {path}: classes without a colour: {', '.join(sorted(missing))}")
    source, who = np.full(count, None), np.full(count, None)
    for cell, _, how, person in rows:
        source[int(cell)], who[int(cell)] = how, person
    return Exported(Path(path).name, facts, classes, label, source, who)
