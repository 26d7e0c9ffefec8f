"""Measure tiles, reject the useless ones, and draw which."""

import pandas as pd

from clusterfirst import drawing
from clusterfirst.io import log, log_to, read_metadata, write_table
from clusterfirst.slide import tissue
from clusterfirst.slide.slide import Slide

if __name__ == "__main__":
    log_to(snakemake.log[0])
    known = read_metadata(snakemake.input.tiles)
    limits = dict(snakemake.params.settings)
    with Slide(snakemake.input.slide, mpp=known["slide"]["mpp"]) as slide:
        found = tissue.filter_tiles(slide, pd.read_parquet(snakemake.input.tiles), limits, threads=snakemake.threads)
        log.info("%d of %d tiles kept", found.tiles["kept"].sum(), len(found.tiles))
        if found.unreadable:
            log.warning("%d tiles cannot be decoded, %s first", len(found.unreadable), next(iter(found.unreadable)))
        if not found.tiles["kept"].any():
            log.warning(
                "no tile is kept, so there will be no cells; filtered.png shows why (see `filter:` in the config)"
            )
        drawing.filter_map(slide, found.tiles, snakemake.output.picture, title=snakemake.wildcards.slide)
        write_table(
            found.tiles,
            snakemake.output.tiles,
            {
                "slide": known["slide"],
                "settings": limits,
                # For those who plan what later stages need, without reading the table.
                "kept": int(found.tiles["kept"].sum()),
                "histogram": found.histogram.astype(int).tolist(),
                "unreadable": found.unreadable,
            },
        )
