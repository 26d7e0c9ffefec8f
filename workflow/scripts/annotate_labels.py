"""Draw tiles, the whole slide and the map of cells, coloured by label."""

import numpy as np
import pandas as pd

from clusterfirst import annotation, objects
from clusterfirst.io import atomic, log_to, read_metadata
from clusterfirst.slides import Slide

if __name__ == "__main__":
    log_to(snakemake.log[0])
    settings, name = snakemake.params.settings, snakemake.wildcards.slide
    tiles = pd.read_parquet(snakemake.input.tiles)
    known = read_metadata(snakemake.input.cells)
    cells = objects.read_objects(snakemake.input.cells)
    classes = known["classes"]
    number = {entry["name"]: place for place, entry in enumerate(classes)}
    label = np.array([number.get(one, -1) for one in cells["label"]], int)
    plane = cells[["umap_x", "umap_y"]].to_numpy()
    how = {"title": name, "threads": snakemake.threads, "key": annotation.classes_key(classes)}
    with (
        Slide(snakemake.input.slide, mpp=known["slide"]["mpp"]) as slide,
        atomic(snakemake.output.folder, directory=True) as folder,
    ):
        annotation.annotate_slide(slide, tiles, cells, label, plane, folder, **settings, **how)
