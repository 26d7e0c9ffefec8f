"""What do many small images cost, with a job for each stage of each, and with jobs that do many?

    .venv/bin/python benchmarks/small_images.py [--only-many] FOLDER SLIDE [IMAGES [EDGE]] | tee small_images.md

Images of EDGE px are cut from a real slide anywhere, turned and mirrored at random. All up to the pictures is made of
them, first with `small_images.minutes: 0`, then with the default; each image is clustered by itself. `work` is
what the stages take of the processor in a process that has done an image before: the median of each stage over all
images, times their number. All else is start-up: Python, packages, networks, Snakemake. With `--only-many` the first
way, which takes ten times as long, is left out.
"""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import yaml
from machine import machine
from PIL import Image
from whole import REPO

sys.path.insert(0, str(REPO / "workflow/scripts"))

from clusterfirst.reports import costs
from clusterfirst.slide.slide import Slide

WAYS = {"a job for each stage": {"minutes": 0}, "jobs that do many": {}}


def cut(path: Path, folder: Path, count: int, edge: int) -> list[str]:
    """Cut images from the slide, as PNG; return their names."""
    chance = random.Random(0)
    turns = [None, *Image.Transpose]
    with Slide(path) as slide:
        for number in range(count):
            place = (chance.randrange(size - edge) for size in (slide.facts.width, slide.facts.height))
            image, turn = Image.fromarray(slide.read(*place, edge, edge)), chance.choice(turns)
            (image if turn is None else image.transpose(turn)).save(folder / f"i{number:04d}.png")
        mpp = slide.facts.mpp
    names = [f"i{number:04d}" for number in range(count)]
    rows = [f"{name},{folder / name}.png,{mpp}" for name in names]
    (folder / "sheet.csv").write_text("\n".join(["slide,path,mpp", *rows]) + "\n")
    return names


def run(folder: Path, sheet: Path, settings: dict) -> tuple[int, float, float]:
    """Run the workflow; return its jobs, seconds, and seconds of the processor."""
    folder.mkdir()
    own = {"slides": str(sheet), "models_dir": str(REPO / "resources/models"), "small_images": settings}
    (folder / "own.yaml").write_text(yaml.safe_dump(own))
    command = [sys.executable, "-m", "snakemake", "--snakefile", REPO / "workflow/Snakefile", "--directory", folder]
    command += ["--configfile", REPO / "config/config.yaml", folder / "own.yaml"]
    command += ["--workflow-profile", REPO / "profiles/default", "--cores", str(os.cpu_count())]
    start = time.monotonic()
    with (folder / "said.txt").open("w") as said:
        process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(process.pid, 0)
    text = (folder / "said.txt").read_text()
    if status:
        raise SystemExit(text[-5000:])
    return text.count("Finished jobid:") - 1, time.monotonic() - start, used.ru_utime + used.ru_stime


def main(folder: Path, slide: Path, count: int, edge: int, ways: dict[str, dict]) -> None:
    folder.mkdir(parents=True)
    names = cut(slide, folder, count, edge)
    took = {way: run(folder / str(index), folder / "sheet.csv", own) for index, (way, own) in enumerate(ways.items())}
    results = folder / str(len(ways) - 1) / "results"
    table = costs.read(costs.files(results, names, results="results"))
    median = table.groupby("stage", sort=False)["cpu_seconds"].median()
    work = median.sum() * count
    print("# Small images\n")
    print(f"{machine()}. {count} images of {edge} × {edge} px, {os.cpu_count()} cores.\n")
    print("| | jobs | seconds | processor | of that work | start-up |")
    print("|---|---:|---:|---:|---:|---:|")
    for way, (jobs, seconds, processor) in took.items():
        figures = f"{seconds:,.0f} | {processor:,.0f} | {work:,.0f} | {1 - work / processor:.0%}"
        print(f"| {way} | {jobs:,} | {figures} |")
    print("\nSeconds of the processor, as the median image takes them, and memory, of the largest:\n")
    print("| stage | processor | most memory (MB) |")
    print("|---|---:|---:|")
    for stage, memory in table.groupby("stage", sort=False)["max_memory_mb"].max().items():
        print(f"| {stage} | {median[stage]:.2f} | {memory:,.0f} |")
    cells = [pd.read_parquet(results / name / "masks.parquet", columns=["cell_id"]) for name in names]
    print(f"\n{sum(map(len, cells)):,} cells.")


if __name__ == "__main__":
    where, of, *numbers = [one for one in sys.argv[1:] if one != "--only-many"]
    many, pixels = [*map(int, numbers), *(1000, 1000)[len(numbers) :]]
    shown = dict([*WAYS.items()][-1:] if "--only-many" in sys.argv else WAYS)
    main(Path(where).absolute(), Path(of).absolute(), many, pixels, shown)
