"""Take a slide's own cells out of the map of its group."""

import numpy as np

from clusterfirst.io import log_to, read_json, write_array, write_json

if __name__ == "__main__":
    log_to(snakemake.log[0])
    facts = read_json(snakemake.input.facts)
    rows = slice(*facts["slides"][snakemake.params.slide])
    for wanted, whole in (("umap", snakemake.input.umap), ("plane", snakemake.input.plane)):
        write_array(np.load(whole, mmap_mode="r")[rows], snakemake.output[wanted])
    write_json(facts | {"slides": {snakemake.params.slide: [0, rows.stop - rows.start]}}, snakemake.output.facts)
