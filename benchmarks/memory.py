"""Does the memory of segmentation grow with the slide? The same number of tiles of two synthetic slides.

    .venv/bin/python benchmarks/memory.py FOLDER | tee benchmarks/memory.md

One slide has ten times the area of the other; about 500 tiles of each are outlined. FOLDER is kept, and resumed from.
Seconds and memory are Snakemake's own, per job (the job and its worker processes together; the largest sum of their
proportional set sizes, and of their resident ones, which count shared pages once per process).
"""

import csv
import subprocess
import sys
from pathlib import Path

import geopandas
import pandas as pd
import yaml
from machine import machine
from stages import synthetic
from whole import REPO

from clusterfirst import weights
from clusterfirst.slide.slide import Slide

SIZES = (19_000, 60_000)
TILES = 540
"""To take, of which about 500 stay."""
JOBS = ("tile", "filter_tiles", "outline-1-of-1", "segment")


def run(folder: Path, name: str, path: Path) -> dict:
    """Run the workflow up to `segment`; return counts, and seconds and memory per job."""
    (folder / "config").mkdir(exist_ok=True)
    (folder / "config/config.yaml").write_text((REPO / "config/config.yaml").read_text())
    (folder / f"{name}.csv").write_text(f"slide,path,mpp\n{name},{path},0.499\n")
    own = {"slides": f"{name}.csv", "models_dir": str(REPO / "resources/models")}
    own |= {"tiling": {"num_tiles": TILES}, "segmentation": {"smoothing_px": 0.7}}
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(own))
    command = [sys.executable, "-m", "snakemake", "--snakefile", REPO / "workflow/Snakefile", "--directory", folder]
    command += ["--configfile", folder / f"{name}.yaml", "--workflow-profile", REPO / "profiles/default"]
    subprocess.run([*command, "--until", "segment", "--quiet", "all"], check=True, stdout=sys.stderr)
    results = folder / "results" / name
    found = {
        "kept": int(pd.read_parquet(results / "filtered.parquet")["kept"].sum()),
        "cells": len(geopandas.read_parquet(results / "masks.parquet")),
    }
    for job in JOBS:
        with (results / "benchmarks" / f"{job}.tsv").open() as file:
            found[job] = next(csv.DictReader(file, delimiter="\t"))
    return found


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    slide_file = weights.fetch(weights.SLIDES["CMU-1-Small-Region.svs"], REPO / "resources/slides")
    with Slide(slide_file) as slide:
        tissue = slide.read(0, 0, *slide.size)
    rows = {}
    for edge in SIZES:
        path = folder / f"{edge}.tiff"
        if not path.exists():
            synthetic(tissue, edge, path)
        rows[edge] = run(folder, f"synthetic-{edge}", path)
    print("# Memory of segmentation\n")
    print(f"{machine()}. Each cell: seconds, peak proportional MB, peak resident MB.\n")
    print("| slide | file, GB | tiles outlined | cells | " + " | ".join(JOBS) + " |")
    print("|---" * (4 + len(JOBS)) + "|")
    for edge, found in rows.items():
        cells = [f"{float(found[job][key]):,.0f}" for job in JOBS for key in ("s", "max_pss", "max_rss")]
        figures = " | ".join(", ".join(cells[start : start + 3]) for start in range(0, len(cells), 3))
        size = (folder / f"{edge}.tiff").stat().st_size / 1e9
        print(f"| {edge:,} × {edge:,} | {size:.2f} | {found['kept']:,} | {found['cells']:,} | {figures} |")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
