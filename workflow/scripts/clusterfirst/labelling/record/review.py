"""Which cells of a cluster are worth looking at."""

from __future__ import annotations

import numpy as np

from ...io import ClusterfirstError
from .estimate import lots, reviewed
from .leaves import Leaves
from .state import State


def choose(state: State, leaves: Leaves, confidence: np.ndarray, key: int, count: int) -> dict:
    """Choose cells of a cluster to look at.

    Three in four are the least sure ones; every fourth comes of a random order, so that the efficiency can be
    estimated (see `estimate.estimate`). Together they stand in order of confidence.

    Parameters
    ----------
    state, leaves
    confidence
        Of every cell, 0 to 1.
    key
        The cluster.
    count
        Cells, at most.

    Returns
    -------
    dict
        ``rows``, and ``left``: cells of the cluster that nobody has looked at.

    Raises
    ------
    ClusterfirstError
        There is no such cluster.
    """
    members = state.members(key)
    if not len(members):
        raise ClusterfirstError(f"there is no cluster {key}: somebody may have merged it. Reload the page")
    rows = leaves.rows(members)
    fresh = rows[~reviewed(state)[rows]]
    at_random = fresh[np.argsort(lots(len(leaves.of_cell))[fresh])][: count // 4]
    unsure = fresh[np.argsort(confidence[fresh], kind="stable")]
    unsure = unsure[~np.isin(unsure, at_random)][: count - len(at_random)]
    chosen = np.concatenate([unsure, at_random])
    order = np.argsort(confidence[chosen], kind="stable")
    return {"rows": chosen[order].tolist(), "left": len(fresh)}
