"""Reduce embeddings with UMAP."""

import numpy as np

from clusterfirst import reduction
from clusterfirst.io import log_to, read_json, write_array

if __name__ == "__main__":
    log_to(snakemake.log[0])
    settings = dict(snakemake.params.settings)
    if settings["standardise"] == "auto":
        settings["standardise"] = read_json(snakemake.input.columns)["standardise"]
    reduced = reduction.reduce(np.load(snakemake.input.embeddings), **settings, threads=snakemake.threads)
    write_array(reduced.values, snakemake.output.umap)
    write_array(reduced.plane, snakemake.output.plane)
