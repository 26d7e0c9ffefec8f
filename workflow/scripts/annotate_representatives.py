"""Draw the few tiles that show all clusters, with settings of their own."""

import numpy as np
import pandas as pd

from clusterfirst import drawing
from clusterfirst.io import atomic, log_to, read_json, read_metadata
from clusterfirst.outlines import objects
from clusterfirst.slide.slide import Slide

if __name__ == "__main__":
    log_to(snakemake.log[0])
    # All that were chosen are drawn.
    settings = {**snakemake.params.settings, "max_tiles": None}
    tiles = pd.read_parquet(snakemake.input.tiles)
    facts = read_metadata(snakemake.input.tiles)["slide"]
    found = read_json(snakemake.input.clusters)
    chosen = [tile["tile_id"] for tile in read_json(snakemake.input.summary)["tiles"]["chosen"]]
    named = drawing.read_classes(snakemake.input.classes) if snakemake.input.classes else None
    cells, rows = drawing.select_cells(
        objects.read_objects(snakemake.input.cells)["geometry"].to_numpy(),
        found,
        named,
        colour=settings["colour"],
        drop_unclassified=settings["drop_unclassified"],
    )
    if settings["cells"] == "typical":
        cells = cells.take(np.isin(rows, drawing.typical_rows(found)))
    with (
        Slide(snakemake.input.slide, mpp=facts["mpp"]) as slide,
        atomic(snakemake.output.folder, directory=True) as folder,
    ):
        drawing.annotate_tiles(
            slide,
            tiles[tiles["tile_id"].isin(chosen)],
            cells,
            folder,
            settings,
            threads=snakemake.threads,
        )
