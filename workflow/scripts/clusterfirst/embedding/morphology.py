"""Shape, stain, texture, surroundings: numbers a pathologist could name, without weights.

Every number has a fixed unit, so that cells of different slides can be compared. Nothing depends on how a cell is
turned: orientation enters only relative to that of the neighbours.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import shapely
from scipy.spatial import cKDTree

from .crops import Patch

if TYPE_CHECKING:
    import geopandas

SHAPE = {
    "log_area": "ln of the area in µm²",
    "log_perimeter": "ln of the perimeter in µm",
    "log_major": "ln of the long axis in µm, of the ellipse with the same second moments",
    "log_minor": "ln of its short axis in µm",
    "log_aspect": "ln of long over short axis",
    "eccentricity": "of that ellipse, 0 (circle) to 1",
    "circularity": "4π · area / perimeter², 1 for a circle",
    "solidity": "area over that of the convex hull",
    "ellipse_fill": "area over that of the ellipse, 1 for an ellipse",
}
STAIN = {
    "h_mean": "hematoxylin, mean optical density (OD)",
    "h_std": "its standard deviation (OD)",
    "h_p10": "its 10th percentile (OD)",
    "h_p50": "its median (OD)",
    "h_p90": "its 90th percentile (OD)",
    "h_skew": "its skewness",
    "h_rim": "hematoxylin of the outermost 1 µm minus that of the rest (OD): dark membrane, pale centre",
    "log_h_total": "ln of area · mean hematoxylin in µm² · OD: how much chromatin there is",
    "e_mean": "eosin, mean (OD)",
    "e_std": "its standard deviation (OD)",
    "od_red": "mean optical density of the red channel",
    "od_green": "mean optical density of the green channel",
    "od_blue": "mean optical density of the blue channel",
    "saturation": "mean saturation of the colour, 0 (grey) to 1",
}
TEXTURE = {
    "gradient_mean": "slope of hematoxylin, mean (OD/µm)",
    "gradient_std": "its standard deviation (OD/µm)",
    "laplacian_std": "curvature of hematoxylin, standard deviation (OD/µm²)",
    "glcm_contrast": "hematoxylin in 8 levels, pairs 1 µm apart: mean squared difference of levels",
    "glcm_homogeneity": "mean of 1 / (1 + squared difference), 1 where pairs are equal",
    "glcm_energy": "root of the summed squared frequencies of pairs, 1 for a single level",
    "glcm_entropy": "entropy of the frequencies of pairs in bit, 0 for a single level",
    "glcm_correlation": "correlation of the levels of a pair; 0 for a single level",
}
RING = {
    "ring_h": "mean hematoxylin within 3 µm around the cell, outside of every cell (OD)",
    "ring_e": "mean eosin there (OD)",
    "step_h": "hematoxylin of the cell minus that of the ring (OD)",
    "step_e": "eosin of the cell minus that of the ring (OD)",
}
NEIGHBOURHOOD = {
    "log_count_15um": "ln of 1 + number of other cells within 15 µm",
    "log_count_30um": "ln of 1 + number of other cells within 30 µm",
    "log_count_60um": "ln of 1 + number of other cells within 60 µm",
    "log_distance_1": "ln of 1 + distance to the nearest cell in µm, 200 at most",
    "log_distance_3": "ln of 1 + distance to the third nearest cell in µm, 200 at most",
    "log_distance_10": "ln of 1 + distance to the tenth nearest cell in µm, 200 at most",
    "log_relative_area": "ln of the area over the mean area of those of the ten nearest cells within 30 µm",
    "relative_h": "mean hematoxylin minus that of the ten nearest cells within 200 µm (OD)",
    "alignment": "elongation (0 to 1) · the five nearest cells' · cos of twice the angle between, mean: 1 parallel",
}
COLUMNS = {**SHAPE, **STAIN, **TEXTURE, **RING, **NEIGHBOURHOOD}
"""What each number is, and its unit."""

_RING_UM = 3.0
_RIM_UM = 1.0
_PAIR_UM = 1.0
_RADII_UM = (15.0, 30.0, 60.0)
_FARTHEST_UM = 200.0
_ROWS = 50_000
"""Cells whose neighbours are looked for together: beyond what is kept, memory does not grow with the slide."""

_LEVELS = 8
_LEVELS_OD = (0.0, 1.6)
"""Hematoxylin is cut into levels between these, on every slide alike."""

_LEAST_UM2 = 0.01
"""Areas, and the squares of lengths, are no smaller than this: logarithms stay finite."""
_LEAST_STD = 0.01
"""OD; below that, the shape of a distribution is that of the camera's noise."""

