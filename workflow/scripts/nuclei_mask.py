"""Write the nuclei of a slide as a pyramidal mask image, and a picture of them on the slide."""

from clusterfirst.export import mask
from clusterfirst.io import log_to
from clusterfirst.outlines import objects
from clusterfirst.slide.facts import SlideFacts
from clusterfirst.slide.slide import Slide

if __name__ == "__main__":
    log_to(snakemake.log[0])
    mpp = SlideFacts.of(snakemake.input.cells).mpp
    polygons = objects.read_objects(snakemake.input.cells)["geometry"].to_numpy()
    with Slide(snakemake.input.slide, mpp=mpp) as slide:
        width, height = slide.size
        mask.write_mask(polygons, snakemake.output.mask, width=width, height=height, mpp=mpp)
        mask.overlay(slide, polygons, snakemake.output.overlay)
