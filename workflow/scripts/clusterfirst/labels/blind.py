"""What people said of cells without seeing clusters: ``results/<slide>/labels/blind/<time>.json``, from the app.

Each file holds all finished batches of a person: ``cells`` are classes by cell id, as `labels.by_cell_id` reads them;
``blind`` says of which slide, by whom, when, and which cells the ids mean (``cells_sha256``).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ..io import ClusterfirstError, read_json
from . import by_cell_id

FOLDER = "blind"


def files(labels: str | os.PathLike) -> list[Path]:
    """Return the files beside a slide's exports, the oldest first."""
    return sorted(Path(labels, FOLDER).glob("*.json"))


def read(
    paths: Sequence[str | os.PathLike], counts: Mapping[str, int], cells_sha256: Mapping[str, str]
) -> dict[str, dict[str, np.ndarray]]:
    """Read the latest answers of each person.

    Parameters
    ----------
    paths
        Files, of any of the slides.
    counts
        Cells of each slide.
    cells_sha256
        Of these cells: ids of others mean nothing.

    Returns
    -------
    dict of str to dict of str to numpy.ndarray
        By slide and person, the class of each cell, or None.

    Raises
    ------
    ClusterfirstError
        A file is damaged, of no such slide, or about other cells.
    """
    latest: dict[tuple[str, str], tuple[str, str, Path]] = {}
    for path in map(Path, paths):
        try:
            about = read_json(path)["blind"]
            slide, who, time = (str(about[key]) for key in ("slide", "who", "time"))
            meant = about.get("cells_sha256")
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ClusterfirstError(
                f"answers {path} cannot be read as blind answers of the labelling app: {error!r}. Move the file away"
            ) from error
        if slide not in counts or meant != cells_sha256[slide]:
            raise ClusterfirstError(
                f"answers {path} do not say that they are of these cells of slide {slide}: it was segmented again "
                "since, or an earlier version wrote them. Write your answers again in the labelling app, or move the "
                "file away"
            )
        if (time, path.name) > latest.get((slide, who), ("", ""))[:2]:
            latest[slide, who] = (time, path.name, path)
    found: dict[str, dict[str, np.ndarray]] = {slide: {} for slide in counts}
    for (slide, who), (*_, path) in sorted(latest.items()):
        found[slide][who] = by_cell_id.read(path, counts[slide])
    return found
