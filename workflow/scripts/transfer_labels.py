"""Teach an atlas with some slides in several ways, and count what is right on others."""

import numpy as np
import pyarrow.parquet as pq

from clusterfirst.clustering.document import Clustering
from clusterfirst.evaluation import transfer
from clusterfirst.io import log_to, read_json, write_csv
from clusterfirst.reduction import inputs
from clusterfirst.slide.facts import SlideFacts

_APART = 1_000_000
"""Numbers of clusters of another group begin so much later."""


def known(params, given):
    """Each slide, with what its cells are, and its clusters."""
    slides = inputs.read_all(params.slides, given)
    groups = {group: number for number, group in enumerate(dict.fromkeys(params.groups))}
    for slide, group, patient, *files in zip(
        slides, params.groups, params.patients, given.said, given.clusters, given.columns, given.cells, strict=True
    ):
        said, clusters, columns, cells = files
        cluster = Clustering.read(clusters).cluster_id.astype(np.int64)
        yield transfer.Known(
            slide,
            np.array(pq.read_table(said)["label"].to_pylist(), object),
            np.where(cluster >= 0, cluster + _APART * groups[group], -1),
            read_json(columns),
            SlideFacts.of(cells).mpp,
            patient,
        )


if __name__ == "__main__":
    log_to(snakemake.log[0])
    params = snakemake.params
    sides = {"teach": [], "test": []}
    for split, one in zip(params.splits, known(params, snakemake.input), strict=True):
        sides[split].append(one)
    carried = transfer.Transfer(sides["teach"], sides["test"], threads=snakemake.threads, **params.settings)
    found = carried.run()
    write_csv(transfer.table(carried, found), snakemake.output.table, float_format="%.4f")
    transfer.write_page(carried, found, snakemake.output.page)
