"""Samples of a group's cells: which cells are in which batch, and where they lie."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ...io import ClusterfirstError
from ..cells.group import Group
from ..cells.outlines import Shelf
from .sampling import deal
from .tiles import Tiles

SIZE = 200
"""Cells of a batch unless somebody says otherwise: a quarter of an hour."""

_MOST = 5000
_MOST_SEED = 2**31 - 1


class Key(NamedTuple):
    """A batch of a sample."""

    size: int
    seed: int
    number: int


class Samples:
    """The batches of all samples, dealt when first asked for.

    Parameters
    ----------
    group
        All cells.
    tiles
        Its tiles.
    """

    def __init__(self, group: Group, tiles: Tiles):
        self._group, self._tiles = group, tiles
        self._deal = lru_cache(maxsize=16)(lambda size, seed: deal(tiles.cells, size=size, seed=seed))
        self.rows = lru_cache(maxsize=1024)(self._rows)
        self._by_tile = self._split(np.lexsort((tiles.of_cell, group.slide)))

    def _split(self, order: np.ndarray) -> dict[tuple[int, int], np.ndarray]:
        slide, tile = self._group.slide[order].astype(int), self._tiles.of_cell[order]
        edges = np.flatnonzero((np.diff(slide) != 0) | (np.diff(tile) != 0)) + 1
        parts = np.split(order, edges) if len(order) else []
        return {(int(self._group.slide[part[0]]), int(self._tiles.of_cell[part[0]])): part for part in parts}

    @property
    def tiles(self) -> int:
        """Number of tiles that have cells."""
        return len(self._by_tile)

    def key(self, size: int, seed: int, number: int) -> Key:
        """Return the key of a batch.

        Raises
        ------
        ClusterfirstError
            There is no such batch.
        """
        if not (1 <= size <= _MOST and 0 <= seed <= _MOST_SEED):
            raise ClusterfirstError(f"a batch has 1 to {_MOST} cells, and a seed is 0 to {_MOST_SEED}")
        if not 0 <= number < len(self._deal(size, seed)):
            raise ClusterfirstError(f"there is no batch {number}: there are {len(self._deal(size, seed))}")
        return Key(size, seed, number)

    def batches(self, size: int, seed: int) -> list[Key]:
        """Return all batches of a sample."""
        if not self._by_tile:
            return []
        self.key(size, seed, 0)
        return [Key(size, seed, number) for number in range(len(self._deal(size, seed)))]

    def _dealt(self, key: Key) -> list[tuple[int, int]]:
        return self._deal(key.size, key.seed)[key.number]

    def _rows(self, key: Key) -> np.ndarray:
        """Return the cells of a batch, ascending."""
        return np.sort(np.concatenate([self._by_tile[tile] for tile in self._dealt(key)]))

    def counts(self, key: Key) -> dict:
        """Return how many ``cells``, ``tiles`` and ``slides`` a batch has."""
        dealt = self._dealt(key)
        return {
            "cells": sum(len(self._by_tile[tile]) for tile in dealt),
            "tiles": len(dealt),
            "slides": len({slide for slide, _ in dealt}),
        }

    def pictures(self, key: Key, shelf: Shelf) -> Iterator[dict]:
        """Yield the tiles of a batch with the outlines of their cells.

        Of a tile: ``slide``, ``x``, ``y``, ``width``, ``height`` in level-0 pixels, and ``cells``: per cell ``row`` and
        ``ring``, its outline as whole level-0 pixels x, y, x, y, …
        """
        info = self._group.info
        for slide, tile in self._dealt(key):
            x, y, width, height = self._tiles.core[slide][tile].tolist()
            outlines = shelf.of(info.slides[slide])
            start = info.starts[slide]
            yield {
                "slide": info.slides[slide].id,
                "x": x,
                "y": y,
                "width": width,
                "height": height,
                "cells": [
                    {"row": row, "ring": np.rint(outlines.ring(row - start)).astype(int).ravel().tolist()}
                    for row in self._by_tile[slide, tile].tolist()
                ],
            }
