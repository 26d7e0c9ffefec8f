"""Count a slide's cells by cluster and by what people say they are, and score its clusters."""

from dataclasses import asdict

import pyarrow as pa

from clusterfirst.clustering.document import Clustering
from clusterfirst.evaluation import clusters, pooled, truth
from clusterfirst.io import log, log_to, write_json, write_table
from clusterfirst.outlines import objects
from clusterfirst.slide.facts import SlideFacts

if __name__ == "__main__":
    log_to(snakemake.log[0])
    slide = snakemake.wildcards.slide
    facts = SlideFacts.of(snakemake.input.cells)
    cells = objects.read_objects(snakemake.input.cells)
    cluster_id = Clustering.read(snakemake.input.clusters).cluster_id

    polygons = cells["geometry"].to_numpy()
    told = truth.read(snakemake.input.truth, polygons, facts, given=snakemake.params.given)
    counts = clusters.count(cluster_id, told, cells["tile_id"].to_numpy())
    summary = pooled.summarise({slide: counts}, {slide: slide})
    log.info(
        "%d cells, %d of them with a truth; %d true cells not detected",
        *(len(cells), summary.units.judged, summary.units.missed.sum()),
    )

    write_table(pa.table({"label": pa.array(told.name, pa.string())}), snakemake.output.truth)
    plain = told.tally.is_plain
    write_json(
        {
            "slide": slide,
            "truth": {
                "file": snakemake.input.truth,
                "kind": told.kind,
                **({} if plain else {"tally": asdict(told.tally)}),
            },
            "counts": counts.document(),
            "summary": summary.document(),
        },
        snakemake.output.scores,
    )
