"""Colours of clusters: the same rank, the same colour; told apart on pink tissue and by colour-blind readers."""

from __future__ import annotations

import colorsys

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
    "#44bb99",
    "#332288",
    "#bbcc33",
    "#882255",
    "#99ddff",
)
_GOLDEN = 0.618033988749895


def colour(cluster: int) -> str:
    """Return the colour of a cluster as ``#rrggbb``; −1 is noise.

    The first twelve are of published colour-blind-safe palettes. More than that cannot be told apart by hue alone:
    later ones walk around the circle by the golden ratio, at three levels of lightness.
    """
    if cluster < 0:
        return NOISE
    if cluster < len(_FIRST):
        return _FIRST[cluster]
    turn = cluster - len(_FIRST)
    parts = colorsys.hls_to_rgb((turn * _GOLDEN) % 1, (0.35, 0.55, 0.75)[turn % 3], 0.75)
    return "#" + "".join(f"{round(255 * part):02x}" for part in parts)


def rgb(shade: str) -> tuple[int, int, int]:
    """Return ``#rrggbb`` as 0 to 255 red, green, blue."""
    return tuple(int(shade[i : i + 2], 16) for i in (1, 3, 5))
