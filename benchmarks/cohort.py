"""How large is the cohort page of many slides, and how long does it take?

    .venv/bin/python benchmarks/cohort.py | tee benchmarks/cohort.md

The demo's finished slide (``make demo``) stands for every slide, under other names; its pictures are of a common size.
Each page is made in a process of its own, and opened in a headless Chromium.
"""

import json
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

import numpy as np
import psutil
from machine import machine
from playwright.sync_api import sync_playwright

SLIDE = Path("results/CMU-1-Small-Region")
CASES = [(1, False), (12, False), (100, False), (100, True), (1000, False), (1000, True)]


def made(folder: Path, slides: int, together: bool) -> None:
    """Write the page, as the rule does; in this process."""
    from clusterfirst.reports.cohort import figures, page
    from clusterfirst.reports.cohort.cohort import Cohort

    group = "groups/cohort" if together else None
    names = [f"slide-{number:04}" for number in range(slides)]
    read = [figures.read(folder / name, name=name, group=group or name, seconds=60.0) for name in names]
    page.write(Cohort(folder, read, [], {}, "0", datetime.now().astimezone()), folder / "cohort.html")


def results(folder: Path, slides: int, together: bool) -> None:
    """Finished slides: links to one; and, of a group, its files."""
    for number in range(slides):
        (folder / f"slide-{number:04}").symlink_to(SLIDE.resolve())
    if together:
        group = folder / "groups/cohort"
        group.mkdir(parents=True)
        ids = json.loads((SLIDE / "clusters.json").read_text())["cells"]["cluster_id"]
        np.save(group / "umap2d.npy", np.tile(np.load(SLIDE / "umap2d.npy"), (slides, 1)))
        (group / "clusters.json").write_text(json.dumps({"cells": {"cluster_id": ids * slides}}))
        sizes = {f"slide-{number:04}": len(ids) for number in range(slides)}
        (group / "reduction.json").write_text(json.dumps({"slides": sizes}))


def measured(command: list[str]) -> tuple[float, float]:
    """Seconds and peak memory, MB, of a process."""
    started, peak = time.monotonic(), 0
    process = psutil.Popen(command)
    while process.poll() is None:
        try:
            peak = max(peak, process.memory_info().rss)
        except psutil.Error:
            break
        time.sleep(0.05)
    if process.wait():
        raise SystemExit(f"{command} failed")
    return time.monotonic() - started, peak / 1e6


def shown(path: Path) -> float:
    """Seconds until a browser has loaded the page."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        started = time.monotonic()
        page.goto(f"file://{path}", timeout=120_000)
        taken = time.monotonic() - started
        browser.close()
    return taken


def main() -> None:
    print(f"# The cohort page of many slides\n\n{machine()}.\n")
    print("| slides | clustered | page, MB | seconds | peak MB | seconds to open |\n|---:|---|---:|---:|---:|---:|")
    for slides, together in CASES:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            results(folder, slides, together)
            seconds, peak = measured([sys.executable, __file__, name, str(slides), str(int(together))])
            size = (folder / "cohort.html").stat().st_size / 1e6
            how = "together" if together else "each by itself"
            opened = shown(folder / "cohort.html")
            print(f"| {slides:,} | {how} | {size:.1f} | {seconds:.0f} | {peak:,.0f} | {opened:.1f} |", flush=True)
    print("\nOf more than 200 slides there are tables, and no thumbnails. Made while other work took both cores.")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        made(Path(sys.argv[1]), int(sys.argv[2]), bool(int(sys.argv[3])))
    else:
        main()
