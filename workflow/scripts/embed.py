"""Turn every cell into numbers."""

import pandas as pd

from clusterfirst import embedding, models, objects
from clusterfirst.devices import torch_device
from clusterfirst.io import log_to, read_metadata, write_array, write_json
from clusterfirst.slides import Slide

if __name__ == "__main__":
    log_to(snakemake.log[0])
    settings = dict(snakemake.params.settings)
    facts = read_metadata(snakemake.input.tiles)["slide"]
    weights = snakemake.input.get("weights") or None
    digest = models.checked_sha256(weights) if weights else None
    with Slide(snakemake.input.slide, mpp=facts["mpp"]) as slide:
        result = embedding.embed_slide(
            slide,
            pd.read_parquet(snakemake.input.tiles),
            objects.read_objects(snakemake.input.cells),
            model=settings["model"],
            weights=weights,
            crop=settings["crop"],
            crop_um=settings["crop_um"],
            batch_size=settings["batch_size"],
            device=torch_device(snakemake.params.gpu, threads=snakemake.threads) if weights else None,
            threads=snakemake.threads,
        )
    write_array(result.values, snakemake.output.embeddings)
    write_json(
        {
            "settings": settings,
            "weights_sha256": digest,
            "standardise": result.standardise,
            "columns": list(result.columns),
        },
        snakemake.output.columns,
    )
