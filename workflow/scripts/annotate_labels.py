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
    # As for clusters: outlines from elsewhere may lie on tiles that the filter rejects.
    tiles = tiles[tiles["kept"] | tiles["tile_id"].isin(cells["tile_id"])]
    polygons = cells["geometry"].to_numpy()
    classes = known["labels"]["classes"] if known["labels"] else []
    number = {entry["name"]: place for place, entry in enumerate(classes)}
    label = np.array([number.get(one, -1) for one in cells["label"]], int)
    key = annotation.classes_key(classes)
    with (
        Slide(snakemake.input.slide, mpp=known["slide"]["mpp"]) as slide,
        atomic(snakemake.output.folder, directory=True) as folder,
    ):
        annotation.annotate_tiles(
            slide,
            tiles,
            polygons,
            label,
            folder,
            line_um=settings["line_um"],
            max_tiles=settings["max_tiles"],
            threads=snakemake.threads,
            key=key,
        )
        overview = folder / "overview.png"
        annotation.overview(slide, polygons, label, overview, title=name, longest=settings["overview_px"], key=key)
        plane = cells[["umap_x", "umap_y"]].to_numpy()
        annotation.plot_umap(plane, label, folder / "umap.png", title=name, key=key)
