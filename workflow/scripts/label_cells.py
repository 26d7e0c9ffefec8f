"""Give every cell its label, from the newest export of the labelling app, beside all else that is known of it."""

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import shapely

from clusterfirst import labelled, objects
from clusterfirst.export import cells as joined
from clusterfirst.export import qupath
from clusterfirst.io import log, log_to, read_json, read_metadata, write_table


def newest_labels(cells, found):
    """Return the labels, None without an export; and what is to be remembered of them."""
    if not snakemake.input.labels:
        log.info("no export of the labelling app in %s: no cell has a label", snakemake.params.folder)
        return None, None
    (path,) = snakemake.input.labels
    which = objects.fingerprint(*(cells[name].to_numpy() for name in ("x", "y", "cell_id")))
    labels = labelled.read(path, len(cells), cells_sha256=which)
    same = labels.facts["leaves_sha256"] == labelled.leaves_sha256(np.array(found["cells"]["leaf_id"]))
    if not same:
        log.warning(
            "labels %s were made before these cells were clustered anew: labels stay with their cells, but clusters "
            "may not be those that were named",
            path,
        )
    counts = Counter(labels.label[labels.label != None].tolist())  # noqa: E711 (element by element)
    log.info("%s: %d of %d cells have a label: %s", Path(path).name, counts.total(), len(cells), dict(counts))
    facts = {**labels.facts, "file": labels.file, "classes": labels.classes, "clustered_since": not same}
    return labels, facts


if __name__ == "__main__":
    log_to(snakemake.log[0])
    cells = pq.ParquetFile(snakemake.input.cells).read()
    found = read_json(snakemake.input.clusters)
    labels, facts = newest_labels(cells, found)
    table = joined.table(cells, found, np.load(snakemake.input.plane), labels)
    write_table(table, snakemake.output.cells, read_metadata(snakemake.input.cells) | {"labels": facts})
    qupath.write(
        snakemake.output.geojson,
        shapely.from_wkb(table["geometry"].to_numpy()),
        labels.label if labels else np.full(len(table), None),
        {entry["name"]: entry["colour"] for entry in (labels.classes if labels else [])},
        {name: table[name].to_numpy() for name in ("cell_id", "cluster_id", "confidence")},
    )
