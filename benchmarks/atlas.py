"""How long learning anew takes while somebody answers, and asking an atlas about a million cells.

    .venv/bin/python benchmarks/atlas.py EMBEDDED | tee -a benchmarks/atlas.md

EMBEDDED is the folder of a finished slide; its cells are repeated on a grid of copies. The floor is one product of all
cells with the basis, the largest of the products that must be made.
"""

import logging
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from machine import machine

from clusterfirst.io import read_json
from clusterfirst.learning.apply import ask, decide
from clusterfirst.learning.basis import Basis
from clusterfirst.learning.classifier import Sums, head, teacher
from clusterfirst.learning.learn import learn
from clusterfirst.learning.recipe import Recipe
from clusterfirst.learning.taught import Taught
from clusterfirst.learning.teaching import Lesson
from clusterfirst.plan.layout import SlideFolder
from clusterfirst.reduction import inputs

REDUCTION = {"standardise": "auto", "clip": 5, "pca": 50, "balance": {}}
LEARNING = {"neighbours": [5, 20, 60], "context_weight": 0.5, "random_features": 800}
COPY_UM = 2000.0


def repeated(slide: inputs.SlideEmbedding, count: int, folder: Path) -> inputs.SlideEmbedding:
    """That many cells: the slide's own, over and over, a little blurred, on a grid."""
    rng, own = np.random.default_rng(0), len(slide.values)
    values = np.lib.format.open_memmap(folder / f"{count}.npy", "w+", np.float32, (count, slide.values.shape[1]))
    spread, positions = 0.3 * np.asarray(slide.values).std(axis=0), np.empty((count, 2))
    edge = int(np.ceil(np.sqrt(count / own)))
    for number, start in enumerate(range(0, count, own)):
        part = slice(start, min(start + own, count))
        size = part.stop - part.start
        values[part] = slide.values[:size] + spread * rng.normal(size=(size, values.shape[1]))
        positions[part] = slide.positions[:size] + COPY_UM * np.array(divmod(number, edge))
    values.flush()
    return inputs.SlideEmbedding(
        f"{count:,} cells", np.load(folder / f"{count}.npy", mmap_mode="r"), positions, slide.blocks
    )


class Memory:
    """The most memory of its own that the process has had since it was asked last.

    Pages of files do not count: the machine takes them back when it needs them.
    """

    def __init__(self):
        self._most = 0.0
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            self._most = max(self._most, self._now())
            time.sleep(0.02)

    def _now(self) -> float:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024

    def peak_mb(self) -> float:
        most, self._most = max(self._most, self._now()), 0.0
        return most


def main(embedded: Path) -> None:
    logging.disable(logging.INFO)
    folder = SlideFolder(embedded)
    files = {"embeddings": folder.embeddings, "columns": folder.embedding_columns, "cells": folder.cells}
    small = inputs.read(embedded.name, **files)
    columns = read_json(folder.embedding_columns)
    rng = np.random.default_rng(0)
    memory = Memory()
    print(f"\n{machine()}\n\n| what | cells | s | memory of its own, MB |\n|---|---:|---:|---:|")

    with tempfile.TemporaryDirectory() as work:
        teaching = repeated(small, 10_000, Path(work))
        said = rng.integers(4, size=10_000)
        gold = np.where(np.arange(10_000) < 2_000, said, -1)
        silver = np.where(gold < 0, said, -1)
        classes = tuple({"name": f"class {number}", "colour": "#808080"} for number in range(4))
        halved, nobody = np.repeat([0, 1], 5_000), {"cells": 0, "agreed": 0}
        lesson = Lesson(classes, gold, silver, halved, ("a", "b"), nobody)
        halves = [
            inputs.SlideEmbedding(name, teaching.values[part], teaching.positions[part], teaching.blocks)
            for name, part in (("a", slice(0, 5_000)), ("b", slice(5_000, 10_000)))
        ]
        began = time.perf_counter()
        taught = Taught.of(
            halves,
            lesson,
            Recipe.fit(halves, REDUCTION, LEARNING),
            features=LEARNING["random_features"],
            patients="ab",
            threads=2,
        )
        atlas, _ = learn("timed", taught, embedding=columns, mpp=[0.5, 0.5])
        took = time.perf_counter() - began
        print(f"| learn an atlas, two slides, 2,000 answers | 10,000 | {took:.1f} | {memory.peak_mb():,.0f} |")

        for count in (100_000, 1_000_000):
            slide = repeated(small, count, Path(work))
            usual = {"min_probability": 0.5, "max_novelty": 0.95, "priors": "slide"}
            memory.peak_mb()
            began = time.perf_counter()
            decide(atlas, ask(atlas, slide, embedding=columns, mpp=0.5, threads=2), usual)
            print(f"| apply it | {count:,} | {time.perf_counter() - began:.1f} | {memory.peak_mb():,.0f} |", flush=True)

    rows = rng.normal(size=(500_000, 188)).astype(np.float32)
    basis = Basis.draw(rows, LEARNING["random_features"], seed=0)
    inside = basis.of(rows)
    silver, gold = Sums.none(basis.columns, 4), Sums.none(basis.columns, 4)
    silver.add(inside[:50_000], rng.integers(4, size=50_000))
    gold.add(inside[:2_000], rng.integers(4, size=2_000))
    learnt = teacher(silver)
    began = time.perf_counter()
    # What one more page changes: twelve answers, and the head.
    gold.add(inside[2_000:2_012], rng.integers(4, size=12))
    weights = head(silver, learnt, gold, 1.0).astype(np.float32)
    refit = time.perf_counter() - began
    began = time.perf_counter()
    _ = inside @ weights
    print(f"| learn anew after a page, 188 columns, 2,000 answers | 500,000 | {refit:.2f} | {memory.peak_mb():,.0f} |")
    print(f"| what all cells are then | 500,000 | {time.perf_counter() - began:.2f} | {memory.peak_mb():,.0f} |")
    began = time.perf_counter()
    _ = rows @ basis.directions
    took = time.perf_counter() - began
    print(f"| floor: cells times directions of the basis | 500,000 | {took:.2f} | {memory.peak_mb():,.0f} |")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