_OD = -np.log10((np.arange(256, dtype=np.float32) + 1) / 256)
"""Optical density of each grey value."""


def _unmixing() -> np.ndarray:
    """3 × 3: optical densities of red, green, blue times this are hematoxylin, eosin and the rest."""
    # Ruifrok and Johnston 2001. What neither stain explains goes to the direction perpendicular to both.
    stains = np.array([(0.650, 0.704, 0.286), (0.072, 0.990, 0.105)])
    stains /= np.linalg.norm(stains, axis=1, keepdims=True)
    rest = np.cross(*stains)
    return np.linalg.inv(np.vstack([stains, rest / np.linalg.norm(rest)])).astype(np.float32)


_UNMIXING = _unmixing()


class Morphology:
    """Measures cells; none of the arguments that networks are built with concern it (see `Embedder`)."""

    columns = tuple(COLUMNS)
    standardise = True
    """Units differ from column to column."""
    margin_um = 2 * _RING_UM
    """A pixel of the ring belongs to the nearest cell, which may lie as far again beyond it."""
    cells_at_once = None
    """Cells of a view are measured all at once, on one label image."""

    def __init__(self, *_: Any, **__: Any):
        pass

    def start(self, cells: geopandas.GeoDataFrame, out: np.ndarray, *, mpp: float) -> None:
        """Begin a slide; `out` is N × D, columns as in `COLUMNS`; see `Embedder.start`."""
        self._cells, self._out, self._mpp = cells, out, mpp
        self._polygons = cells.geometry.to_numpy()
        self._tree = shapely.STRtree(self._polygons)
        self._seen = {name: np.zeros(len(cells), np.float32) for name in (*STAIN, *TEXTURE, *RING)}

    def prepare(self, view: Patch) -> dict[str, np.ndarray]:
        """Measure what the image shows of a view's cells."""
        others = np.setdiff1d(self._tree.query(shapely.box(*view.bounds)), view.rows)
        return _from_image(view, self._polygons, others, mpp=self._mpp)

    def take(self, rows: np.ndarray, prepared: dict[str, np.ndarray]) -> None:
        """Keep it."""
        for name, values in prepared.items():
            self._seen[name][rows] = values

    def finish(self) -> None:
        """Add what the outlines and the neighbours say."""
        seen, shape = self._seen, _shape(self._cells)
        seen["log_h_total"] = np.log(np.maximum(np.exp(shape["log_area"]) * seen["h_mean"], _LEAST_UM2))
        near = _neighbourhood(self._cells, mpp=self._mpp, h_mean=seen["h_mean"], log_area=shape["log_area"])
        columns = {**shape, **seen, **near}
        for column, name in enumerate(COLUMNS):
            self._out[:, column] = columns[name]


def _shape(cells) -> dict[str, np.ndarray]:
    """Columns of `SHAPE` from the measurements in the table; a polygon without area counts as a small circle."""
    area = np.maximum(_known(cells["area_um2"], 0), _LEAST_UM2)
    least = math.sqrt(_LEAST_UM2)
    perimeter, major, minor = (
        np.maximum(_known(cells[name], 0), least) for name in ("perimeter_um", "major_um", "minor_um")
    )
    return {
        "log_area": np.log(area),
        "log_perimeter": np.log(perimeter),
        "log_major": np.log(major),
        "log_minor": np.log(minor),
        "log_aspect": np.log(major / minor),
        "eccentricity": _known(cells["eccentricity"], 0),
        "circularity": _known(cells["circularity"], 1),
        "solidity": _known(cells["solidity"], 1),
        "ellipse_fill": np.minimum(area / (math.pi / 4 * major * minor), 1),
    }


