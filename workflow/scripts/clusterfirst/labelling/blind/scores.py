"""How well clusters agree with what a person said blind. What is counted is counted by `evaluation`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...evaluation import clusters, hungarian, pooled
from ...evaluation.clusters import HEADLINE, NAMES
from ...evaluation.truth import Truth
from ..cells.group import Group
from .tiles import Tiles

_REPLICATES = 200


def score(group: Group, tiles: Tiles, name: np.ndarray) -> dict:
    """Compare clusters, as the workflow made them, with the classes of some cells.

    Parameters
    ----------
    group, tiles
        All cells.
    name
        Per cell of the group its class, or None where nobody said: object.

    Returns
    -------
    dict
        ``cells`` and ``slides`` with a class; ``classes``, ascending; ``agreement``, the clusters assigned to classes
        tile by tile: ``value``, ``low``, ``high``, ``one_cluster``, ``shuffled`` (see `hungarian.Tiles`);
        ``efficiency``: after ``names`` names (None: all) ``value`` and ``shuffled``; ``majority`` and
        ``majority_class``; ``units``: clusters there are to name on these slides; ``confusion``: ``tile`` and
        ``named`` (after `HEADLINE` names), rows by true class, the last column for cells that are called nothing;
        ``called``: per cell with a class, in the order of rows, what its cluster is called in its tile (−1: nothing).
        Fractions are None without cells.
    """
    counts = _counts(group, tiles, name)
    # A slide that was clustered alone is a group of its own name, which is the group's id.
    summary = pooled.summarise(counts, dict.fromkeys(counts, group.info.id), replicates=_REPLICATES)
    figures, units = summary.figures, summary.units
    label, called = _called(group, tiles, name, summary.classes)
    in_all = units.table.sum(axis=0) + units.noise_table.sum(axis=0)
    return {
        "cells": units.judged,
        "slides": len(counts),
        "classes": list(summary.classes),
        "agreement": {
            **figures["hungarian_tile"]._asdict(),
            "one_cluster": figures["hungarian_tile_one_cluster"].value,
            "shuffled": figures["hungarian_tile_shuffled"].value,
        },
        "efficiency": [
            {
                "names": names,
                "value": figures[f"efficiency_{names or 'all'}"].value,
                "shuffled": figures[f"efficiency_{names or 'all'}_shuffled"].value,
            }
            for names in (*NAMES, None)
            if names is None or names < len(units.size)
        ],
        "majority": figures["majority"].value,
        "majority_class": summary.classes[int(in_all.argmax())] if units.judged else None,
        "units": len(units.size),
        "confusion": {
            "tile": confusion(label, called, len(summary.classes)).tolist(),
            "named": units.confusion(HEADLINE).tolist(),
        },
        "called": called.tolist(),
    }


def confusion(label: np.ndarray, called: np.ndarray, classes: int) -> np.ndarray:
    """Count cells by their class (rows) and what they are called (columns, the last for −1)."""
    table = np.zeros((classes, classes + 1), np.int64)
    np.add.at(table, (label, called), 1)  # −1 is the last
    return table


def agreement(one: np.ndarray, other: np.ndarray) -> dict:
    """Compare two people.

    Parameters
    ----------
    one, other
        Per cell the class that each said, or None.

    Returns
    -------
    dict
        ``cells`` that both named, ``same``: how many of them alike, ``kappa``: Cohen's, None where chance alone would
        have them agree on all.
    """
    both = np.array([a is not None and b is not None for a, b in zip(one, other, strict=True)], bool)
    a, b = one[both].astype(str), other[both].astype(str)
    if not len(a) or len(np.unique(np.concatenate([a, b]))) == 1:
        return {"cells": len(a), "same": len(a), "kappa": None}
    from sklearn.metrics import cohen_kappa_score

    return {"cells": len(a), "same": int((a == b).sum()), "kappa": float(cohen_kappa_score(a, b))}


def names(name: np.ndarray, code: np.ndarray, words: list[str]) -> dict:
    """Compare what cells are called in the labelling app with what the person said blind.

    Parameters
    ----------
    name
        Per cell the class, or None.
    code, words
        Per cell its label, and what labels are called (see `Session.labels_now`); below 1 there is none.

    Returns
    -------
    dict
        ``cells`` with a class, how many of them are ``named``, and how many of these ``right``.
    """
    labelled = np.flatnonzero([word is not None for word in name])
    named = labelled[code[labelled] > 0]
    right = sum(words[label] == word for label, word in zip(code[named].tolist(), name[named], strict=True))
    return {"cells": len(labelled), "named": len(named), "right": int(right)}


def _counts(group: Group, tiles: Tiles, name: np.ndarray) -> Mapping[str, clusters.Counts]:
    """Of the slides that have cells with a class."""
    counts, clusters_of = {}, cluster_id(group)
    for slide, rows in group.info.spans():
        if any(word is not None for word in name[rows]):
            truth = Truth("labels", name[rows], {})
            counts[slide.id] = clusters.count(clusters_of[rows], truth, tiles.of_cell[rows])
    return counts


def cluster_id(group: Group) -> np.ndarray:
    """Return each cell's cluster as the workflow made it, 0 to K − 1; −1 is noise."""
    number = np.unique(group.leaves.start, return_inverse=True)[1]
    return np.append(number, -1)[group.leaves.of_cell]


def _called(group: Group, tiles: Tiles, name: np.ndarray, classes: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    labelled = np.flatnonzero([word is not None for word in name])
    if not len(labelled):
        return np.empty(0, int), np.empty(0, int)
    label = np.searchsorted(classes, name[labelled].astype(str))
    places = np.stack([group.slide[labelled].astype(int), tiles.of_cell[labelled]])
    tile = np.unique(places, axis=1, return_inverse=True)[1].ravel()
    return label, hungarian.called(cluster_id(group)[labelled], label, tile)
