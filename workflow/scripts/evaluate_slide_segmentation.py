"""Score a slide's outlines against the true ones, and draw which were hit."""

from clusterfirst.evaluation import drawing, segmentation, truth
from clusterfirst.io import log, log_to, write_json
from clusterfirst.outlines import objects
from clusterfirst.slide.facts import SlideFacts
from clusterfirst.slide.slide import Slide

if __name__ == "__main__":
    log_to(snakemake.log[0])
    facts = SlideFacts.of(snakemake.input.cells)
    found = objects.read_objects(snakemake.input.cells)["geometry"].to_numpy()
    true = truth.read_outlines(snakemake.input.truth, found, facts, given=snakemake.params.given)
    scores = segmentation.score(found, true)
    log.info("%d outlines, %d true ones, %d match at IoU 0.5", scores.found, scores.truth, scores.hits[0])
    write_json(
        {"slide": snakemake.wildcards.slide, "truth": snakemake.input.truth, **scores.document()},
        snakemake.output.scores,
    )
    with Slide(snakemake.input.slide, mpp=facts.mpp) as slide:
        drawing.overlay(slide, found, true, snakemake.output.picture, title=snakemake.wildcards.slide)
