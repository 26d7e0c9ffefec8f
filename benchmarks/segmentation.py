"""Where the time of segmentation goes, and against the same network called one tile at a time.

    .venv/bin/python benchmarks/segmentation.py | tee benchmarks/segmentation.md

Tiles of the demo slide. Cellpose-SAM's network runs with random parameters, which cost what trained ones cost; what
follows it is given flows of the nuclei that InstanSeg finds, since random parameters find none. `one by one` reads a
tile, waits for the network, looks for each label in the whole tile, and then reads the next.
"""

import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
from machine import machine
from skimage.measure import find_contours
from whole import REPO, SETTINGS, filtered, weights

from clusterfirst import devices
from clusterfirst.devices import computes_bf16
from clusterfirst.outlines import objects
from clusterfirst.segmentation import pipeline, views
from clusterfirst.segmentation.cellpose import Cellpose
from clusterfirst.segmentation.flows import follow
from clusterfirst.segmentation.instanseg import InstanSeg
from clusterfirst.segmentation.intensity import Intensity
from clusterfirst.slide.slide import Slide
from clusterfirst.weights import SLIDES, fetch

THREADS = 2
TFLOP_PER_SUBTILE = 6.5 / 9
"""Of Cellpose-SAM, for 256 px."""
TILES = {"instanseg": 18, "cellpose": 2} if not torch.cuda.is_available() else {"instanseg": 500, "cellpose": 500}


class Known:
    """A backend whose network is run, and whose predictions are then replaced by flows of known nuclei."""

    def __init__(self, network: Cellpose, known: dict[bytes, tuple[np.ndarray, np.ndarray]]):
        self._network, self._known = network, known
        self.labels, self.tiles_at_once, self.smoothing_px = network.labels, network.tiles_at_once, 0.0

    def predict(self, images: np.ndarray) -> np.ndarray:
        records = self._network.predict(images)
        for record, image in zip(records, images, strict=True):
            flows, ends = self._known[image.tobytes()]
            record["flows"][...] = flows
            if "ends" in records.dtype.names:
                record["ends"][...] = ends
        return records


class Clock:
    """Seconds spent in a function."""

    def __init__(self, function):
        self.function, self.seconds = function, 0.0

    def __call__(self, *arguments):
        start = time.perf_counter()
        try:
            return self.function(*arguments)
        finally:
            self.seconds += time.perf_counter() - start


