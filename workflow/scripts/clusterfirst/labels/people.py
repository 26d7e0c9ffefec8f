"""What the labelling app exports of a slide: one JSON file for each time somebody pressed Export, never changed.

``results/<slide>/labels/2026-11-21T19-45-30.123Z.json``: ``cells`` are classes by cell id, as `labels.by_cell_id` reads
them, each with its ``source`` (see `SOURCES`), ``who``, and ``x``, ``y``, by which labels can be found again once ids
mean other cells; ``classes`` have colours; ``cells_sha256`` says which cells the ids mean (`objects.fingerprint`),
``leaves_sha256`` in which fine clusters they were.
"""

from __future__ import annotations

import json
import logging
import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..io import ClusterfirstError
from . import Labels, by_cell_id

if TYPE_CHECKING:
    from ..clustering.document import Clustering

log = logging.getLogger(__name__)

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


def read(path: str | os.PathLike, count: int, *, cells_sha256: str) -> Exported:
    """Read an export.

    Parameters
    ----------
    path
        The file.
    count
        Number of cells of the slide.
    cells_sha256
        Of these cells: ids of others mean nothing.

    Raises
    ------
    ClusterfirstError
        The file is damaged, no export, or about other cells.
    """
    facts, classes, rows = _parsed(path)
    if facts["cells_sha256"] != cells_sha256:
        raise ClusterfirstError(
            f"labels {path} are of other cells: the slide was segmented again since, and cell ids mean other cells "
            "now. In the labelling app, import this file (labels are matched by place), look them over, and export; or "
            "move the file away"
        )
    label = by_cell_id.checked([(row["cell_id"], row["class"]) for row in rows], path, count)
    source, who = np.full(count, None), np.full(count, None)
    for row in rows:
        source[row["cell_id"]], who[row["cell_id"]] = row["source"], row["who"]
    return Exported(Path(path).name, facts, classes, label, source, who)


def read_labels(path: str | os.PathLike, masks: str | os.PathLike, clusters: Clustering | None) -> Labels:
    """Read what people said; see `labels.LabelSource`. Without clusters, it is not told whether they have changed."""
    # Not above: planning looks for exports, and needs nothing of what reads outlines.
    import pyarrow.parquet as pq

    from ..outlines.objects import fingerprint

    cells = pq.ParquetFile(masks).read(columns=["x", "y", "cell_id"])
    which = fingerprint(*(cells[name].to_numpy() for name in ("x", "y", "cell_id")))
    found = read(path, len(cells), cells_sha256=which)
    same = clusters is None or found.facts["leaves_sha256"] == clusters.leaves_fingerprint
    if not same:
        log.warning(
            "labels %s were made before these cells were clustered anew: labels stay with their cells, but clusters "
            "may not be those that were named",
            path,
        )
    facts = {**found.facts, "file": found.file, "classes": found.classes, "clustered_since": not same}
    nobody = np.full(len(cells), np.nan, np.float32)
    return Labels(found.label, found.source, found.who, nobody, found.classes, facts)


def read_places(path: str | os.PathLike) -> tuple[dict, list[dict], np.ndarray, np.ndarray]:
    """Read where labels are, whichever cells are there now.

    Returns
    -------
    facts, classes
        See `Exported`.
    points : numpy.ndarray
        n × 2: centroids of the cells that have a class, level-0 px.
    names : numpy.ndarray
        n classes.

    Raises
    ------
    ClusterfirstError
        The file is damaged, or no export.
    """
    facts, classes, rows = _parsed(path)
    rows = [row for row in rows if row["class"] is not None]
    points = np.array([(row["x"], row["y"]) for row in rows], float).reshape(-1, 2)
    return facts, classes, points, np.array([row["class"] for row in rows], object)


def _parsed(path: str | os.PathLike) -> tuple[dict, list[dict], list[dict]]:
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
        facts = {key: value for key, value in document.items() if key not in ("cells", "classes")}
        for needed in ("cells_sha256", "leaves_sha256", "slide"):
            facts[needed]
        classes = [{"name": entry["name"], "colour": entry["colour"]} for entry in document["classes"]]
        known = {None, *(entry["name"] for entry in classes)}
        rows = document["cells"]
        for row in rows:
            _check(row, known)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ClusterfirstError(
            f"labels {path} cannot be read as an export of the labelling app: {error!r}. Export again, or move the "
            "file away; the one before it counts then"
        ) from error
    return facts, classes, rows


def _check(row: dict, classes: set) -> None:
    if row["class"] not in classes:
        raise ValueError(f"class {row['class']!r} of cell {row['cell_id']} has no colour")
    if row["source"] not in SOURCES:
        raise ValueError(f"source {row['source']!r} of cell {row['cell_id']}")
    if type(row["cell_id"]) is not int:
        raise TypeError(f"cell id {row['cell_id']!r}")
    float(row["x"]), float(row["y"]), str(row["who"])
