"""A page that says how well clusters match people: for reading and printing, in one file."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path

from ..io import atomic
from .clusters import HEADLINE, NAMES
from .pooled import Figure, Summary, mean

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; max-width: 66rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2rem; }
.headline { font-size: 1.25rem; border-left: 4px solid #0072b2; padding-left: 1rem; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; text-align: right; border-bottom: 1px solid #ddd; }
th:first-child, td:first-child { text-align: left; min-width: 8rem; max-width: 20rem; overflow-wrap: anywhere; }
tr.pool { font-weight: 600; } .wide { overflow-x: auto; }
small { color: #555; white-space: nowrap; font-weight: 400; }
dt { font-weight: 600; } dd { margin: 0 0 .5rem 1.5rem; }
img { max-width: 100%; break-inside: avoid; }
@media print { body { margin: 0; max-width: none; font-size: 11pt; } .wide { overflow: visible; }
  table { font-size: 7pt; } th, td { padding: .1rem .3rem; } th:first-child, td:first-child { min-width: 5rem; }
  h2 { break-after: avoid; } tr, dd { break-inside: avoid; } }
"""

_EFFICIENCIES = (
    *((f"{names} names", f"efficiency_{names}") for names in NAMES),
    ("all named", "efficiency_all"),
    ("one class for all", "majority"),
    (f"{HEADLINE} shuffled names", f"efficiency_{HEADLINE}_shuffled"),
    ("noise", "noise_fraction"),
)
_INDICES = (
    ("tile Hungarian", "hungarian_tile"),
    ("… one cluster", "hungarian_tile_one_cluster"),
    ("… shuffled", "hungarian_tile_shuffled"),
    ("group Hungarian", "hungarian_group"),
    ("… one cluster", "hungarian_group_one_cluster"),
    ("ARI", "ari"),
    ("AMI", "ami"),
    ("homogeneity", "homogeneity"),
    ("completeness", "completeness"),
)
_SHAPES = (
    ("clusters", "clusters", "{:,}"),
    ("in the 25 largest", "share_of_largest", "{:z.2f}"),
    ("silhouette", "silhouette", "{:z.2f}"),
    ("Davies–Bouldin", "davies_bouldin", "{:z.2f}"),
    ("Calinski–Harabasz", "calinski_harabasz", "{:,.0f}"),
    ("stability", "stability", "{:z.2f}"),
    ("spread over slides", "spread", "{:z.2f}"),
    ("neighbours of own slide", "mixing", "{:z.2f}"),
)

_MEANINGS = (
    (
        "N names (label efficiency)",
        "A person names the N largest clusters, each by what most of its cells are, and the name reaches every cell of "
        "the cluster. The share of cells with a truth that are right then; noise and unnamed cells are wrong. With "
        "several slides together, N is the number of names given in all.",
    ),
    (
        "one class for all",
        "The share that is right if every cell is called by the most common class. No effort: clusters are worth what "
        "they add to this.",
    ),
    (
        "shuffled names",
        "Label efficiency if cells swap their clusters at random within each slide. Many small clusters seem good by "
        "chance; this shows how good.",
    ),
    (
        "tile Hungarian",
        "In every tile anew, clusters are assigned to classes one to one in the best possible way; the share of cells "
        "that is right. It is high where tiles hold few cells or one class; so it is read beside one cluster for all "
        "cells, and shuffled clusters.",
    ),
    (
        "group Hungarian",
        "The same, assigned once for all slides that were clustered together. With more clusters than classes, most "
        "clusters get no class and are wrong.",
    ),
    (
        "ARI, AMI",
        "Agreement of clusters and classes, adjusted for chance: 0 for unrelated ones, 1 for the same. Several "
        "clusters for one class lower both, though naming them costs only time.",
    ),
    ("homogeneity, completeness", "How far clusters hold one class each; how far classes lie in one cluster each."),
    ("noise", "The share of all detected cells that are in no cluster, and so can get no name."),
    (
        "recall, precision",
        "Of the cells of a class, those that got its name; of the cells that got a name, those that are of that class.",
    ),
    (
        "silhouette, Davies–Bouldin, Calinski–Harabasz",
        "How compact clusters are and how far apart: −1 to 1, higher is better; from 0, lower is better; higher is "
        "better. They judge shapes, not meaning.",
    ),
    ("stability", "Agreement (ARI) with the clusters that 80 % of the cells give when clustered again."),
    (
        "spread over slides",
        "0: every cluster is of one slide; 1: every slide has its share of every cluster. Low values among slides of "
        "one tissue mean that slides differ by stain or scanner.",
    ),
    (
        "neighbours of own slide",
        "How often a cell's nearest neighbours in the embedding are of its own slide, over how often by chance: 1 "
        "where slides are mixed, more where they lie apart.",
    ),
    (
        "[low, high]",
        "95 % interval: what other slides of the same kind would be expected to give (bootstrap over slides). With one "
        "slide there is none.",
    ),
)


