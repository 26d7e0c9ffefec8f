"""Neighbours, UMAP and Leiden of scanpy on a table of features; runs in scanpy's own environment (see peers.py).

    python run_scanpy.py FOLDER SECONDS

As in scanpy's tutorial: columns standardised, then its defaults; Leiden as it advises (igraph, two iterations). Reads
`embeddings.npy`, writes `leiden.npy`, and
the seconds of each step into SECONDS as soon as it is done.
"""

import json
import sys
import time
from pathlib import Path

import anndata
import numpy as np
import scanpy as sc

STEPS = {
    "scale": sc.pp.scale,
    "neighbours": sc.pp.neighbors,
    "umap": sc.tl.umap,
    "leiden": lambda cells: sc.tl.leiden(cells, flavor="igraph", n_iterations=2, directed=False),
}


def main(folder: Path, out: Path) -> None:
    cells = anndata.AnnData(np.load(folder / "embeddings.npy"))
    seconds = {}
    for name, step in STEPS.items():
        start = time.perf_counter()
        step(cells)
        seconds[name] = time.perf_counter() - start
        out.write_text(json.dumps(seconds), encoding="utf-8")
    np.save(folder / "leiden.npy", cells.obs["leiden"].astype(int).to_numpy())


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
