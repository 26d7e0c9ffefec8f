"""Seconds and peak memory per stage: the demo slide, and synthetic slides of two sizes built from its tissue.

    .venv/bin/python benchmarks/stages.py | tee benchmarks/stages.md

The synthetic slides are pyramidal JPEG TIFFs: the demo slide, mirrored so that edges meet, in bands with glass between
them. About 200 tiles of each are segmented, so that a difference in memory is the slide's, not the cells'.
Seconds and memory are Snakemake's own, per job (whole process, import of libraries included; the largest resident
set). A folder given as argument is kept, and resumed from.
"""

import csv
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import tifffile
import yaml
from machine import machine

from clusterfirst import weights
from clusterfirst.clustering.document import Clustering
from clusterfirst.slide.slide import Slide

STAGES = ("tile", "filter_tiles", "outline-1-of-1", "segment", "embed", "reduce", "cluster", "annotate")
SIZES = {10_000: 220, 20_000: 220}
"""Edge, and tiles to take, of which about 200 stay."""
REPO = Path(__file__).resolve().parent.parent


def synthetic(tissue: np.ndarray, edge: int, path: Path, *, mpp: float | None = None) -> None:
    """Write a pyramidal tiled JPEG TIFF of `edge`² pixels, without ever holding it; with `mpp`, the file says so."""
    high, wide = tissue.shape[:2]
    block = np.block([[[tissue], [tissue[:, ::-1]]], [[tissue[::-1]], [tissue[::-1, ::-1]]]])

    def tiles(level: int):
        scale = 2**level
        for y in range(0, edge // scale, 256):
            for x in range(0, edge // scale, 256):
                rows, columns = ((np.arange(start, start + 256) * scale) for start in (y, x))
                tile = block[rows % (2 * high)][:, columns % (2 * wide)]
                tile[:, columns // (2 * wide) % 3 == 2] = 243  # glass
                yield tile

    with tifffile.TiffWriter(path, bigtiff=True) as out:
        for level in range(6):
            side = -(-edge // 2**level)
            options = {
                "tile": (256, 256),
                "photometric": "rgb",
                "compression": "jpeg",
                "compressionargs": {"level": 85},
            }
            if mpp is not None:
                per_cm = 1e4 / (mpp * 2**level)
                options |= {"resolution": (per_cm, per_cm), "resolutionunit": "CENTIMETER"}
            out.write(
                tiles(level),
                shape=(side, side, 3),
                dtype=np.uint8,
                subfiletype=int(level > 0),
                **options,
                metadata=None,
            )


def run(folder: Path, name: str, path: Path, mpp: float, settings: dict) -> tuple[int, int, list]:
    """Run the workflow on one slide; return kept tiles, cells, and seconds and peak MB per stage."""
    (folder / "config").mkdir(exist_ok=True)
    (folder / "config/config.yaml").write_text((REPO / "config/config.yaml").read_text())
    (folder / f"{name}.csv").write_text(f"slide,path,tissue,mpp\n{name},{path},,{mpp}\n")
    own = {"slides": f"{name}.csv", "models_dir": str(REPO / "resources/models"), **settings}
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(own))
    command = [sys.executable, "-m", "snakemake", "--snakefile", REPO / "workflow/Snakefile", "--directory", folder]
    command += [
        "--configfile",
        folder / f"{name}.yaml",
        "--workflow-profile",
        REPO / "profiles/default",
        "--quiet",
        "all",
    ]
    subprocess.run(command, check=True, stdout=sys.stderr)
    results = folder / "results" / name
    kept = int(pd.read_parquet(results / "filtered.parquet")["kept"].sum())
    cells = Clustering.head(results / "clusters.json").counts.cells
    stages = []
    for stage in STAGES:
        with (results / "benchmarks" / f"{stage}.tsv").open() as file:
            row = next(csv.DictReader(file, delimiter="\t"))
        stages.append((float(row["s"]), float(row["max_rss"])))
    return kept, cells, stages


def main(folder: Path) -> None:
    slide_file = weights.fetch(weights.SLIDES["CMU-1-Small-Region.svs"], REPO / "resources/slides")
    demo = yaml.safe_load((REPO / "config/demo.yaml").read_text())
    del demo["slides"]
    rows = {"demo, 2,220 × 2,967": run(folder, "demo", slide_file, 0.499, demo)}
    with Slide(slide_file) as slide:
        tissue = slide.read(0, 0, *slide.size)
    for edge, num_tiles in SIZES.items():
        path = folder / f"{edge}.tiff"
        if not path.exists():
            synthetic(tissue, edge, path)
        sample = {**demo, "tiling": {"num_tiles": num_tiles}, "filter": {"max_bright_ratio": 1.0}}
        rows[f"synthetic, {edge:,} × {edge:,}"] = run(folder, f"synthetic-{edge}", path, 0.499, sample)
    print("# Seconds and peak memory per stage\n")
    print(f"{machine()}. Each cell: seconds, peak MB.\n")
    print("| slide | tiles segmented | cells | " + " | ".join(STAGES) + " |")
    print("|---" * (3 + len(STAGES)) + "|")
    for name, (tiles, cells, stages) in rows.items():
        figures = " | ".join(f"{seconds:.1f}, {memory:,.0f}" for seconds, memory in stages)
        print(f"| {name} | {tiles:,} | {cells:,} | {figures} |")


if __name__ == "__main__":
    if len(sys.argv) > 1:  # a folder to keep, and to resume from
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))
