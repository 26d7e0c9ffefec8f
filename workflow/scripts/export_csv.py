"""Write the cells of a slide as CSV."""

from clusterfirst.export import table
from clusterfirst.io import log_to

if __name__ == "__main__":
    log_to(snakemake.log[0])
    table.export(snakemake.input.cells, snakemake.output.csv)
