"""Outline the nuclei of images with LazySlide's InstanSeg; runs in that package's own environment (see peers.py).

    python run_lazyslide.py WEIGHTS MPP METHOD DTYPE FOLDER IMAGE …

METHOD `auto` is what its documentation has: tissue found by itself, tiles of 512 px at 0.5 µm/px, beside each other.
`overlap` is the most careful that it offers: tiles overlap by a quarter, those at the rim of the tissue and those that
are mostly glass are kept. `whole` takes each image as one piece of tissue and one tile. DTYPE `bfloat16` is its `amp`.
Its InstanSeg downloads weights of its own; here it is given the file.
"""

import json
import sys
from pathlib import Path

import lazyslide as zs
import torch
from lazyslide_models.segmentation.instanseg import Instanseg
from shapely import box
from wsidata import open_wsi
from wsidata.io import add_tissues

NETWORK_MPP = 0.5


class FromFile(Instanseg):
    """LazySlide's class with the weights of a file."""

    def __init__(self, path: str):
        self.model = torch.jit.load(path, map_location="cpu")
        self.model.eval()


def tile(wsi, method: str, mpp: float) -> None:
    """Find tissue, and lay tiles."""
    if method == "whole":
        wide, high = wsi.properties.shape[::-1]
        add_tissues(wsi, "tissues", [box(0, 0, wide, high)])
        edge = round(max(wide, high) * mpp / NETWORK_MPP)
        zs.pp.tile_tissues(wsi, edge, mpp=NETWORK_MPP, slide_mpp=mpp, background_filter=False)
        return
    zs.pp.find_tissues(wsi)
    careful = {"overlap": 0.25, "edge": True, "background_fraction": 0.95} if method == "overlap" else {}
    zs.pp.tile_tissues(wsi, 512, mpp=NETWORK_MPP, slide_mpp=mpp, **careful)


def main(weights: str, mpp: float, method: str, dtype: str, folder: Path, images: list[Path]) -> None:
    network = FromFile(weights)
    for image in images:
        wsi = open_wsi(str(image), store=None)
        tile(wsi, method, mpp)
        zs.seg.cells(
            wsi,
            network,
            device="cpu",
            amp=dtype == "bfloat16",
            autocast_dtype=torch.bfloat16,
            overlap_ownership=method == "overlap",
            pbar=False,
        )
        cells = wsi["cells"]
        cells.attrs = {}  # what SpatialData keeps there cannot be written to Parquet
        cells.to_parquet(folder / f"{image.stem}.parquet")
        tiles = wsi["tiles"].geometry.bounds.to_numpy().tolist()
        (folder / "tiles.json").write_text(json.dumps(tiles), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), sys.argv[3], sys.argv[4], Path(sys.argv[5]), [Path(p) for p in sys.argv[6:]])
