"""How does the labelling server do with 500,000 cells over a 60,000 × 60,000 slide? A real server, asked over HTTP.

    .venv/bin/python benchmarks/label_scale.py [CELLS] | tee benchmarks/label_scale.md

The slide has no picture (tiles cost the same whatever the number of cells). Times are medians of what a client waits,
fsync and the parsing of JSON included.
"""

import os
import sys
import tempfile
import time
import uuid
from pathlib import Path
from statistics import median

import numpy as np
import psutil
from journal import Server
from machine import machine
from tests.labelling_results import make

from clusterfirst.labelling.cells.group import load_group
from clusterfirst.labelling.cells.results import open_results
from clusterfirst.labelling.record import ranges

EDGE, LEAVES, GROUPS = 60_000, 300, 10
CLASSES = {"do": "classes", "classes": [{"name": name, "colour": "#112233"} for name in ("tumour", "stroma")]}


def timed(function, times: int = 1) -> tuple[float, object]:
    """Return the median of seconds, and what came of it the last time."""
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        found = function()
        seconds.append(time.perf_counter() - start)
    return median(seconds), found


def main(cells: int) -> None:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        results = make(Path(folder), slides={"a": cells}, edge=EDGE, leaves=LEAVES, groups=GROUPS, picture=False)
        rows.append(
            ("reading the group (imports done)", timed(lambda: load_group(open_results(results).groups["a"]), 3)[0])
        )
        start = time.perf_counter()
        server = Server(results)
        process = psutil.Process(server.process.pid)
        rows.append(
            (
                "start of the server until it answers, imports and loading the group included",
                time.perf_counter() - start,
            )
        )

        def read(path):
            with server.open(f"{server.url}/{path}") as answer:
                return answer.read()

        def act(action):
            return server.ask("actions", {"base": 0, "id": str(uuid.uuid4()), "action": action, "force": True})

        rows.append(("first state", timed(lambda: server.ask("state"))[0]))
        seconds, data = timed(lambda: read("cells.bin"), 3)
        rows.append((f"all cells ({len(data) / 2**20:.0f} MiB)", seconds))
        rows.append(("first action (the journal begins, the leaves are kept)", timed(lambda: act(CLASSES))[0]))
        cluster = min(server.ask("state")["clusters"], key=lambda entry: abs(entry["size"] - 50_000))
        names = iter(["tumour", "stroma"] * 50)
        one = {"do": "name", "leaves": cluster["leaves"]}
        seconds, _ = timed(lambda: act({**one, "class": next(names)}), 21)
        rows.append((f"naming a cluster of {cluster['size']:,} cells", seconds))
        scattered = np.flatnonzero(np.random.default_rng(0).random(cells) < 0.1)
        action = {"do": "cells", "rows": ranges.encode(scattered), "class": "stroma"}
        rows.append((f"a lasso of {len(scattered):,} scattered cells", timed(lambda: act(action))[0]))
        rows.append(
            (
                "naming the cluster again, with these exceptions",
                timed(lambda: act({**one, "class": next(names)}), 21)[0],
            )
        )
        rows.append(("undo", timed(lambda: act({"do": "undo"}), 5)[0]))
        rows.append(("redo", timed(lambda: act({"do": "redo"}), 5)[0]))
        rows.append(
            (
                "opening the cluster (representatives of both parts are chosen)",
                timed(lambda: act({"do": "open", "cluster": cluster["key"]}))[0],
            )
        )
        rows.append(("review queue", timed(lambda: read(f"review?cluster={cluster['key']}"), 5)[0]))
        slide = server.url.replace("groups", "slides")
        block = iter(range(1000))

        def outlines():
            with server.open(f"{slide}/outlines/{next(block) % 58}_20.bin") as answer:
                return answer.read()

        rows.append(("first block of outlines (read ahead since the start)", timed(outlines)[0]))
        rows.append(("a further block of outlines", timed(outlines, 21)[0]))
        memory = process.memory_info().rss / 2**20
        peak = next(
            int(line.split()[1]) / 1024
            for line in Path(f"/proc/{process.pid}/status").read_text().splitlines()
            if line.startswith("VmHWM")
        )
        server.kill()
        start = time.perf_counter()
        Server(results).kill()
        rows.append(("start again, with the journal", time.perf_counter() - start))
    load = os.getloadavg()[0]
    print(f"# The labelling server with {cells:,} cells\n\n{machine()}\n\n| | seconds |\n|---|---:|")
    for what, seconds in rows:
        print(f"| {what} | {seconds:.3f} |")
    print(f"\nMemory of the server afterwards: {memory:.0f} MiB; at its peak {peak:.0f} MiB.", end=" ")
    print(f"Load of the machine: {load:.0f}.")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 500_000)
