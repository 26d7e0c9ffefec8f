"""Print what came of a slide: ``python summary.py results/<slide>``. Not part of the workflow; for people."""

import csv
import sys
from pathlib import Path

import pandas as pd

from clusterfirst.io import read_json

STAGES = ("tile", "filter_tiles", "outline", "segment", "embed", "reduce", "cluster", "annotate")
PICTURES = ("annotated/gallery.png", "annotated/overview.png", "annotated/umap.png", "clusters.png", "filtered.png")


def summary(folder: Path) -> str:
    """Some lines: tiles, cells, clusters, noise, seconds per stage; and where the pictures are."""
    kept = pd.read_parquet(folder / "filtered.parquet", columns=["kept"])["kept"]
    counts = read_json(folder / "clusters.json")["counts"]
    failed = len(pd.read_csv(folder / "failed_tiles.csv"))
    return "\n".join(
        [
            f"{folder.name}",
            f"  tiles     {kept.sum():,} kept of {len(kept):,}" + f", {failed:,} unreadable" * (failed > 0),
            f"  cells     {counts['cells']:,}",
            f"  clusters  {counts['clusters']:,}",
            f"  noise     {counts['noise']:,} cells ({counts['noise_fraction']:.1%})",
            f"  seconds   {', '.join(f'{name} {seconds:.0f}' for name, seconds in timings(folder))}",
            "Look at",
            *(f"  {folder / name}" for name in PICTURES),
            f"  {folder / 'annotated'}/x*_y*.png (every kept tile)",
        ]
    )


def timings(folder: Path) -> list[tuple[str, float]]:
    """Seconds per stage, all shards together, from Snakemake's benchmark files."""
    return [(name, sum(map(seconds, latest(folder / "benchmarks", name)))) for name in STAGES]


def latest(folder: Path, name: str) -> list[Path]:
    """The files of a stage's jobs; of an earlier run with other shards, none."""
    files = sorted(folder.glob(f"{name}*.tsv"), key=lambda path: path.stat().st_mtime)
    return [path for path in files if path.stem.split("-of-")[1:] == files[-1].stem.split("-of-")[1:]]


def seconds(path: Path) -> float:
    """Seconds of one job."""
    with path.open() as file:
        return float(next(csv.DictReader(file, delimiter="\t"))["s"])


if __name__ == "__main__":
    try:
        print(summary(Path(sys.argv[1])))
    except FileNotFoundError as error:
        sys.exit(f"{sys.argv[1]} is no folder of a finished slide: no file {error.filename}")
