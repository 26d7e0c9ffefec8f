"""Reduce the embeddings of one slide, or of several together."""

from clusterfirst import reduction
from clusterfirst.io import log_to, write_array, write_json
from clusterfirst.reduction import inputs

if __name__ == "__main__":
    log_to(snakemake.log[0])
    slides = inputs.read_all(snakemake.params.slides, snakemake.input)
    settings = dict(snakemake.params.settings)
    reduced = reduction.reduce(slides, settings, gpu=snakemake.params.gpu, threads=snakemake.threads)
    write_array(reduced.values, snakemake.output.umap)
    write_array(reduced.plane, snakemake.output.plane)
    cells = {slide.slide: len(slide.values) for slide in slides}
    write_json({"settings": settings, **reduced.report, "slides": cells}, snakemake.output.facts)
