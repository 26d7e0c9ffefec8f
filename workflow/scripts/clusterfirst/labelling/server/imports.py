"""Labels taken in from files: classified objects from QuPath, or an export."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from uuid import uuid4

import numpy as np
import shapely

from ...clustering import palette
from ...evaluation import truth
from ...evaluation.truth import Truth
from ...io import ClusterfirstError
from ...labels import by_cell_id, people
from ...outlines import foreign
from ..cells.group import Group
from ..cells.results import SlideInfo
from ..record import ranges
from ..record.history import History
from ..record.leaves import Leaves
from ..record.state import State
from .exports import outlines
from .session import Session

_GIVEN = {"geojson_origin": "bounds", "objects_of": "nucleus", "max_lost": 0.1, "min_median_um2": 0}
"""The app opens results without their configuration. Whoever imports sees at once what is labelled, and can undo it."""


def read(data: bytes, slide: SlideInfo, group: Group, rows: slice) -> tuple[Truth, dict[str, str]]:
    """Find out what an uploaded file says of a slide's cells.

    Parameters
    ----------
    data
        GeoJSON with classes (outlines or points of single cells, or regions, see `evaluation.truth`), or an export of
        labels.
    slide, group, rows
        Whose cells.

    Returns
    -------
    told : Truth
        What each cell of the slide is called, and what meets no cell.
    colours : dict
        Of classes, as far as the file says.

    Raises
    ------
    ClusterfirstError
        The file cannot be read, or belongs to other cells.
    """
    polygons = shapely.from_wkb(outlines(slide, group, rows).to_numpy())
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
                return _read_export(path, polygons, slide, group.cells_sha256(rows))
            told = truth.read(path, polygons, slide.facts, given=_GIVEN)
            return told, foreign.class_colours(path)
        except RecursionError:
            raise ClusterfirstError("the file cannot be read: it is nested too deeply for GeoJSON") from None
        except ClusterfirstError as error:
            raise ClusterfirstError(str(error).replace(str(path), "in the file")) from error


def _read_export(path: Path, polygons: np.ndarray, slide: SlideInfo, cells: str) -> tuple[Truth, dict[str, str]]:
    """Take labels by cell id, or by place if the slide was segmented again since."""
    facts, classes, points, names = people.read_places(path)
    colours = {entry["name"]: entry["colour"] for entry in classes}
    if facts["slide"] != slide.id:
        raise ClusterfirstError(f"the file has labels of slide {facts['slide']}, not of {slide.id}")
    if facts["cells_sha256"] == cells:
        return Truth("labels", people.read(path, len(polygons), cells_sha256=cells).label, {}), colours
    return truth.assign(polygons, shapely.points(points), names, mpp=slide.facts.mpp), colours


def action_of(names: np.ndarray, start: int, colours: dict[str, str], state: State, leaves: Leaves) -> dict | None:
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
    classes = [entry["name"] for entry in state.all_classes()]
    missing = [name for name in wanted if name not in classes]
    return {
        "do": "labels",
        "source": "imported file",
        "classes": [
            {"name": name, "colour": colours.get(name) or palette.colour(len(classes) + place)}
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
        file that are no cell); of a file with regions also ``tally`` (how cells came by their classes, see
        `evaluation.truth.Tally`).

    Raises
    ------
    ClusterfirstError
        See `read`; or a class has a name that cannot be.
    """
    group = session.group
    rows = {member.id: rows for member, rows in group.info.spans()}[slide.id]
    told, colours = read(data, slide, group, rows)
    names, missed, tally = told.name, sum(told.missed.values()), told.tally
    classified = int((names != None).sum())  # noqa: E711 (element by element)
    if not classified and (missed or not tally.is_plain):
        objects = missed + tally.regions + tally.unnamed
        raise ClusterfirstError(
            f"none of the {objects:,} classified objects in the file is a cell of slide {slide.id}, or a region that "
            "says what its cells are: is it of another slide? Regions can also be named with the lasso. "
            + " ".join([*_corner(told, slide), *tally.sentences()])
        )
    if not classified:
        raise ClusterfirstError("nothing in the file has a class: classify objects in QuPath, then export them")
    action = {}

    def make(history: History) -> dict | None:
        action.update(action_of(names, rows.start, colours, history.state, history.leaves) or {})
        return action or None

    session.derive(who, str(uuid4()), make)
    changed = sum(len(ranges.decode(entry["rows"], len(group))) for entry in action.get("cells", []))
    counts = {"cells": changed, "same": classified - changed, "missed": missed}
    message = " ".join([_message(**counts), *tally.sentences(), *_corner(told, slide)])
    return {**counts, "message": message, **({} if tally.is_plain else {"tally": asdict(tally)})}


def _corner(told: Truth, slide: SlideInfo) -> list[str]:
    """Say where coordinates begin, where that may be in doubt."""
    if not told.begins.known:
        return []
    scanned = ", where the scanned part of the slide does, as in QuPath" if told.begins.at == slide.facts.origin else ""
    return [f"Coordinates of the file begin at {told.begins} of the slide{scanned}."]


def _message(*, cells: int, same: int, missed: int) -> str:
    parts = [f"{cells:,} cells have a new label." if cells != 1 else "1 cell has a new label."]
    if same:
        parts.append(f"{same:,} had theirs already.")
    if missed:
        parts.append(f"Objects of the file that are no cell here: {missed:,}.")
    return " ".join(parts)
