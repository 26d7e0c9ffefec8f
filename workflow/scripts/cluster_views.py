"""Draw the pictures of each cluster that a model is shown."""

from clusterfirst.clustering.document import Clustering
from clusterfirst.drawing.crops import Source
from clusterfirst.io import atomic, log, log_to
from clusterfirst.proposing import views

if __name__ == "__main__":
    log_to(snakemake.log[0])
    sources = [Source(*pair) for pair in zip(snakemake.input.slides, snakemake.input.cells, strict=True)]
    how = {"per_cluster": snakemake.params.per_cluster, "threads": snakemake.threads}
    with atomic(snakemake.output.folder, directory=True) as folder:
        drawn = views.draw(Clustering.read(snakemake.input.clusters), sources, folder, **how)
    log.info("%d pictures of %d clusters", len(drawn), len({view.cluster for view in drawn}))
