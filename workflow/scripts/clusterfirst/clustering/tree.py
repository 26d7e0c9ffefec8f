"""The tree that joins fine clusters into fewer: Ward's (1963), exact for the cells though it sees only clusters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_MOST_LEAVES = 5000
"""Joining takes time as the square of the leaves; smaller leaves than so many join the nearest of these first."""


@dataclass(frozen=True)
class Tree:
    """How L leaves join, one pair after the other.

    Attributes
    ----------
    sizes : numpy.ndarray
        Cells of each leaf.
    merges : numpy.ndarray
        (L − 1) × 4, as SciPy's linkage: the nodes joined (leaf *i* is node *i*, row *r* makes node L + *r*), the
        height, and the cells of the joined node. Heights never fall from row to row.
    """

    sizes: np.ndarray
    merges: np.ndarray

    @classmethod
    def read(cls, document: dict) -> Tree:
        """Return the tree of what `document` returned."""
        return cls(np.array(document["leaves"], int), np.array(document["merges"], float).reshape(-1, 4))

    def cut(self, groups: int | None) -> np.ndarray:
        """Return each leaf's group after joining leaves until `groups` are left (None: as they are).

        Group 0 has the most cells; of groups of one size, the one with the lowest leaf comes first.
        """
        top = self._tops(groups)
        _, first, group = np.unique(top, return_index=True, return_inverse=True)
        order = np.lexsort((first, -np.bincount(group, weights=self.sizes)))
        rank = np.empty(len(order), int)
        rank[order] = np.arange(len(order))
        return rank[group]

    def above(self, groups: int | None) -> np.ndarray:
        """Return how the groups of a cut go on to join, as SciPy's linkage over them."""
        group, top = self.cut(groups), self._tops(groups)
        count = int(group.max(initial=-1)) + 1
        first = len(self.sizes) - count
        merges = self.merges[first:].copy()
        number = np.empty(2 * len(self.sizes), int)
        number[len(self.sizes) + first :] = count + np.arange(count)
        number[top] = group
        merges[:, :2] = number[merges[:, :2].astype(int)]
        parts = np.append(np.ones(count), np.zeros(len(merges)))
        for row, (one, other) in enumerate(merges[:, :2].astype(int)):
            parts[count + row] = merges[row, 3] = parts[one] + parts[other]
        return merges

    def _tops(self, groups: int | None) -> np.ndarray:
        """Return each leaf's topmost node after joining leaves until `groups` are left."""
        leaves = len(self.sizes)
        node = np.arange(2 * leaves)
        for row in range(leaves - min(groups or leaves, leaves)):
            node[self.merges[row, :2].astype(int)] = leaves + row
        # A parent has a higher number: from the top down, every node learns its topmost ancestor.
        for child in range(2 * leaves - 1, -1, -1):
            node[child] = node[node[child]]
        return node[:leaves]

    def document(self, groups: int | None) -> dict:
        """Return the tree JSON-ready, with the `groups` it was cut to (None: not)."""
        return {
            "leaves": self.sizes.tolist(),
            "merges": [[int(a), int(b), float(height), int(size)] for a, b, height, size in self.merges],
            "groups": groups,
        }


def grow(centres: np.ndarray, sizes: np.ndarray) -> Tree:
    """Join leaves by Ward's criterion: each time the two whose union adds least to the squares within clusters.

    That sum depends on the cells only through the leaves' sizes and centres, so the tree is the one that Ward's
    method on all cells would go on to draw from these leaves. Heights are SciPy's: √(2ab / (a + b)) times the distance
    of the centres of nodes of a and b cells.

    Parameters
    ----------
    centres
        L × D means of the leaves' cells.
    sizes
        Cells of each leaf, largest first.
    """
    leaves = len(sizes)
    nodes = _Nodes(centres, sizes)
    if leaves > _MOST_LEAVES:
        nodes.adopt_small(_MOST_LEAVES)
    nodes.join_all()
    return Tree(np.asarray(sizes, int), _in_order(np.array(nodes.merges).reshape(-1, 4), leaves))


class _Nodes:
    """Nodes not yet joined, in slots: a joined node takes one of the two slots, the other falls empty."""

    def __init__(self, centres: np.ndarray, sizes: np.ndarray):
        self.centres = np.array(centres, np.float64)
        self.sizes = np.array(sizes, np.float64)
        self.number = np.arange(len(sizes))
        self.height = np.zeros(len(sizes))
        self.live = np.ones(len(sizes), bool)
        self.merges: list[tuple[float, float, float, float]] = []

    def cost(self, slot: int, others: np.ndarray) -> np.ndarray:
        """Squared height at which a slot would join others."""
        apart = self.centres[others] - self.centres[slot]
        sizes = self.sizes[others]
        return 2 * sizes * self.sizes[slot] / (sizes + self.sizes[slot]) * np.einsum("ij,ij->i", apart, apart)

    def join(self, one: int, other: int, cost: float) -> None:
        """Join two slots into the first."""
        # Rounding must not put a node below its children.
        height = max(cost**0.5, self.height[one], self.height[other])
        total = self.sizes[one] + self.sizes[other]
        self.merges.append((self.number[one], self.number[other], height, total))
        self.centres[one] += (self.centres[other] - self.centres[one]) * (self.sizes[other] / total)
        self.sizes[one], self.height[one] = total, height
        self.number[one] = len(self.number) + len(self.merges) - 1
        self.live[other] = False

    def adopt_small(self, kept: int) -> None:
        """Join every slot after the first `kept` to the one of these that is nearest."""
        from scipy.spatial import cKDTree

        _, adopter = cKDTree(self.centres[:kept]).query(self.centres[kept:])
        for slot, into in enumerate(adopter, start=kept):
            self.join(int(into), slot, float(self.cost(slot, np.array([into]))[0]))

    def join_all(self) -> None:
        """Follow nearest neighbours until two are each other's nearest, and join these (Murtagh 1983).

        Ward's criterion never falls when nodes are joined, so the pairs are those the greedy order would find.
        """
        chain: list[int] = []
        costs: list[float] = []
        while (slots := np.flatnonzero(self.live)).size > 1:
            if not chain:
                chain, costs = [int(slots[0])], [np.inf]
            others = slots[slots != chain[-1]]
            cost = self.cost(chain[-1], others)
            best = int(cost.argmin())
            # Only a strictly nearer one lengthens the chain: among equals it would never end.
            if cost[best] < costs[-1]:
                chain.append(int(others[best]))
                costs.append(float(cost[best]))
                continue
            other, one = chain.pop(), chain.pop()
            self.join(one, other, costs.pop())
            costs.pop()


def _in_order(merges: np.ndarray, leaves: int) -> np.ndarray:
    """Sort merges by height and number their nodes anew."""
    order = np.argsort(merges[:, 2], kind="stable")  # children come before their parents, so they do among equals
    renamed = np.arange(leaves + len(merges))
    renamed[leaves + order] = leaves + np.arange(len(merges))
    merges = merges[order]
    merges[:, :2] = np.sort(renamed[merges[:, :2].astype(int)], axis=1)
    return merges
