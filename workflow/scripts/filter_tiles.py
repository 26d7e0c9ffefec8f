"""Measure tiles, reject the useless ones, and draw which."""

import pandas as pd

from clusterfirst import drawing
from clusterfirst.io import log, log_to, read_metadata, write_table
from clusterfirst.slide import tissue
from clusterfirst.slide.slide import Slide

if __name__ == "__main__":
    log_to(snakemake.log[0])
    known, limits = read_metadata(snakemake.input.tiles), snakemake.params.settings
    with Slide(snakemake.input.slide, mpp=known["slide"]["mpp"]) as slide:
        filtered = tissue.filter_tiles(slide, pd.read_parquet(snakemake.input.tiles), limits, threads=snakemake.threads)
        kept, unreadable = filtered.tiles["kept"], filtered.unreadable
        off = ": nothing is filtered (filter: false)" if limits is False else ""
        log.info("%d of %d tiles kept%s", kept.sum(), len(kept), off)
        if unreadable:
            log.warning("%d tiles cannot be decoded, %s first", len(unreadable), next(iter(unreadable)))
        if not kept.any():
            log.warning(
                "no tile is kept, so there will be no cells; filtered.png shows why (see `filter:` in the config)"
            )
        drawing.filter_map(slide, filtered.tiles, snakemake.output.picture, title=snakemake.wildcards.slide)
        write_table(
            filtered.tiles,
            snakemake.output.tiles,
            {
                "slide": known["slide"],
                "settings": limits,
                # For those who plan what later stages need, without reading the table.
                "kept": int(kept.sum()),
                "histogram": filtered.histogram.astype(int).tolist(),
                "unreadable": unreadable,
            },
        )
