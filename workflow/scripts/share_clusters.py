"""Take a slide's own cells out of the clusters of its group."""

import numpy as np

from clusterfirst import clustering, drawing
from clusterfirst.io import log_to, read_json, write_json

if __name__ == "__main__":
    log_to(snakemake.log[0])
    slide = snakemake.params.slide
    sizes = read_json(snakemake.input.facts)["slides"]
    before = list(sizes).index(slide)
    own = clustering.share(
        read_json(snakemake.input.clusters), np.load(snakemake.input.umap), start=sum(list(sizes.values())[:before])
    )
    write_json(own, snakemake.output.clusters, indent=None)
    drawing.plot_clusters(own, snakemake.output.plot, title=slide)
