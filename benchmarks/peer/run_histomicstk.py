"""Outline the nuclei of images with HistomicsTK's NucleiDetection; runs in an environment of its own (see peers.py).

    python run_histomicstk.py MPP METHOD WORKERS FOLDER IMAGE …

Its command with its defaults, but for WORKERS processes: by default it takes one fewer than there are cores. METHOD
`auto` tiles as it does by itself, `whole` takes an image as one tile.
"""

import json
import runpy
import sys
from pathlib import Path

import large_image
from histomicstk.cli.NucleiDetection import NucleiDetection

TILE = 1024
OVERLAP = 84
"""Four times its largest radius and one."""
MAGNIFICATION = 20


def command(image: Path, annotation: Path, tile: int, workers: int) -> None:
    """Run its command line in this process."""
    program = NucleiDetection.__file__
    sys.argv = [program, str(image), str(annotation), "--analysis_tile_size", str(tile)]
    sys.argv += ["--scheduler", "multiprocessing", "--num_workers", str(workers), "--frame", "", "--style", ""]
    runpy.run_path(program, run_name="__main__")


def read(image: Path, tile: int) -> list[list[float]]:
    """Rectangles (left, top, right, bottom) of its tiles, in the image's pixels."""
    source = large_image.getTileSource(str(image))
    tiles = source.tileIterator(
        tile_size={"width": tile},
        scale={"magnification": MAGNIFICATION},
        tile_overlap={"x": OVERLAP, "y": OVERLAP},
    )
    return [[one["gx"], one["gy"], one["gx"] + one["gwidth"], one["gy"] + one["gheight"]] for one in tiles]


def main(mpp: float, method: str, workers: int, folder: Path, images: list[Path]) -> None:
    for image in images:
        known = large_image.getTileSource(str(image)).getMetadata()["mm_x"]
        if known is None or abs(known * 1000 / mpp - 1) > 0.01:
            raise SystemExit(f"{image}: HistomicsTK reads {known} mm per pixel, and it is {mpp} µm")
        tile = TILE if method == "auto" else 16384
        command(image, folder / f"{image.stem}.anot", tile, workers)
        if method == "auto" and len(images) == 1:
            (folder / "tiles.json").write_text(json.dumps(read(image, tile)), encoding="utf-8")


if __name__ == "__main__":
    main(float(sys.argv[1]), sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]), [Path(p) for p in sys.argv[5:]])
