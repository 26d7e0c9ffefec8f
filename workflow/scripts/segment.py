"""Outline every cell of the kept tiles."""

import numpy as np
import pandas as pd

from clusterfirst import models, objects, segmentation
from clusterfirst.devices import torch_device
from clusterfirst.io import log_to, read_metadata
from clusterfirst.slides import Slide

if __name__ == "__main__":
    log_to(snakemake.log[0])
    settings = dict(snakemake.params.settings)
    known = read_metadata(snakemake.input.tiles)
    weights = snakemake.input.weights
    digest = models.checked_sha256(weights)
    device = torch_device(snakemake.params.gpu, threads=snakemake.threads)
    with Slide(snakemake.input.slide, mpp=known["slide"]["mpp"]) as slide:
        cells = segmentation.segment_slide(
            slide,
            pd.read_parquet(snakemake.input.tiles).query("kept"),
            model=settings["model"],
            weights=weights,
            histogram=np.array(known["histogram"]),
            device=device,
            smoothing_px=settings["smoothing_px"],
            min_area_um2=settings["min_area_um2"],
            seam_overlap=settings["seam_overlap"],
            threads=snakemake.threads,
        )
    objects.write_objects(
        objects.table(cells, mpp=known["slide"]["mpp"]),
        snakemake.output.cells,
        {"slide": known["slide"], "settings": settings, "weights_sha256": digest},
    )
