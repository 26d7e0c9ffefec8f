"""Labels written to files, for the workflow and for QuPath.

An export is a snapshot with a name of its own, in the ``labels`` folder of every slide of the group (`labels.people`
has its form). Nothing is ever written over it; the workflow takes the latest. Journals remain what labels live in.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ...clustering.numbering import fingerprint
from ...export import qupath
from ...io import ClusterfirstError, atomic_all, sync_folder
from ...labels import people
from ...labels.join import ROWS
from ...outlines import objects
from ..cells.group import Group
from ..cells.results import SlideInfo
from ..record.journal import stamp
from ..record.labels import Labels, current
from .session import Session, Stale

_naming = threading.Lock()
"""Two who export at once get two names."""


def export_labels(session: Session, who: str) -> list[Path]:
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
        for part, (slide, rows) in zip(files.parts, group.info.spans(), strict=True):
            facts = {
                "slide": slide.id,
                "group": group.info.id,
                "time": stamp(files.time),
                "who": who,
                "seq": labels.seq,
                "clustering": group.fingerprint,
                "cells_sha256": group.cells_sha256(rows),
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


def _said(session: Session) -> Labels:
    if not session.history.seq:
        raise ClusterfirstError("there is nothing to export yet: name a cluster first")
    return session.look(current)


def _folder(slide: SlideInfo) -> Path:
    folder = slide.folder.labels
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise ClusterfirstError(f"{folder} is no folder of its own: move it away")
    return folder


def _cells(group: Group, labels: Labels, rows: slice) -> Iterator[str]:
    facts = (values[rows].tolist() for values in (group.cell_id, labels.label, labels.source, labels.who))
    places = (np.round(values[rows].astype(float), 1).tolist() for values in (group.x, group.y))
    for cell, name, source, who, x, y in zip(*facts, *places, strict=True):
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
        for part, (slide, rows) in zip(files.parts, group.info.spans(), strict=True):
            cells = pa.table(
                {
                    "geometry": outlines(slide, group, rows),
                    "label": pa.array(labels.label[rows], pa.string()),
                    "cell_id": group.cell_id[rows],
                    "confidence": group.confidence[rows],
                }
            )
            qupath.write(part, cells.to_batches(ROWS), colours, origin=slide.facts.origin)
    return files.paths


def outlines(slide: SlideInfo, group: Group, rows: slice) -> pa.ChunkedArray:
    """Read the outlines of a slide's cells, as WKB.

    Raises
    ------
    Stale
        The slide was segmented again meanwhile.
    """
    table = pq.ParquetFile(slide.folder.cells).read(columns=["geometry", "x", "y", "cell_id"])
    there = objects.fingerprint(*(table[name].to_numpy() for name in ("x", "y", "cell_id")))
    if there != group.cells_sha256(rows):
        raise Stale(f"slide {slide.id} was segmented again since the app started: run the workflow, and start it again")
    return table["geometry"]
