"""Turn every cell into numbers."""

import numpy as np
import pandas as pd

from clusterfirst import devices
from clusterfirst.embedding.walk import embed_slide
from clusterfirst.io import log_to, read_metadata, write_json
from clusterfirst.outlines import objects
from clusterfirst.slide.facts import SlideFacts
from clusterfirst.slide.slide import Slide

if __name__ == "__main__":
    log_to(snakemake.log[0])
    settings = dict(snakemake.params.settings)
    known = read_metadata(snakemake.input.tiles)
    facts = SlideFacts.told(known, snakemake.input.tiles)
    weights = dict(zip(snakemake.params.weights, snakemake.input.weights, strict=True))
    with Slide(snakemake.input.slide, mpp=facts.mpp) as slide:
        found = embed_slide(
            slide,
            pd.read_parquet(snakemake.input.tiles),
            objects.read_objects(snakemake.input.cells),
            snakemake.output.embeddings,
            settings=settings,
            weights=weights,
            histogram=np.array(known["histogram"]),
            device=devices.choose(snakemake.params.gpu, threads=snakemake.threads) if weights else None,
            threads=snakemake.threads,
        )
    write_json(
        {"settings": settings, "columns": found.columns, "models": found.models},
        snakemake.output.columns,
    )
