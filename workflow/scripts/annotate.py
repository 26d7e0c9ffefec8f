"""Draw tiles, the whole slide and the map of cells, coloured as wished; write down the settings used."""

import numpy as np
import yaml

from clusterfirst import drawing
from clusterfirst.drawing import gallery
from clusterfirst.io import atomic, log_to, read_json, read_metadata
from clusterfirst.outlines import objects
from clusterfirst.slide.slide import Slide

if __name__ == "__main__":
    log_to(snakemake.log[0])
    settings, name = snakemake.params.settings, snakemake.wildcards.slide
    facts = read_metadata(snakemake.input.tiles)["slide"]
    table = objects.read_objects(snakemake.input.cells)
    polygons = table["geometry"].to_numpy()
    found = read_json(snakemake.input.clusters)
    named = drawing.read_classes(snakemake.input.classes) if snakemake.input.classes else None
    cells, rows = drawing.select_cells(
        polygons, found, named, colour=settings["colour"], drop_unclassified=settings["drop_unclassified"]
    )
    tiles = drawing.tiles_to_draw(snakemake.input.tiles, table)
    how = {"title": name, "threads": snakemake.threads}
    with (
        Slide(snakemake.input.slide, mpp=facts["mpp"]) as slide,
        atomic(snakemake.output.folder, directory=True) as folder,
    ):
        drawing.annotate_slide(
            slide,
            tiles,
            cells,
            np.load(snakemake.input.plane)[rows],
            folder,
            settings=settings,
            typical=drawing.typical_rows(found),
            **how,
        )
        gallery.gallery(slide, polygons, found["clusters"], folder / "gallery.png", **how)
    with atomic(snakemake.output.settings) as part:
        used = {"slide": facts | {"name": name, "tissue": snakemake.params.tissue}, **snakemake.params.all_settings}
        part.write_text(yaml.safe_dump(used, sort_keys=False, allow_unicode=True), encoding="utf-8")
