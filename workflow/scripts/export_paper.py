"""Write the cells of a slide by tile, as the published pipeline does."""

import pandas as pd

from clusterfirst.export import paper
from clusterfirst.io import log_to

if __name__ == "__main__":
    log_to(snakemake.log[0])
    tiles = pd.read_parquet(snakemake.input.tiles)
    paper.export(snakemake.input.cells, tiles, snakemake.output.annotations, slide=snakemake.wildcards.slide)
