"""k-means by Lloyd's steps (1982) from centres drawn by greedy k-means++ (Arthur & Vassilvitskii 2007), in NumPy.

scikit-learn has the same; importing it takes longer than clustering most slides.
"""

from __future__ import annotations

import numpy as np

_MOST_STEPS = 300
_SETTLED = 1e-4
"""Of the columns' mean variance: centres that move no farther, squared and summed, have settled."""
_CHUNK_VALUES = 4_000_000


def k_means(values: np.ndarray, count: int, *, seed: int) -> np.ndarray:
    """Split points into groups around their means, so that squares within groups are few.

    Parameters
    ----------
    values
        N × D, N at least `count`.
    count
        Of groups. Where fewer points differ, there are fewer.
    seed
        For the first centres; the same seed gives the same groups on one thread of BLAS.

    Returns
    -------
    numpy.ndarray
        N group numbers.
    """
    points = np.asarray(values, np.float64)
    points = points - points.mean(axis=0)  # products lose digits far from zero
    centres = _first_centres(points, count, np.random.default_rng(seed))
    enough = _SETTLED * points.var(axis=0).mean()
    group, square = _nearest(points, centres)
    for _ in range(_MOST_STEPS):
        moved = _means(points, group, square, count)
        far = np.square(moved - centres).sum()
        centres, before = moved, group
        group, square = _nearest(points, centres)
        if far <= enough or (group == before).all():
            break
    return group


def _first_centres(points: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw centres far from those drawn before: of a few each time, the one that leaves the least squares."""
    tries = 2 + int(np.log(count))
    squares = np.square(points).sum(axis=1)
    centres = np.empty((count, points.shape[1]))
    centres[0] = points[rng.integers(len(points))]
    left = np.square(points - centres[0]).sum(axis=1)
    for number in range(1, count):
        sums = np.cumsum(left)
        drawn = np.searchsorted(sums, rng.random(tries) * sums[-1], side="right").clip(max=len(points) - 1)
        each = squares - 2 * (points[drawn] @ points.T) + squares[drawn, None]
        each = np.minimum(np.maximum(each, 0, out=each), left, out=each)
        best = int(each.sum(axis=1).argmin())
        centres[number], left = points[drawn[best]], each[best]
        left[drawn[best]] = 0
    return centres


def _nearest(points: np.ndarray, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each point's nearest centre, the first of equals, and the square of its distance."""
    group, square = np.empty(len(points), np.int64), np.empty(len(points))
    halves = np.square(centres).sum(axis=1) / 2
    rows = max(1, _CHUNK_VALUES // len(centres))
    for start in range(0, len(points), rows):
        chunk = points[start : start + rows]
        near = (halves - chunk @ centres.T).argmin(axis=1)
        group[start : start + rows] = near
        square[start : start + rows] = np.square(chunk - centres[near]).sum(axis=1)
    return group, square


def _means(points: np.ndarray, group: np.ndarray, square: np.ndarray, count: int) -> np.ndarray:
    """Return the means of the groups; one that lost all its points takes the point that is worst off elsewhere."""
    sizes = np.bincount(group, minlength=count)
    empty = np.flatnonzero(sizes == 0)
    if len(empty):
        group = group.copy()
        worst = np.argsort(-square, kind="stable")
        for row in worst:
            if not len(empty) or square[row] == 0:
                break
            if sizes[group[row]] > 1:
                sizes[group[row]] -= 1
                group[row], empty = empty[0], empty[1:]
                sizes[group[row]] = 1
    sums = np.stack([np.bincount(group, weights=column, minlength=count) for column in points.T], axis=1)
    return sums / np.maximum(sizes, 1)[:, None]
