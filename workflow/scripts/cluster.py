"""Group cells that look alike, and draw how the reach was chosen."""

import numpy as np

from clusterfirst import annotation, clustering
from clusterfirst.io import log_to, write_json

if __name__ == "__main__":
    log_to(snakemake.log[0])
    settings = dict(snakemake.params.settings)
    values = np.load(snakemake.input.umap)
    clusters = clustering.cluster(values, settings, threads=snakemake.threads)
    annotation.plot_k_distance(clusters.clusterer.k_distance, snakemake.output.plot, title=snakemake.wildcards.slide)
    # Row i is cell i (see DESIGN): masks.parquet numbers its cells densely.
    document = clustering.document(clusters, settings, cell_id=np.arange(len(values)))
    write_json(document, snakemake.output.clusters, indent=None)
