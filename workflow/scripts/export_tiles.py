"""Write every kept tile as a PNG."""

import pandas as pd

from clusterfirst import drawing
from clusterfirst.io import atomic, log_to
from clusterfirst.slide.facts import SlideFacts
from clusterfirst.slide.slide import Slide

if __name__ == "__main__":
    log_to(snakemake.log[0])
    tiles = pd.read_parquet(snakemake.input.tiles).query("kept")
    facts = SlideFacts.of(snakemake.input.tiles)
    with (
        Slide(snakemake.input.slide, mpp=facts.mpp) as slide,
        atomic(snakemake.output.folder, directory=True) as folder,
    ):
        drawing.export_tiles(slide, tiles, folder, threads=snakemake.threads)
