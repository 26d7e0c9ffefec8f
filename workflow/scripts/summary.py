"""Print what came of a slide: ``python summary.py results/<slide>``. Not part of the workflow; for people."""

import csv
import sys
from pathlib import Path

import pandas as pd

from clusterfirst.io import read_json

STAGES = ("tile", "filter_tiles", "segment", "embed", "reduce", "cluster", "annotate")


def summary(folder: Path) -> str:
    """Five lines: tiles, cells, clusters, noise, seconds per stage; and where the pictures are."""
    kept = pd.read_parquet(folder / "filtered.parquet", columns=["kept"])["kept"]
    counts = read_json(folder / "clusters.json")["counts"]
    return "\n".join(
        [
            f"{folder.name}",
            f"  tiles     {kept.sum():,} kept of {len(kept):,}",
            f"  cells     {counts['cells']:,}",
            f"  clusters  {counts['clusters']:,}",
            f"  noise     {counts['noise']:,} cells ({counts['noise_fraction']:.1%})",
            f"  seconds   {', '.join(f'{name} {seconds:.0f}' for name, seconds in timings(folder))}",
            "Look at",
            *(f"  {folder / name}" for name in ("annotated/overview.png", "annotated/umap.png", "filtered.png")),
            f"  {folder / 'annotated'}/x*_y*.png (every tile)",
        ]
    )


def timings(folder: Path) -> list[tuple[str, float]]:
    """Seconds per stage, from Snakemake's benchmark files."""
    out = []
    for name in STAGES:
        with (folder / "benchmarks" / f"{name}.tsv").open() as file:
            out.append((name, float(next(csv.DictReader(file, delimiter="\t"))["s"])))
    return out


if __name__ == "__main__":
    print(summary(Path(sys.argv[1])))