def flows_of(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What a perfect network says of a label image, and where its flows lead."""
    from cellpose import dynamics
    from skimage.segmentation import relabel_sequential

    labels = relabel_sequential(labels)[0]
    down, right = dynamics.masks_to_flows_gpu(labels, device=torch.device("cpu"))[0]
    flows = np.stack([5 * down, 5 * right, np.where(labels > 0, 4.0, -4.0)]).astype(np.float32)
    return flows, follow(torch.from_numpy(flows), threshold=0.0, steps=200).numpy()


def search(labels: np.ndarray) -> int:
    """Outline every label by looking for it in the whole tile; return their number."""
    found = [find_contours(np.pad(labels == value, 1), 0.5) for value in np.unique(labels)[1:]]
    return len(found)


def one_by_one(read, network, tiles) -> tuple[float, int]:
    """Seconds, and number of outlines."""
    start, count = time.perf_counter(), 0
    for tile in tiles.itertuples():
        (prediction,) = network.predict(read(tile)[None])
        count += search(network.labels(prediction)[0])
    return time.perf_counter() - start, count


def measured(name: str, path: Path, network, tiles, single) -> list[str]:
    """One row of the table; `single` is the network as it is best for a single tile."""
    with Slide(path) as slide:

        def read(tile):
            return slide.read(tile.read_x, tile.read_y, tile.read_width, tile.read_height, mpp=tile.mpp)

        decode, predict = Clock(read), Clock(network.predict)
        images = [decode(tile) for tile in tiles.itertuples()]
        predict(images[0][None])  # compiles, fills caches
        predict.seconds = 0.0
        predictions = [predict(image[None])[0] for image in images]
        label, outline = Clock(network.labels), Clock(objects.outlines)
        for prediction in predictions:
            outline(label(prediction)[0])
        alone, _ = one_by_one(read, single, tiles)

        network.predict = predict
        predict.seconds = 0.0
        workers = partial(pipeline.Workers, path, slide_mpp=slide.mpp, labels=network.labels)
        count = THREADS if torch.cuda.is_available() else 1
        with workers(smoothing_px=0, count=count) as crew:
            crew.pool.submit(int).result()  # processes start once per job, whatever the number of tiles
            start = time.perf_counter()
            cells = sum(len(view.data) for view in pipeline.outline_views(tiles, network, crew))
            whole = time.perf_counter() - start
    number = len(tiles)
    milliseconds = [1000 * clock.seconds / number for clock in (decode, label, outline)]
    return [
        name,
        f"{number}",
        f"{cells:,}",
        f"{1000 * predict.seconds / number:,.0f}",
        *(f"{one:,.1f}" for one in milliseconds),
        f"{number / whole:.2f}",
        f"{cells / whole:,.0f}",
        f"{1 - predict.seconds / whole:.1%}",
        f"{number / alone:.2f}",
        f"{alone / whole:.2f}",
    ]


def main(folder: Path) -> None:
    device = devices.choose("auto", threads=THREADS)
    path = fetch(SLIDES["CMU-1-Small-Region.svs"], REPO / "resources/slides")
    facts, found = filtered(path, limits={"max_bright_ratio": 0.95})
    kept = found.tiles.query("kept")
    kept = kept[(kept.width == 512) & (kept.height == 512) & (kept.x > 0) & (kept.y > 0)]
    most = max(TILES.values())
    kept = kept.iloc[np.arange(most) % len(kept)] if most > len(kept) and torch.cuda.is_available() else kept
    tiles = views.aligned_views(kept, slide_mpp=facts.mpp, mpp=0.5, stride=8)
    range_of = partial(Intensity.from_histogram, found.histogram)
    instanseg = InstanSeg(
        weights(), device=device, intensity=range_of(InstanSeg.percentiles), settings=SETTINGS.segmentation
    )
    rows = [measured("instanseg", path, instanseg, tiles.head(TILES["instanseg"]), instanseg)]

    from cellpose import vit

    torch.manual_seed(0)
    random = folder / "random-cpsam"
    vit.CPSAM().to(torch.bfloat16).save_model(random)
    # The best batch for a single tile is its nine sub-tiles on a GPU, and one on a CPU.
    cellpose, single = (
        Cellpose(
            random,
            device=device,
            intensity=range_of(Cellpose.percentiles),
            settings=SETTINGS.segmentation | {"batch_size": size},
        )
        for size in (None, 9 if device.type == "cuda" else None)
    )
    some = tiles.head(TILES["cellpose"])
    known = {}
    with Slide(path) as slide:
        for tile in some.itertuples():
            image = slide.read(tile.read_x, tile.read_y, tile.read_width, tile.read_height, mpp=tile.mpp)
            known[image.tobytes()] = flows_of(instanseg.labels(instanseg.predict(image[None])[0])[0])
    rows.append(measured("cellpose", path, Known(cellpose, known), some, Known(single, known)))

    print("# Segmentation\n")
    print(f"{machine()}; {device.type}, bfloat16: {computes_bf16(device)}, {THREADS} threads; tiles of 624 px.\n")
    print(
        "| model | tiles | outlines | network, ms/tile | decode, ms/tile | labels, ms/tile | outline, ms/tile | "
        "whole, tiles/s | whole, outlines/s | not network | one by one, tiles/s | whole / one by one |"
    )
    print("|---" * 12 + "|")
    for row in rows:
        print("| " + " | ".join(row) + " |")
    subtiles = 9 * float(rows[1][7])
    print(f"\nCellpose-SAM: {TFLOP_PER_SUBTILE * subtiles:.2f} TFLOP/s.")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(Path(sys.argv[1] if len(sys.argv) > 1 else temporary))
