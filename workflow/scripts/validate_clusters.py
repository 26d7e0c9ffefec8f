"""Say how clear the clusters of a group are, and how well they mix its slides, without any truth."""

from itertools import pairwise

import numpy as np

from clusterfirst import devices
from clusterfirst.clustering.clusters import NO_TYPICAL, cluster
from clusterfirst.clustering.document import Clustering
from clusterfirst.evaluation import validity
from clusterfirst.io import log_to, read_json, write_json
from clusterfirst.labels import learnt

MOST_CELLS = 200_000
"""Beyond, clustering five times again to see how stable it is would take hours."""

if __name__ == "__main__":
    log_to(snakemake.log[0])
    clusters = Clustering.read(snakemake.input.clusters)
    values = np.load(snakemake.input.umap, mmap_mode="r")
    gpu = devices.rapids(snakemake.params.gpu)
    cluster_id = clusters.cluster_id
    sizes = read_json(snakemake.input.facts)["slides"]
    edges = np.cumsum([0, *sizes.values()])
    if snakemake.input.learnt:
        # All others were never to be in a cluster.
        rows = learnt.novel_rows(snakemake.input.learnt)
        values, cluster_id, edges = values[rows], cluster_id[rows], np.searchsorted(rows, edges)
    slides = {name: slice(*ends) for name, ends in zip(sizes, pairwise(edges.tolist()), strict=True)}
    # Slides × (noise and clusters): noise is −1.
    length = cluster_id.max(initial=-1) + 2
    in_slide = np.array([np.bincount(cluster_id[rows] + 1, minlength=length) for rows in slides.values()])

    def again(some: np.ndarray) -> np.ndarray:
        # With what was chosen while clustering, such as eps, as if it had been given.
        return cluster(some, clusters.settings, NO_TYPICAL, threads=snakemake.threads, gpu=gpu).cluster_id

    stability = (
        validity.Value(None, f"there are more than {MOST_CELLS:,} cells")
        if len(values) > MOST_CELLS
        else validity.stability(values, cluster_id, again)
    )
    figures = {
        **validity.shape(values, cluster_id),
        "stability": stability,
        "spread": validity.spread(in_slide[:, 1:]),
        "mixing": validity.mixing({name: values[rows] for name, rows in slides.items()}, threads=snakemake.threads),
    }
    write_json({"group": snakemake.wildcards.group, **validity.document(figures)}, snakemake.output.figures)
