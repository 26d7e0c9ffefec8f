"""What a multimodal model called the clusters of a group: ``classes.json``, written by `proposing`.

``results/<slide>/classes.json``, or ``results/groups/<name>/classes.json`` where slides share clusters::

    {"clusterfirst": "classes", "version": 1, "time": "2026-11-21T19:45:30Z",
     "model": "…", "server": "host, never a key", "prompt": {"name": "colon", "sha256": "…"},
     "clustering_sha256": "…",
     "classes": [{"name": "lymphocyte", "colour": "#0072b2", "description": "…"}],
     "clusters": [{"id": 3, "class": "lymphocyte", "share": 0.67, "views": 3,
                   "votes": [{"class": "lymphocyte", "confidence": 0.8, "rationale": "…", "cells": [7, 40],
                              "cached": false}]}],
     "cost": {"requests": 9, "prompt_tokens": 8100, "completion_tokens": 540, "cached": 0},
     "stopped": null}

Each view, a montage of some representatives (``cells``: rows of ``clusters.json``), has a vote: a class, or `UNSURE`.
The class of a cluster is the word with most votes, null for a tie and for `UNSURE`; its ``share`` is that of all
``views``, those that were not answered included. ``stopped`` says why not all were asked. ``clustering_sha256`` says
which clusters the ids mean (see `numbering.fingerprint`).
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..clustering.numbering import fingerprint
from ..io import ClusterfirstError
from . import Labels

if TYPE_CHECKING:
    from ..clustering.document import Clustering

KIND, VERSION = "classes", 1
UNSURE = "unsure"
"""What the model says when none of the classes fits; no class can be called so."""

_SHARE = {"type": "number", "minimum": 0, "maximum": 1}
_VOTE = {
    "type": "object",
    "required": ["class", "confidence", "rationale", "cells", "cached"],
    "properties": {
        "class": {"type": "string"},
        "confidence": _SHARE,
        "rationale": {"type": "string"},
        "cells": {"type": "array", "items": {"type": "integer", "minimum": 0}},
        "cached": {"type": "boolean"},
    },
}
_CLUSTER = {
    "type": "object",
    "required": ["id", "class", "share", "views", "votes"],
    "properties": {
        "id": {"type": "integer", "minimum": 0},
        "class": {"type": ["string", "null"]},
        "share": _SHARE,
        "views": {"type": "integer", "minimum": 0},
        "votes": {"type": "array", "items": _VOTE},
    },
}
_CLASS = {
    "type": "object",
    "required": ["name", "colour"],
    "properties": {
        "name": {"type": "string", "minLength": 1},
        "colour": {"type": "string", "pattern": "^#[0-9a-fA-F]{6}$"},
        "description": {"type": "string"},
    },
}
SCHEMA = {
    "type": "object",
    "required": ["clusterfirst", "version", "model", "server", "clustering_sha256", "classes", "clusters", "stopped"],
    "properties": {
        "clusterfirst": {"const": KIND},
        "version": {"const": VERSION},
        "model": {"type": "string"},
        "server": {"type": "string"},
        "clustering_sha256": {"type": "string"},
        "classes": {"type": "array", "items": _CLASS},
        "clusters": {"type": "array", "items": _CLUSTER},
        "stopped": {"type": ["string", "null"]},
    },
}
"""JSON schema of the file."""


@dataclass(frozen=True)
class Proposal:
    """What a cluster may be.

    Attributes
    ----------
    name : str or None
        The class; None for a tie, for `UNSURE`, and where nobody was asked.
    share : float
        Of the views that say so, 0 to 1.
    views : int
        Pictures that were to be shown.
    votes : tuple of dict
        See the module.
    """

    name: str | None
    share: float
    views: int
    votes: tuple[dict, ...]

    @property
    def rationale(self) -> str:
        """Why: what the surest of the votes for it says."""
        own = [vote for vote in self.votes if vote["class"] == self.name]
        return max(own, key=lambda vote: vote["confidence"])["rationale"] if own else ""


@dataclass(frozen=True)
class Proposals:
    """Proposals for all clusters of a group.

    Attributes
    ----------
    model : str
        Who says so.
    classes : list of dict
        ``name``, ``colour``, ``description``; every proposed class is among them.
    clusters : dict of int to Proposal
        By id in ``clusters.json``.
    facts : dict
        What else stands in the file: ``time``, ``server``, ``prompt``, ``cost``, ``stopped``, ….
    """

    model: str
    classes: list[dict]
    clusters: dict[int, Proposal]
    facts: dict

    def are_of(self, cluster_id: np.ndarray) -> bool:
        """Say whether they were made for these clusters.

        Parameters
        ----------
        cluster_id
            Of all cells of the group, as in its ``clusters.json``. (A slide's share of a group is another array.)
        """
        return self.facts["clustering_sha256"] == fingerprint(cluster_id)

    def of_cells(self, cluster_id: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Give each cell what is proposed for its cluster.

        Parameters
        ----------
        cluster_id
            n integers, −1 for noise; of the group, or of one of its slides.

        Returns
        -------
        label : numpy.ndarray
            n str, or None.
        share : numpy.ndarray
            n float32 in [0, 1]; NaN where there is no label.
        """
        cluster_id = np.asarray(cluster_id)
        label = np.full(len(cluster_id), None, object)
        share = np.full(len(cluster_id), np.nan, np.float32)
        named = {number: found for number, found in self.clusters.items() if found.name is not None}
        for number, found in named.items():
            own = cluster_id == number
            label[own], share[own] = found.name, found.share
        return label, share


def verdict(votes: Sequence[dict], views: int) -> tuple[str | None, float]:
    """Count the votes of a cluster.

    Parameters
    ----------
    votes
        Each with a ``class``.
    views
        How many there were to be: those missing count as unsure.

    Returns
    -------
    name : str or None
        The class with most votes; None if another has as many, or if that is `UNSURE`.
    share : float
        Its share of all views; 0 without a class.
    """
    counts = Counter(vote["class"] for vote in votes)
    counts[UNSURE] += views - len(votes)
    (word, most), *others = [*counts.most_common(2), (None, 0)][:2]
    if word == UNSURE or not most or others[0][1] == most:
        return None, 0.0
    return word, round(most / views, 4)


def read(path: str | os.PathLike) -> Proposals:
    """Read and check ``classes.json``.

    Raises
    ------
    ClusterfirstError
        The file is missing, damaged, or something else.
    """
    from jsonschema import ValidationError, validate

    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
        validate(document, SCHEMA)
        return _parsed(document)
    except (OSError, ValueError, ValidationError) as error:
        why = getattr(error, "message", None) or str(error)
        raise ClusterfirstError(
            f"proposals {path} cannot be read: {why}. Delete the file and run `snakemake classify`: what was asked "
            "before is not asked again"
        ) from error


def read_labels(path: str | os.PathLike, masks: str | os.PathLike, clusters: Clustering) -> Labels:
    """Give each cell what is proposed for its cluster; see `labels.LabelSource`."""
    found = read(path)
    label, share = found.of_cells(clusters.cluster_id)
    who = np.where(label != None, found.model, None)  # noqa: E711 (element by element)
    facts = {**found.facts, "classes": found.classes}
    return Labels(label, np.full(len(label), None), who, share, found.classes, facts)


def _parsed(document: dict) -> Proposals:
    known = {None, *(entry["name"] for entry in document["classes"])}
    clusters = {}
    for entry in document["clusters"]:
        if entry["class"] not in known:
            raise ValueError(f"cluster {entry['id']}: there is no class {entry['class']!r}")
        if entry["id"] in clusters:
            raise ValueError(f"cluster {entry['id']} stands there twice")
        clusters[entry["id"]] = Proposal(entry["class"], entry["share"], entry["views"], tuple(entry["votes"]))
    facts = {key: value for key, value in document.items() if key not in ("classes", "clusters")}
    return Proposals(document["model"], document["classes"], clusters, facts)
