"""Write the cells of a slide as detections for QuPath."""

from clusterfirst.export import qupath
from clusterfirst.io import log_to

if __name__ == "__main__":
    log_to(snakemake.log[0])
    qupath.export(snakemake.input.cells, snakemake.output.geojson)
