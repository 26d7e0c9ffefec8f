"""Figures of many slides together, how sure they are, and what chance alone would give."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .clusters import NAMES, Counts, Units, by_class, figures
from .hungarian import Tiles

if TYPE_CHECKING:
    import pandas as pd

REPLICATES = 1000
_COSTLY_REPLICATES = 100
"""For figures that take tens of milliseconds each."""
_SHUFFLES = 20
_LEVEL = 0.95
ALL = "all slides"


class Figure(NamedTuple):
    """A value and its interval.

    Attributes
    ----------
    value : float or None
        None where it is not defined.
    low, high : float or None
        95 % bootstrap interval over slides (see `summarise`); None where there is only one slide, where less than half
        of the draws define the value, or where none was asked for.
    """

    value: float | None
    low: float | None = None
    high: float | None = None


class _Stack(NamedTuple):
    """Counts of the slides of one group, with the same clusters and classes."""

    alone: bool  # a slide clustered by itself, not the only one of its group that has a truth
    slides: np.ndarray
    size: np.ndarray  # slides × clusters
    table: np.ndarray  # slides × (clusters + 1) × classes, noise last


class Cohort:
    """Slides whose counts can be added up, any of them any number of times.

    Parameters
    ----------
    counts
        Per slide.
    groups
        Per slide the group that it was clustered with: cluster 3 is the same cluster in all slides of a group. A slide
        that was clustered alone is a group of its own name.
    """

    def __init__(self, counts: Mapping[str, Counts], groups: Mapping[str, str]):
        self.counts, self.groups = dict(counts), {slide: groups[slide] for slide in counts}
        self.slides = list(counts)
        self.classes = tuple(sorted({name for one in counts.values() for name in one.classes}))
        members: dict[str, list[int]] = {}
        for number, slide in enumerate(self.slides):
            members.setdefault(groups[slide], []).append(number)
        self._noise = np.array([one.noise for one in counts.values()], np.int64)
        self._tiles = np.array([one.tiles for one in counts.values()], float).reshape(-1, len(Tiles._fields))
        self._missed = np.zeros((len(self.slides), len(self.classes)), np.int64)
        for number, one in enumerate(counts.values()):
            self._missed[number, self._columns(one)] = one.missed
        self.stacks = [self._stack(np.array(numbers)) for numbers in members.values()]

    def _columns(self, counts: Counts) -> np.ndarray:
        return np.searchsorted(self.classes, counts.classes) if counts.classes else np.empty(0, int)

    def _stack(self, slides: np.ndarray) -> _Stack:
        each = [self.counts[self.slides[number]] for number in slides]
        clusters = max(len(one.size) for one in each)
        size = np.zeros((len(each), clusters), np.int64)
        table = np.zeros((len(each), clusters + 1, len(self.classes)), np.int64)
        for row, one in enumerate(each):
            size[row, : len(one.size)] = one.size
            table[row, : len(one.size), self._columns(one)] = one.table[:-1].T
            table[row, -1, self._columns(one)] = one.table[-1]
        first = self.slides[slides[0]]
        return _Stack(self.groups[first] == first, slides, size, table)

    def units(self, weights: np.ndarray | None = None) -> Units:
        """Add slides up.

        Parameters
        ----------
        weights
            How many times each slide counts; None for once. A slide that was clustered alone and counts twice is two
            slides alike, each to be named on its own; one of a group adds its cells to the group's clusters twice.
        """
        weights = np.ones(len(self.slides), np.int64) if weights is None else np.asarray(weights, np.int64)
        sizes, tables = [], []
        for stack in self.stacks:
            weight = weights[stack.slides]
            if stack.alone:
                sizes += [stack.size[0]] * int(weight[0])
                tables += [stack.table[0]] * int(weight[0])
            elif weight.any():
                sizes.append(weight @ stack.size)
                tables.append(np.tensordot(weight, stack.table, 1))
        classes = len(self.classes)
        group = np.repeat(np.arange(len(sizes)), np.array([len(size) for size in sizes], int))
        size = np.concatenate([np.empty(0, np.int64), *sizes])
        table = np.concatenate([np.empty((0, classes), np.int64), *(table[:-1] for table in tables)])
        # A cluster of the group that no cell of these slides is in cannot be named in them.
        seen = size > 0
        return Units(
            group=group[seen],
            size=size[seen],
            table=table[seen],
            noise_table=np.array([table[-1] for table in tables], np.int64).reshape(len(tables), classes),
            noise=int(weights @ self._noise),
            missed=weights @ self._missed,
            tiles=Tiles(*(weights @ self._tiles).tolist()),
        )

    def slides_with_class(self) -> list[int]:
        """Return how many slides have each class among their detected cells."""
        has = np.concatenate([stack.table.sum(axis=1) > 0 for stack in self.stacks])
        return has.sum(axis=0).tolist()

    def shuffled(self, *, seed: int) -> dict[str, float | None]:
        """Return label efficiency if cells swapped their clusters at random within each slide, averaged.

        It is above the majority where clusters are small: what a handful of cells has most of is right by chance.
        """
        rng = np.random.default_rng(seed)
        keys = {f"efficiency_{names or 'all'}_shuffled": names for names in (*NAMES, None)}
        draws: dict[str, list] = {key: [] for key in keys}
        for _ in range(_SHUFFLES):
            swapped = {slide: replace(one, table=_swapped(one.table, rng)) for slide, one in self.counts.items()}
            units = Cohort(swapped, self.groups).units()
            for key, names in keys.items():
                draws[key].append(units.efficiency(names))
        return {key: None if None in values else float(np.mean(values)) for key, values in draws.items()}


def _swapped(table: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw a table of random cells with the same sums of rows and columns."""
    from scipy.stats import random_table

    # One row or column leaves nothing to chance; of one column, SciPy makes negative numbers.
    if not table.sum() or 1 in table.shape:
        return table
    return random_table(table.sum(axis=1), table.sum(axis=0)).rvs(random_state=rng).astype(np.int64)


