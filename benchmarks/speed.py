"""How fast is the demo, file to pictures, beside an earlier commit? Both in turn, in one run, on an idle machine.

    .venv/bin/python benchmarks/speed.py [COMMIT] [TIMES] | tee benchmarks/speed.md

COMMIT (a36882c, before networks went through OpenVINO) is checked out into a temporary folder and run with the same
environment. Each runs TIMES (3) times after one that fills caches; the quickest counts.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
from machine import machine
from whole import REPO, cores_mm2

STAGES = ("tile", "filter_tiles", "outline-1-of-1", "segment", "embed", "reduce", "cluster", "annotate")
SLIDE = "CMU-1-Small-Region"


def checked_out(commit: str, folder: Path) -> Path:
    """Return a folder with that commit's files, and ours of weights and slides."""
    tree = folder / "before"
    archive = subprocess.run(["git", "archive", commit], cwd=REPO, check=True, capture_output=True).stdout
    tree.mkdir()
    subprocess.run(["tar", "-x"], cwd=tree, input=archive, check=True)
    return tree


def run(tree: Path, results: Path) -> dict[str, float]:
    """Run the demo; return seconds by stage, and of the whole, and the most memory that a stage took, MB."""
    shutil.rmtree(results, ignore_errors=True)
    command = [sys.executable, "-m", "snakemake", "--configfile", "config/demo.yaml", "--quiet", "all"]
    command += ["--config", f"results={results}", f"models_dir={REPO / 'resources/models'}"]
    cache = results.parent / "cache"
    environment = os.environ | {"PYTHONPATH": str(tree / "workflow/scripts"), "XDG_CACHE_HOME": str(cache)}
    start = time.perf_counter()
    subprocess.run(command, cwd=tree, env=environment, check=True, stdout=sys.stderr)
    seconds = {"whole": time.perf_counter() - start}
    rows = {stage: pd.read_csv(results / SLIDE / "benchmarks" / f"{stage}.tsv", sep="\t").iloc[0] for stage in STAGES}
    memory = {f"{stage}, MB": row["max_rss"] for stage, row in rows.items()}
    return seconds | {stage: row["s"] for stage, row in rows.items()} | memory


def main(commit: str, times: int) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        trees = {"before": checked_out(commit, folder), "after": REPO}
        slides = trees["before"] / "resources/slides"
        slides.parent.mkdir(exist_ok=True)
        slides.symlink_to(REPO / "resources/slides")
        found: dict[str, list[dict[str, float]]] = {name: [] for name in trees}
        for _ in range(times + 1):
            for name, tree in trees.items():
                found[name].append(run(tree, folder / f"results-{name}"))
        tiles = pd.read_parquet(folder / "results-after" / SLIDE / "filtered.parquet").query("kept")
        mm2 = cores_mm2(tiles, mpp=0.499)
    first = {name: runs[0] for name, runs in found.items()}
    best = {name: pd.DataFrame(runs[1:]).min() for name, runs in found.items()}
    print("# The demo, file to pictures\n")
    print(
        f"{machine()}; load {os.getloadavg()[2]:.1f}. before: {commit}. The quickest of {times} runs, in turn; "
        f"{mm2:.2f} mm² of tissue in the tiles that are kept.\n"
    )
    print("| | before, s | after, s | after / before | before, s/mm² | after, s/mm² | before, MB | after, MB |")
    print("|---" * 8 + "|")
    for stage in ("whole", *STAGES):
        before, after = (best[name][stage] for name in trees)
        memory = [best[name].get(f"{stage}, MB") for name in trees]
        most = [f"{one:,.0f}" if one is not None else "" for one in memory]
        cells = [f"{before:.1f}", f"{after:.1f}", f"{after / before:.2f}", f"{before / mm2:.1f}", f"{after / mm2:.1f}"]
        print(f"| {stage} | " + " | ".join([*cells, *most]) + " |")
    print(
        "\nThe first runs, which convert networks and fill caches: "
        + ", ".join(f"{name} {runs['whole']:.0f} s" for name, runs in first.items())
        + "."
    )


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "a36882c", int(sys.argv[2]) if len(sys.argv) > 2 else 3)
