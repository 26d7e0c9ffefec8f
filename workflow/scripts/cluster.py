"""Group cells that look alike, and draw what came of it."""

import numpy as np

from clusterfirst import clustering, devices, drawing
from clusterfirst.io import log_to, write_json

if __name__ == "__main__":
    log_to(snakemake.log[0])
    settings, typical = dict(snakemake.params.settings), dict(snakemake.params.typical)
    values = np.load(snakemake.input.umap)
    gpu = devices.rapids(snakemake.params.gpu)
    clusters = clustering.cluster(values, settings, typical, threads=snakemake.threads, gpu=gpu)
    # Row i is cell i (see DESIGN): masks.parquet numbers its cells densely.
    document = clustering.document(clusters, settings, cell_id=np.arange(len(values)), typical=typical)
    drawing.plot_clusters(
        document,
        snakemake.output.plot,
        title=snakemake.wildcards.group,
        curve=getattr(clusters.clusterer, "k_distance", None),
    )
    write_json(document, snakemake.output.clusters, indent=None)
