"""Draw the few tiles that show all clusters, with settings of their own."""

import numpy as np
import pandas as pd

from clusterfirst import drawing
from clusterfirst.clustering.document import Clustering
from clusterfirst.io import atomic, log_to, read_json
from clusterfirst.outlines import objects
from clusterfirst.slide.facts import SlideFacts
from clusterfirst.slide.slide import Slide

if __name__ == "__main__":
    log_to(snakemake.log[0])
    # All that were chosen are drawn.
    settings = {**snakemake.params.settings, "max_tiles": None}
    tiles = pd.read_parquet(snakemake.input.tiles)
    facts = SlideFacts.of(snakemake.input.tiles)
    clusters = Clustering.read(snakemake.input.clusters)
    chosen = [tile["tile_id"] for tile in read_json(snakemake.input.summary)["tiles"]["chosen"]]
    named = drawing.read_classes(snakemake.input.classes) if snakemake.input.classes else None
    cells, rows = drawing.select_cells(
        objects.read_objects(snakemake.input.cells)["geometry"].to_numpy(),
        clusters,
        named,
        colour=settings["colour"],
        drop_unclassified=settings["drop_unclassified"],
    )
    if settings["cells"] == "typical":
        cells = cells.take(np.isin(rows, clusters.typical_rows))
    with (
        Slide(snakemake.input.slide, mpp=facts.mpp) as slide,
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
