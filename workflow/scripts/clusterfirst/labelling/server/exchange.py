"""Labels as files: exported for the workflow and for QuPath, and imported from QuPath.

An export is a snapshot with a name of its own, in the ``labels`` folder of every slide of the group (`labelled`
has its form). Nothing is ever written over it; the workflow takes the latest. Journals remain what labels live in.
"""

from __future__ import annotations

import json
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely

from ...clustering import palette
from ...clustering.numbering import fingerprint
from ...evaluation import truth
from ...export import qupath
from ...io import ClusterfirstError, atomic_all, sync_folder
from ...labels import by_cell_id, people
from ...labels.join import ROWS
from ...outlines import foreign, objects
from ..cells.results import Group, SlideInfo
from ..record import ranges
from ..record.history import History
from ..record.journal import stamp
from ..record.leaves import Leaves
from ..record.state import NONE, State
from .session import Session, Stale

_naming = threading.Lock()
"""Two who export at once get two names."""


@dataclass(frozen=True)
class Labels:
    """Labels of all cells of a group at one moment.

    Attributes
    ----------
    seq : int
        The last action.
    classes : list of dict
        ``name``, ``colour``.
    label, source, who : numpy.ndarray
        n objects: class or None; one of `people.SOURCES`, or None where nobody said anything; who said so.
    """

    seq: int
    classes: list[dict]
    label: np.ndarray
    source: np.ndarray
    who: np.ndarray


def current(history: History) -> Labels:
    """Say of every cell what it is called, how that came about, and who said so."""
    leaves, state = history.leaves, history.state
    code = state.labels(leaves)
    own = state.exception != NONE
    confirmed = ~own & (code != NONE) & (state.confirmed == code)
    source = np.full(len(code), None)
    for chosen, word in zip((~own & (code != NONE), confirmed, own), people.SOURCES, strict=True):
        source[chosen] = word
    words = np.array([None, None, *state.words[1:]], object)  # NONE and UNLABELLED are no class
    return Labels(history.seq, state.all_classes(), words[code + 1], source, _people(history, own, code != NONE))


