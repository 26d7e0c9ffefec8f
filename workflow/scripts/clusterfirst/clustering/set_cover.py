"""The fewest tiles that together show all clusters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_SECONDS = 20.0
"""Of looking for a proof; hundreds of tiles take far less than one."""


@dataclass(frozen=True)
class Cover:
    """Sets that together hold all items.

    Attributes
    ----------
    chosen : numpy.ndarray
        Rows of the sets, ascending.
    at_least : int
        No cover has fewer sets: a proof, not a guess. Equal to the number chosen if that is the smallest there is.
    """

    chosen: np.ndarray
    at_least: int

    @property
    def fewest(self) -> bool:
        """Whether no cover is smaller."""
        return len(self.chosen) == self.at_least


def fewest(holds: np.ndarray, worth: np.ndarray, *, seconds: float = _SECONDS) -> Cover:
    """Choose the fewest sets that hold all items; of several choices as small, the one of most worth.

    Solved exactly as an integer programme (HiGHS, by branch and bound), first for the number of sets, then for their
    worth. If time runs out, what was found by then is compared with a greedy choice, and the better is taken: never
    more sets than the greedy one has, which is at most 1 + ln(items) times the smallest number.

    Parameters
    ----------
    holds
        Sets × items, bool. Items that no set holds are left out.
    worth
        Per set, not negative.
    seconds
        To look for a proof, twice.
    """
    holds = holds[:, holds.any(axis=0)]
    if not holds.shape[1]:
        return Cover(np.empty(0, int), 0)
    start = greedy(holds, worth)
    size, at_least = _solved(holds, np.ones(len(holds)), None, seconds)
    best = size if size is not None and len(size) < len(start) else start
    worthy, _ = _solved(holds, -worth / max(worth.max(), 1e-9), len(best), seconds)
    if worthy is not None and worth[worthy].sum() > worth[best].sum():
        best = worthy
    return Cover(best, at_least)


def greedy(holds: np.ndarray, worth: np.ndarray) -> np.ndarray:
    """Take the set that holds most items not held yet, the worthier of two, until all are held; return rows."""
    missing, chosen = np.ones(holds.shape[1], bool), []
    while missing.any():
        chosen.append(np.lexsort((worth, holds[:, missing].sum(axis=1)))[-1])
        missing &= ~holds[chosen[-1]]
    return np.sort(chosen)


def _solved(holds: np.ndarray, cost: np.ndarray, most: int | None, seconds: float) -> tuple[np.ndarray | None, int]:
    """Return the cheapest cover, of so many sets at most, or None if time ran out; and what its cost is at least."""
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import csr_matrix

    rules = [LinearConstraint(csr_matrix(holds.T.astype(float)), lb=1)]
    if most is not None:
        rules.append(LinearConstraint(np.ones((1, len(holds))), ub=most))
    found = milp(
        cost,
        integrality=np.ones(len(holds)),
        bounds=Bounds(0, 1),
        constraints=rules,
        options={"time_limit": seconds, "mip_rel_gap": 0},
    )
    bound = -np.inf if found.mip_dual_bound is None else found.mip_dual_bound
    at_least = max(1, int(np.ceil(bound - 1e-6))) if np.isfinite(bound) else 1
    if found.x is None:
        return None, at_least
    chosen = np.flatnonzero(found.x > 0.5)
    return (chosen, at_least) if holds[chosen].any(axis=0).all() else (None, at_least)
