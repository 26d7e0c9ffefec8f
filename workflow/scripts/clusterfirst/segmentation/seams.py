"""Each object once: who owns what neighbouring tiles both see."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import shapely

_SLACK_PX = 8
"""Two views of one object differ by a few pixels: within this of a tie both may own it, and the overlap decides."""


@dataclass(frozen=True)
class Seams:
    """Settles what objects of overlapping tiles remain.

    A tile *sees an object whole* if the object does not touch an inner edge of the tile's read rectangle (the border
    of the slide is no inner edge). Of the tiles that see it whole, the one with the widest margin around it, the one
    whose core it lies in the middle of, *owns* it.

    Invariant: an object that some kept tile sees whole appears exactly once, as its owner saw it: whole. Objects that
    no tile sees whole appear as the largest pieces seen, marked truncated.

    Two networks' views of one object are never quite the same, so geometry is not enough: an owner may have seen one
    object where its neighbour saw two. Hence the order of `settle`: owners' objects by how clear the ownership is,
    each unless it overlaps one already taken; then what a neighbour saw where the owner's own object was dropped;
    then truncated pieces. A tile that was rejected by the filter owns nothing: what its kept neighbours see whole in
    their halos is theirs.

    Attributes
    ----------
    tiles : pandas.DataFrame
        The kept tiles (see `tiling.grid`), with a clean 0…T-1 index.
    width, height : int
        The slide, in level-0 pixels.
    slide_mpp : float
        µm per level-0 pixel.
    overlap : float
        Objects of two tiles that share this fraction of the smaller one are one object.
    """

    tiles: pd.DataFrame
    width: int
    height: int
    slide_mpp: float
    overlap: float = 0.4

    def settle(self, polygons: np.ndarray, tile: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Choose among all that all tiles saw.

        Parameters
        ----------
        polygons
            ``shapely.Polygon`` in level-0 pixels, as each tile saw them.
        tile
            For each, its tile's index in `tiles`.

        Returns
        -------
        chosen : numpy.ndarray
            Indices into `polygons`, ascending.
        truncated : numpy.ndarray
            For each chosen object, whether it was seen in part only.
        """
        bounds = shapely.bounds(polygons).reshape(-1, 4)
        # At most half a pixel of the tile's own resolution away from the edge is on it.
        margin = self._margin(bounds, tile) - self._pixel(tile) / 2
        whole = margin > 0
        lead = margin - self._best_other_margin(bounds, tile)
        owned = lead >= -_SLACK_PX * self._pixel(tile)
        first, second = self._same(polygons, tile)

        level = -self.tiles["magnification"].to_numpy()[tile]
        area = shapely.area(polygons)
        taken = np.zeros(len(polygons), bool)
        dropped = np.zeros(len(polygons), bool)
        neighbours = _adjacency(first, second, len(polygons))

        def take(candidates: np.ndarray, *, instead_of_dropped: bool = False) -> None:
            for i in candidates:
                near = neighbours(i)
                if taken[near].any():
                    dropped[i] = True
                elif not instead_of_dropped or dropped[near].any():
                    taken[i] = True

        def ordered(mask: np.ndarray, *keys: np.ndarray) -> np.ndarray:
            index = np.flatnonzero(mask)
            return index[np.lexsort(tuple(key[index] for key in reversed(keys)))]

        take(ordered(whole & owned, level, -lead))
        take(ordered(whole & ~owned, level, -lead), instead_of_dropped=True)
        take(ordered(~whole & self._centred(polygons, tile), level, -area))
        chosen = np.flatnonzero(taken)
        return chosen, ~whole[chosen]

    def _pixel(self, tile: np.ndarray) -> np.ndarray:
        """Level-0 pixels per pixel of the tile as it was read."""
        return self.tiles["mpp"].to_numpy()[tile] / self.slide_mpp

    def _views(self) -> np.ndarray:
        """Read rectangles as T × 4: left, top, right, bottom."""
        left, top, wide, high = self.tiles[["read_x", "read_y", "read_width", "read_height"]].to_numpy(float).T
        return np.stack([left, top, left + wide, top + high], axis=1)

    def _margin(self, bounds: np.ndarray, tile: np.ndarray) -> np.ndarray:
        """Distance from boxes to the nearest inner edge of their tiles; beyond the slide's size if there is none."""
        view = self._views()[tile]
        gaps = np.concatenate([bounds[:, :2] - view[:, :2], view[:, 2:] - bounds[:, 2:]], axis=1)
        # Views may end beyond the slide (see `aligned_views`).
        outer = np.concatenate([view[:, :2] <= 0, view[:, 2:] >= (self.width, self.height)], axis=1)
        # Finite: two tiles that both see the whole slide must tie, and ∞ − ∞ is no tie.
        return np.where(outer, 2.0 * (self.width + self.height), gaps).min(axis=1)

    def _best_other_margin(self, bounds: np.ndarray, tile: np.ndarray) -> np.ndarray:
        """The widest margin that another tile of the same resolution has around each box; −inf where none sees it."""
        views = shapely.STRtree(shapely.box(*self._views().T))
        seen, by = views.query(shapely.box(*bounds.T), predicate="covered_by")
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

    def _same(self, polygons: np.ndarray, tile: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pairs of objects from different tiles that overlap enough to be one object."""
        first, second = shapely.STRtree(polygons).query(polygons, predicate="intersects")
        across = (first < second) & (tile[first] != tile[second])
        first, second = first[across], second[across]
        shared = shapely.area(shapely.intersection(polygons[first], polygons[second]))
        smaller = np.minimum(shapely.area(polygons[first]), shapely.area(polygons[second]))
        same = shared >= self.overlap * smaller
        return first[same], second[same]


def _adjacency(first: np.ndarray, second: np.ndarray, count: int):
    """Return a function that gives the neighbours of a node."""
    source, target = np.concatenate([first, second]), np.concatenate([second, first])
    order = np.argsort(source, kind="stable")
    target = target[order]
    starts = np.searchsorted(source[order], np.arange(count + 1))
    return lambda node: target[starts[node] : starts[node + 1]]
