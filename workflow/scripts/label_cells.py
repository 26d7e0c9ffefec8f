"""Join all that is known of each cell: outline, clusters, map, and its label, from people or as a model proposes it."""

from collections import Counter

import numpy as np
import pyarrow.parquet as pq

from clusterfirst.io import log, log_to, read_json, read_metadata
from clusterfirst.labels import join, model, people
from clusterfirst.outlines import objects


def newest_labels(found):
    """Return what people said, None without an export; and what is to be remembered of that."""
    if not snakemake.input.labels:
        log.info("no export of the labelling app in %s: nobody has named a cell", snakemake.params.folder)
        return None, None
    (path,) = snakemake.input.labels
    cells = pq.ParquetFile(snakemake.input.cells).read(columns=["x", "y", "cell_id"])
    which = objects.fingerprint(*(cells[name].to_numpy() for name in ("x", "y", "cell_id")))
    labels = people.read(path, len(cells), cells_sha256=which)
    same = labels.facts["leaves_sha256"] == people.leaves_sha256(np.array(found["cells"]["leaf_id"]))
    if not same:
        log.warning(
            "labels %s were made before these cells were clustered anew: labels stay with their cells, but clusters "
            "may not be those that were named",
            path,
        )
    return labels, {**labels.facts, "file": labels.file, "classes": labels.classes, "clustered_since": not same}


def proposed_classes():
    """Return what a model called the clusters, None if it was not asked; and what is to be remembered of that."""
    if not snakemake.input.proposals:
        return None, None
    (path,) = snakemake.input.proposals
    proposed = model.read(path)
    return proposed, {**proposed.facts, "classes": proposed.classes}


def count(table):
    """Log how cells got their labels."""
    told = Counter(zip(table["label"].to_pylist(), table["label_source"].to_pylist(), strict=True))
    for (name, source), number in told.most_common():
        if name is not None:
            log.info("%s (%s): %d of %d cells", name, source, number, len(table))


if __name__ == "__main__":
    log_to(snakemake.log[0])
    found = read_json(snakemake.input.clusters)
    labels, said = newest_labels(found)
    proposed, asked = proposed_classes()
    beside = join.known(found, np.load(snakemake.input.plane), labels, proposed)
    count(beside)
    facts = {"labels": said, "proposals": asked, "classes": join.classes(labels, proposed)}
    metadata = read_metadata(snakemake.input.cells) | facts
    join.write(snakemake.input.cells, beside, snakemake.output.cells, metadata)
