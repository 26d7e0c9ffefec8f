"""Pool the scores of clusters of all slides that have a truth: table, figures, plots and a page."""

import numpy as np

from clusterfirst.evaluation import cluster_plots, page, pooled, validity
from clusterfirst.evaluation.clusters import HEADLINE, Counts
from clusterfirst.io import atomic, log_to, read_json, write_json

if __name__ == "__main__":
    log_to(snakemake.log[0])
    documents = {document["slide"]: document for document in map(read_json, snakemake.input.scores)}
    counts = {slide: Counts.from_document(document["counts"]) for slide, document in documents.items()}
    groups, tissues = snakemake.params.groups, snakemake.params.tissues

    slides = {slide: pooled.summarise({slide: one}, groups) for slide, one in counts.items()}
    pools = pooled.pools(counts, groups, tissues)
    everything = pools[pooled.ALL]
    spread = {group: validity.spread(sizes) for group, sizes in pooled.sizes(counts, groups).items()}
    # Embeddings lie in the same space only where slides were reduced together; then they are given here.
    mixing = {}
    umaps = dict(zip(documents, snakemake.input.umaps, strict=True)) if snakemake.input.umaps else {}
    for group in spread if umaps else ():
        values = {slide: np.load(path, mmap_mode="r") for slide, path in umaps.items() if groups[slide] == group}
        mixing[group] = validity.mixing(values, threads=snakemake.threads)

    with atomic(snakemake.output.table) as part:
        pooled.table(slides, pools, tissues).to_csv(part, index=False, float_format="%.4f")
    write_json(
        {
            "pools": {name: pool.document() for name, pool in pools.items()},
            "mean_over_slides": pooled.mean(slides.values()),
            "slides": {
                slide: {
                    **slides[slide].document(),
                    **{key: document[key] for key in ("truth", "validity")},
                    "group": groups[slide],
                }
                for slide, document in documents.items()
            },
            "groups": {
                "spread_over_slides": {group: value._asdict() for group, value in spread.items()},
                "neighbours_of_own_slide": {group: value._asdict() for group, value in mixing.items()},
            },
        },
        snakemake.output.scores,
    )
    units = {slide: summary.units for slide, summary in slides.items()}
    cluster_plots.efficiency(units, everything.units, snakemake.output.efficiency, title="Label efficiency")
    cluster_plots.confusion(
        everything.units.confusion(HEADLINE),
        everything.classes,
        snakemake.output.confusion,
        title=f"What cells are called after {HEADLINE} names",
    )
    cluster_plots.bars(everything, snakemake.output.bars, title="Clusters and chance")
    page.write(
        snakemake.output.page,
        slides=slides,
        pools=pools,
        pictures={
            "How many names are worth giving": snakemake.output.efficiency,
            "What is taken for what": snakemake.output.confusion,
            "Beside chance": snakemake.output.bars,
        },
        without_truth={slide: document["validity"] for slide, document in documents.items()},
        spread={group: value.value for group, value in spread.items() if value.value is not None},
        mixing={group: value.value for group, value in mixing.items() if value.value is not None},
    )
