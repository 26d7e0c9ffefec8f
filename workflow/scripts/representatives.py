"""Write the tiles that hold the typical cells of each cluster, and a table of these cells."""

import pandas as pd

from clusterfirst import annotation, gallery, objects
from clusterfirst.io import atomic, log, log_to, read_json, read_metadata
from clusterfirst.slides import Slide

if __name__ == "__main__":
    log_to(snakemake.log[0])
    tiles = pd.read_parquet(snakemake.input.tiles)
    facts = read_metadata(snakemake.input.tiles)["slide"]
    typical = gallery.typical_cells(read_json(snakemake.input.clusters), objects.read_objects(snakemake.input.cells))
    tiles = tiles[tiles["tile_id"].isin(typical["tile_id"])]
    log.info("%d typical cells of %d clusters, on %d tiles", len(typical), typical["cluster_id"].nunique(), len(tiles))
    with (
        Slide(snakemake.input.slide, mpp=facts["mpp"]) as slide,
        atomic(snakemake.output.tiles, directory=True) as folder,
    ):
        annotation.export_tiles(slide, tiles, folder, threads=snakemake.threads)
    with atomic(snakemake.output.table) as part:
        typical.to_csv(part, index=False, float_format="%.4g")
