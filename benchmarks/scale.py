"""Seconds and memory of reducing and clustering 10⁴, 10⁵ and 10⁶ cells, and of doing it the plain way.

    .venv/bin/python benchmarks/scale.py results/CMU-1-Small-Region/embeddings.npy | tee benchmarks/scale.md

The cells are those of the file (of a slide that was embedded with `morphology` alone), drawn with replacement and
blurred by 0.3 standard deviations of every column. Numbers of cells may follow the file. `plain` is umap-learn as it
comes: everything in memory in float64, standardised, a map of as many dimensions and then one of 2 with
`random_state=0`. Neighbouring cells (`context_weight`) are left out of both. Every step runs in a process of its own;
its memory is that of the process and its children. `neighbours kept`: of a cell's 15 nearest cells among the features,
the share that is among its 15 nearest on the map; 500 cells.
"""

import json
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
from machine import machine
from whole import SETTINGS

THREADS = 2
CELLS = (10_000, 100_000, 1_000_000)
MOST_PLAIN = 100_000
NOISE = 0.3
REDUCTION = SETTINGS.reduction | {"context_weight": 0}
PER_UM2 = 0.005
"""Cells per µm² of tissue."""


def write_cells(source: Path, count: int, folder: Path) -> None:
    """Write embeddings, positions, and which row each was drawn from, without holding them."""
    real = np.load(source)
    rng = np.random.default_rng(0)
    blur = NOISE * real.std(axis=0, dtype=np.float64)
    shape = (count, real.shape[1])
    drawn = np.empty(count, np.int64)
    out = np.lib.format.open_memmap(folder / "embeddings.npy", mode="w+", dtype=np.float32, shape=shape)
    for start in range(0, count, 100_000):
        chosen = rng.integers(len(real), size=min(100_000, count - start))
        rows = real[chosen]
        drawn[start : start + len(rows)] = chosen
        out[start : start + len(rows)] = rows + blur * rng.normal(size=rows.shape)
    out.flush()
    np.save(folder / "drawn.npy", drawn)
    np.save(folder / "positions.npy", rng.uniform(0, (count / PER_UM2) ** 0.5, (count, 2)))


def reduce(folder: Path) -> dict:
    from clusterfirst import reduction
    from clusterfirst.reduction.inputs import Block, SlideEmbedding

    values = np.load(folder / "embeddings.npy", mmap_mode="r")
    blocks = (Block("morphology", 0, values.shape[1], True),)
    slide = SlideEmbedding("synthetic", values, np.load(folder / "positions.npy"), blocks)
    reduced = reduction.reduce([slide], REDUCTION, threads=THREADS)
    np.save(folder / "reduce.npy", reduced.values)
    return reduced.report


def cluster(folder: Path) -> dict:
    from clusterfirst.clustering.clusters import NO_TYPICAL, cluster

    values = np.load(folder / "reduce.npy", mmap_mode="r")
    found = cluster(values, SETTINGS.clustering, NO_TYPICAL, threads=THREADS)
    np.save(folder / "cluster.npy", found.cluster_id)
    return {"clusters": len(found.representatives)}


def plain(folder: Path) -> dict:
    from sklearn.preprocessing import StandardScaler
    from umap import UMAP

    values = StandardScaler().fit_transform(np.load(folder / "embeddings.npy").astype(np.float64))
    maps = [
        UMAP(n_components=dimensions, random_state=0).fit_transform(values)
        for dimensions in (REDUCTION["components"], 2)
    ]
    np.save(folder / "plain.npy", maps[0])
    return {}


def kept(folder: Path, name: str) -> float:
    """Share of neighbours kept."""
    from sklearn.neighbors import NearestNeighbors

    features = np.load(folder / "embeddings.npy")
    features = (features - features.mean(axis=0)) / features.std(axis=0)
    rows = np.random.default_rng(0).choice(len(features), 500, replace=False)
    before, after = (
        NearestNeighbors(n_neighbors=16).fit(one).kneighbors(one[rows], return_distance=False)[:, 1:]
        for one in (features, np.load(folder / name))
    )
    return float(np.mean([len(np.intersect1d(a, b)) / 15 for a, b in zip(before, after, strict=True)]))


STEPS = {"reduce": reduce, "cluster": cluster, "plain": plain}


def step(name: str, folder: Path) -> None:
    """Run one step in this process; print what it found and cost."""
    start = time.perf_counter()
    found = STEPS[name](folder)
    print(json.dumps({"seconds": time.perf_counter() - start, **found}))


def measured(name: str, folder: Path) -> dict | None:
    """Run one step in a process of its own; None where it fails."""
    command = [sys.executable, __file__, "--step", name, folder]
    peak = 0
    # Python's own figure for children starts at what their parent held when it started them.
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        tree = psutil.Process(process.pid)
        while process.poll() is None:
            peak = max(peak, held(tree))
            time.sleep(0.2)
        said = process.stdout.read()
    print(f"{name}: {said.strip() or f'ended with {process.returncode}'}", file=sys.stderr)
    return None if process.returncode else {"mb": peak / 2**20, **json.loads(said)}


def held(process: psutil.Process) -> int:
    """Bytes that a process and its children hold, shared pages once."""
    total, tree = 0, [process]
    with suppress(psutil.Error):  # it may end at any moment
        tree += process.children(recursive=True)
    for one in tree:
        with suppress(psutil.Error):
            total += one.memory_full_info().pss
    return total


def row(source: Path, count: int) -> list[str]:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_cells(source, count, folder)
        cells = [f"{count:,}"]
        for name in STEPS:
            if name == "plain" and count > MOST_PLAIN:
                cells += ["", "", ""]
                continue
            found = measured(name, folder)
            cells += ["failed", ""] if found is None else [f"{found['seconds']:,.0f}", f"{found['mb']:,.0f}"]
            if name == "reduce":
                cells.append("" if found is None else f"{found['fitted']:,}")
            if name != "cluster":
                cells.append("" if found is None else f"{kept(folder, f'{name}.npy'):.2f}")
        return cells


def main(source: Path, counts: list[int]) -> None:
    print("# Scale\n")
    print(f"{machine()}, {THREADS} threads. Seconds with start-up, MB the most that was held at a time.\n")
    heads = ["cells", "reduce, s", "MB", "laid out", "neighbours kept", "cluster, s", "MB"]
    print("| " + " | ".join([*heads, "plain, s", "MB", "neighbours kept"]) + " |")
    print("|---" * (len(heads) + 3) + "|")
    for count in counts:
        print("| " + " | ".join(row(source, count)) + " |", flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "--step":
        step(sys.argv[2], Path(sys.argv[3]))
    else:
        main(Path(sys.argv[1]), [int(count) for count in sys.argv[2:]] or list(CELLS))
