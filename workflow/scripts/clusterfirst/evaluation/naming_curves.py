"""How many cells are right after so many seconds of a person, ours beside its rivals: table, plot and page."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import html
from ..drawing import new_figure, save_figure
from ..html import Html, picture, tag
from .naming import METHODS, OURS
from .pooled import Figure

if TYPE_CHECKING:
    import pandas as pd

TIMES = (60, 120, 240, 400, 600, 900, 1200)
"""Seconds that the table tells of."""
_POINTS = 200
_REPLICATES = 1000
_COLOURS = dict(zip(METHODS, ("#0072b2", "#9a9a9a", "#d55e00", "#e69f00"), strict=True))

_MEANINGS = (
    (
        "right",
        "The share of the cells with a truth that have the right class: those that somebody looked at, and all others "
        "by what the classifier says of them.",
    ),
    (
        "names, then pages",
        "The largest clusters get names. A classifier learns from them, and asks: pages of cells that look alike and "
        "that it takes for one class, of which the wrong ones are corrected; after each it learns anew.",
    ),
    ("names only", "Clusters get names, the largest first; each name reaches all cells of its cluster, and no other."),
    (
        "single cells by doubt",
        "Cells are shown one by one, those of whose class the same classifier is least sure; nothing is named.",
    ),
    ("single cells at random", "The same, without choosing."),
    (
        "seconds",
        "What a simulated person needs who is never wrong (`learning.person` in the config). Real people err, get "
        "tired and differ.",
    ),
    (
        "[low, high]",
        "95 % interval: what other slides of the kind would be expected to give (bootstrap over slides, of the mean "
        "over seeds). With one slide there is none.",
    ),
)


class Curves:
    """What simulated people got right on all slides, by method and time.

    Parameters
    ----------
    documents
        Per group of slides: ``group``, ``slides``, ``cells`` (with a truth, per slide), ``person`` and ``runs`` (see
        `naming.simulate`). Groups are named apart, each with as many seconds.
    """

    def __init__(self, documents: Sequence[Mapping[str, Any]]):
        self.documents = documents
        self.person = documents[0]["person"]
        self.end = float(self.person["seconds"])
        self.cells = np.concatenate([one["cells"] for one in documents])
        self.times = np.linspace(0, self.end, _POINTS + 1)
        self.shown = [time for time in TIMES if time <= self.end]

    def right(self, method: str, times: Iterable[float]) -> np.ndarray:
        """Return how many cells are right, times × slides, as the mean over seeds."""
        parts = []
        for document in self.documents:
            runs = [run for run in document["runs"] if run["method"] == method]
            parts.append(np.mean([_at(run, times) for run in runs], axis=0))
        return np.concatenate(parts, axis=1)

    def seeds(self, method: str, time: float) -> np.ndarray:
        """Return the share that is right for each seed."""
        runs = [[run for run in one["runs"] if run["method"] == method] for one in self.documents]
        return np.array([sum(_at(run, [time]).sum() for run in seed) for seed in zip(*runs, strict=True)]) / self.total

    @property
    def total(self) -> int:
        """Cells with a truth."""
        return int(self.cells.sum())

    def figures(self, right: np.ndarray) -> list[Figure]:
        """Return for each time the share of cells and its interval over slides; also of differences of two methods."""
        value = right.sum(axis=1) / self.total
        filled = np.flatnonzero(self.cells)
        if len(filled) < 2:
            return [Figure(float(one)) for one in value]
        rng = np.random.default_rng(0)
        draws = rng.multinomial(len(filled), np.full(len(filled), 1 / len(filled)), size=_REPLICATES)
        shares = (draws @ right[:, filled].T) / (draws @ self.cells[filled])[:, None]
        low, high = np.quantile(shares, (0.025, 0.975), axis=0)
        return [Figure(*map(float, one)) for one in zip(value, low, high, strict=True)]


def _at(run: Mapping[str, Any], times: Iterable[float]) -> np.ndarray:
    """Cells that are right at times, by slide: what was right when the last answer before was learnt."""
    last = np.searchsorted(run["seconds"], list(times), side="right") - 1
    right = np.array(run["right"])
    # Before the first answer nothing is.
    return np.where(last[:, None] >= 0, right[np.maximum(last, 0)], 0)


def table(curves: Curves) -> pd.DataFrame:
    """Return a row for each moment of each simulated person.

    Returns
    -------
    pandas.DataFrame
        ``group``, ``method``, ``seed``, ``seconds``, ``answers``, ``right`` and ``cells`` (with a truth).
    """
    import pandas as pd

    rows = [
        (one["group"], run["method"], run["seed"], seconds, answers, sum(right), int(np.sum(one["cells"])))
        for one in curves.documents
        for run in one["runs"]
        for seconds, answers, right in zip(run["seconds"], run["answers"], run["right"], strict=True)
    ]
    return pd.DataFrame(rows, columns=["group", "method", "seed", "seconds", "answers", "right", "cells"])


def plot(curves: Curves, path: str | os.PathLike) -> None:
    """Write the curves, and the interval of ours as a band."""
    figure, axes = new_figure()
    for method, colour in _COLOURS.items():
        right = curves.right(method, curves.times)
        wide = 3 if method == OURS else 1.5
        axes.plot(curves.times, right.sum(axis=1) / curves.total, color=colour, linewidth=wide, label=method)
        if method == OURS and (spans := curves.figures(right))[0].low is not None:
            low, high = ([getattr(one, side) for one in spans] for side in ("low", "high"))
            axes.fill_between(curves.times, low, high, color=colour, alpha=0.15, linewidth=0)
    axes.set(title="What a person's time is worth", xlabel="seconds of a person", ylabel="cells that are right")
    # What nobody would stop at may lie below the picture.
    early = min(curves.right(method, [curves.end / 10]).sum() for method in METHODS) / curves.total
    axes.set(xlim=(0, curves.end), ylim=(max(0.0, np.floor(10 * early - 1) / 10), 1))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    save_figure(figure, path)


def write_page(curves: Curves, picture_file: str | os.PathLike, path: str | os.PathLike) -> None:
    """Write a page with all of it in one HTML file."""
    whole = html.document(
        "What a person's time is worth",
        tag("h1", "What a person's time is worth"),
        tag("p", _headline(curves), class_="headline"),
        tag("p", _basis(curves)),
        picture(Path(picture_file).read_bytes(), "png", "cells that are right over seconds of a person"),
        tag("h2", "Cells that are right"),
        _figures(curves),
        tag("h2", "What the figures mean"),
        tag("dl", *(part for name, text in _MEANINGS for part in (tag("dt", name), tag("dd", text)))),
    )
    html.write(whole, path)


def _headline(curves: Curves) -> str:
    if not curves.shown:
        return f"A person has {curves.end:g} seconds, too few for the table; the picture shows them."
    time = min(curves.shown, key=lambda one: abs(one - 600))
    ours = curves.right(OURS, [time])
    rivals = {method: curves.right(method, [time]) for method in METHODS if method != OURS}
    best = max(rivals, key=lambda method: rivals[method].sum())
    (value,), (other,), (ahead,) = (curves.figures(one) for one in (ours, rivals[best], ours - rivals[best]))
    return (
        f"After {time:,} seconds, {OURS} are right for {_percent(value)} of {curves.total:,} cells; the best rival "
        f"({best}) for {_percent(other)}. The difference is {_points(ahead)}."
    )


def _basis(curves: Curves) -> str:
    person = curves.person
    slides = sum(len(one["slides"]) for one in curves.documents)
    seeds = max(run["seed"] for one in curves.documents for run in one["runs"]) + 1
    groups = len(curves.documents)
    apart = f" in {groups:,} groups that are named apart, each with as many seconds" if groups > 1 else ""
    return (
        f"{slides:,} slides with a truth{apart}; mean over {seeds} seeds. A person needs {person['name_seconds']:g} s "
        f"to name a cluster, {person['page_seconds']:g} s to look over a page of {person['page_cells']} cells and "
        f"{person['correction_seconds']:g} s for each correction, {person['cell_seconds']:g} s for a single cell."
    )


def _figures(curves: Curves) -> Html:
    right = {method: curves.right(method, curves.shown) for method in METHODS}
    rivals = np.stack([right[method] for method in METHODS if method != OURS])
    best = rivals.sum(axis=2).argmax(axis=0)
    ahead = right[OURS] - rivals[best, np.arange(len(curves.shown))]
    rows = [[method, *map(_percent, curves.figures(right[method]))] for method in METHODS]
    rows.append(["ours, less the best rival", *map(_points, curves.figures(ahead))])
    spread = [f"{100 * curves.seeds(OURS, time).std():.1f}" for time in curves.shown]
    rows.append(["ours, standard deviation over seeds, points", *spread])
    return html.table(["", *(f"{time:,} s" for time in curves.shown)], rows)


def _percent(figure: Figure) -> str:
    span = "" if figure.low is None else f" [{100 * figure.low:.0f}, {100 * figure.high:.0f}]"
    return f"{100 * figure.value:.1f} %{span}"


def _points(figure: Figure) -> str:
    span = "" if figure.low is None else f" [{100 * figure.low:+.1f}, {100 * figure.high:+.1f}]"
    return f"{100 * figure.value:+.1f} points{span}"
