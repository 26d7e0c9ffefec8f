"""Count a slide's cells by cluster and by what people say they are, and score its clusters."""

import numpy as np

from clusterfirst import clustering, objects
from clusterfirst.evaluation import clusters, pooled, truth, validity
from clusterfirst.io import log, log_to, read_json, read_metadata, write_json

if __name__ == "__main__":
    log_to(snakemake.log[0])
    slide = snakemake.wildcards.slide
    facts = read_metadata(snakemake.input.cells)["slide"]
    cells = objects.read_objects(snakemake.input.cells)
    document = read_json(snakemake.input.clusters)
    cluster_id = np.array(document["cells"]["cluster_id"], int)
    values = np.load(snakemake.input.umap)

    told = truth.read(
        snakemake.input.truth,
        cells["geometry"].to_numpy(),
        width=facts["width"],
        height=facts["height"],
        mpp=facts["mpp"],
    )
    counts = clusters.count(cluster_id, told, cells["tile_id"].to_numpy())
    summary = pooled.summarise({slide: counts}, {slide: slide})
    log.info(
        "%d cells, %d of them with a truth; %d true cells not detected",
        *(len(cells), summary.units.judged, summary.units.missed.sum()),
    )

    # With what was chosen while clustering, such as eps, as if it had been given.
    again = clustering.clusterer(document["settings"]["method"], document["settings"])
    without_truth = {
        **validity.shape(values, cluster_id),
        "stability": validity.stability(
            values,
            cluster_id,
            lambda some: again.fit(some, threads=snakemake.threads),
            subsamples=snakemake.params.stability_subsamples,
        ),
    }
    write_json(
        {
            "slide": slide,
            "truth": {"file": snakemake.input.truth, "kind": told.kind},
            "counts": counts.document(),
            "summary": summary.document(),
            "validity": validity.document(without_truth),
        },
        snakemake.output.scores,
    )
