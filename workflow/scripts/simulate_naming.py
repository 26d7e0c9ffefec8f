"""Spend a simulated person's time on the cells of a group of slides, in several ways."""

import numpy as np
import pyarrow.parquet as pq

from clusterfirst.clustering.document import Clustering
from clusterfirst.evaluation import naming
from clusterfirst.io import log, log_to, write_json
from clusterfirst.learning.recipe import Recipe
from clusterfirst.reduction import inputs

if __name__ == "__main__":
    log_to(snakemake.log[0])
    settings, given = dict(snakemake.params.learning), snakemake.input
    slides = inputs.read_all(snakemake.params.slides, given)
    truth = dict(zip(snakemake.params.with_truth, given.said, strict=True))
    said = {slide: pq.read_table(file)["label"].to_pylist() for slide, file in truth.items()}
    cells = naming.Cells.known(
        Recipe.fit(slides, snakemake.params.reduction, settings).describe(slides, threads=snakemake.threads),
        Clustering.read(given.clusters).cluster_id,
        [(len(slide.values), said.get(slide.slide)) for slide in slides],
    )
    log.info("%d cells with a truth, %d classes", len(cells.truth), len(cells.classes))
    runs = naming.simulate(cells, settings, threads=snakemake.threads) if len(cells.truth) else []
    write_json(
        {
            "group": snakemake.wildcards.group,
            "slides": [slide for slide in snakemake.params.slides if slide in truth],
            "cells": cells.on_slides(np.ones(len(cells.truth), bool)).tolist(),
            "person": settings["person"],
            "runs": runs,
        },
        snakemake.output.moments,
        indent=None,
    )
