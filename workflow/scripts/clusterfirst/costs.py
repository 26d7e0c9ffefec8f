"""What stages took, from the files of Snakemake's ``benchmark`` directive."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import pandas as pd

from .io import atomic

STAGES = (
    "tile",
    "filter_tiles",
    "export_tiles",
    "outline",
    "segment",
    "embed",
    "reduce",
    "share_map",
    "cluster",
    "share_clusters",
    "annotate",
    "nuclei_mask",
    "representatives",
    "annotate_representatives",
)
"""In the order they run; others follow by name."""
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1a1a1a; max-width: 80rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; } .wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .6rem; text-align: right; border-bottom: 1px solid #ddd; }
th:first-child, td:first-child { text-align: left; }
"""


_FORMATS = {"slides": "{:,.0f}", "jobs": "{:,.0f}", "hours": "{:,.3f}", "most memory (GB)": "{:.2f}"}


def read(files: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """Read what Snakemake measured.

    Parameters
    ----------
    files
        By slide or group, its files ``<stage>.tsv``, or ``<stage>-<i>-of-<n>.tsv`` of a stage in several jobs.

    Returns
    -------
    pandas.DataFrame
        One row per slide and stage: ``slide``, ``stage``, ``jobs``, ``seconds`` and ``cpu_seconds`` (of all its jobs
        together), ``max_memory_mb`` (of the largest job). NaN is what a job was too short to be measured for.
    """
    rows = [
        {"slide": slide, "stage": stage, **_total(parts)}
        for slide, paths in files.items()
        for stage, parts in _by_stage(paths).items()
    ]
    table = pd.DataFrame(rows, columns=["slide", "stage", "jobs", "seconds", "cpu_seconds", "max_memory_mb"])
    known = {stage: place for place, stage in enumerate(STAGES)}
    places = table["stage"].map(lambda stage: (known.get(stage, len(known)), stage))
    slides = {slide: place for place, slide in enumerate(files)}
    return table.iloc[sorted(range(len(table)), key=lambda row: (slides[table["slide"][row]], places[row]))]


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
    found = pd.DataFrame(
        {
            "slides": grouped["slide"].nunique(),
            "jobs": grouped["jobs"].sum(),
            "hours": grouped["seconds"].sum() / 3600,
            "median_seconds": grouped["seconds"].median(),
            "longest_seconds": grouped["seconds"].max(),
            "max_memory_mb": grouped["max_memory_mb"].max(),
        }
    )
    ordered = [stage for stage in STAGES if stage in found.index]
    return found.loc[ordered + sorted(set(found.index) - set(ordered))]


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
    page = f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Time and memory</title><style>{_STYLE}</style>
<h1>Time and memory</h1>
<p>{len(slides):,} slides and groups; {table["seconds"].sum() / 3600:,.2f} hours of jobs in all.
Memory is the most that the largest job held at one time. Jobs of a few seconds may be too short to be measured.</p>
<h2>Stages</h2>
{_html(overall, "stage")}
<h2>Slides: seconds</h2>
{_html(slides, "slide")}
</html>
"""
    with atomic(path) as part:
        part.write_text(page, encoding="utf-8")


def _html(table: pd.DataFrame, name: str) -> str:
    def cell(column: str, value: float) -> str:
        return _FORMATS.get(column, "{:,.1f}").format(value) if pd.notna(value) else ""

    head = "".join(f"<th>{escape(str(column))}</th>" for column in (name, *table.columns))
    rows = (
        f"<tr><td>{escape(str(row))}</td>" + "".join(f"<td>{cell(*pair)}</td>" for pair in values.items()) + "</tr>"
        for row, values in table.iterrows()
    )
    return f'<div class="wide"><table><tr>{head}</tr>\n{"".join(rows)}</table></div>'
