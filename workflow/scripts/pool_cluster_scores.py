"""Pool the scores of clusters of all slides that have a truth: table, figures, plots and a page."""

from collections import Counter

from clusterfirst.evaluation import cluster_plots, page, pooled
from clusterfirst.evaluation.clusters import HEADLINE, Counts
from clusterfirst.io import log, log_to, read_json, write_csv, write_json

if __name__ == "__main__":
    log_to(snakemake.log[0])
    documents = {document["slide"]: document for document in map(read_json, snakemake.input.scores)}
    counts = {slide: Counts.from_document(document["counts"]) for slide, document in documents.items()}
    groups, tissues = snakemake.params.groups, snakemake.params.tissues

    slides = {slide: pooled.summarise({slide: one}, groups) for slide, one in counts.items()}
    pools = pooled.pools(counts, groups, tissues)
    everything = pools[pooled.ALL]
    alike = Counter(name.casefold() for name in everything.classes)
    if twice := sorted(name for name in everything.classes if alike[name.casefold()] > 1):
        log.warning("classes that differ in capitals only are counted as different ones: %s", ", ".join(twice))
    without_truth = {document["group"]: document for document in map(read_json, snakemake.input.validity)}

    write_csv(pooled.table(slides, pools, tissues), snakemake.output.table, float_format="%.4f")
    write_json(
        {
            "pools": {name: pool.document() for name, pool in pools.items()},
            "mean_over_slides": pooled.mean(slides.values()),
            "slides": {
                slide: {
                    **slides[slide].document(),
                    "truth": document["truth"],
                    "group": groups[slide],
                }
                for slide, document in documents.items()
            },
            "groups": without_truth,
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
        without_truth=without_truth,
    )
