"""Print what came of a slide: ``python summary.py results/<slide>``. Not part of the workflow; for people."""

import sys
from pathlib import Path

import pandas as pd

from clusterfirst.io import read_json
from clusterfirst.reports import costs

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
            *next_steps(folder.parent),
        ]
    )


def next_steps(results: Path) -> list[str]:
    """The page of all slides, if it has been made; and how to go on."""
    page = results / "cohort.html"
    seen = [f"  {page} (all finished slides on one page, for a browser)"] if page.is_file() else []
    return [*seen, "Name the clusters", f"  make label RESULTS={results}"]


def timings(folder: Path) -> list[tuple[str, float]]:
    """Seconds per stage, all shards together."""
    table = costs.read({folder.name: sorted((folder / "benchmarks").glob("*.tsv"))})
    taken = dict(zip(table["stage"], table["seconds"], strict=True))
    return [(name, taken.get(name, 0.0)) for name in STAGES]


if __name__ == "__main__":
    try:
        print(summary(Path(sys.argv[1])))
    except FileNotFoundError as error:
        sys.exit(f"{sys.argv[1]} is no folder of a finished slide: no file {error.filename}")
