"""Group cells that look alike, and draw what came of it."""

import numpy as np

from clusterfirst import devices, drawing
from clusterfirst.clustering.clusters import cluster
from clusterfirst.clustering.document import Clustering
from clusterfirst.io import log_to
from clusterfirst.labels import learnt

if __name__ == "__main__":
    log_to(snakemake.log[0])
    settings, typical = dict(snakemake.params.settings), dict(snakemake.params.typical)
    values, gpu = np.load(snakemake.input.umap), devices.rapids(snakemake.params.gpu)
    rows = learnt.novel_rows(snakemake.input.learnt) if snakemake.input.learnt else np.arange(len(values))
    found = cluster(values[rows], settings, typical, threads=snakemake.threads, gpu=gpu).among(len(values), rows)
    # Row i is cell i: masks.parquet numbers its cells densely.
    clusters = Clustering.of(found, settings, typical)
    title, curve = snakemake.wildcards.group, found.clusterer.k_distance
    drawing.plot_clusters(clusters, snakemake.output.plot, title=title, curve=curve)
    clusters.write(snakemake.output.clusters)
