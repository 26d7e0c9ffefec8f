"""Plots of how well clusters match people: efficiency over names, what was taken for what, figures beside chance."""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np

from ..drawing import new_figure, save_figure
from ..text import cut
from .clusters import HEADLINE, Units, figures
from .pooled import Figure, Summary

_POOLED, _SLIDES, _CHANCE, _SHUFFLED = "#0072b2", "#9a9a9a", "#d55e00", "#e69f00"
_MOST_NAMES = 100
"""Nobody names more; and what follows is a long flat line."""
_LETTERS = 24


def efficiency(slides: Mapping[str, Units], pooled: Units, path: str | os.PathLike, *, title: str) -> None:
    """Write label efficiency over the number of names: a thin line for each slide named on its own, a thick one for all
    slides together, and the most common class given to all cells, dashed.
    """
    figure, axes = new_figure()
    limit = int(np.clip(max([len(units.size) for units in (*slides.values(), pooled)]), 10, _MOST_NAMES))
    thin = {"color": _SLIDES, "linewidth": 0.8, "clip_on": False}
    for units in slides.values():
        axes.plot(*_curve(units, limit), **thin)
    axes.plot([], [], **thin, label=f"each slide on its own ({len(slides):,})")
    axes.plot(*_curve(pooled, limit), color=_POOLED, linewidth=3, clip_on=False, label="all slides together")
    majority = figures(pooled, costly=False)["majority"]
    if majority is not None:
        axes.axhline(majority, color=_CHANCE, linestyle="--", label="most common class for every cell")
    axes.set(title=title, xlabel="clusters named, the largest first", ylabel="cells labelled right")
    axes.set(xlim=(0, limit), ylim=(0, 1))
    axes.yaxis.set_major_formatter(_as_percent())
    # Below the axes: no corner is free of lines in all data.
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    save_figure(figure, path)


def _curve(units: Units, limit: int) -> tuple[np.ndarray, np.ndarray]:
    """After the last cluster, more names change nothing."""
    curve = units.curve()[: limit + 1]
    names = np.arange(len(curve))
    return np.append(names, limit), np.append(curve, curve[-1])


def confusion(
    table: np.ndarray, classes: tuple[str, ...], path: str | os.PathLike, *, title: str, names: int | None = HEADLINE
) -> None:
    """Write what cells of each true class were called, in percent of the class, with numbers of cells below.

    Parameters
    ----------
    table
        See `Units.confusion`.
    classes
        Its rows.
    names
        How many were given; None: all.
    """
    figure, axes = new_figure()
    total = table.sum(axis=1, keepdims=True)
    share = np.divide(table, total, out=np.zeros(table.shape), where=total > 0)
    if table.size:
        axes.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    size = float(np.clip(60 / max(len(classes), 1), 5, 10))
    for (row, column), part in np.ndenumerate(share):
        text = f"{part:.0%}\n{table[row, column]:,}" if table[row, column] else "0"
        axes.text(column, row, text, ha="center", va="center", fontsize=size, color="white" if part > 0.6 else "black")
    short = [cut(name, _LETTERS) for name in classes]
    axes.set_xticks(range(len(classes) + 1), [*short, "no name"], rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(classes)), short)
    many = "all clusters" if names is None else f"the {names} largest clusters"
    axes.set(title=title, xlabel=f"name after naming {many}", ylabel="what people say")
    axes.spines[:].set_visible(False)
    save_figure(figure, path)


def bars(summary: Summary, path: str | os.PathLike, *, title: str) -> None:
    """Write the main figures with their intervals, and beside each what chance or no clusters at all would give."""
    figure, axes = new_figure()
    kinds = (("clusters", _POOLED), ("one class or cluster for all", _CHANCE), ("shuffled clusters", _SHUFFLED))
    rows = _rows(summary.figures)
    lowest = 0.0
    for place, (_, row) in enumerate(rows):
        present = [(kind, told) for kind, told in zip(kinds, row, strict=True) if told and told.value is not None]
        for number, ((_, shade), told) in enumerate(present):
            y = place + 0.27 * (number - (len(present) - 1) / 2)
            low, high = (told.value, told.value) if told.low is None else (told.low, told.high)
            axes.barh(y, told.value, 0.25, color=shade)
            axes.plot([low, high], [y, y], color="black", linewidth=1)
            axes.text(max(high, 0) + 0.012, y, f"{told.value:.2f}", va="center", fontsize=8)
            lowest = min(lowest, low)
    for label, shade in kinds:
        axes.barh(0, 0, color=shade, label=label)
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.set(title=title, xlim=(1.05 * lowest, 1.08), ylim=(len(rows) - 0.5, -0.5), xticks=np.linspace(0, 1, 6))
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    save_figure(figure, path)


def _rows(figures: Mapping[str, Figure]) -> list[tuple[str, tuple[Figure | None, ...]]]:
    """What is shown: clusters, one for all, shuffled."""
    keys = (
        (f"right after {HEADLINE} names", f"efficiency_{HEADLINE}", "majority", f"efficiency_{HEADLINE}_shuffled"),
        ("right after all names", "efficiency_all", "majority", "efficiency_all_shuffled"),
        ("Hungarian, per tile", "hungarian_tile", "hungarian_tile_one_cluster", "hungarian_tile_shuffled"),
        ("Hungarian, all together", "hungarian_group", "hungarian_group_one_cluster", None),
        ("adjusted Rand", "ari", None, None),
        ("adjusted mutual inf.", "ami", None, None),
        ("homogeneity", "homogeneity", None, None),
        ("completeness", "completeness", None, None),
    )
    return [(name, tuple(figures.get(key) for key in row)) for name, *row in keys]


def _as_percent():
    from matplotlib.ticker import PercentFormatter

    return PercentFormatter(1, decimals=0)
