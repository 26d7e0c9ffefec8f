"""What does it cost to write a million cells as GeoJSON for QuPath, and the plain way?

    .venv/bin/python benchmarks/geojson.py [CELLS] | tee benchmarks/geojson.md

Cells are ellipses of 24 vertices at places between pixels, which is the hard case: no two coordinates are alike. Each
way has a process of its own; memory is its peak, seconds of the processor are of all its threads. The plain way is what
geopandas offers: a column with the class, a column with the measurements, `to_json`, through Python's gzip; of a
quarter of the cells only, for all of them would take the memory of a whole workstation.
"""

import gzip
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import shapely
from machine import machine
from tests.made import clustering, slide_facts

from clusterfirst.clustering import palette
from clusterfirst.export import Source, qupath
from clusterfirst.io import read_metadata, write_table
from clusterfirst.labels import Labels, join
from clusterfirst.outlines import objects

EDGE, VERTICES, MPP = 90_000, 24, 0.25
CLASSES = [{"name": name, "colour": shade} for name, shade in (("tumour", "#d55e00"), ("lymphocyte", "#0072b2"))]
# Threads and level of deflate.
WAYS = {
    f"this workflow, {threads} thread{'s' * (threads > 1)}, deflate level {level}": (threads, level)
    for threads, level in ((2, qupath.LEVEL), (1, qupath.LEVEL), (2, 1), (2, 6))
}
PLAIN, SHARE = "geopandas, a quarter of the cells", 4


def ellipses(count: int, rng: np.random.Generator) -> np.ndarray:
    """Nuclei of 6 to 12 µm."""
    turn = np.linspace(0, 2 * np.pi, VERTICES, endpoint=False)
    half = rng.uniform(3, 6, (2, count, 1)) / MPP
    middle = rng.uniform(50, EDGE - 50, (2, count, 1))
    tilt = rng.uniform(0, np.pi, (count, 1))
    along, across = half[0] * np.cos(turn), half[1] * np.sin(turn)
    x = middle[0] + along * np.cos(tilt) - across * np.sin(tilt)
    y = middle[1] + along * np.sin(tilt) + across * np.cos(tilt)
    return shapely.polygons(np.stack([x, y], axis=-1))


def make(folder: Path, count: int) -> None:
    """Write cells.parquet."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"geometry": ellipses(count, rng), "tile_id": "x0_y0", "score": np.nan, "truncated": False})
    facts = {"slide": slide_facts(width=EDGE, height=EDGE, mpp=MPP).document()}
    write_table(objects.table(frame, mpp=MPP), folder / "masks.parquet", facts)
    cluster = rng.integers(0, 25, count)
    clusters = clustering(cluster, leaf_id=rng.integers(0, 300, count), confidence=rng.random(count))
    label = np.array([None, "tumour", "lymphocyte"], object)[cluster % 3]
    who, how = (np.where(cluster % 3, text, None) for text in ("Ada", "cluster"))
    labels = Labels(label, how, who, np.full(count, np.nan, np.float32), CLASSES, {})
    beside = join.known(clusters, rng.normal(size=(count, 2)).astype(np.float32), [labels])
    join.write(folder / "masks.parquet", beside, folder / "cells.parquet", {"classes": CLASSES})


def plain(source: Path, to: Path) -> None:
    """As a reader of geopandas' manual would do it."""
    import geopandas

    colours = {entry["name"]: list(palette.rgb(entry["colour"])) for entry in read_metadata(source)["classes"]}
    frame = geopandas.read_parquet(source)
    frame = frame.iloc[: len(frame) // SHARE].copy()
    columns = list(qupath.MEASUREMENTS)
    frame["objectType"] = "detection"
    frame["classification"] = [
        None if name is None or name != name else {"name": name, "color": colours[name]} for name in frame["label"]
    ]
    frame["measurements"] = frame[columns].round(4).rename(columns=qupath.MEASUREMENTS).to_dict("records")
    frame["geometry"] = shapely.transform(frame.geometry.to_numpy(), lambda points: points.round(2))
    with gzip.open(to, "wt", encoding="utf-8") as file:
        file.write(frame[["geometry", "objectType", "classification", "measurements"]].to_json())


def run(way: str, folder: Path) -> tuple[float, float, float, float]:
    """Return seconds, seconds of the processor, peak MB and MB written, of a process of its own."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, __file__, "--way", way, str(folder)], stdout=subprocess.PIPE, text=True, check=True
    )
    spent, peak, size = map(float, done.stdout.split()[-3:])
    return time.perf_counter() - start, spent, peak, size


def child(way: str, folder: Path) -> None:
    """Do it one way and print what it took."""
    source, to = folder / "cells.parquet", folder / "cells.geojson.gz"
    if way == PLAIN:
        plain(source, to)
    else:
        threads, qupath.LEVEL = WAYS[way]
        qupath.export(Source("s", source, threads=threads), to)
    own = resource.getrusage(resource.RUSAGE_SELF)
    # Not ru_maxrss, which a process inherits from the one that started it.
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    print(own.ru_utime + own.ru_stime, int(peak.split()[1]) / 1024, to.stat().st_size / 1e6)


def main(count: int) -> None:
    print(f"# {count:,} cells to GeoJSON for QuPath\n\n{machine()}\n")
    print("| | seconds | of the processor | peak MB | file MB | load of the machine |\n|---|---:|---:|---:|---:|---:|")
    took = {}
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), count)
        for way in (*WAYS, PLAIN):
            took[way] = run(way, Path(folder))
            seconds, spent, peak, size = took[way]
            print(
                f"| {way} | {seconds:.1f} | {spent:.1f} | {peak:,.0f} | {size:,.0f} | {os.getloadavg()[0]:.1f} |",
                flush=True,
            )
    ours, naive = took[next(iter(WAYS))], took[PLAIN]
    clock, processor = (SHARE * old / new for old, new in zip(naive[:2], ours[:2], strict=True))
    print(
        f"\nBy cell, the plain way takes {clock:.1f} times as long on the clock as the first line, and {processor:.1f} "
        "times as much of the processor. Starting Python and reading the cells are included."
    )


if __name__ == "__main__":
    if "--way" in sys.argv:
        child(sys.argv[2], Path(sys.argv[3]))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