def _known(values, otherwise: float) -> np.ndarray:
    values = np.asarray(values, float)
    return np.where(np.isfinite(values), values, otherwise)


def label_image(polygons: np.ndarray, values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Paint polygons into a label image, all at once: the inverse of `objects.outlines`.

    A pixel belongs to a polygon that contains the pixel's centre, to the last of several. (OpenCV's and Pillow's
    fills paint the pixels under the outline as well: at 0.5 µm/px nuclei would grow by a fifth, and their stain
    would be in part that of their surroundings.)

    Parameters
    ----------
    polygons
        ``shapely.Polygon`` in pixels, pixel (0, 0) spanning 0 to 1 on both axes. May reach beyond the image.
    values
        The label of each.
    shape
        Height and width of the image.

    Returns
    -------
    numpy.ndarray
        H × W int32, 0 for background.
    """
    high, wide = shape
    image = np.zeros(shape, np.int32)
    points, owner = shapely.get_coordinates(shapely.get_exterior_ring(polygons), return_index=True)
    edge = np.flatnonzero(owner[:-1] == owner[1:])
    (x0, y0), (x1, y1), owner = points[edge].T, points[edge + 1].T, owner[edge]

    # Each edge crosses the middle lines of the rows first … last - 1. Half open, so that a vertex counts once.
    first, last = (np.clip(np.ceil(pick(y0, y1) - 0.5), 0, high).astype(int) for pick in (np.minimum, np.maximum))
    crossing, step = _runs(last - first)
    row = first[crossing] + step
    slope = (x1 - x0)[crossing] / (y1 - y0)[crossing]
    x = x0[crossing] + (row + 0.5 - y0[crossing]) * slope
    owner = owner[crossing]

    # Between the first and second crossing of a row lies the inside, between the third and fourth again.
    order = np.lexsort((x, row, owner))
    column = np.clip(np.ceil(x[order] - 0.5), 0, wide).astype(int)
    start, stop = column[0::2], column[1::2]
    span, step = _runs(stop - start)
    first_of_span = order[0::2][span]
    image[row[first_of_span], start[span] + step] = values[owner[first_of_span]]
    return image


def _runs(lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For lengths 2, 0, 3 return 0 0 2 2 2 (which run) and 0 1 0 1 2 (how far into it)."""
    run = np.repeat(np.arange(len(lengths)), lengths)
    starts = np.cumsum(lengths) - lengths
    return run, np.arange(len(run)) - starts[run]


