"""What a browser is told of a state."""

from __future__ import annotations

import numpy as np

from ..cells.group import Group
from ..record import ranges
from ..record.estimate import estimate, reviewed, right
from ..record.history import History
from ..record.state import NONE, UNLABELLED, State

DEFAULT_CLASSES = (
    {"name": "tumour", "colour": "#d55e00"},
    {"name": "lymphocyte", "colour": "#0072b2"},
    {"name": "stroma", "colour": "#009e73"},
    {"name": "epithelium", "colour": "#e69f00"},
    {"name": "endothelium", "colour": "#cc79a7"},
    {"name": "macrophage", "colour": "#56b4e9"},
    {"name": "plasma cell", "colour": "#332288"},
    {"name": "neutrophil", "colour": "#882255"},
    {"name": "debris", "colour": "#9a9a9a"},
)


class BrowserState:
    """A group as browsers see it; what is dear to tell and has not changed is told again as it was.

    Parameters
    ----------
    group
        Its cells.
    """

    def __init__(self, group: Group):
        self._group = group
        self._exceptions: tuple[np.ndarray, list[str], dict] | None = None

    def of(self, history: History) -> dict:
        """Return what everybody is told.

        ``seq``, ``fingerprint``, ``classes``, ``clusters``, ``noise``, ``progress``, and ``exceptions``: rows by place
        of the class in ``classes``, under ``-1`` those explicitly without label. A cluster is told of by its ``key``,
        its smallest leaf, and called by its ``title``; ``number`` is its id in ``clusters.json``, null once it was
        opened or merged. One whose leaves have different names is ``mixed``, and ``names`` are those of its leaves;
        else that is null. ``proposal`` is what a model would call it (see `Group.proposal`), or null.
        """
        group, state = self._group, history.state
        classes = state.all_classes()
        clusters = _clusters(group, state)
        return {
            "seq": history.seq,
            "fingerprint": group.fingerprint,
            "classes": classes,
            "clusters": clusters,
            "noise": {"size": group.leaves.noise},
            "progress": _progress(group, state, clusters),
            "exceptions": self._kept_exceptions(state, [entry["name"] for entry in classes]),
        }

    def _kept_exceptions(self, state: State, names: list[str]) -> dict[str, str]:
        kept = self._exceptions
        if kept is None or kept[1] != names or not np.array_equal(kept[0], state.exception):
            self._exceptions = kept = (state.exception.copy(), names, _exceptions(state, names))
        return kept[2]


def changes(before: dict, after: dict) -> dict:
    """Return the parts of `after` that differ."""
    return {key: value for key, value in after.items() if before.get(key) != value}


def brief(action: dict) -> dict:
    """Return an action without long lists of rows: how many there are instead."""
    if "rows" not in action or len(action["rows"]) <= 2000:
        return {key: value for key, value in action.items() if key not in ("names", "cells")}
    rest = {key: value for key, value in action.items() if key != "rows"}
    return rest | {"cells": sum(1 + int(p.split("-")[-1]) - int(p.split("-")[0]) for p in action["rows"].split(","))}


def _clusters(group: Group, state: State) -> list[dict]:
    leaves = group.leaves
    clusters = []
    for key in np.unique(state.cluster).tolist():
        members = state.members(key)
        size = int(leaves.sizes[members].sum())
        names = np.unique(state.name[members])
        title, number = group.title(tuple(members.tolist()))
        single = len(names) == 1 and names[0] != NONE
        clusters.append(
            {
                "key": key,
                "title": title,
                "number": number,
                "leaves": members.tolist(),
                "size": size,
                "share": size / len(group) if len(group) else 0.0,
                "mean_confidence": round(float(group.confidence_sum[members].sum()) / size, 4) if size else None,
                "colour": group.colour(key),
                "name": state.words[names[0]] if single else None,
                "mixed": len(names) > 1,
                "names": [None if c == NONE else state.words[c] for c in state.name[members]]
                if len(names) > 1
                else None,
                "representatives": group.representatives(tuple(members.tolist())),
                "proposal": group.proposal(tuple(members.tolist())),
                "can_open": len(members) > 1,
            }
        )
    return sorted(
        clusters, key=lambda entry: (-entry["size"], group.ids[int(leaves.start[entry["key"]])], entry["key"])
    )


def _progress(group: Group, state: State, clusters: list[dict]) -> dict:
    leaves, named = group.leaves, state.name != NONE
    labelled = int(leaves.sizes[named].sum())
    excepted = np.flatnonzero(state.exception != NONE)
    leaf = leaves.of_cell[excepted]
    by_name = (leaf >= 0) & np.append(named, False)[leaf]
    labelled += int(np.count_nonzero(state.exception[excepted] > UNLABELLED) - np.count_nonzero(by_name))
    seen = np.flatnonzero(reviewed(state))
    seen = seen[leaves.of_cell[seen] >= 0]
    seen = seen[named[leaves.of_cell[seen]]]
    efficiency = estimate(state, leaves, seen)
    return {
        "cells": len(group),
        "labelled": labelled,
        "clusters": len(clusters),
        "clusters_named": sum(entry["name"] is not None for entry in clusters),
        "reviewed": len(seen),
        "right": int(right(state, leaves, seen).sum()),
        "estimated_efficiency": round(efficiency.value, 4) if efficiency else None,
        "estimate": efficiency
        and {
            "low": round(efficiency.low, 4),
            "high": round(efficiency.high, 4),
            "cells": efficiency.cells,
            "clusters": efficiency.clusters,
            "named": efficiency.named,
        },
    }


def _exceptions(state: State, names: list[str]) -> dict[str, str]:
    rows = np.flatnonzero(state.exception != NONE)
    codes = state.exception[rows]
    return {
        str(names.index(state.words[code]) if code else -1): ranges.encode(rows[codes == code])
        for code in np.unique(codes).tolist()
    }
