"""Which tiles are labelled, in which order: whole tiles, balanced over slides, the same for the same seed."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import numpy as np


def deal(cells: Sequence[np.ndarray], *, size: int, seed: int) -> list[list[tuple[int, int]]]:
    """Deal all tiles that hold cells into batches.

    Tiles of a slide come in random order. The next tile is always one of the slide that has given the fewest cells so
    far, as long as it has tiles left: whoever stops after any batch has looked at about as many cells of each slide. A
    batch ends where it is closest to `size` cells; it has one tile at least. The last holds what is left.

    Parameters
    ----------
    cells
        Per slide, the number of cells of each of its tiles.
    size
        Cells of a batch, about.
    seed
        Of the order. The same seed gives the same batches.

    Returns
    -------
    list of list of tuple
        Batches of (slide, tile), places in `cells`. Every tile with cells is in one batch.
    """
    batches, here = [], 0
    for slide, tile in _order(cells, np.random.default_rng(seed)):
        own = int(cells[slide][tile])
        if not batches or (here and abs(here + own - size) >= abs(here - size)):
            batches.append([])
            here = 0
        batches[-1].append((slide, tile))
        here += own
    return batches


def _order(cells: Sequence[np.ndarray], rng: np.random.Generator) -> list[tuple[int, int]]:
    rank = rng.permutation(len(cells)).tolist()  # of slides that have given as many, always the same comes first
    waiting = [rng.permutation(np.flatnonzero(np.asarray(own) > 0)).tolist() for own in cells]
    turns, order = [(0, rank[slide], slide) for slide, own in enumerate(waiting) if own], []
    heapq.heapify(turns)
    while turns:
        given, lot, slide = heapq.heappop(turns)
        tile = waiting[slide].pop()
        order.append((slide, tile))
        if waiting[slide]:
            heapq.heappush(turns, (given + int(cells[slide][tile]), lot, slide))
    return order