@dataclass(frozen=True)
class Summary:
    """Figures of some slides together.

    Attributes
    ----------
    classes : tuple of str
        All that people named.
    units : Units
        The sums.
    figures : dict of str to Figure
        See `clusters.figures`; and ``efficiency_K_shuffled`` (see `Cohort.shuffled`).
    by_class : dict of str to list of Figure
        See `clusters.by_class`.
    slides : int
        How many.
    """

    classes: tuple[str, ...]
    units: Units
    figures: dict[str, Figure]
    by_class: dict[str, list[Figure]]
    slides: int

    def document(self) -> dict:
        """Return everything but the units, JSON-ready."""
        cells = self.units.table.sum(axis=0) + self.units.noise_table.sum(axis=0)
        known = any(figure.low is not None for figure in self.figures.values())
        return {
            "slides": self.slides,
            "cells": {
                "detected": self.units.detected,
                "with_truth": self.units.judged,
                "true_not_detected": int(self.units.missed.sum()),
            },
            "interval": "95 % bootstrap over slides" if known else None,
            "interval_reason": None if known else "one slide tells nothing of how much slides differ",
            "figures": {name: figure._asdict() for name, figure in self.figures.items()},
            "classes": {
                name: {
                    "cells": int(cells[number]),
                    "not_detected": int(self.units.missed[number]),
                    **{key: values[number]._asdict() for key, values in self.by_class.items()},
                }
                for number, name in enumerate(self.classes)
            },
            "confusion": {str(names or "all"): self.units.confusion(names).tolist() for names in (*NAMES, None)},
        }


def summarise(
    counts: Mapping[str, Counts], groups: Mapping[str, str], *, seed: int = 0, replicates: int = REPLICATES
) -> Summary:
    """Pool slides.

    Intervals are percentiles over `replicates` draws of as many slides with replacement (a tenth of them for ``ami``),
    moved by the difference between the value and the draws' mean: a draw holds some slides twice, and names learnt on
    few slides fit these better, so the draws lie higher than they should, at times with the value below all of them.
    Intervals tell how the figures might differ on other slides of the kind, and nothing about cells.

    Parameters
    ----------
    counts, groups
        See `Cohort`.
    seed
        Of intervals and shuffles.
    replicates
        Draws; 0 for no intervals.
    """
    cohort = Cohort(counts, groups)
    units = cohort.units()
    values = _flat(units, cohort.classes, costly=True)
    spans = _intervals(cohort, seed, replicates)
    told = {key: _figure(value, spans.get(key)) for key, value in values.items()}
    # A class that one slide alone has is as sure as one slide can make it: nothing is known of others.
    rare = {name for name, slides in zip(cohort.classes, cohort.slides_with_class(), strict=True) if slides < 2}
    told |= {key: Figure(told[key].value) for key in told if isinstance(key, tuple) and key[1] in rare}
    return Summary(
        classes=cohort.classes,
        units=units,
        figures={
            **{key: figure for key, figure in told.items() if isinstance(key, str)},
            **{key: Figure(value) for key, value in cohort.shuffled(seed=seed).items()},
        },
        by_class={key: [told[key, name] for name in cohort.classes] for key in by_class(units)},
        slides=len(counts),
    )


