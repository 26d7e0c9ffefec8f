"""Fetch weights or the sample slide, or check the file that is there already."""

from pathlib import Path

from clusterfirst import weights
from clusterfirst.io import log_to

if __name__ == "__main__":
    log_to(snakemake.log[0])
    target = Path(snakemake.output[0])
    weights.fetch(weights.by_file(target.name), target.parent)
