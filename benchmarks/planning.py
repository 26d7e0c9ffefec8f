"""How long does planning take, with how much memory, for 100 to 10,000 slides?

    .venv/bin/python benchmarks/planning.py FOLDER [ROWS …] | tee benchmarks/planning.md

Slides are links to one small picture, of which nothing is read. `all`: a dry-run of everything, nothing done yet.
`done`: the same where everything is done (files without content, which Snakemake has recorded). `one slide`: a dry-run
up to the tiles of one slide, nearly all of which is reading sheet and workflow: what each job on a cluster does again
before it starts. `processor`: seconds of processor time; on a machine that others use, elapsed time is more.
"""

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import yaml
from machine import machine
from PIL import Image
from whole import REPO

ROWS = (100, 1_000, 10_000)
SCOPES = ("slide", "cohort")
UNTIL_DONE = 1_000
"""Slides up to which a finished run is measured, too: to make one takes a while."""
FILES = (
    *("tiles.parquet", "filtered.parquet", "filtered.png", "outlines/1-of-1.parquet", "masks.parquet"),
    *("failed_tiles.csv", "embeddings.npy", "embeddings.json", "umap.npy", "umap2d.npy", "reduction.json"),
    *("clusters.json", "clusters.png", "settings.yaml", "annotated/overview.png"),
)


@dataclass
class Cost:
    """What a run of snakemake took."""

    seconds: float
    processor: float
    megabytes: float

    def __str__(self):
        return f"{self.seconds:.1f} | {self.processor:.1f} | {self.megabytes:,.0f}"


def snakemake(folder: Path, *arguments: str) -> Cost:
    """Run snakemake; return what it took."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", REPO / "workflow/Snakefile", "--directory", folder]
    command += ["--configfile", folder / "own.yaml", "--workflow-profile", REPO / "profiles/default", "--quiet", "all"]
    start = time.monotonic()
    with (folder / "said.txt").open("w") as said:
        run = subprocess.Popen([*command, *arguments], stdout=said, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(run.pid, 0)
    if status:
        raise SystemExit((folder / "said.txt").read_text())
    return Cost(time.monotonic() - start, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def make(folder: Path, rows: int, scope: str) -> list[str]:
    """Make a project of so many slides; return their names."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "slides").mkdir(parents=True)
    shutil.copytree(REPO / "config", folder / "config")
    Image.new("RGB", (64, 64), "white").save(folder / "one.png")
    slides = [f"P{number:05d}-A" for number in range(rows)]
    lines = ["slide,path,tissue,mpp"]
    for number, slide in enumerate(slides):
        (folder / f"slides/{slide}.png").symlink_to("../one.png")
        lines.append(f"{slide},slides/{slide}.png,tissue {number % 5},0.5")
    (folder / "sheet.csv").write_text("\n".join(lines) + "\n")
    own = {"slides": "sheet.csv", "models_dir": str(REPO / "resources/models"), "clustering": {"scope": scope}}
    # The picture stands for a slide.
    own["small_images"] = {"minutes": 0}
    (folder / "own.yaml").write_text(yaml.safe_dump(own))
    return slides


def finish(folder: Path, slides: list[str], scope: str) -> None:
    """Make all results, without content, and have them recorded."""
    for slide in [*slides, *(["groups/cohort"] if scope == "cohort" else [])]:
        for file in FILES:
            path = folder / "results" / slide / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    snakemake(folder, "--touch")


def main(folder: Path, counts: list[int]) -> None:
    print("# Planning many slides\n")
    print(f"{machine()}. Snakemake {version()}.\n")
    print("| slides | clustered by | what | seconds | processor | peak MB |")
    print("|---:|---|---|---:|---:|---:|")
    for rows in counts:
        for scope in SCOPES:
            slides = make(folder, rows, scope)
            one = f"results/{slides[0]}/tiles.parquet"
            report = [("all", snakemake(folder, "-n")), ("one slide", snakemake(folder, "-n", one))]
            if rows <= UNTIL_DONE:
                finish(folder, slides, scope)
                report.append(("done", snakemake(folder, "-n")))
                assert "Nothing to be done" in (folder / "said.txt").read_text()
            for what, cost in report:
                print(f"| {rows:,} | {scope} | {what} | {cost} |", flush=True)


def version() -> str:
    return subprocess.check_output([sys.executable, "-m", "snakemake", "--version"], text=True).strip()


if __name__ == "__main__":
    main(Path(sys.argv[1]), [int(text) for text in sys.argv[2:]] or list(ROWS))
