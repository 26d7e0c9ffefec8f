"""Cut a slide into tiles, a table of rectangles."""

import pandas as pd

from clusterfirst.io import log, log_to, write_table
from clusterfirst.slide import grid
from clusterfirst.slide.slide import Slide
from clusterfirst.slide.tissue import find_tissue, tissue_fraction


def tiles_of(slide, settings):
    """Return the grid, thinned to the wanted number of tiles per magnification if one is set."""
    tiles = grid.slide_grids(slide.facts, settings)
    wanted = settings["num_tiles"]
    if wanted is None:
        return tiles
    _, mask, scale = find_tissue(slide)
    tissue = tissue_fraction(mask, tiles, scale=scale)
    parts = [
        part[grid.thin(worth_sampling(tissue[part.index], wanted), wanted)]
        for _, part in tiles.groupby("magnification", sort=False)
    ]
    return pd.concat(parts).sort_index().reset_index(drop=True)


def worth_sampling(tissue, wanted):
    """Tiles that are mostly tissue if there are enough, else those with any; on a slide without tissue, all."""
    mostly, some = tissue >= 0.5, tissue > 0
    if mostly.sum() >= wanted:
        return mostly
    return some if some.any() else ~some


if __name__ == "__main__":
    log_to(snakemake.log[0])
    with Slide(snakemake.input.slide, mpp=snakemake.params.mpp) as slide:
        log.info("%s", ", ".join(f"{name} {value}" for name, value in slide.facts.document().items()))
        for remark in slide.facts.remarks:
            log.warning("slide %s: %s", snakemake.input.slide, remark)
        tiles = tiles_of(slide, snakemake.params.settings)
        log.info("%d tiles", len(tiles))
        facts = {"slide": slide.facts.document(), "settings": dict(snakemake.params.settings)}
        write_table(tiles, snakemake.output.tiles, facts)
