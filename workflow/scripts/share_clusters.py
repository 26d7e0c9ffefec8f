"""Take a slide's own cells out of the clusters of its group."""

import numpy as np

from clusterfirst import drawing
from clusterfirst.clustering.document import Clustering
from clusterfirst.io import log_to, read_json

if __name__ == "__main__":
    log_to(snakemake.log[0])
    slide, sizes = snakemake.params.slide, read_json(snakemake.input.facts)["slides"]
    before = list(sizes.values())[: list(sizes).index(slide)]
    together = Clustering.read(snakemake.input.clusters)
    own = together.of_slide(np.load(snakemake.input.umap), start=sum(before))
    own.write(snakemake.output.clusters)
    drawing.plot_clusters(own, snakemake.output.plot, title=slide)
