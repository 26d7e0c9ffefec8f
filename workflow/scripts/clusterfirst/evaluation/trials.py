"""The trials of a sweep side by side, and the one to be chosen for each tissue."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from .. import html
from ..drawing import save_figure
from ..io import atomic
from ..text import cut
from .clusters import HEADLINE, Counts
from .pooled import ALL, summarise

if TYPE_CHECKING:
    import pandas as pd

EVERYTHING = ALL
"""What stands in column ``tissue`` for all slides of a trial together."""
EFFICIENCY = f"efficiency_{HEADLINE}"
_MOST_NOISE = 0.2
"""A trial that leaves more of the cells without a cluster is not chosen on its looks: nobody could name them."""
_REPLICATES = 200
_SHOWN = (EFFICIENCY, "hungarian_tile", "ari", "units", "noise_fraction", "silhouette", "stability", "mixing")
_WORDS = {
    EFFICIENCY: f"right after {HEADLINE} names",
    "hungarian_tile": "Hungarian per tile",
    "ari": "adjusted Rand",
    "units": "clusters to name",
    "noise_fraction": "noise",
}


@dataclass(frozen=True)
class Outcome:
    """What came of one trial.

    Attributes
    ----------
    values : dict
        What was tried, by ``section.key``.
    tissues, groups : dict of str
        Per slide its tissue (or None), and the group that it was clustered with.
    counts : dict of str to Counts
        Per slide whose truth is known.
    validity : dict of str to dict
        Per group its figures without truth (see `validity`).
    """

    values: dict[str, Any]
    tissues: dict[str, str | None]
    groups: dict[str, str]
    counts: dict[str, Counts]
    validity: dict[str, dict[str, Any]]


def compare(outcomes: Sequence[Outcome]) -> pd.DataFrame:
    """Return one row per trial and tissue, and per trial of all slides one for these together.

    Returns
    -------
    pandas.DataFrame
        ``trial`` (position), ``tissue``, a column per swept key (as JSON; empty if not tried on these slides), all
        figures of `clusters.figures` if any truth is known (``efficiency_25_low`` and ``…_high``: interval), and the
        figures of `validity`, averaged over groups by their slides.
    """
    import pandas as pd

    rows, everyone = [], set().union(*(outcome.tissues for outcome in outcomes))
    for number, outcome in enumerate(outcomes):
        tissues = dict.fromkeys(outcome.tissues.values())
        pools = {name: [slide for slide, tissue in outcome.tissues.items() if tissue == name] for name in tissues}
        if everyone == outcome.tissues.keys():  # trials of other slides could not be held against it
            pools[EVERYTHING] = list(outcome.tissues)
        for name, slides in pools.items():
            tried = {key: json.dumps(value) for key, value in outcome.values.items()}
            told = {**_without_truth(outcome, slides), **_with_truth(outcome, slides)}
            rows.append({"trial": number, "tissue": name or "", **tried, **told})
    return pd.DataFrame(rows)


def _with_truth(outcome: Outcome, slides: list[str]) -> dict[str, float | None]:
    counts = {slide: outcome.counts[slide] for slide in slides if slide in outcome.counts}
    if not counts:
        return {}
    figures = summarise(counts, outcome.groups, replicates=_REPLICATES).figures
    headline = figures[EFFICIENCY]
    span = {f"{EFFICIENCY}_low": headline.low, f"{EFFICIENCY}_high": headline.high}
    return {name: figure.value for name, figure in figures.items()} | span


def _without_truth(outcome: Outcome, slides: list[str]) -> dict[str, float | None]:
    each = [outcome.validity[outcome.groups[slide]] for slide in slides]
    names = dict.fromkeys(name for one in each for name in one if not name.endswith("_reason"))
    return {name: _mean([one.get(name) for one in each]) for name in names}


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def ranking(rows: pd.DataFrame) -> tuple[pd.Series, str]:
    """Say how good the trials of one tissue are.

    Returns
    -------
    score : pandas.Series
        By row; higher is better.
    reason : str
        What it is: label efficiency where all trials have a truth to be held against; otherwise the mean of the ranks
        of silhouette and stability, trials with more than a fifth of noise last. That is no more than a hint: clusters
        can be compact, stable and meaningless.
    """
    import pandas as pd

    if EFFICIENCY in rows and rows[EFFICIENCY].notna().all():
        return rows[EFFICIENCY], f"cells right after naming the {HEADLINE} largest clusters"
    marks = [rows[name].astype(float).rank(na_option="bottom", ascending=False) for name in ("silhouette", "stability")]
    score = -pd.concat(marks, axis=1).mean(axis=1)
    noisy = rows["noise_fraction"].astype(float).fillna(1) > _MOST_NOISE
    return score - len(rows) * noisy, "compact and stable clusters (no truth was known: a hint, no more)"


def best(table: pd.DataFrame) -> dict[str, tuple[int, str]]:
    """Return, per tissue (and `EVERYTHING`), the position of the best trial, of equals the first, and why."""
    chosen = {}
    for tissue, rows in table.groupby("tissue", sort=False):
        score, reason = ranking(rows)
        chosen[tissue] = (int(rows.loc[score.idxmax(), "trial"]), reason)
    return chosen


def write_best(table: pd.DataFrame, outcomes: Sequence[Outcome], path: str | os.PathLike) -> None:
    """Write the best values of each tissue as a configuration to be laid over one's own; those of slides without a
    tissue stand at the top level. Tissues that any trial clusters together get the values that are best for all slides:
    they need the same.
    """
    import pandas as pd

    lines = [
        f"# The best of {len(outcomes)} trials for each tissue; lay it over your own configuration. The figures were",
        "# chosen on the slides that they are told of: on other slides, expect a little less.",
    ]
    config: dict[str, Any] = {}
    chosen = best(table)
    for tissue, (number, reason) in chosen.items():
        if tissue == EVERYTHING:
            continue
        if EVERYTHING in chosen and _across_tissues(outcomes):
            number, reason = chosen[EVERYTHING][0], f"{chosen[EVERYTHING][1]} (best for all slides, clustered together)"
        score = table[(table["tissue"] == tissue) & (table["trial"] == number)].iloc[0]
        told = "" if pd.isna(score.get(EFFICIENCY)) else f", {score[EFFICIENCY]:.3f}"
        lines.append(f"# {tissue or 'slides without a tissue'}: {reason}{told}")
        home = config.setdefault("tissues", {}).setdefault(tissue, {}) if tissue else config
        for key, value in outcomes[number].values.items():
            section, name = key.split(".")
            home.setdefault(section, {})[name] = value
    with atomic(path) as part:
        text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
        part.write_text("\n".join(lines) + "\n" + text, encoding="utf-8")


def _across_tissues(outcomes: Sequence[Outcome]) -> bool:
    """Whether slides of different tissues are clustered together in any trial."""
    return any(
        len({outcome.tissues[slide] for slide, group in outcome.groups.items() if group == one}) > 1
        for outcome in outcomes
        for one in set(outcome.groups.values())
    )


def plot(table: pd.DataFrame, outcomes: Sequence[Outcome], path: str | os.PathLike) -> None:
    """Write a panel for each figure and swept key: a dot for every trial, a line through the means of each value."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    keys = list(dict.fromkeys(key for outcome in outcomes for key in outcome.values))
    # What has one value only explains nothing.
    keys = [key for key in keys if table[key].nunique() > 1] or keys
    shown = [name for name in _SHOWN if name in table and table[name].notna().any()]
    figure = Figure(figsize=(3.2 * len(keys) + 1, 2.4 * len(shown) + 0.8), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(shown), len(keys), sharey="row", squeeze=False)
    tissues = [name for name in dict.fromkeys(table["tissue"]) if name != EVERYTHING]
    for column, key in enumerate(keys):
        values = list(dict.fromkeys(table[key].dropna()))
        for line, name in enumerate(shown):
            axes = panels[line, column]
            for number, tissue in enumerate(tissues):
                rows = table[(table["tissue"] == tissue) & table[key].notna()]
                place = np.array([values.index(value) for value in rows[key]], float)
                place += 0.15 * (number - (len(tissues) - 1) / 2)
                figures = rows[name].astype(float)
                (dots,) = axes.plot(place, figures, "o", markersize=4, alpha=0.6, label=tissue or "no tissue")
                means = figures.groupby(rows[key]).mean()
                # As on the axis: as text, 10 would come before 5.
                means = means.reindex([value for value in values if value in means.index])
                axes.plot([values.index(value) for value in means.index], means, color=dots.get_color(), linewidth=1)
            axes.set_xlim(-0.5, len(values) - 0.5)
            axes.set_xticks(range(len(values)), [_tick(json.loads(value)) for value in values], fontsize=8)
            axes.spines[["top", "right"]].set_visible(False)
            if name == "noise_fraction":
                axes.set_ylim(0, 1)
            if not column:
                axes.set_ylabel(_WORDS.get(name, name))
        panels[-1, column].set_xlabel(key)
    if len(tissues) > 1:
        figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=6, frameon=False)
    save_figure(figure, path)