def _from_image(view: Patch, polygons: np.ndarray, others: np.ndarray, *, mpp: float) -> dict[str, np.ndarray]:
    """Columns of `STAIN` (but the total), `TEXTURE` and `RING` of a view's cells; `others` are only in the way."""
    count = len(view.rows)
    pixel_um = mpp / view.scale.mean()
    labels = _labels(view, polygons, others)
    od = cv2.LUT(view.image, _OD)
    h, e = cv2.split(cv2.transform(od, _UNMIXING[:, :2].T))

    pixel, cell = pixels(labels, view, polygons)
    inside = _Groups(cell, count)
    h_inside, e_inside = h.ravel()[pixel], e.ravel()[pixel]
    h_mean, h_std = inside.mean_std(h_inside)
    e_mean, e_std = inside.mean_std(e_inside)
    p10, p50, p90 = inside.quantiles(h_inside, (0.1, 0.5, 0.9))
    colours = od.reshape(-1, 3)[pixel]
    saturation = cv2.cvtColor(view.image, cv2.COLOR_RGB2HSV)[..., 1].ravel()[pixel] / np.float32(255)
    stain = {
        "h_mean": h_mean,
        "h_std": h_std,
        "h_p10": p10,
        "h_p50": p50,
        "h_p90": p90,
        "h_skew": inside.mean((h_inside - h_mean[cell]) ** 3) / np.maximum(h_std, _LEAST_STD) ** 3,
        "h_rim": _rim(labels, h, count, radius_px=_RIM_UM / pixel_um),
        "e_mean": e_mean,
        "e_std": e_std,
        "od_red": inside.mean(colours[:, 0]),
        "od_green": inside.mean(colours[:, 1]),
        "od_blue": inside.mean(colours[:, 2]),
        "saturation": inside.mean(saturation),
    }
    dx, dy = (cv2.Sobel(h, cv2.CV_32F, *axis, scale=1 / (8 * pixel_um)) for axis in ((1, 0), (0, 1)))
    gradient_mean, gradient_std = inside.mean_std(np.hypot(dx, dy).ravel()[pixel])
    curvature = cv2.Laplacian(h, cv2.CV_32F, scale=1 / pixel_um**2).ravel()[pixel]
    texture = {
        "gradient_mean": gradient_mean,
        "gradient_std": gradient_std,
        "laplacian_std": inside.mean_std(curvature)[1],
        **_cooccurrence(labels, h, count, distance_px=_PAIR_UM / pixel_um),
    }
    pixel, cell = _ring(labels, count, radius_px=_RING_UM / pixel_um)
    around = _Groups(cell, count)
    # A cell hemmed in by others on all sides stands out from nothing.
    ring_h = around.mean(h.ravel()[pixel], otherwise=h_mean)
    ring_e = around.mean(e.ravel()[pixel], otherwise=e_mean)
    ring = {"ring_h": ring_h, "ring_e": ring_e, "step_h": h_mean - ring_h, "step_e": e_mean - ring_e}
    return {**stain, **texture, **ring}


def _labels(view: Patch, polygons: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Label the view's own cells 1…n, in the order of its rows, and others from n + 1."""
    drawn = shapely.transform(polygons[np.concatenate([view.rows, others])], view.to_image)
    # Large ones first, so that what lies upon them stays visible, whichever tile they belong to.
    order = np.argsort(-shapely.area(drawn), kind="stable")
    return label_image(drawn[order], order + 1, view.image.shape[:2])


def pixels(labels: np.ndarray, view: Patch, polygons: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the pixels of the view's own cells, at least one for each cell.

    Parameters
    ----------
    labels
        H × W, 1…n for the view's cells in the order of its rows; what is greater is others'.
    view
        Seen at the resolution of the labels.
    polygons
        All cells of the slide, in level-0 pixels.

    Returns
    -------
    pixel, cell : numpy.ndarray
        Flat index, and the cell (0…n-1) of each.
    """
    count = len(view.rows)
    flat = labels.ravel()
    pixel = np.flatnonzero((flat > 0) & (flat <= count))
    cell = flat[pixel] - 1
    # Too small to hold the centre of a pixel, hidden, or outside the slide: the pixel that is nearest to its middle.
    missing = np.flatnonzero(np.bincount(cell, minlength=count) == 0)
    if len(missing):
        high, wide = labels.shape
        boxes = shapely.bounds(polygons[view.rows[missing]]).reshape(-1, 2, 2)
        x, y = np.clip(view.to_image(boxes.mean(axis=1)), 0, (wide - 1, high - 1)).astype(int).T
        pixel, cell = np.append(pixel, y * wide + x), np.append(cell, missing)
    return pixel, cell


class _Groups:
    """Statistics of values by group, all groups at once.

    Parameters
    ----------
    group
        The group 0…count-1 of each value.
    count
        How many groups there are; some may be empty.
    """

    def __init__(self, group: np.ndarray, count: int):
        self._group, self._count = group, count
        self._sizes = np.bincount(group, minlength=count)

    def mean(self, values: np.ndarray, *, otherwise: np.ndarray | float = 0.0) -> np.ndarray:
        """Mean of each group; `otherwise` where it is empty."""
        sums = np.bincount(self._group, values, minlength=self._count)
        return np.where(self._sizes > 0, sums / np.maximum(self._sizes, 1), otherwise)

    def mean_std(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of each group."""
        mean = self.mean(values)
        return mean, np.sqrt(self.mean((values - mean[self._group]) ** 2))

    def quantiles(self, values: np.ndarray, shares: tuple[float, ...]) -> list[np.ndarray]:
        """Quantiles of each group, none of them empty, with linear interpolation as in ``numpy.quantile``."""
        ordered = values[np.lexsort((values, self._group))]
        starts = np.cumsum(self._sizes) - self._sizes
        results = []
        for share in shares:
            place = starts + share * (self._sizes - 1)
            below = np.floor(place).astype(int)
            above = np.minimum(below + 1, starts + self._sizes - 1)
            results.append(ordered[below] + (place - below) * (ordered[above] - ordered[below]))
        return results


def _rim(labels: np.ndarray, h: np.ndarray, count: int, *, radius_px: float) -> np.ndarray:
    """Mean of `h` within the radius of a cell's border minus that of the cell's rest; 0 where there is no rest."""
    reach = max(1, round(radius_px))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1,) * 2)
    # OpenCV has no int32 here; float32 counts to 2²⁴.
    exact = labels.astype(np.float32)
    core = (cv2.erode(exact, disc) == exact) & (cv2.dilate(exact, disc) == exact)
    own = (labels > 0) & (labels <= count)
    rest = _Groups(labels[own & core] - 1, count)
    rim = _Groups(labels[own & ~core] - 1, count)
    centre = rest.mean(h[own & core], otherwise=np.nan)
    return np.nan_to_num(rim.mean(h[own & ~core], otherwise=np.nan) - centre)


