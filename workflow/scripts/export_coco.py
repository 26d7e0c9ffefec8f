"""Write the cells of a slide as COCO JSON, by tile."""

import pandas as pd

from clusterfirst.export import coco
from clusterfirst.io import log_to

if __name__ == "__main__":
    log_to(snakemake.log[0])
    tiles = pd.read_parquet(snakemake.input.tiles).query("kept").reset_index(drop=True)
    coco.export(snakemake.input.cells, tiles, snakemake.output.coco)
