"""How fluid is the labelling app with 500,000 cells over a 60,000 × 60,000 slide? A real server, a headless Chromium.

    .venv/bin/python benchmarks/labelling_app.py FOLDER [CELLS] | tee benchmarks/labelling_app.md

FOLDER keeps the slide (``60000.tiff``, written there the first time, which takes minutes). Frames are counted while the
pointer drags and the wheel turns; Chromium draws without a GPU.
"""

import itertools
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import cv2
import psutil
from journal import Server
from machine import machine
from playwright.sync_api import sync_playwright
from stages import synthetic
from tests.labelling_results import make

from clusterfirst.slide.slide import Slide

EDGE, LEAVES, GROUPS = 60_000, 300, 10
SIZE = {"width": 1440, "height": 900}


def slide(folder: Path) -> Path:
    """The picture: tissue of a real slide over and over."""
    path = folder / f"{EDGE}.tiff"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        with Slide("resources/slides/CMU-1-Small-Region.svs") as real:
            synthetic(real.read(600, 600, 1024, 1024), EDGE, path)
    return path


class Frames:
    """Frames a second, by the times at which the browser painted."""

    def __init__(self, page):
        self.page = page

    def __enter__(self):
        self.page.evaluate(
            """() => { window.ticks = [];
            const tick = now => { window.ticks.push(now); window.ticking = requestAnimationFrame(tick); };
            window.ticking = requestAnimationFrame(tick); }"""
        )
        return self

    def __exit__(self, *_):
        times = self.page.evaluate("(cancelAnimationFrame(window.ticking), window.ticks)")
        gaps = sorted(b - a for a, b in itertools.pairwise(times))
        self.rate = 1000 * len(gaps) / sum(gaps)
        self.worst = gaps[int(0.95 * len(gaps))]


def middle(page):
    box = page.locator("#slide-view").bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def drag(page) -> Frames:
    """Drag to and fro for some two seconds."""
    x, y = middle(page)
    page.mouse.move(x, y)
    with Frames(page) as frames:
        page.mouse.down()
        for step in range(100):
            page.mouse.move(x + 200 * ((step // 25 % 2) * 2 - 1) * (step % 25) / 25, y + 2 * (step % 50))
            page.wait_for_timeout(12)
        page.mouse.up()
    return frames


def turn(page, by: int) -> Frames:
    """Turn the wheel for some two seconds."""
    page.mouse.move(*middle(page))
    with Frames(page) as frames:
        for _ in range(24):
            page.mouse.wheel(0, by)
            page.wait_for_timeout(70)
    return frames


def first_view(page, address: str) -> tuple[float, float]:
    """Seconds until all cells are on the screen, and until all tiles are there too."""
    start = time.perf_counter()
    page.goto(address)
    page.wait_for_selector("body[data-ready]")
    ready = time.perf_counter() - start
    while not page.evaluate("clusterfirst.viewer.view.settled"):
        page.wait_for_timeout(30)
    return ready, time.perf_counter() - start


def naming(page) -> tuple[float, int]:
    """Seconds from the key to the new colours, for the cluster nearest to 50,000 cells; and its size."""
    took = []
    for key in "121212":
        size = page.evaluate(
            """() => { const { store } = clusterfirst, off = c => Math.abs(c.size - 50000);
            const near = [...store.clusters].sort((a, b) => off(a) - off(b))[0];
            store.select(near.key);
            return near.size; }"""
        )
        page.wait_for_timeout(300)
        took.append(
            page.evaluate(
                """key => new Promise(done => { const start = performance.now(), { naming } = clusterfirst;
                const painted = () => requestAnimationFrame(() => setTimeout(() => done(performance.now() - start)));
                naming.give(Number(key) - 1).then(painted); })""",
                key,
            )
        )
    return statistics.median(took[1:]) / 1000, size


def measure(address: str) -> tuple[list[tuple[str, str]], str]:
    """Return what took how long, and the browser's version."""
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_page(viewport=SIZE)
        page.context.add_cookies([{"name": "clusterfirst_who", "value": "Ada", "url": address}])
        rows = []
        for what in ("first view", "opened again"):
            cells, tiles = first_view(page, address)
            rows += [(f"{what}: cells on the screen", f"{cells:.2f} s"), ("… and every tile of it", f"{tiles:.2f} s")]
        frames = {"dragging, all cells in view": drag(page), "zooming in to nuclei": turn(page, -240)}
        page.wait_for_timeout(3000)
        frames["dragging among outlines"] = drag(page)
        frames["zooming out to the whole slide"] = turn(page, 240)
        rows += [(what, f"{f.rate:.0f} frames/s (95 % within {f.worst:.0f} ms)") for what, f in frames.items()]
        page.click("#zoom-all")
        page.wait_for_timeout(1500)
        seconds, size = naming(page)
        rows.append((f"naming a cluster of {size:,} cells, from the key to the new colours", f"{seconds:.3f} s"))
        rows.append(("painting all cells once", f"{page.evaluate('clusterfirst.viewer.view.layer.cost'):.0f} ms"))
        version = browser.version
        browser.close()
    return rows, version


def main(folder: Path, cells: int) -> None:
    picture = slide(folder).resolve()
    with tempfile.TemporaryDirectory() as place:
        results = make(Path(place), slides={"a": cells}, edge=EDGE, leaves=LEAVES, groups=GROUPS, picture=False)
        (Path(place) / "slides").mkdir()
        (Path(place) / "slides/a.png").symlink_to(picture)
        server = Server(results)
        try:
            rows, version = measure(server.entrance)
            memory = psutil.Process(server.process.pid).memory_info().rss / 2**20
        finally:
            server.kill()
    print(f"# The labelling app with {cells:,} cells over {EDGE:,} × {EDGE:,} px\n\n{machine()}")
    print(f"Chromium {version}, headless, {SIZE['width']} × {SIZE['height']}, no GPU.\n\n| | |\n|---|---:|")
    for what, value in rows:
        print(f"| {what} | {value} |")
    print(f"\nMemory of the server afterwards: {memory:.0f} MiB.")
    print(f"Load meanwhile: {os.getloadavg()[0]:.0f} processes on {os.cpu_count()} cores.")


if __name__ == "__main__":
    cv2.setNumThreads(1)
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 500_000)
