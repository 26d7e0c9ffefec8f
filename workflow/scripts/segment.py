"""Settle what neighbouring tiles both saw, or take outlines from elsewhere; measure every object."""

import pandas as pd

from clusterfirst import segmentation, weights
from clusterfirst.io import log, log_to, read_metadata, write_csv, write_table
from clusterfirst.outlines import foreign, objects
from clusterfirst.segmentation import failures, precomputed, seams, shards, views
from clusterfirst.slide.facts import SlideFacts


def settled(tiles, facts, settings):
    """Return what all shards saw, each object once; what it was made with; and why tiles could not be read."""
    seen = shards.read(snakemake.input.outlines)
    kind = segmentation.backend(settings["model"])
    aligned = views.aligned_views(tiles.query("kept"), slide_mpp=facts.mpp, mpp=kind.mpp, stride=kind.stride)
    cells = seams.each_once(
        seen.polygons,
        seen.tile,
        aligned,
        facts=facts,
        settings=settings,
        scores=seen.scores,
        failed=list(seen.failed),
    )
    return cells, seen.made_with, {aligned.at[tile, "tile_id"]: why for tile, why in seen.failed.items()}


def adopted(tiles, facts):
    """The same for outlines from elsewhere."""
    file = snakemake.input.objects
    outlines = foreign.read(file, facts, given=snakemake.params.given)
    return precomputed.adopt(outlines["geometry"].to_numpy(), tiles), {"objects_sha256": weights.sha256(file)}, {}


if __name__ == "__main__":
    log_to(snakemake.log[0])
    settings = dict(snakemake.params.settings)
    known = read_metadata(snakemake.input.tiles)
    facts, tiles = SlideFacts.told(known, snakemake.input.tiles), pd.read_parquet(snakemake.input.tiles)
    if settings["model"] == segmentation.GIVEN:
        cells, made_with, unread = adopted(tiles, facts)
    else:
        cells, made_with, unread = settled(tiles, facts, settings)
    failed = failures.failed_tiles(tiles, {"filter_tiles": known["unreadable"], "outline": unread})
    write_csv(failed, snakemake.output.failed)
    # If there are too many, Snakemake removes the table with the other outputs; the log stays.
    for row in failed.itertuples():
        log.warning("%s failed in %s: %s", row.tile_id, row.rule, row.reason)
    failures.check(failed, tiles=tiles["kept"].sum() + len(known["unreadable"]), share=settings["max_failed_tiles"])
    write_table(
        objects.table(cells, mpp=facts.mpp),
        snakemake.output.cells,
        {"slide": facts.document(), "failed_tiles": failed["tile_id"].tolist()} | made_with | {"settings": settings},
    )
