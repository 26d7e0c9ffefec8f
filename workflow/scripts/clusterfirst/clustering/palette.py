"""Colours of clusters: the same rank, the same colour; told apart on pink tissue and by colour-blind readers."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

NOISE = "#9a9a9a"

_FIRST = (
    # Okabe & Ito (2008), without black and grey, ordered for contrast with haematoxylin and eosin; then Tol (2021).
    "#f0e442",
    "#56b4e9",
    "#009e73",
    "#e69f00",
    "#0072b2",
    "#d55e00",
    "#cc79a7",
    "#332288",
    "#882255",
)
_TAKEN = ("#ffffff", "#000000", "#e8b4d0", NOISE)
"""Paper, dark nuclei, eosin, noise."""
_SPREAD = 48
"""Colours that are chosen for being unlike each other; beyond, nobody can tell so many apart."""
_ALIKE = 0.05
"""Colours less unlike than this are taken for the same."""
_GOLDEN = 0.618033988749895
_DEUTERANOPIA = np.array(
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
)
"""What readers without green cones see, of linear RGB (Machado et al. 2009)."""
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
_LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)
"""From linear RGB to cones, and from their cube roots to OKLab (Ottosson 2020): distances there are as they look."""


def colour(cluster: int) -> str:
    """Return the colour of a cluster as ``#rrggbb``; −1 is noise.

    The first nine are of published colour-blind-safe palettes. Each of those up to 48 is as unlike all before as
    there is any, to readers with and without green cones. More cannot be told apart: later ones walk around the circle
    of hues by the golden ratio, at three levels of lightness.
    """
    if cluster < 0:
        return NOISE
    if cluster < len(_FIRST):
        return _FIRST[cluster]
    if cluster < _SPREAD:
        return _spread()[cluster]
    turn = cluster - _SPREAD
    parts = colorsys.hls_to_rgb((turn * _GOLDEN) % 1, (0.35, 0.55, 0.75)[turn % 3], 0.75)
    return "#" + "".join(f"{round(255 * part):02x}" for part in parts)


def rgb(shade: str) -> tuple[int, int, int]:
    """Return ``#rrggbb`` as 0 to 255 red, green, blue."""
    return tuple(int(shade[i : i + 2], 16) for i in (1, 3, 5))


def dark(shade: str) -> str:
    """Return a colour dark enough for letters on white, at least 4.5 : 1 (WCAG 2), of the same hue."""
    parts = np.array(rgb(shade), float)
    while (_linear(parts) @ _LUMINANCE + 0.05) * 4.5 > 1.05:
        parts *= 0.95
    return "#" + "".join(f"{int(part):02x}" for part in parts)


def _linear(shades: np.ndarray) -> np.ndarray:
    parts = shades / 255
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def seen(shades: np.ndarray) -> np.ndarray:
    """Return colours, n × 3 of 0 to 255, as they look: n × 2 × 3 OKLab, to most readers and without green cones."""
    linear = _linear(np.asarray(shades, float))
    both = np.stack([linear, np.clip(linear @ _DEUTERANOPIA.T, 0, 1)], axis=1)
    return np.cbrt(both @ _LMS.T) @ _LAB.T


def distance(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return how unlike colours look, n × m, from `seen`: to whom they look more alike, where that is a third of it."""
    away = np.linalg.norm(some[:, None] - others[None], axis=-1)
    # Readers without green cones have fewer colours: what they see apart counts threefold, or it would decide all.
    return np.minimum(away[..., 0], 3 * away[..., 1])


def free(wished: str, taken: Sequence[str]) -> str:
    """Return the colour wished, or, where one taken looks like it, that of the clusters' which is farthest from all."""
    used = seen([rgb(shade) for shade in (*taken, *_TAKEN)])
    if not taken or distance(seen([rgb(wished)]), used[: len(taken)]).min() > _ALIKE:
        return wished
    offered = _spread()
    return offered[distance(seen([rgb(shade) for shade in offered]), used).min(axis=1).argmax()]


@lru_cache(maxsize=1)
def _spread() -> tuple[str, ...]:
    """The first colours; each after the published ones is that which is farthest from the nearest before it."""
    steps = np.linspace(0, 255, 18).round().astype(int)
    candidates = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    look = seen(candidates)
    # Neither too dark nor too light for tissue, nor as dull as it; and no neon.
    lightness, chroma = look[:, 0, 0], np.hypot(look[:, 0, 1], look[:, 0, 2])
    fit = (lightness > 0.42) & (lightness < 0.93) & (chroma > 0.08) & (chroma < 0.27)
    candidates, look = candidates[fit], look[fit]
    chosen = list(_FIRST)
    nearest = distance(look, seen([rgb(shade) for shade in (*_FIRST, *_TAKEN)])).min(axis=1)
    while len(chosen) < _SPREAD:
        place = nearest.argmax()
        chosen.append("#" + "".join(f"{part:02x}" for part in candidates[place]))
        nearest = np.minimum(nearest, distance(look, look[place][None])[:, 0])
    return tuple(chosen)
