"""Outline every object that the kept tiles of one shard show."""

import numpy as np
import pandas as pd

from clusterfirst import devices
from clusterfirst.io import log_to, read_metadata
from clusterfirst.segmentation import pipeline, shards
from clusterfirst.slide.facts import SlideFacts
from clusterfirst.weights import checked_sha256

if __name__ == "__main__":
    log_to(snakemake.log[0])
    settings = dict(snakemake.params.settings)
    known = read_metadata(snakemake.input.tiles)
    # One file; none, if the backend is no network.
    weights = next(iter(snakemake.input.weights), None)
    made_with = {"settings": settings, "weights_sha256": weights and checked_sha256(weights)}
    views = pipeline.outline_tiles(
        snakemake.input.slide,
        pd.read_parquet(snakemake.input.tiles).query("kept"),
        facts=SlideFacts.told(known, snakemake.input.tiles),
        histogram=np.array(known["histogram"]),
        settings=settings,
        weights=weights,
        device=devices.choose(snakemake.params.gpu, threads=snakemake.threads),
        item=snakemake.wildcards.scatteritem,
        threads=snakemake.threads,
    )
    shards.write(views, snakemake.output.outlines, made_with=made_with)
