"""Pictures of an evaluation: which objects were hit, and F1 over the IoU asked for."""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np
import shapely
from PIL import Image

from ..clustering import palette
from ..drawing import beside, draw_cells, new_figure, save, save_figure, scale_bar
from ..slide.slide import Slide
from .segmentation import THRESHOLDS, Scores, hits

# Ranks in the palette: told apart on pink tissue and by colour-blind readers.
_HIT, _MISSED, _FALSE_ALARM = 1, 0, 5
_LINE_UM = 0.5
_WIDE_PX = 3.0


def overlay(
    slide: Slide,
    found: np.ndarray,
    truth: np.ndarray,
    path: str | os.PathLike,
    *,
    title: str,
    longest: int = 4000,
    threshold: float = 0.5,
) -> None:
    """Write a picture of the slide with hits, misses and false alarms in three colours, a scale bar and a legend.

    Of a hit both outlines are drawn. On large slides lines get thinner, down to a pixel, but none is left out.

    Parameters
    ----------
    slide
        The open slide.
    found, truth
        ``shapely.Polygon`` in level-0 pixels.
    path
        The PNG.
    title
        Stands above the legend.
    longest
        Longer side of the picture without its legend, in pixels, at most.
    threshold
        IoU from which on two objects match.
    """
    found_hit, truth_hit = hits(found, truth, threshold=threshold)
    image, scale = slide.thumbnail(longest=longest)
    thin = max(1.0, _LINE_UM * scale / slide.mpp)
    # What went wrong lies on top and is drawn wider, to be found among thousands of hits.
    for polygons, rank, line_px in (
        (np.concatenate([truth[truth_hit], found[found_hit]]), _HIT, thin),
        (truth[~truth_hit], _MISSED, max(_WIDE_PX, thin)),
        (found[~found_hit], _FALSE_ALARM, max(_WIDE_PX, thin)),
    ):
        rings = _rings(polygons, scale)
        image = draw_cells(image, rings, np.full(len(rings), rank), line_px=line_px)
    picture = Image.fromarray(image)
    scale_bar(picture, mpp=slide.mpp / scale)
    rows = [
        (palette.colour(_HIT), f"hits at IoU ≥ {threshold:g}: {truth_hit.sum():,}"),
        (palette.colour(_MISSED), f"missed: {(~truth_hit).sum():,} of {len(truth):,}"),
        (palette.colour(_FALSE_ALARM), f"false alarms: {(~found_hit).sum():,} of {len(found):,}"),
    ]
    save(np.asarray(beside(picture, title, rows)), path)


def _rings(polygons: np.ndarray, scale: float) -> list[np.ndarray]:
    """Vertices of every polygon in pixels of the picture."""
    points, owner = shapely.get_coordinates(shapely.get_exterior_ring(polygons), return_index=True)
    return np.split(points * scale, np.flatnonzero(np.diff(owner)) + 1) if len(points) else []


def curve(scores: Mapping[str, Scores], pooled: Scores, path: str | os.PathLike, *, title: str) -> None:
    """Write F1 over IoU thresholds: a thin line for every slide, a thick one for all objects together."""
    figure, axes = new_figure()
    for one in scores.values():
        axes.plot(THRESHOLDS, _numbers(one.f1), color="#9a9a9a", linewidth=0.8, clip_on=False)
    axes.plot([], [], color="#9a9a9a", linewidth=0.8, label=f"slides ({len(scores):,})")
    # A line at 1 would else lie half outside the axes.
    axes.plot(
        THRESHOLDS, _numbers(pooled.f1), color="#0072b2", linewidth=3, label="all objects together", clip_on=False
    )
    axes.set(title=title, xlabel="IoU asked for", ylabel="F1", xlim=(THRESHOLDS[0], THRESHOLDS[-1]), ylim=(0, 1))
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    save_figure(figure, path)


def _numbers(values: list[float | None]) -> np.ndarray:
    return np.array(values, float)  # None becomes NaN, which is not drawn
