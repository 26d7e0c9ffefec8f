"""How many cells a second are embedded, and against ResNet-50 shown one crop at a time.

    .venv/bin/python benchmarks/embedding.py 2000 | tee benchmarks/embedding.md

The argument is the number of cells: those that InstanSeg finds on the demo slide, over again if they are too few.
`one by one` reads a cell's bounding box from the slide, resizes it to 224 px, and runs torchvision's network on it in
float32. What smaller crops cost is in crop_px.py.
"""

import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from machine import machine
from whole import REPO, SETTINGS, filtered, segmented

from clusterfirst import devices
from clusterfirst.devices import computes_bf16
from clusterfirst.embedding.walk import embed_slide
from clusterfirst.io import write_table
from clusterfirst.outlines import objects
from clusterfirst.slide.slide import Slide
from clusterfirst.weights import SLIDES, WEIGHTS, fetch

THREADS = 2
MOST_ONE_BY_ONE = 100
EDGES = (224, 160, 112, 80)
GFLOP = 8.18
"""Of ResNet-50 for one crop of 224 px: 4.09 thousand million multiplications, each with its addition."""
MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])


def some_cells(path: Path, count: int, folder: Path):
    """Return the slide's tiles and so many cells, in the order of the tiles."""
    facts, found = filtered(path, limits={"max_bright_ratio": 0.95})
    kept = found.tiles.query("kept")
    seen = segmented(path, facts, kept, found.histogram, threads=THREADS)
    seen = seen.iloc[np.sort(np.arange(count) % len(seen))]
    write_table(objects.table(seen, mpp=facts.mpp), folder / "masks.parquet", {})
    return kept, objects.read_objects(folder / "masks.parquet")


def matrix_gflops(dtype: torch.dtype, device: torch.device, *, edge=4096, times=5) -> float:
    """The most that this machine's matrix products reach: no network can be faster."""
    a, b = (torch.randn(edge, edge).to(device, dtype) for _ in range(2))
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        (a @ b).cpu()
        seconds.append(time.perf_counter() - start)
    return 2e-9 * edge**3 / min(seconds)


def one_by_one(slide: Slide, cells, weights: Path, device: torch.device) -> tuple[np.ndarray, float]:
    """Rows of unit length, and cells a second."""
    from torchvision.models import resnet50

    network = resnet50(weights=None)
    network.fc = torch.nn.Identity()
    state = torch.load(weights, map_location="cpu", weights_only=True)
    state = {key.removeprefix("module.pre."): value for key, value in state.items()}
    network.load_state_dict({key: value for key, value in state.items() if not key.startswith("fc.")})
    network.eval().to(device)
    rows, start = [], time.perf_counter()
    for left, top, right, bottom in cells.geometry.bounds.round().astype(int).to_numpy():
        crop = cv2.resize(slide.read(left, top, right - left, bottom - top), (224, 224))
        image = ((torch.from_numpy(crop) / 255 - MEAN) / STD).permute(2, 0, 1)[None]
        with torch.inference_mode():
            rows.append(torch.nn.functional.normalize(network(image.to(device)))[0].cpu().numpy())
    return np.array(rows), len(rows) / (time.perf_counter() - start)


def main(count: int, folder: Path) -> None:
    device = devices.choose("auto", threads=THREADS)
    path = fetch(SLIDES["CMU-1-Small-Region.svs"], REPO / "resources/slides")
    files = {"resnet50": "augnet", "instanseg": "instanseg"}
    weights = {model: fetch(WEIGHTS[name], REPO / "resources/models") for model, name in files.items()}
    tiles, cells = some_cells(path, count, folder)
    out = folder / "embeddings.npy"

    def cells_per_second(slide: Slide, names: list[str], crop_px: int | None = None) -> float:
        start = time.perf_counter()
        settings = {**SETTINGS.embedding, "models": names, "crop_px": crop_px}
        embed_slide(slide, tiles, cells, out, settings=settings, weights=weights, device=device, threads=THREADS)
        return len(cells) / (time.perf_counter() - start)

    print("# Embedding\n")
    print(f"{machine()}; {device.type}, bfloat16: {computes_bf16(device)}, {THREADS} threads; {len(cells):,} cells.\n")
    for dtype in (torch.float32, torch.bfloat16):
        most = matrix_gflops(dtype, device)
        print(
            f"Products of matrices in {str(dtype).removeprefix('torch.')} reach {most:,.0f} GFLOP/s here: no more than "
            f"{most / GFLOP:,.0f} crops/s of 224 px.",
        )
    print("\n| models | cells/s | one by one, cells/s | ratio | farthest from one by one |")
    print("|---" * 5 + "|")
    with Slide(path) as slide:
        for names in (["morphology"], ["instanseg"], ["morphology", "instanseg"]):
            print(f"| {', '.join(names)} | {cells_per_second(slide, names):,.0f} | | | |", flush=True)
        some = cells.iloc[np.linspace(0, len(cells) - 1, min(len(cells), MOST_ONE_BY_ONE)).astype(int)]
        plain, slow = one_by_one(slide, some, weights["resnet50"], device)
        for edge in EDGES:
            fast = cells_per_second(slide, ["resnet50"], edge)
            apart = np.linalg.norm(np.load(out, mmap_mode="r")[some.index] - plain, axis=1).max()
            row = f"{fast:,.1f} | {slow:,.1f} | {fast / slow:.1f} | {apart:.3f} |"
            print(f"| resnet50, {edge} px | {row}", flush=True)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 500, Path(temporary))
