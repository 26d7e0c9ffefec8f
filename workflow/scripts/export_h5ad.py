"""Write the cells of a slide as AnnData."""

from clusterfirst.export import h5ad
from clusterfirst.io import log_to, read_json

if __name__ == "__main__":
    log_to(snakemake.log[0])
    described = read_json(snakemake.input.columns)
    h5ad.export(
        snakemake.input.cells,
        snakemake.output.h5ad,
        slide=snakemake.wildcards.slide,
        embeddings=snakemake.input.embeddings,
        columns=described["columns"],
        models=described["models"],
        reduced=snakemake.input.reduced,
    )