def _people(history: History, own: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Who last named each cell's leaf, or, of an exception, who last said something of the cell itself."""
    names = list(dict.fromkeys(entry.who for entry in history.entries))
    of_leaf, of_cell = np.full(len(history.leaves) + 1, -1), np.full(len(own), -1)
    for entry, change in history.in_force():
        if entry.action["do"] == "confirm":
            continue
        of_leaf[list(change.names)] = of_cell[change.rows] = names.index(entry.who)
    author = np.where(own, of_cell, of_leaf[history.leaves.of_cell])
    return np.array([*names, None], object)[np.where(known, author, -1)]


def export(session: Session, who: str) -> list[Path]:
    """Write the labels of every slide of a group.

    Returns
    -------
    list of pathlib.Path
        The files.

    Raises
    ------
    ClusterfirstError
        There is nothing to write, or it could not be written.
    """
    group, labels = session.group, _said(session)
    with _together(group, ".json") as files:
        for part, (slide, rows) in zip(files.parts, _slides(group), strict=True):
            facts = {
                "slide": slide.id,
                "group": group.info.id,
                "time": stamp(files.time),
                "who": who,
                "seq": labels.seq,
                "clustering": group.fingerprint,
                "cells_sha256": _cells_sha256(group, rows),
                "leaves_sha256": fingerprint(group.leaves.of_cell[rows]),
                "classes": labels.classes,
                "counts": dict(Counter(name for name in labels.label[rows] if name is not None)),
            }
            _write(part, facts, _cells(group, labels, rows))
    return files.paths


class _Files(NamedTuple):
    """One per slide of a group: what they will be called, and where they are written."""

    time: datetime
    paths: list[Path]
    parts: list[Path]


@contextmanager
def _together(group: Group, suffix: str) -> Iterator[_Files]:
    """Write a file per slide, under names that none has had. They appear together, or not at all."""
    now, folders = datetime.now(UTC), [_folder(slide) for slide in group.info.slides]
    with _naming:
        stems = [people.next_stem(folder, now) if suffix == ".json" else people.stem(now) for folder in folders]
        paths = [folder / f"{stem}{suffix}" for folder, stem in zip(folders, stems, strict=True)]
        try:
            with atomic_all(paths) as parts:
                yield _Files(now, paths, parts)
            for folder in folders:
                sync_folder(folder)
        except OSError as error:
            where = error.filename or folders[0]
            raise ClusterfirstError(f"nothing was exported ({where}: {error.strerror or error})") from error


def _cells_sha256(group: Group, rows: slice) -> str:
    return objects.fingerprint(group.x[rows], group.y[rows], group.cell_id[rows])


def _said(session: Session) -> Labels:
    if not session.history.seq:
        raise ClusterfirstError("there is nothing to export yet: name a cluster first")
    return session.look(current)


def _slides(group: Group) -> Iterator[tuple[SlideInfo, slice]]:
    starts = group.info.starts
    for slide, start, end in zip(group.info.slides, starts, starts[1:], strict=False):
        yield slide, slice(start, end)


def _folder(slide: SlideInfo) -> Path:
    folder = slide.masks.parent / "labels"
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise ClusterfirstError(f"{folder} is no folder of its own: move it away")
    return folder


def _cells(group: Group, labels: Labels, rows: slice) -> Iterator[str]:
    known = (group.cell_id, labels.label, labels.source, labels.who)
    places = (np.round(values[rows].astype(float), 1).tolist() for values in (group.x, group.y))
    for cell, name, source, who, x, y in zip(*(values[rows].tolist() for values in known), *places, strict=True):
        if source is not None:
            row = {"cell_id": cell, "class": name, "source": source, "who": who, "x": x, "y": y}
            yield json.dumps(row, ensure_ascii=False)


def _write(path: Path, facts: dict, cells: Iterator[str]) -> None:
    head = json.dumps({"clusterfirst": "labels", "version": 1, **facts}, ensure_ascii=False, indent=1)
    with path.open("w", encoding="utf-8") as file:
        file.write(head.removesuffix("\n}") + ',\n "cells": [')
        for number, cell in enumerate(cells):
            file.write((",\n  " if number else "\n  ") + cell)
        file.write("\n ]\n}\n")


def export_qupath(session: Session) -> list[Path]:
    """Write the cells of every slide of a group as QuPath's detections, with their labels as classes.

    Returns
    -------
    list of pathlib.Path
        The files, beside the exports.

    Raises
    ------
    ClusterfirstError
        There is nothing to write; or a slide was segmented again meanwhile.
    """
    group, labels = session.group, _said(session)
    colours = {entry["name"]: entry["colour"] for entry in labels.classes}
    with _together(group, ".geojson.gz") as files:
        for part, (slide, rows) in zip(files.parts, _slides(group), strict=True):
            cells = pa.table(
                {
                    "geometry": _outlines(slide, group, rows),
                    "label": pa.array(labels.label[rows], pa.string()),
                    "cell_id": group.cell_id[rows],
                    "confidence": group.confidence[rows],
                }
            )
            qupath.write(part, cells.to_batches(ROWS), colours)
    return files.paths


def _outlines(slide: SlideInfo, group: Group, rows: slice) -> pa.ChunkedArray:
    table = pq.ParquetFile(slide.masks).read(columns=["geometry", "x", "y", "cell_id"])
    there = objects.fingerprint(*(table[name].to_numpy() for name in ("x", "y", "cell_id")))
    if there != _cells_sha256(group, rows):
        raise Stale(f"slide {slide.id} was segmented again since the app started: run the workflow, and start it again")
    return table["geometry"]


def told_by(data: bytes, slide: SlideInfo, group: Group, rows: slice) -> tuple[np.ndarray, int, dict[str, str]]:
    """Find out what an uploaded file says of a slide's cells.

    Parameters
    ----------
    data
        GeoJSON with classes (outlines or points of single cells, see `evaluation.truth`), or an export of labels.
    slide, group, rows
        Whose cells.

    Returns
    -------
    names : numpy.ndarray
        Per cell of the slide its class, or None.
    missed : int
        Classified objects that meet no cell.
    colours : dict
        Of classes, as far as the file says.

    Raises
    ------
    ClusterfirstError
        The file cannot be read, or belongs to other cells.
    """
    polygons = shapely.from_wkb(_outlines(slide, group, rows).to_numpy())
    with ExitStack() as stack:
        try:
            path = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="clusterfirst-")), "import.json")
            path.write_bytes(data)
        except OSError as error:
            raise ClusterfirstError(
                f"the file could not be read: there is no room for it in the temporary folder ({error.strerror}). "
                "Make room there, or set TMPDIR to another folder, and start the app again"
            ) from error
        try:
            if by_cell_id.holds_labels(path):
                return _told_by_export(path, polygons, slide, _cells_sha256(group, rows))
            told = truth.read(path, polygons, width=slide.width, height=slide.height, mpp=slide.mpp)
            return told.name, sum(told.missed.values()), foreign.class_colours(path)
        except RecursionError:
            raise ClusterfirstError("the file cannot be read: it is nested too deeply for GeoJSON") from None
        except ClusterfirstError as error:
            raise ClusterfirstError(str(error).replace(str(path), "in the file")) from error


