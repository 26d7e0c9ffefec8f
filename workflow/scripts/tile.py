"""Cut a slide into tiles, a table of rectangles."""

from clusterfirst import quality, tiling
from clusterfirst.io import log, log_to, write_table
from clusterfirst.slides import Slide


def tiles_of(slide, settings):
    """Return the grid, thinned to the wanted number of tiles per magnification if one is set."""
    tiles = tiling.slide_grids(slide.metadata(), settings)
    if settings["num_tiles"] is None:
        return tiles
    thumbnail, scale = slide.thumbnail(mpp=quality.TISSUE_MPP)
    mask = quality.tissue_mask(thumbnail, mpp=slide.mpp / scale)
    tissue = quality.tissue_fraction(mask, tiles, scale=scale)
    parts = []
    for _, part in tiles.groupby("magnification", sort=False):
        # A sample of glass and margins is of little use; a slide that shows no tissue is sampled all the same.
        here = tissue[part.index]
        enough = [here >= least for least in (0.5, 1e-9) if (here >= least).sum() >= settings["num_tiles"]]
        candidates = enough[0] if enough else here >= min(1e-9, here.max())
        parts.append(part[tiling.thin(candidates, settings["num_tiles"])])
    return tiles.loc[sorted(index for part in parts for index in part.index)].reset_index(drop=True)


if __name__ == "__main__":
    log_to(snakemake.log[0])
    with Slide(snakemake.input.slide, mpp=snakemake.params.mpp) as slide:
        log.info("%s", ", ".join(f"{name} {value}" for name, value in slide.metadata().items()))
        tiles = tiles_of(slide, snakemake.params.settings)
        log.info("%d tiles", len(tiles))
        write_table(
            tiles, snakemake.output.tiles, {"slide": slide.metadata(), "settings": dict(snakemake.params.settings)}
        )
