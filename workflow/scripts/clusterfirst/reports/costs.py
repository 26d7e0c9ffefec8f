"""What stages took, from the files of Snakemake's ``benchmark`` directive."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from .. import html
from ..html import Html
from ..io import ClusterfirstError
from ..plan.layout import ResultsFolder
from ..plan.stages import STAGES

_PLACES = {stage: place for place, stage in enumerate(STAGES)}
_FORMATS = {"slides": "{:,.0f}", "jobs": "{:,.0f}", "hours": "{:,.3f}", "most memory (GB)": "{:.2f}"}


def files(folder: str | os.PathLike, units: Iterable[str], *, results: str) -> dict[str, dict[str, int]]:
    """Return every file of times and memory, by slide or group, with the time it was written, ns.

    Parameters
    ----------
    folder
        That of all results.
    units
        Slides and groups, each once.
    results
        What people call the folder.

    Raises
    ------
    ClusterfirstError
        There are no such files.
    """
    folders = {unit: ResultsFolder(folder).slide(unit).benchmarks for unit in units}
    found = {
        unit: {file.as_posix(): file.stat().st_mtime_ns for file in benchmarks.glob("*.tsv")}
        for unit, benchmarks in folders.items()
    }
    if not any(found.values()):
        raise ClusterfirstError(f"no stage of any slide has been run in {results}/: there is nothing to tabulate")
    return found


def read(files: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """Read what Snakemake measured.

    Parameters
    ----------
    files
        By slide or group, its files ``<stage>.tsv``, or ``<stage>-<i>-of-<n>.tsv`` of a stage in several jobs.

    Returns
    -------
    pandas.DataFrame
        One row per slide and stage, slides as in `files`, stages as data flows: ``slide``, ``stage``, ``jobs``,
        ``seconds`` and ``cpu_seconds`` (of all its jobs together), ``max_memory_mb`` (of the largest job). NaN is what
        a job was too short to be measured for.
    """
    by_slide = {slide: _by_stage(paths) for slide, paths in files.items()}
    rows = [
        {"slide": slide, "stage": stage, **_total(stages[stage])}
        for slide, stages in by_slide.items()
        for stage in sorted(stages, key=_place)
    ]
    return pd.DataFrame(rows, columns=["slide", "stage", "jobs", "seconds", "cpu_seconds", "max_memory_mb"])


def _by_stage(paths: Sequence[str]) -> dict[str, list[Path]]:
    """Files of each stage; of an earlier run with another number of jobs, none."""
    stages: dict[str, list[Path]] = {}
    for path in map(Path, paths):
        stages.setdefault(path.stem.split("-")[0], []).append(path)
    for stage, parts in stages.items():
        newest = max(parts, key=lambda path: path.stat().st_mtime_ns)
        stages[stage] = [path for path in parts if path.stem.split("-of-")[1:] == newest.stem.split("-of-")[1:]]
    return stages


def _total(parts: Sequence[Path]) -> dict:
    table = pd.concat([pd.read_csv(path, sep="\t", na_values=["-", "NA"]) for path in parts])
    return {
        "jobs": len(parts),
        "seconds": table["s"].sum(),
        "cpu_seconds": table["cpu_time"].sum(min_count=1),
        "max_memory_mb": table["max_rss"].max(),
    }


def by_stage(table: pd.DataFrame) -> pd.DataFrame:
    """Return, for each stage of what `read` returned, all slides together."""
    grouped = table.groupby("stage", sort=False)
    costs = pd.DataFrame(
        {
            "slides": grouped["slide"].nunique(),
            "jobs": grouped["jobs"].sum(),
            "hours": grouped["seconds"].sum() / 3600,
            "median_seconds": grouped["seconds"].median(),
            "longest_seconds": grouped["seconds"].max(),
            "max_memory_mb": grouped["max_memory_mb"].max(),
        }
    )
    return costs.loc[sorted(costs.index, key=_place)]


def _place(stage: str) -> tuple[int, str]:
    """Stages as data flows; those that there are no more, by name."""
    return _PLACES.get(stage, len(_PLACES)), stage


def write_page(table: pd.DataFrame, path: str | os.PathLike) -> None:
    """Write what `read` returned as a page: each stage over all slides, then each slide."""
    stages = by_stage(table)
    seconds = table.pivot(index="slide", columns="stage", values="seconds")
    seconds = seconds.reindex(index=table["slide"].unique(), columns=stages.index)
    memory = table.groupby("slide", sort=False)["max_memory_mb"].max()
    totals = pd.DataFrame({"all stages": seconds.sum(axis=1), "most memory (GB)": memory / 1000})
    slides = totals.join(seconds).reindex(seconds.index)
    heads = ["slides", "jobs", "hours", "median s", "longest s", "most memory (GB)"]
    overall = stages.assign(max_memory_mb=stages["max_memory_mb"] / 1000).set_axis(heads, axis=1)
    html.write(
        html.document(
            "Time and memory",
            html.tag("h1", "Time and memory"),
            html.tag("p", _in_all(len(slides), table["seconds"].sum())),
            html.tag("h2", "Stages"),
            _html(overall, "stage"),
            html.tag("h2", "Slides: seconds"),
            _html(slides, "slide"),
            tables=True,
        ),
        path,
    )


def _in_all(slides: int, seconds: float) -> str:
    return (
        f"{slides:,} slides and groups; {seconds / 3600:,.2f} hours of jobs in all. Memory is the most that the "
        "largest job held at one time. Jobs of a few seconds may be too short to be measured."
    )


def _html(table: pd.DataFrame, name: str) -> Html:
    def cell(column: str, value: float) -> str:
        return _FORMATS.get(column, "{:,.1f}").format(value) if pd.notna(value) else ""

    rows = ([row, *(cell(*pair) for pair in values.items())] for row, values in table.iterrows())
    return html.table([name, *table.columns], rows)
