"""Draw tiles, the whole slide and the map of cells, coloured as wished; write down the settings used."""

import numpy as np
import yaml

from clusterfirst import drawing
from clusterfirst.clustering.document import Clustering
from clusterfirst.drawing import gallery
from clusterfirst.io import atomic, log_to
from clusterfirst.outlines import objects
from clusterfirst.plan.layout import GALLERY
from clusterfirst.slide.facts import SlideFacts
from clusterfirst.slide.slide import Slide

if __name__ == "__main__":
    log_to(snakemake.log[0])
    settings, name = snakemake.params.settings, snakemake.wildcards.slide
    facts = SlideFacts.of(snakemake.input.tiles)
    table = objects.read_objects(snakemake.input.cells)
    polygons = table["geometry"].to_numpy()
    clusters = Clustering.read(snakemake.input.clusters)
    named = drawing.read_classes(snakemake.input.classes) if snakemake.input.classes else None
    cells, rows = drawing.select_cells(
        polygons, clusters, named, colour=settings["colour"], drop_unclassified=settings["drop_unclassified"]
    )
    tiles = drawing.tiles_to_draw(snakemake.input.tiles, table)
    how = {"title": name, "threads": snakemake.threads}
    with (
        Slide(snakemake.input.slide, mpp=facts.mpp) as slide,
        atomic(snakemake.output.folder, directory=True) as folder,
    ):
        drawing.annotate_slide(
            slide,
            tiles,
            cells,
            np.load(snakemake.input.plane)[rows],
            folder,
            settings=settings,
            typical=clusters.typical_rows,
            **how,
        )
        gallery.gallery(slide, polygons, clusters.entries, folder / GALLERY, **how)
    with atomic(snakemake.output.settings) as part:
        used = {
            "slide": facts.document() | {"name": name, "tissue": snakemake.params.tissue},
            **snakemake.params.all_settings,
        }
        part.write_text(yaml.safe_dump(used, sort_keys=False, allow_unicode=True), encoding="utf-8")