def _tick(value: Any) -> str:
    text = "null" if value is None else ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return cut(text, 18)


def write_page(table: pd.DataFrame, outcomes: Sequence[Outcome], path: str | os.PathLike) -> None:
    """Write all trials as a page, the best of each tissue first and marked."""
    keys = list(dict.fromkeys(key for outcome in outcomes for key in outcome.values))
    shown = [name for name in _SHOWN if name in table and table[name].notna().any()]
    parts = [html.tag("h1", f"Sweep: {len(outcomes)} trials")]
    for tissue, rows in table.groupby("tissue", sort=False):
        score, reason = ranking(rows)
        heads = (*keys, *(_WORDS.get(name, name) for name in shown))
        ranked = [rows.loc[number] for number in score.sort_values(ascending=False, kind="stable").index]
        cells = [[_told(row[name]) for name in (*keys, *shown)] for row in ranked]
        parts += [html.tag("h2", tissue or "slides without a tissue"), html.tag("p", f"Best first: {reason}.")]
        parts.append(html.table(heads, cells, kinds=["best"] + [None] * (len(cells) - 1)))
    html.write(html.document("Sweep", *parts, tables=True), path)


def _told(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None or np.isnan(value):
        return "–"
    return f"{value:.0f}" if float(value).is_integer() and abs(value) >= 1 else f"{value:.3f}"
