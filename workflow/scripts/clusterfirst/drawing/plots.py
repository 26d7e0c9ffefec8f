"""Plots: the map of cells, and what clustering came to."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from ..clustering import palette
from ..clustering.document import Clustering
from ..clustering.variance import NAMES, SOME_NAMES
from ..io import atomic
from .legends import LEGEND_ROWS, folded, percent
from .selection import Cells, noted

if TYPE_CHECKING:
    from ..clustering.dbscan import KDistance

_BARS = 60
_LARGEST_TREE = 500
"""Clusters; of more, a dendrogram shows nothing, and may be too deep for SciPy, which draws it by recursion."""


def plot_umap(plane: np.ndarray, cells: Cells, path: str | os.PathLike, *, title: str) -> None:
    """Write a scatter of cells in the plane (n × 2), in their colours."""
    figure, axes = new_figure()
    size = float(np.clip(20000 / max(len(plane), 1), 0.2, 12))
    # Noise first, so that clusters lie on top.
    order = np.argsort(cells.number, kind="stable")
    numbers, which = np.unique(cells.number[order], return_inverse=True)
    shades = np.array([palette.rgb(cells.key.colour(number)) for number in numbers.tolist()]).reshape(-1, 3) / 255
    axes.scatter(*plane[order].T, c=shades[which] if len(plane) else None, s=size, linewidths=0, rasterized=True)
    axes.set(xlabel="first axis", ylabel="second axis", xticks=[], yticks=[])
    axes.set_title(folded(title, most=28), parse_math=False)
    axes.set_aspect("equal", "datalim")
    _legend(axes, noted(cells))
    save_figure(figure, path)


def _legend(axes, rows: list[tuple[str, str]]) -> None:
    """Set a legend to the right of the axes."""
    if not rows:
        return
    handles = [axes.scatter([], [], c=shade, s=40, label=f"row {place}") for place, (shade, _) in enumerate(rows)]
    legend = axes.legend(handles=handles, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize=8)
    # Names are as people wrote them: a leading _ would hide a row, and $ would set formulas.
    for place, (_, text) in zip(legend.get_texts(), rows, strict=True):
        place.set(text=text, parse_math=False)


def plot_clusters(clusters: Clustering, path: str | os.PathLike, *, title: str, curve: KDistance | None = None) -> None:
    """Write what clustering came to: sizes, what naming the largest covers, and how the clusters were chosen.

    Parameters
    ----------
    clusters
        What came of it.
    path
        The PNG.
    title
        Stands above all.
    curve
        The k-distance curve of DBSCAN.
    """
    panels = [_sizes, _covered]
    if curve is not None:
        panels.append(lambda axes, _: _k_distance(axes, curve))
    if clusters.settings.get("eps_tried"):
        panels.append(_eps_tried)
    if clusters.groups is not None and 1 < len(clusters.entries) <= _LARGEST_TREE:
        panels.append(_dendrogram)
    figure, grid = new_figure(rows=(len(panels) + 1) // 2, columns=2)
    figure.suptitle(title)
    places = list(grid.flat)
    if len(panels) % 2:
        # The last has the row for itself.
        *places, left, right = places
        left.remove()
        right.remove()
        places.append(figure.add_subplot(left.get_gridspec()[-1, :]))
    for axes, panel in zip(places, panels, strict=True):
        panel(axes, clusters)
        axes.spines[["top", "right"]].set_visible(False)
    save_figure(figure, path)


def _sizes(axes, clusters: Clustering) -> None:
    """Bars of the largest clusters."""
    drawn = clusters.entries[:_BARS]
    colours = [entry.colour for entry in drawn]
    axes.bar(range(len(drawn)), [entry.size for entry in drawn], color=colours, width=0.9)
    more = len(clusters.entries) - len(drawn)
    axes.set(xlabel=f"cluster (and {more:,} smaller ones)" if more else "cluster", ylabel="cells")
    noise = clusters.counts.noise_fraction
    axes.set_title(f"{clusters.counts.clusters:,} clusters, {percent(noise) if noise else 'no'} noise")
    axes.xaxis.get_major_locator().set_params(integer=True)


def _covered(axes, clusters: Clustering) -> None:
    """Cells reached by naming clusters, the largest first."""
    sizes = np.sort([entry.size for entry in clusters.entries])[::-1]
    share = 100 * np.cumsum(sizes) / max(clusters.counts.cells, 1)
    axes.plot(np.arange(len(share) + 1), np.append(0, share), color="#0072b2")
    for names in SOME_NAMES:
        if names <= len(share):
            axes.plot(names, share[names - 1], "o", color="#0072b2")
            spot = {"xytext": (4, -12), "textcoords": "offset points", "fontsize": 8}
            axes.annotate(f"{names}: {share[names - 1]:.0f} %", (names, share[names - 1]), **spot)
    axes.axhline(100 * (1 - clusters.counts.noise_fraction), color=palette.NOISE, linestyle="--", label="not noise")
    axes.set(xlabel="clusters named, largest first", ylabel="cells they hold (%)", ylim=(0, 105))
    axes.set_title("What names can reach")
    axes.set_xlim(0, 1.1 * max(1, min(len(share), 2 * max(SOME_NAMES))))
    axes.legend(frameon=False, loc="lower right")


def _k_distance(axes, curve: KDistance) -> None:
    """The sorted k-distance curve with the chosen eps."""
    if len(curve.curve):
        axes.plot(np.linspace(0, 100, len(curve.curve)), curve.curve, color="#0072b2")
    how = {
        "given": "given",
        "list": "best of the list",
        "knee": "at the knee",
        "quantile": "a quantile: the curve has no knee",
    }[curve.source]
    axes.axhline(curve.eps, color="#d55e00", linestyle="--", label=f"eps = {curve.eps:.3g} ({how})")
    axes.set(xlabel="cells, sorted (%)", ylabel=f"distance to neighbour {curve.k}", xlim=(0, 100))
    axes.set_title("k-distance curve")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)


def _eps_tried(axes, clusters: Clustering) -> None:
    """What came of every eps of the list."""
    tried = clusters.settings["eps_tried"]
    eps = [outcome["eps"] for outcome in tried]
    explained = [100 * outcome["explained"] for outcome in tried]
    axes.plot(eps, explained, "o-", color="#0072b2", label=f"variance told by {NAMES} names")
    axes.plot(eps, [100 * outcome["noise_fraction"] for outcome in tried], "o-", color=palette.NOISE, label="noise")
    for outcome, high in zip(tried, explained, strict=True):
        spot = {"xytext": (0, 6), "textcoords": "offset points", "ha": "center", "fontsize": 8}
        axes.annotate(f"{outcome['clusters']:,}", (outcome["eps"], high), **spot)
    axes.axvline(clusters.settings["eps"], color="#d55e00", linestyle="--", label="chosen")
    axes.set(xlabel="eps (above the points: clusters)", ylabel="%", ylim=(-3, 110))
    if max(eps) > 8 * min(eps):
        axes.set_xscale("log")
    axes.set_title("The eps of the list")
    axes.legend(frameon=False)


def _dendrogram(axes, clusters: Clustering) -> None:
    """How the clusters would go on to join."""
    from scipy.cluster.hierarchy import dendrogram

    above = clusters.tree.above(clusters.groups)
    drawn = dendrogram(above, ax=axes, no_labels=True, link_color_func=lambda _: "#555555")
    leaves = drawn["leaves"]
    places = 10 * np.arange(len(leaves)) + 5
    axes.scatter(
        places,
        np.zeros(len(leaves)),
        marker="s",
        c=[clusters.entries[leaf].colour for leaf in leaves],
        clip_on=False,
        zorder=3,
    )
    if len(leaves) <= LEGEND_ROWS:
        axes.set_xticks(places, leaves, fontsize=8)
        axes.tick_params(axis="x", length=0, pad=6)
    axes.set(xlabel="cluster", ylabel="height (Ward)")
    axes.set_title(f"{len(clusters.tree.sizes):,} fine clusters joined to {len(drawn['leaves'])}, and beyond")


def new_figure(*, rows: int = 1, columns: int = 1):
    """Return a figure and its axes, an array of them where there are several."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(
        figsize=(8 if columns == 1 else 6 * columns, 6 if rows == columns == 1 else 4.5 * rows), layout="constrained"
    )
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns)


def save_figure(figure, path: str | os.PathLike) -> None:
    with atomic(path) as part:
        figure.savefig(part, dpi=150, metadata={"Software": None})