def _ring(labels: np.ndarray, count: int, *, radius_px: float) -> tuple[np.ndarray, np.ndarray]:
    """Flat index and cell (0…n-1) of the background pixels that are nearest to a cell and within the radius of it."""
    background = (labels == 0).astype(np.uint8)
    if background.all():
        return np.empty(0, int), np.empty(0, int)
    distance, nearest = cv2.distanceTransformWithLabels(background, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    # OpenCV numbers the pixels that are not background; what counts is the cell they belong to.
    cell_of = np.zeros(nearest.max() + 1, np.int32)
    filled = background == 0
    cell_of[nearest[filled]] = labels[filled]
    cell = cell_of[nearest].ravel()
    pixel = np.flatnonzero((background.ravel() > 0) & (distance.ravel() <= radius_px) & (cell <= count))
    return pixel, cell[pixel] - 1


def _cooccurrence(labels: np.ndarray, h: np.ndarray, count: int, *, distance_px: float) -> dict[str, np.ndarray]:
    """Columns ``glcm_…`` (Haralick 1973), from pairs in four directions, both pixels in the same cell."""
    low, high = _LEVELS_OD
    level = np.clip((h - low) * (_LEVELS / (high - low)), 0, _LEVELS - 1).astype(np.int32)
    straight = max(1, round(distance_px))
    slanting = max(1, round(distance_px / math.sqrt(2)))
    pairs = np.zeros(count * _LEVELS**2)
    for down, right in ((0, straight), (straight, 0), (slanting, slanting), (slanting, -slanting)):
        here, there = _shifted(labels.shape, down, right)
        same = (labels[here] == labels[there]) & (labels[here] > 0) & (labels[here] <= count)
        key = ((labels[here][same] - 1) * _LEVELS + level[here][same]) * _LEVELS + level[there][same]
        pairs += np.bincount(key, minlength=len(pairs))
    pairs = pairs.reshape(count, _LEVELS, _LEVELS)
    pairs = pairs + pairs.transpose(0, 2, 1)
    total = pairs.sum(axis=(1, 2))
    # A cell too small for pairs has a single level.
    pairs[total == 0, 0, 0] = 1
    share = pairs / np.maximum(total, 1)[:, None, None]

    i, j = np.mgrid[:_LEVELS, :_LEVELS]
    squared = (i - j) ** 2
    mean = (share * i).sum(axis=(1, 2), keepdims=True)
    variance = (share * (i - mean) ** 2).sum(axis=(1, 2))
    covariance = (share * (i - mean) * (j - mean)).sum(axis=(1, 2))
    return {
        "glcm_contrast": (share * squared).sum(axis=(1, 2)),
        "glcm_homogeneity": (share / (1 + squared)).sum(axis=(1, 2)),
        "glcm_energy": np.sqrt((share**2).sum(axis=(1, 2))),
        "glcm_entropy": -(share * np.log2(np.where(share > 0, share, 1))).sum(axis=(1, 2)),
        "glcm_correlation": np.where(variance > 1e-9, covariance / np.maximum(variance, 1e-9), 0),
    }


def _shifted(shape: tuple[int, int], down: int, right: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Slices of an image such that the second holds what lies `down` and `right` of the first."""
    high, wide = shape
    rows = slice(0, max(0, high - down)), slice(down, high)
    columns = slice(max(0, -right), wide - max(0, right)), slice(max(0, right), wide + min(0, right))
    return (rows[0], columns[0]), (rows[1], columns[1])


def _neighbourhood(cells, *, mpp: float, h_mean: np.ndarray, log_area: np.ndarray) -> dict[str, np.ndarray]:
    """Columns of `NEIGHBOURHOOD`."""
    if not len(cells):
        return {name: np.empty(0) for name in NEIGHBOURHOOD}
    boxes = shapely.bounds(cells.geometry.to_numpy()).reshape(-1, 2, 2)
    centroid = cells[["x", "y"]].to_numpy(float)
    places = np.where(np.isfinite(centroid), centroid, boxes.mean(axis=1)) * mpp
    tree = cKDTree(places)
    counts = [tree.query_ball_point(places, radius, return_length=True) - 1 for radius in _RADII_UM]
    distance, near = _nearest(tree, places, 10)
    found = np.isfinite(distance)
    distance = np.minimum(distance, _FARTHEST_UM)
    area = np.exp(log_area)
    local = np.log(_mean(area[near], found & (distance <= 30), otherwise=area))
    return {
        **{f"log_count_{radius:.0f}um": np.log1p(n) for radius, n in zip(_RADII_UM, counts, strict=True)},
        **{f"log_distance_{nth}": np.log1p(distance[:, nth - 1]) for nth in (1, 3, 10)},
        "log_relative_area": log_area - local,
        "relative_h": h_mean - _mean(h_mean[near], found, otherwise=h_mean),
        "alignment": _alignment(cells, near[:, :5], found[:, :5]),
    }


def _nearest(tree: cKDTree, places: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Distance to and index of the nearest others, N × count; infinite and 0 where there are fewer."""
    distance = np.empty((len(places), count), np.float32)
    near = np.empty((len(places), count), np.int32)
    for start in range(0, len(places), _ROWS):
        rows = slice(start, start + _ROWS)
        found, index = tree.query(places[rows], k=count + 1, distance_upper_bound=_FARTHEST_UM)
        # The place itself is among the nearest, but not always first: two cells may share a centroid.
        itself = index == np.arange(start, start + len(index))[:, None]
        order = np.argsort(~itself, axis=1, kind="stable")[:, 1:]
        distance[rows], near[rows] = (np.take_along_axis(values, order, axis=1) for values in (found, index))
    near[~np.isfinite(distance)] = 0
    return distance, near


def _mean(values: np.ndarray, counted: np.ndarray, *, otherwise: np.ndarray) -> np.ndarray:
    """Mean along each row of what is counted."""
    number = counted.sum(axis=1)
    return np.where(number > 0, (values * counted).sum(axis=1) / np.maximum(number, 1), otherwise)


def _alignment(cells, near: np.ndarray, found: np.ndarray) -> np.ndarray:
    # Weighted by elongation: a round cell's orientation is chance.
    major, minor = (_known(cells[name], 0) for name in ("major_um", "minor_um"))
    elongation = 1 - minor / np.maximum(major, 1e-9)
    angle = 2 * _known(cells["orientation"], 0)
    cosine = np.cos(angle[near] - angle[:, None])
    return _mean(elongation[:, None] * elongation[near] * cosine, found, otherwise=np.zeros(len(cells)))
