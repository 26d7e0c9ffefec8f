"""Join all that is known of each cell: outline, clusters, map, and its label, whoever says so."""

from collections import Counter

import numpy as np

from clusterfirst.clustering.document import Clustering
from clusterfirst.io import log, log_to, read_metadata
from clusterfirst.labels import SOURCES, join


def count(table):
    """Log how cells got their labels."""
    told = Counter(zip(table["label"].to_pylist(), table["label_source"].to_pylist(), strict=True))
    for (name, source), number in told.most_common():
        if name is not None:
            log.info("%s (%s): %d of %d cells", name, source, number, len(table))


if __name__ == "__main__":
    log_to(snakemake.log[0])
    clusters, masks = Clustering.read(snakemake.input.clusters), snakemake.input.cells
    given = {
        source.name: source.read(*snakemake.input[source.name], masks, clusters)
        for source in SOURCES
        if snakemake.input[source.name]
    }
    if "labels" not in given:
        log.info("no export of the labelling app in %s: nobody has named a cell", snakemake.params.folder)
    labels = list(given.values())
    beside = join.known(clusters, np.load(snakemake.input.plane), labels)
    count(beside)
    facts = {source.name: given[source.name].facts if source.name in given else None for source in SOURCES}
    metadata = read_metadata(masks) | facts | {"classes": join.classes(labels)}
    join.write(masks, beside, snakemake.output.cells, metadata)
