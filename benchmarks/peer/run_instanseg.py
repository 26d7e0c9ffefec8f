"""Outline the nuclei of images with `instanseg-torch`; runs in that package's own environment (see peers.py).

    python run_instanseg.py WEIGHTS MPP METHOD DTYPE FOLDER IMAGE …

`InstanSeg.eval` writes its GeoJSON beside the image that it was given, so the images lie in FOLDER as links. METHOD is
its `processing_method`: `auto` as it comes, `small` for an image as one piece. DTYPE `bfloat16` wraps the call in
torch's autocast, which the package itself asks for on CUDA only. `use_otsu_threshold` is what its command has as
default: of whole slides, blank blocks are left out.
"""

import json
import sys
from pathlib import Path

import torch
from instanseg import InstanSeg
from instanseg.utils.tiling import _chops

TILE, OVERLAP, DETECTION = 512, 80, 20
"""Its defaults, in its own pixels: what neighbouring tiles share is twice the sum of the latter two."""


def inner(start: int, length: int) -> tuple[int, int]:
    """From where to where it takes a tile's answer, along one side of the image."""
    end = min(start + TILE, length)
    return start + OVERLAP * (start > 0), end - OVERLAP * (end < length)


def used(high: int, wide: int) -> list[list[int]]:
    """Rectangles (left, top, right, bottom) that it takes of each tile's answer, in the image's pixels."""
    windows = _chops((high, wide), (min(TILE, high), min(TILE, wide)), overlap=2 * (OVERLAP + DETECTION))
    rows, columns = (
        [inner(int(start), length) for start in one] for one, length in zip(windows, (high, wide), strict=True)
    )
    return [[left, top, right, bottom] for top, bottom in rows for left, right in columns]


def main(weights: str, mpp: float, method: str, dtype: str, folder: Path, images: list[Path]) -> None:
    network = InstanSeg(torch.jit.load(weights), device="cpu", image_reader="tiffslide", verbosity=0)
    for image in images:
        link = folder / image.name
        link.unlink(missing_ok=True)
        link.symlink_to(image.resolve())
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == "bfloat16"):
            network.eval(
                str(link), pixel_size=mpp, processing_method=method, save_geojson=True, use_otsu_threshold=True
            )
        if method == "auto" and len(images) == 1:
            from tiffslide import TiffSlide

            with TiffSlide(str(link)) as slide:
                wide, high = slide.dimensions
            in_one = 3 * high * wide < network.small_image_threshold  # it counts channels, too
            tiles = [[0, 0, wide, high]] if in_one else used(high, wide)
            (folder / "tiles.json").write_text(json.dumps(tiles), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), sys.argv[3], sys.argv[4], Path(sys.argv[5]), [Path(p) for p in sys.argv[6:]])