def pools(counts: Mapping[str, Counts], groups: Mapping[str, str], tissues: Mapping[str, str]) -> dict[str, Summary]:
    """Pool all slides (`ALL`), and, of several tissues, the slides of each.

    Parameters
    ----------
    counts, groups
        See `Cohort`.
    tissues
        Per slide its tissue; one that is blank is in no pool but the first.
    """
    members: dict[str, dict[str, Counts]] = {ALL: dict(counts)}
    names = sorted({tissues[slide] for slide in counts if tissues.get(slide)})
    for name in names if len(names) > 1 else ():
        members[f"tissue: {name}"] = {slide: one for slide, one in counts.items() if tissues.get(slide) == name}
    return {name: summarise(some, groups) for name, some in members.items()}


def sizes(counts: Mapping[str, Counts], groups: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Return, for each group, slides × clusters: how many cells were detected (see `validity.spread`)."""
    cohort = Cohort(counts, groups)
    return {cohort.groups[cohort.slides[stack.slides[0]]]: stack.size for stack in cohort.stacks}


def _flat(units: Units, classes: tuple[str, ...], *, costly: bool) -> dict[str | tuple[str, str], float | None]:
    """All figures by name, those of classes by name and class."""
    out = dict(figures(units, costly=costly))
    for key, row in by_class(units).items():
        out |= {(key, name): value for name, value in zip(classes, row, strict=True)}
    return out


def _intervals(cohort: Cohort, seed: int, replicates: int) -> dict[str | tuple[str, str], tuple[float, float]]:
    """Per figure, how far below and above its value the interval reaches."""
    slides = len(cohort.slides)
    # Slides without a cell that has a truth, such as blank ones, tell nothing of how much slides differ.
    if sum(bool(one.table.any()) for one in cohort.counts.values()) < 2 or not replicates:
        return {}
    rng = np.random.default_rng(seed)
    draws = rng.multinomial(slides, np.full(slides, 1 / slides), size=replicates)
    costly = max(1, replicates * _COSTLY_REPLICATES // REPLICATES)
    told = [
        _flat(cohort.units(weights), cohort.classes, costly=number < costly) for number, weights in enumerate(draws)
    ]
    spans = {}
    for key in told[0].keys() - {"units"}:
        values = np.array([one[key] for one in told[: costly if key == "ami" else None]], float)
        defined = values[~np.isnan(values)]
        if len(defined) and 2 * len(defined) >= len(values):
            tail = (1 - _LEVEL) / 2
            spans[key] = tuple((np.quantile(defined, (tail, 1 - tail)) - defined.mean()).tolist())
    return spans


def _figure(value: float | None, span: tuple[float, float] | None) -> Figure:
    if value is None or span is None:
        return Figure(value)
    # No figure exceeds 1, and only those adjusted for chance can be below 0. Where nearly all draws are alike, their
    # mean may lie outside of what most of them are.
    low, high = min(value, value + span[0]), max(value, value + span[1])
    return Figure(value, max(low, min(0.0, value)), min(high, 1.0))


def mean(slides: Iterable[Summary]) -> dict[str, float | None]:
    """Average each figure over the slides where it is defined: all slides weigh the same, each named on its own."""
    slides = list(slides)
    known = {
        key: [one.figures[key].value for one in slides if one.figures[key].value is not None]
        for key in (slides[0].figures if slides else ())
    }
    return {key: float(np.mean(values)) if values else None for key, values in known.items()}


def table(slides: Mapping[str, Summary], pooled: Mapping[str, Summary], tissues: Mapping[str, str]) -> pd.DataFrame:
    """Return a row for each slide and each pool of slides, three for a pool with intervals.

    Returns
    -------
    pandas.DataFrame
        ``slide`` (or the pool), ``tissue``, ``row`` (``value``, ``low``, ``high``), ``detected``, ``with_truth``,
        ``not_detected`` (cells), and the figures.
    """
    import pandas as pd

    rows = [
        {
            "slide": name,
            "tissue": tissues.get(name, "") if name in slides else "",
            "row": row,
            "detected": summary.units.detected,
            "with_truth": summary.units.judged,
            "not_detected": int(summary.units.missed.sum()),
            **{key: getattr(figure, row) for key, figure in summary.figures.items()},
        }
        for name, summary in (*slides.items(), *pooled.items())
        for row in (("value", "low", "high") if name in pooled and summary.slides > 1 else ("value",))
    ]
    rows.append({"slide": "mean over slides", "tissue": "", "row": "value", **mean(slides.values())})
    return pd.DataFrame(rows).astype(dict.fromkeys(("detected", "with_truth", "not_detected"), "Int64"))
