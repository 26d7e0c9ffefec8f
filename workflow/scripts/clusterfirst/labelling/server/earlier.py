"""Labels of clusterings that were: kept under their fingerprints, and carried over cell by cell."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from ...io import ClusterfirstError
from ..record import journal, ranges
from ..record.history import History
from ..record.leaves import SHORT, Leaves
from ..record.state import NONE, UNLABELLED

log = logging.getLogger(__name__)


def journal_path(folder: Path, fingerprint: str) -> Path:
    """Return where the journal of a clustering is."""
    return folder / f"journal-{fingerprint[:SHORT]}.jsonl"


def leaves_path(folder: Path, fingerprint: str) -> Path:
    """Return where the leaves of a clustering are kept: its journal means nothing without them."""
    return folder / f"leaves-{fingerprint[:SHORT]}.npz"


def others(folder: Path, leaves: Leaves) -> list[dict]:
    """List the labels of other clusterings, the newest first.

    Returns
    -------
    list of dict
        ``fingerprint``, ``actions``, ``time`` (of the last), ``who`` (everybody), and ``same_cells``: whether they can
        be carried over.
    """
    entries = []
    for path in folder.glob("journal-*.jsonl"):
        try:
            header, actions = journal.read(path)
        except (ClusterfirstError, OSError) as error:
            log.warning("labels of an older clustering are left aside: %s", error)
            continue
        if header is None or not actions or header["fingerprint"] == leaves.fingerprint:
            continue
        entries.append(
            {
                "fingerprint": header["fingerprint"],
                "actions": len(actions),
                "time": actions[-1].time,
                "who": sorted({entry.who for entry in actions}),
                "same_cells": header["cells"] == leaves.cells and leaves_path(folder, header["fingerprint"]).exists(),
            }
        )
    return sorted(entries, key=lambda entry: entry["time"], reverse=True)


def carried(folder: Path, fingerprint: str, leaves: Leaves) -> dict:
    """Return the action (see `actions`) that gives today's cells the labels that they had.

    A leaf most of whose cells had one label takes it as its name. Cells that had another keep that as exceptions, and
    so do cells of leaves without such a majority. Cells that had none take their leaf's name, if it has one now; those
    that were explicitly without label stay so.

    Raises
    ------
    ClusterfirstError
        The earlier journal or its leaves are damaged, of other cells, or hold no label.
    """
    try:
        before = Leaves.load(leaves_path(folder, fingerprint))
    except (OSError, ValueError, KeyError) as error:
        raise ClusterfirstError(f"labels of clustering {fingerprint[:SHORT]}: its leaves are lost ({error})") from error
    if before.cells != leaves.cells:
        raise ClusterfirstError("cells were segmented anew since these labels were made: they cannot be carried over")
    past = History(before)
    for entry in journal.read(journal_path(folder, fingerprint))[1]:
        past.add(entry)
    labels, words = past.state.labels(before), past.state.words
    if not (labels != NONE).any():
        raise ClusterfirstError("there is no label to carry over")
    name = _majority(labels, leaves, len(words))
    inherited = np.append(name, NONE)[leaves.of_cell]
    exception = np.where((labels != NONE) & (labels != inherited), labels, NONE)
    return {
        "do": "labels",
        "source": f"clustering {fingerprint[:SHORT]}",
        "classes": past.state.all_classes(),
        "names": [
            {"class": words[code], "leaves": np.flatnonzero(name == code).tolist()}
            for code in np.unique(name[name != NONE]).tolist()
        ],
        "cells": [
            {"class": words[code], "rows": ranges.encode(np.flatnonzero(exception == code))}
            for code in np.unique(exception[exception != NONE]).tolist()
        ],
    }


def _majority(labels: np.ndarray, leaves: Leaves, words: int) -> np.ndarray:
    """Return the code that more than half of each leaf's cells have, or `NONE`."""
    counted = (leaves.of_cell >= 0) & (labels > UNLABELLED)
    votes = np.zeros((len(leaves), words), np.int64)
    np.add.at(votes, (leaves.of_cell[counted], labels[counted]), 1)
    best = votes.argmax(axis=1) if words else np.zeros(len(leaves), int)
    return np.where(2 * votes.max(axis=1, initial=0) > leaves.sizes, best, NONE)
