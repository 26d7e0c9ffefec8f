"""What clusters are called: by their ids in ``clusters.json``, as in pictures and tables, also once opened and merged.

A cluster as the workflow made it is called ``3``. The two children of an opened one are ``3a`` and ``3b``, the children
of those ``3a1`` and ``3a2``, and so on; what was merged is called by its pieces, ``3a + 7``. A title follows from the
leaves alone: the same leaves have the same title, whoever came to them in whatever order.
"""

from __future__ import annotations

import numpy as np

from .leaves import Leaves

_MOST_PIECES = 4


def pieces(members: list[int], leaves: Leaves, ids: dict[int, int]) -> list[str]:
    """Return the titles of the pieces that a cluster was put together from.

    Parameters
    ----------
    members
        Its leaves.
    leaves
    ids
        Ids in ``clusters.json`` by key (smallest leaf) of the cluster.

    Returns
    -------
    list of str
        In the order of the ids; one, if nothing was merged.
    """
    members = np.asarray(members)
    found = []
    for key in sorted(np.unique(leaves.start[members]).tolist(), key=ids.__getitem__):
        whole = np.flatnonzero(leaves.start == key).tolist()
        found += _within(set(members.tolist()), whole, leaves, str(ids[key]), 0)
    return found


def _within(wanted: set[int], node: list[int], leaves: Leaves, title: str, depth: int) -> list[str]:
    """Return the titles of the pieces of a node of the tree that are wanted: letters and numbers take turns."""
    if wanted.isdisjoint(node):
        return []
    if wanted.issuperset(node):
        return [title]
    both = zip(leaves.split(node), "12" if depth % 2 else "ab", strict=True)
    return [piece for part, sign in both for piece in _within(wanted, part, leaves, title + sign, depth + 1)]


def joined(found: list[str]) -> str:
    """Return a title of pieces; of many, the first and how many more."""
    if len(found) <= _MOST_PIECES:
        return " + ".join(found)
    return " + ".join(found[: _MOST_PIECES - 1]) + f" + {len(found) - _MOST_PIECES + 1} more"
