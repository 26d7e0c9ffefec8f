"""What somebody did, in words for the others: which cluster, by its title and size, and what it is called now."""

from __future__ import annotations

from ..cells.group import Group
from ..record.history import Entry, History


def in_words(entry: Entry, history: History, group: Group) -> str:
    """Say what an action of the history did, as in "Ben *named cluster 3 (1,203 cells) tumour*".

    Parameters
    ----------
    entry
        The action.
    history
        What it was added to.
    group
        Its cells.
    """
    action, change = entry.action, history.touched_by(entry)
    match action:
        case {"do": "name", "class": None}:
            return f"took the name of cluster {_cluster(change.names, group)} away"
        case {"do": "name", "class": word}:
            return f"named cluster {_cluster(change.names, group)} {word}"
        case {"do": "open"}:
            return f"opened cluster {_cluster(change.parts, group)}"
        case {"do": "merge"}:
            return f"merged clusters {_cluster(change.parts, group)}"
        case {"do": "cells", "class": None}:
            return f"took the labels of {_cells(len(change.rows))} away"
        case {"do": "cells", "class": word}:
            return f"labelled {_cells(len(change.rows))} {word}" if word else f"unlabelled {_cells(len(change.rows))}"
        case {"do": "confirm"}:
            return f"accepted {_cells(len(change.rows))}"
        case {"do": "classes"}:
            return "changed the classes"
        case {"do": "labels", "source": source}:
            return f"took in labels ({source})"
    target = history.turned_by(entry)
    turned = in_words(target, history, group) if target else "nothing"
    return f"took back: {turned}" if action["do"] == "undo" else f"did again: {turned}"


def _cluster(leaves: frozenset[int], group: Group) -> str:
    members = sorted(leaves)
    return f"{group.title(tuple(members))[0]} ({_cells(group.leaves.sizes[members].sum())})"


def _cells(count: int) -> str:
    return f"{count:,} cells" if count != 1 else "1 cell"
