"""Take a slide's own cells out of the map of its group."""

import numpy as np

from clusterfirst.io import log_to, read_json, write_array, write_json
from clusterfirst.reduction.inputs import share

if __name__ == "__main__":
    log_to(snakemake.log[0])
    slide, facts = snakemake.params.slide, read_json(snakemake.input.facts)
    sizes = facts["slides"]
    for name in ("umap", "plane"):
        together = np.load(snakemake.input[name], mmap_mode="r")
        write_array(share(together, list(sizes), list(sizes.values()), slide), snakemake.output[name])
    write_json({**facts, "slides": {slide: sizes[slide]}}, snakemake.output.facts)
