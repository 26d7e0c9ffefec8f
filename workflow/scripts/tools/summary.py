"""Print what came of a slide: ``python summary.py results/<slide>``. Not part of the workflow; for people."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import pandas as pd

from clusterfirst.clustering.document import Clustering
from clusterfirst.io import print_anything
from clusterfirst.paths import written_out
from clusterfirst.plan.layout import ResultsFolder, SlideFolder
from clusterfirst.plan.stages import CONTRACT
from clusterfirst.reports import costs
from clusterfirst.slide.facts import SlideFacts


def summary(slide: SlideFolder) -> str:
    """Some lines: tiles, cells, clusters, noise, seconds per stage; and where the pictures are."""
    kept = pd.read_parquet(slide.filtered, columns=["kept"])["kept"]
    counts = Clustering.head(slide.clusters).counts
    failed = len(pd.read_csv(slide.failed_tiles))
    pictures = (slide.gallery, slide.overview, slide.map, slide.clusters_plot, slide.filter_map)
    return "\n".join(
        [
            f"{slide.path.name}",
            f"  tiles     {kept.sum():,} kept of {len(kept):,}" + f", {failed:,} unreadable" * (failed > 0),
            f"  cells     {counts.cells:,}",
            f"  clusters  {counts.clusters:,}",
            f"  noise     {counts.noise:,} cells ({counts.noise_fraction:.1%})",
            f"  seconds   {', '.join(f'{name} {seconds:.0f}' for name, seconds in timings(slide))}",
            *(f"  NOTE      {remark}" for remark in SlideFacts.of(slide.filtered).remarks),
            "Look at",
            *(f"  {picture}" for picture in pictures),
            f"  {slide.drawn}/x*_y*.png (every kept tile)",
            *next_steps(ResultsFolder(slide.path.parent)),
        ]
    )


def next_steps(results: ResultsFolder) -> list[str]:
    """The page of all slides, if it has been made; and how to go on."""
    page = results.cohort_page
    seen = [f"  {page} (all finished slides on one page, for a browser)"] if page.is_file() else []
    return [*seen, "Name the clusters", f"  make label RESULTS={results.path}"]


def timings(slide: SlideFolder) -> list[tuple[str, float]]:
    """Seconds per stage, all shards together."""
    table = costs.read({slide.path.name: sorted(slide.benchmarks.glob("*.tsv"))})
    taken = dict(zip(table["stage"], table["seconds"], strict=True))
    return [(name, taken.get(name, 0.0)) for name in CONTRACT]


if __name__ == "__main__":
    print_anything()
    try:
        print(summary(SlideFolder(written_out(sys.argv[1]))))
    except FileNotFoundError as error:
        sys.exit(f"{sys.argv[1]} is no folder of a finished slide: no file {error.filename}")
