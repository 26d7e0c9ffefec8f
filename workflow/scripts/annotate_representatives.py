"""Draw the tiles that hold the typical cells of each cluster, with these cells outlined and their clusters' numbers."""

import pandas as pd

from clusterfirst import annotation, gallery, objects
from clusterfirst.io import atomic, log_to, read_json, read_metadata
from clusterfirst.slides import Slide

if __name__ == "__main__":
    log_to(snakemake.log[0])
    tiles = pd.read_parquet(snakemake.input.tiles)
    facts = read_metadata(snakemake.input.tiles)["slide"]
    cells = objects.read_objects(snakemake.input.cells)
    typical = gallery.typical_cells(read_json(snakemake.input.clusters), cells)
    with (
        Slide(snakemake.input.slide, mpp=facts["mpp"]) as slide,
        atomic(snakemake.output.folder, directory=True) as folder,
    ):
        annotation.annotate_tiles(
            slide,
            tiles[tiles["tile_id"].isin(typical["tile_id"])],
            cells["geometry"].to_numpy()[typical["cell_id"]],
            typical["cluster_id"].to_numpy(),
            folder,
            line_um=snakemake.params.settings["line_um"],
            with_numbers=True,
            threads=snakemake.threads,
        )