def write(
    path: str | os.PathLike,
    *,
    slides: Mapping[str, Summary],
    pools: Mapping[str, Summary],
    pictures: Mapping[str, str | os.PathLike],
    without_truth: Mapping[str, Mapping[str, float | None]],
) -> None:
    """Write the page as one HTML file, pictures inside, without scripts.

    Parameters
    ----------
    path
        The file.
    slides
        Each slide on its own.
    pools
        Slides together; the first of them is all slides.
    pictures
        PNG files by what is written above them.
    without_truth
        Per group of slides that were clustered together (or slide) what `validity.document` returned.
    """
    everything = next(iter(pools.values()))
    parts = [
        "<h1>How well clusters match people</h1>",
        f'<p class="headline">{_headline(everything)}</p>',
        *(f"<p>{sentence}</p>" for sentence in _beside(everything, slides)),
        "<h2>What names are worth</h2>",
        _figures(slides, pools, _EFFICIENCIES),
        "<h2>Classes</h2>",
        _classes(everything),
        "<h2>Cells without a partner</h2>",
        f"<p>{_unmatched(everything)}</p>",
        *(_picture(name, file) for name, file in pictures.items()),
        "<h2>Usual indices</h2>",
        _figures(slides, pools, _INDICES),
        "<h2>Without truth</h2>",
        _shapes(without_truth),
        "<h2>What the figures mean</h2>",
        "<dl>" + "".join(f"<dt>{name}</dt><dd>{text}</dd>" for name, text in _MEANINGS) + "</dl>",
    ]
    head = f'<meta charset="utf-8"><title>Clusters and people</title><style>{_STYLE}</style>'
    with atomic(path) as part:
        part.write_text(
            f'<!doctype html>\n<html lang="en"><head>{head}</head><body>\n' + "\n".join(parts) + "\n</body></html>\n",
            encoding="utf-8",
        )


def _headline(pool: Summary) -> str:
    told = pool.figures[f"efficiency_{HEADLINE}"]
    if told.value is None:
        return "No detected cell has a truth, so nothing can be said of the clusters."
    units = len(pool.units.size)
    which = f"the {HEADLINE} largest of {units:,} clusters" if units > HEADLINE else f"all {units:,} clusters"
    return f"Naming {which} labels {_percent(told)} of the cells right."


