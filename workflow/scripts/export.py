"""Write the cells of a slide in one of the formats of other tools."""

from clusterfirst.export import FORMATS, Source
from clusterfirst.io import log_to

if __name__ == "__main__":
    log_to(snakemake.log[0])
    # Without what is not wished for, which is there as an empty list.
    parts = {name: file for name, file in snakemake.input.items() if file and name != "cells"}
    source = Source(snakemake.wildcards.slide, snakemake.input.cells, parts, snakemake.threads)
    FORMATS[snakemake.params.format].write(source, snakemake.output[0])
