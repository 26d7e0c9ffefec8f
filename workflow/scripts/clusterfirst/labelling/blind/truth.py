"""Blind labels as a truth for ``snakemake evaluate``: classes by cell id, one file per slide."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from ...io import ClusterfirstError, atomic_all, write_json
from ...labels.blind import FOLDER
from ...labels.people import stem
from ..cells.group import Group


def write(group: Group, who: str, name: np.ndarray, sample: dict, root: Path) -> list[Path]:
    """Write ``labels/blind/<time>.json`` of every slide that has cells with a class.

    Parameters
    ----------
    group
    who
        Whose labels these are.
    name
        Per cell of the group its class, or None.
    sample
        How the cells were chosen, kept in the file.
    root
        The results folder: nothing is written outside it.

    Returns
    -------
    list of pathlib.Path

    Raises
    ------
    ClusterfirstError
        There is nothing to write, or no place.
    """
    documents, time = {}, datetime.now(UTC)
    for slide, rows in group.info.spans():
        labelled = [row for row in range(rows.start, rows.stop) if name[row] is not None]
        if not labelled:
            continue
        path = slide.folder.labels / FOLDER / f"{stem(time)}.json"
        if not path.parent.resolve().is_relative_to(root):
            raise ClusterfirstError(f"{path.parent} is a link out of the results folder: remove the link")
        cells = [{"cell_id": int(group.cell_id[row]), "class": name[row]} for row in labelled]
        about = {"slide": slide.id, "who": who, "time": time.isoformat(timespec="seconds"), "sample": sample}
        about["cells_sha256"] = group.cells_sha256(slice(rows.start, rows.stop))
        documents[path] = {"blind": about, "cells": cells}
    if not documents:
        raise ClusterfirstError("finish a batch first: only finished batches are written")
    try:
        with atomic_all([*documents]) as parts:
            for part, document in zip(parts, documents.values(), strict=True):
                write_json(document, part)
    except OSError as error:
        where = error.filename or next(iter(documents))
        raise ClusterfirstError(f"no answers were written ({where}: {error.strerror or error})") from error
    return [*documents]
