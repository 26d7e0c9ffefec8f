"""Write the cells of a slide, and if wanted its picture, as SpatialData."""

from contextlib import nullcontext

from clusterfirst.export import h5ad, spatial
from clusterfirst.io import log_to, read_json, read_metadata
from clusterfirst.slide.slide import Slide

if __name__ == "__main__":
    log_to(snakemake.log[0])
    described = read_json(snakemake.input.columns)
    mpp = read_metadata(snakemake.input.cells)["slide"]["mpp"]
    adata = h5ad.table(
        snakemake.input.cells,
        slide=snakemake.wildcards.slide,
        embeddings=snakemake.input.embeddings,
        columns=described["columns"],
        models=described["models"],
        reduced=snakemake.input.reduced,
    )
    wanted = snakemake.input.slide
    with Slide(wanted, mpp=mpp) if wanted else nullcontext() as slide:
        spatial.export(snakemake.input.cells, adata, snakemake.output.zarr, mpp=mpp, slide=slide)
