"""Deal one slide its part of what was computed of several together."""

import numpy as np
import pyarrow.parquet as pq

from clusterfirst.io import log_to, write_array
from clusterfirst.reduction.inputs import share

if __name__ == "__main__":
    log_to(snakemake.log[0])
    sizes = [pq.read_metadata(cells).num_rows for cells in snakemake.input.cells]
    for name in ("umap", "plane"):
        together = np.load(snakemake.input[name], mmap_mode="r")
        write_array(share(together, snakemake.params.slides, sizes, snakemake.params.slide), snakemake.output[name])
