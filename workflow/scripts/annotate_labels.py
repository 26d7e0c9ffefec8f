"""Draw tiles, the whole slide and the map of cells, coloured by class."""

from clusterfirst import drawing
from clusterfirst.clustering.document import Clustering
from clusterfirst.io import atomic, log_to
from clusterfirst.outlines import objects
from clusterfirst.slide.facts import SlideFacts
from clusterfirst.slide.slide import Slide

if __name__ == "__main__":
    log_to(snakemake.log[0])
    settings = dict(snakemake.params.settings)
    if settings["colour"] != "label":
        settings["colour"] = "class"
    table = objects.read_objects(snakemake.input.cells)
    clusters = Clustering.read(snakemake.input.clusters)
    cells, rows = drawing.select_cells(
        table["geometry"].to_numpy(),
        clusters,
        drawing.read_classes(snakemake.input.cells),
        colour=settings["colour"],
        drop_unclassified=settings["drop_unclassified"],
    )
    with (
        Slide(snakemake.input.slide, mpp=SlideFacts.of(snakemake.input.cells).mpp) as slide,
        atomic(snakemake.output.folder, directory=True) as folder,
    ):
        drawing.annotate_slide(
            slide,
            drawing.tiles_to_draw(snakemake.input.tiles, table),
            cells,
            table[["umap_x", "umap_y"]].to_numpy()[rows],
            folder,
            title=snakemake.wildcards.slide,
            settings=settings,
            typical=clusters.typical_rows,
            threads=snakemake.threads,
        )
