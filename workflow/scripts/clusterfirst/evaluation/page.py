"""A page that says how well clusters match people: for reading and printing, in one file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from .. import html
from ..html import Html, join, picture, table, tag
from .clusters import HEADLINE, NAMES
from .pooled import Figure, Summary, mean

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
    whole = html.document(
        "Clusters and people",
        tag("h1", "How well clusters match people"),
        tag("p", _headline(everything), class_="headline"),
        *(tag("p", sentence) for sentence in _beside(everything, slides)),
        tag("h2", "What names are worth"),
        _figures(slides, pools, _EFFICIENCIES),
        tag("h2", "Classes"),
        _classes(everything),
        tag("h2", "Cells without a partner"),
        tag("p", _unmatched(everything)),
        *(_picture(name, file) for name, file in pictures.items()),
        tag("h2", "Usual indices"),
        _figures(slides, pools, _INDICES),
        tag("h2", "Without truth"),
        _shapes(without_truth),
        tag("h2", "What the figures mean"),
        tag("dl", *(join([tag("dt", name), tag("dd", text)]) for name, text in _MEANINGS)),
    )
    html.write(whole, path)


def _headline(pool: Summary) -> str:
    told = pool.figures[f"efficiency_{HEADLINE}"]
    if told.value is None:
        return "No detected cell has a truth, so nothing can be said of the clusters."
    units = len(pool.units.size)
    which = f"the {HEADLINE} largest of {units:,} clusters" if units > HEADLINE else f"all {units:,} clusters"
    return f"Naming {which} labels {_percent(told)} of the cells right."


def _beside(pool: Summary, slides: Mapping[str, Summary]) -> list[str | Html]:
    """Say what the headline must not be read without."""
    if not pool.units.judged:
        return []
    figures, judged, missed = pool.figures, pool.units.judged, int(pool.units.missed.sum())
    out = []
    if missed > judged:
        out.append(
            join(
                [
                    tag(
                        "strong",
                        f"This rests on {judged:,} of {judged + missed:,} true cells; the others were not detected.",
                    ),
                    " Are the coordinates of the truth pixels of the full resolution, and of these slides?",
                ]
            )
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


def _figures(slides: Mapping[str, Summary], pools: Mapping[str, Summary], columns: tuple[tuple[str, str], ...]) -> Html:
    rows = [
        [name, f"{summary.units.judged:,}", *(_number(summary.figures[key]) for _, key in columns)]
        for some in (pools, slides)
        for name, summary in some.items()
    ]
    kinds = ["pool"] * len(pools) + [None] * len(slides)
    return table(["", "cells with truth", *(name for name, _ in columns)], rows, kinds=kinds)


def _classes(pool: Summary) -> Html:
    heads = ("class", "cells", "not detected", "recall", "precision", "recall, all named", "precision, all named")
    keys = (f"recall_{HEADLINE}", f"precision_{HEADLINE}", "recall_all", "precision_all")
    cells = pool.units.confusion(None).sum(axis=1)
    rows = [
        [name, f"{cells[number]:,}", f"{pool.units.missed[number]:,}"]
        + [_number(pool.by_class[key][number]) for key in keys]
        for number, name in enumerate(pool.classes)
    ]
    return table(heads, rows)


def _shapes(without_truth: Mapping[str, Mapping[str, float | None]]) -> Html:
    rows = [
        [slide, *("–" if told[key] is None else form.format(told[key]) for _, key, form in _SHAPES)]
        for slide, told in without_truth.items()
    ]
    return table(["", *(name for name, _, _ in _SHAPES)], rows)


def _unmatched(pool: Summary) -> str:
    units, missed = pool.units, int(pool.units.missed.sum())
    out = (
        f"{units.detected:,} cells were detected; {units.judged:,} of them have a truth, "
        f"{units.detected - units.judged:,} have none and are not judged (nobody said what they are, or they are no "
        "cells). "
        f"Of {units.judged + missed:,} true cells, {missed:,} were not detected"
    )
    by_class = [f"{count:,} {name}" for name, count in zip(pool.classes, units.missed, strict=True) if count]
    return out + (": " + ", ".join(by_class) if by_class else "") + "."


def _picture(name: str, path: str | os.PathLike) -> Html:
    return join([tag("h2", name), picture(Path(path).read_bytes(), "png", name)])


def _percent(figure: Figure) -> str:
    if figure.value is None:
        return "an unknown share"
    span = "" if figure.low is None else f" [{100 * figure.low:.0f}, {100 * figure.high:.0f}]"
    return f"{100 * figure.value:.0f}\N{NO-BREAK SPACE}%{span}"


def _number(figure: Figure) -> str | Html:
    if figure.value is None:
        return "–"
    told = f"{figure.value:z.2f}"
    if figure.low is None:
        return told
    return join([told, tag("br"), tag("small", f"[{figure.low:z.2f}, {figure.high:z.2f}]")])