def _told_by_export(
    path: Path, polygons: np.ndarray, slide: SlideInfo, cells_sha256: str
) -> tuple[np.ndarray, int, dict[str, str]]:
    """Take labels by cell id, or by place if the slide was segmented again since."""
    facts, classes, points, names = people.read_places(path)
    colours = {entry["name"]: entry["colour"] for entry in classes}
    if facts["slide"] != slide.id:
        raise ClusterfirstError(f"the file has labels of slide {facts['slide']}, not of {slide.id}")
    if facts["cells_sha256"] == cells_sha256:
        return people.read(path, len(polygons), cells_sha256=cells_sha256).label, 0, colours
    told = truth.assign(polygons, shapely.points(points), names, mpp=slide.mpp)
    return told.name, sum(told.missed.values()), colours


def imported(names: np.ndarray, start: int, colours: dict[str, str], state: State, leaves: Leaves) -> dict | None:
    """Return the action that gives cells imported labels, as exceptions; None if all have them already.

    Cells that are called so anyway stay as they are: else, of a file that went to QuPath and back, every cell would
    become an exception, which no name of a cluster could change any more.

    Parameters
    ----------
    names
        Per cell of the slide its class, or None where the file says nothing.
    start
        The slide's first row.
    colours
        ``#rrggbb`` of classes, as far as known.
    state, leaves
        How things stand.
    """
    code = state.labels(leaves, slice(start, start + len(names)))
    words = np.array([None, None, *state.words[1:]], object)
    new = (names != None) & (names != words[code + 1])  # noqa: E711 (element by element)
    if not new.any():
        return None
    wanted = sorted(set(names[new]))
    known = [entry["name"] for entry in state.all_classes()]
    missing = [name for name in wanted if name not in known]
    return {
        "do": "labels",
        "source": "imported file",
        "classes": [
            {"name": name, "colour": colours.get(name) or palette.colour(len(known) + place)}
            for place, name in enumerate(missing)
        ],
        "names": [],
        "cells": [
            {"class": name, "rows": ranges.encode(start + np.flatnonzero(new & (names == name)))} for name in wanted
        ],
    }


def take_in(session: Session, who: str, slide: SlideInfo, data: bytes) -> dict:
    """Import labels of a slide, as one action that can be undone.

    Returns
    -------
    dict
        ``message``, ``cells`` (whose label has changed), ``same`` (that had theirs already), ``missed`` (objects of the
        file that are no cell).

    Raises
    ------
    ClusterfirstError
        See `told_by`; or a class has a name that cannot be.
    """
    group = session.group
    rows = {member.id: rows for member, rows in _slides(group)}[slide.id]
    names, missed, colours = told_by(data, slide, group, rows)
    told = int((names != None).sum())  # noqa: E711 (element by element)
    if not told and missed:
        raise ClusterfirstError(
            f"none of the {missed:,} classified objects in the file is a cell of slide {slide.id}: is it of another "
            "slide, or does it outline regions? Regions are named with the lasso"
        )
    if not told:
        raise ClusterfirstError("nothing in the file has a class: classify objects in QuPath, then export them")
    action = {}

    def make(history: History) -> dict | None:
        action.update(imported(names, rows.start, colours, history.state, history.leaves) or {})
        return action or None

    session.derive(who, str(uuid4()), make)
    changed = sum(len(ranges.decode(entry["rows"], len(group))) for entry in action.get("cells", []))
    counts = {"cells": changed, "same": told - changed, "missed": missed}
    return {**counts, "message": _message(**counts)}


def _message(*, cells: int, same: int, missed: int) -> str:
    parts = [f"{cells:,} cells have a new label." if cells != 1 else "1 cell has a new label."]
    if same:
        parts.append(f"{same:,} had theirs already.")
    if missed:
        parts.append(f"Objects of the file that are no cell here: {missed:,}.")
    return " ".join(parts)
