"""Each object once: who owns what neighbouring tiles both see."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import shapely
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ..slide.facts import SlideFacts

log = logging.getLogger(__name__)

_SLACK_PX = 8
"""Two views of one object differ by a few pixels: within this of a tie both may own it, and the overlap decides."""


def each_once(
    polygons: np.ndarray,
    tile: np.ndarray,
    views: pd.DataFrame,
    *,
    facts: SlideFacts,
    settings: Mapping[str, Any],
    scores: np.ndarray | None = None,
    failed: Collection[int] = (),
) -> pd.DataFrame:
    """Return every object of a slide once.

    Parameters
    ----------
    polygons, tile
        What all tiles saw: ``shapely.Polygon`` in level-0 pixels, and for each the index of its tile in `views`.
    views
        The kept tiles, as they were read (see `views.aligned_views`).
    facts
        ``width``, ``height`` and ``mpp`` of the slide (see `slide.facts.SlideFacts`).
    settings
        ``min_area_um2``, ``seam_overlap`` and ``seams`` of the ``segmentation`` section of the configuration.
    scores
        For each polygon, what its network said of it; None: nothing.
    failed
        Tiles that could not be read: they saw nothing, so they own nothing.

    Returns
    -------
    pandas.DataFrame
        ``geometry``, ``tile_id``, ``score`` (NaN: the network gives none; of joined pieces, the largest one's) and
        ``truncated``, by tile, within a tile in the order of `polygons`.
    """
    large = shapely.area(polygons) * facts.mpp**2 >= settings["min_area_um2"]
    scores = np.full(len(polygons), np.nan) if scores is None else scores
    polygons, tile, scores = polygons[large], tile[large], scores[large]
    seeing = views.copy()
    seeing.loc[list(failed), ["read_width", "read_height"]] = 0
    seams = Seams(
        seeing,
        facts.width,
        facts.height,
        slide_mpp=facts.mpp,
        overlap=settings["seam_overlap"],
        merge=settings["seams"] == "merge",
    )
    objects = seams.settle(polygons, tile)
    objects["score"] = scores[objects.index]
    objects = objects.sort_values("tile", kind="stable", ignore_index=True)
    log.info("%d objects seen, %d remain, %d truncated", len(polygons), len(objects), objects["truncated"].sum())
    objects["tile_id"] = views["tile_id"].to_numpy()[objects.pop("tile")]
    return objects


@dataclass(frozen=True)
class Seams:
    """Settles what objects of overlapping tiles remain.

    A tile *sees an object whole* if the object does not touch an inner edge of the tile's read rectangle (the border
    of the slide is no inner edge). Of the tiles that see it whole, the one with the widest margin around it, the one
    whose core it lies in the middle of, *owns* it.

    Invariant: an object that some kept tile sees whole appears exactly once, as its owner saw it: whole. Objects that
    no tile sees whole appear as the largest of the pieces that lie in their tile's core, marked truncated (beside
    rejected tiles, a piece whose middle lies in no kept core is left out); or, with `merge`, pieces of neighbouring
    tiles that agree on what both see are joined, and the result is truncated only if it ends where no kept tile looked.

    Two networks' views of one object are never quite the same, so geometry is not enough: an owner may have seen one
    object where its neighbour saw two. Hence the order of `settle`: owners' objects by how clear the ownership is,
    each unless it overlaps one already taken; then what a neighbour saw where the owner's own object was dropped;
    then truncated pieces. A tile that was rejected by the filter owns nothing: what its kept neighbours see whole in
    their halos is theirs.

    Attributes
    ----------
    tiles : pandas.DataFrame
        The kept tiles (see `grid.grid`), with a clean 0…T-1 index.
    width, height : int
        The slide, in level-0 pixels.
    slide_mpp : float
        µm per level-0 pixel.
    overlap : float
        Objects of two tiles that share this fraction of the smaller one are one object.
    merge : bool
        Join the pieces of objects that no tile sees whole.
    """

    tiles: pd.DataFrame
    width: int
    height: int
    slide_mpp: float
    overlap: float
    merge: bool

    def settle(self, polygons: np.ndarray, tile: np.ndarray) -> pd.DataFrame:
        """Choose among all that all tiles saw.

        Parameters
        ----------
        polygons
            ``shapely.Polygon`` in level-0 pixels, as each tile saw them.
        tile
            For each, its tile's index in `tiles`.

        Returns
        -------
        pandas.DataFrame
            ``geometry``, ``tile`` (index in `tiles`) and ``truncated`` (bool); its index are rows of `polygons`.
        """
        bounds = shapely.bounds(polygons).reshape(-1, 4)
        # At most half a pixel of the tile's own resolution away from the edge is on it.
        margin = self._margin(bounds, tile) - self._pixel(tile) / 2
        whole = margin > 0
        lead = margin - self._best_other_margin(bounds, tile)
        owned = lead >= -_SLACK_PX * self._pixel(tile)
        first, second = self._overlapping(polygons, tile)
        shared = shapely.area(shapely.intersection(polygons[first], polygons[second]))
        area = shapely.area(polygons)
        same = shared >= self.overlap * np.minimum(area[first], area[second])

        links = _adjacency(first[same], second[same], len(polygons))
        level = -self.tiles["magnification"].to_numpy()[tile]

        choice = _Choice(len(polygons))
        choice.take(_ordered(whole & owned, level, -lead), links)
        choice.take(_ordered(whole & ~owned, level, -lead), links, instead_of_dropped=True)
        truncated = ~whole
        candidates = truncated & self._centred(polygons, tile)
        if self.merge:
            known = np.zeros(len(polygons), bool)
            for one, other in ((first, second), (second, first)):
                known[one[same & choice.taken[other]]] = True
            pieces = truncated & ~known
            pair = pieces[first] & pieces[second] & (level[first] == level[second])
            into = self._joined(polygons, tile, first[pair], second[pair], shared[pair])
            polygons = _united(polygons, into)
            grown = np.bincount(into, minlength=len(into)) > 1
            truncated[grown] = self._ends_unseen(polygons[grown], tile[grown])
            candidates = (candidates | grown) & (into == np.arange(len(into)))
            links = _adjacency(into[first[same]], into[second[same]], len(polygons))
        choice.take(_ordered(candidates, level, -shapely.area(polygons)), links)
        chosen = np.flatnonzero(choice.taken)
        columns = {"geometry": polygons[chosen], "tile": tile[chosen], "truncated": truncated[chosen]}
        return pd.DataFrame(columns, index=chosen)

    def _joined(self, polygons, tile, first, second, shared) -> np.ndarray:
        """For each piece, the largest of those it is joined with, itself if with none.

        Pieces belong together if, within what both tiles saw, they cover the same ground.
        """
        zone = shapely.intersection(self._boxes[tile[first]], self._boxes[tile[second]])
        seen_by_both = [shapely.area(shapely.intersection(polygons[one], zone)) for one in (first, second)]
        agree = (shared > 0) & (shared >= self.overlap * (sum(seen_by_both) - shared))
        count = len(polygons)
        links = coo_array((np.ones(agree.sum(), bool), (first[agree], second[agree])), shape=(count, count))
        _, group = connected_components(links, directed=False)
        order = np.lexsort((-shapely.area(polygons), group))
        largest = np.empty(group.max(initial=-1) + 1, int)
        # The first of each group in this order is the largest; written last, it stays.
        largest[group[order[::-1]]] = order[::-1]
        return largest[group]

    def _ends_unseen(self, polygons: np.ndarray, tile: np.ndarray) -> np.ndarray:
        """Whether objects reach an edge beyond which no kept tile looked."""
        far = 2.0 * (self.width + self.height)
        views = self._views.copy()
        views[:, :2][views[:, :2] <= 0] = -far
        views[:, 2:][views[:, 2:] >= (self.width, self.height)] = far
        boxes = shapely.box(*views.T)
        seen = shapely.STRtree(boxes)
        edges = [shapely.boundary(shapely.union_all(boxes[seen.query(polygon)])) for polygon in polygons]
        return shapely.distance(polygons, np.array(edges, object)) <= self._pixel(tile) / 2

    def _pixel(self, tile: np.ndarray) -> np.ndarray:
        """Level-0 pixels per pixel of the tile as it was read."""
        return self.tiles["mpp"].to_numpy()[tile] / self.slide_mpp

    @cached_property
    def _views(self) -> np.ndarray:
        """Read rectangles as T × 4: left, top, right, bottom."""
        left, top, wide, high = self.tiles[["read_x", "read_y", "read_width", "read_height"]].to_numpy(float).T
        return np.stack([left, top, left + wide, top + high], axis=1)

    @cached_property
    def _boxes(self) -> np.ndarray:
        return shapely.box(*self._views.T)

    def _margin(self, bounds: np.ndarray, tile: np.ndarray) -> np.ndarray:
        """Distance from boxes to the nearest inner edge of their tiles; beyond the slide's size if there is none."""
        view = self._views[tile]
        gaps = np.concatenate([bounds[:, :2] - view[:, :2], view[:, 2:] - bounds[:, 2:]], axis=1)
        # Views may end beyond the slide (see `aligned_views`).
        outer = np.concatenate([view[:, :2] <= 0, view[:, 2:] >= (self.width, self.height)], axis=1)
        # Finite: two tiles that both see the whole slide must tie, and ∞ − ∞ is no tie.
        return np.where(outer, 2.0 * (self.width + self.height), gaps).min(axis=1)

    def _best_other_margin(self, bounds: np.ndarray, tile: np.ndarray) -> np.ndarray:
        """The widest margin that another tile of the same resolution has around each box; −inf where none sees it."""
        seen, by = shapely.STRtree(self._boxes).query(shapely.box(*bounds.T), predicate="covered_by")
        level = self.tiles["magnification"].to_numpy()
        other = (by != tile[seen]) & (level[by] == level[tile[seen]])
        seen, by = seen[other], by[other]
        margin = self._margin(bounds[seen], by)
        best = np.full(len(bounds), -np.inf)
        np.maximum.at(best, seen[margin > 0], margin[margin > 0])
        return best

    def _centred(self, polygons: np.ndarray, tile: np.ndarray) -> np.ndarray:
        """Whether each piece has its centroid in the core of its own tile."""
        x, y = shapely.get_coordinates(shapely.centroid(polygons)).reshape(-1, 2).T
        left, top, wide, high = self.tiles[["x", "y", "width", "height"]].to_numpy()[tile].T
        return (x >= left) & (x < left + wide) & (y >= top) & (y < top + high)

    def _overlapping(self, polygons: np.ndarray, tile: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pairs of objects of different tiles that touch."""
        first, second = shapely.STRtree(polygons).query(polygons, predicate="intersects")
        across = (first < second) & (tile[first] != tile[second])
        return first[across], second[across]


class _Choice:
    """Objects taken one after the other, none that is the same as one already taken."""

    def __init__(self, count: int):
        self.taken = np.zeros(count, bool)
        self._dropped = np.zeros(count, bool)

    def take(self, candidates: np.ndarray, links, *, instead_of_dropped: bool = False) -> None:
        """Take what is free; with `instead_of_dropped`, only if it is the same as an object that was not taken."""
        for i in candidates:
            near = links(i)
            if self.taken[near].any():
                self._dropped[i] = True
            elif not instead_of_dropped or self._dropped[near].any():
                self.taken[i] = True


def _ordered(mask: np.ndarray, *keys: np.ndarray) -> np.ndarray:
    """Indices where `mask` is true, by the keys, the first one first."""
    index = np.flatnonzero(mask)
    return index[np.lexsort(tuple(key[index] for key in reversed(keys)))]


def _united(polygons: np.ndarray, into: np.ndarray) -> np.ndarray:
    """Return the polygons with the union of each group, holes filled, in the place of its largest piece."""
    united = polygons.copy()
    grown = np.unique(into[into != np.arange(len(into))])
    members = np.flatnonzero(np.isin(into, grown))
    for largest, rows in pd.Series(members).groupby(into[members]):
        united[largest] = shapely.Polygon(shapely.union_all(polygons[rows]).exterior)
    return united


def _adjacency(first: np.ndarray, second: np.ndarray, count: int):
    """Return a function that gives the neighbours of a node."""
    source, target = np.concatenate([first, second]), np.concatenate([second, first])
    order = np.argsort(source, kind="stable")
    target = target[order]
    starts = np.searchsorted(source[order], np.arange(count + 1))
    return lambda node: target[starts[node] : starts[node + 1]]