def _beside(pool: Summary, slides: Mapping[str, Summary]) -> list[str]:
    """Say what the headline must not be read without."""
    if not pool.units.judged:
        return []
    figures, judged, missed = pool.figures, pool.units.judged, int(pool.units.missed.sum())
    out = []
    if missed > judged:
        out.append(
            f"<strong>This rests on {judged:,} of {judged + missed:,} true cells; the others were not detected."
            "</strong> Are the coordinates of the truth pixels of the full resolution, and of these slides?"
        )
    out += [
        f"Calling every cell by the most common class would be right for {_percent(figures['majority'])}, and clusters "
        f"shuffled at random within each slide for {_percent(figures[f'efficiency_{HEADLINE}_shuffled'])}. "
        "This is of the cells that were detected; with those that were not counted wrong, it is "
        f"{_percent(figures[f'efficiency_{HEADLINE}_of_true'])} of all true cells."
    ]
    units = len(pool.units.size)
    if units > HEADLINE:
        out.append(f"Naming all {units:,} clusters labels {_percent(figures['efficiency_all'])} right.")
    if len(slides) > 1:
        own = mean(slides.values())[f"efficiency_{HEADLINE}"]
        out.append(
            f"With {HEADLINE} names given in each slide on its own, {_percent(Figure(own))} are right, as the mean "
            f"over {len(slides):,} slides."
        )
    return out


def _figures(slides: Mapping[str, Summary], pools: Mapping[str, Summary], columns: tuple[tuple[str, str], ...]) -> str:
    rows = [
        f'<tr class="{kind}"><td>{escape(name)}</td><td>{summary.units.judged:,}</td>'
        + "".join(f"<td>{_number(summary.figures[key])}</td>" for _, key in columns)
        + "</tr>"
        for kind, some in (("pool", pools), ("slide", slides))
        for name, summary in some.items()
    ]
    return _table(["", "cells with truth", *(name for name, _ in columns)], rows)


def _classes(pool: Summary) -> str:
    heads = ("class", "cells", "not detected", "recall", "precision", "recall, all named", "precision, all named")
    keys = (f"recall_{HEADLINE}", f"precision_{HEADLINE}", "recall_all", "precision_all")
    cells = pool.units.confusion(None).sum(axis=1)
    rows = [
        f"<tr><td>{escape(name)}</td><td>{cells[number]:,}</td><td>{pool.units.missed[number]:,}</td>"
        + "".join(f"<td>{_number(pool.by_class[key][number])}</td>" for key in keys)
        + "</tr>"
        for number, name in enumerate(pool.classes)
    ]
    return _table(heads, rows)


def _shapes(without_truth: Mapping[str, Mapping[str, float | None]]) -> str:
    rows = [
        f"<tr><td>{escape(slide)}</td>"
        + "".join(f"<td>{'–' if told[key] is None else form.format(told[key])}</td>" for _, key, form in _SHAPES)
        + "</tr>"
        for slide, told in without_truth.items()
    ]
    return _table(["", *(name for name, _, _ in _SHAPES)], rows)


def _table(heads: Iterable[str], rows: Iterable[str]) -> str:
    head = "".join(f"<th>{name}</th>" for name in heads)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def _unmatched(pool: Summary) -> str:
    units, missed = pool.units, int(pool.units.missed.sum())
    out = (
        f"{units.detected:,} cells were detected; {units.judged:,} of them have a truth, "
        f"{units.detected - units.judged:,} have none and are not judged (nobody said what they are, or they are no "
        "cells). "
        f"Of {units.judged + missed:,} true cells, {missed:,} were not detected"
    )
    by_class = [f"{count:,} {escape(name)}" for name, count in zip(pool.classes, units.missed, strict=True) if count]
    return out + (": " + ", ".join(by_class) if by_class else "") + "."


def _picture(name: str, path: str | os.PathLike) -> str:
    data = base64.b64encode(Path(path).read_bytes()).decode()
    return f'<h2>{escape(name)}</h2><img alt="{escape(name)}" src="data:image/png;base64,{data}">'


def _percent(figure: Figure) -> str:
    if figure.value is None:
        return "an unknown share"
    span = "" if figure.low is None else f" [{100 * figure.low:.0f}, {100 * figure.high:.0f}]"
    return f"{100 * figure.value:.0f}\N{NO-BREAK SPACE}%{span}"


def _number(figure: Figure) -> str:
    if figure.value is None:
        return "–"
    span = "" if figure.low is None else f"<br><small>[{figure.low:z.2f}, {figure.high:z.2f}]</small>"
    return f"{figure.value:z.2f}{span}"
