"""Draw tiles, the whole slide and the map of cells, coloured by cluster; write down the settings used."""

import numpy as np
import pandas as pd
import yaml

from clusterfirst import annotation, gallery, objects
from clusterfirst.io import atomic, log_to, read_json, read_metadata
from clusterfirst.slides import Slide

if __name__ == "__main__":
    log_to(snakemake.log[0])
    settings, name = snakemake.params.settings, snakemake.wildcards.slide
    tiles = pd.read_parquet(snakemake.input.tiles)
    facts = read_metadata(snakemake.input.tiles)["slide"]
    cells = objects.read_objects(snakemake.input.cells)
    # Outlines from elsewhere may lie on tiles that the filter rejects.
    tiles = tiles[tiles["kept"] | tiles["tile_id"].isin(cells["tile_id"])]
    polygons = cells["geometry"].to_numpy()
    found = read_json(snakemake.input.clusters)
    cluster_id = np.array(found["cells"]["cluster_id"], int)
    with (
        Slide(snakemake.input.slide, mpp=facts["mpp"]) as slide,
        atomic(snakemake.output.folder, directory=True) as folder,
    ):
        annotation.annotate_tiles(
            slide,
            tiles,
            polygons,
            cluster_id,
            folder,
            line_um=settings["line_um"],
            max_tiles=settings["max_tiles"],
            threads=snakemake.threads,
        )
        annotation.overview(
            slide, polygons, cluster_id, folder / "overview.png", title=name, longest=settings["overview_px"]
        )
        gallery.gallery(
            slide, polygons, found["clusters"], folder / "gallery.png", title=name, threads=snakemake.threads
        )
        annotation.plot_umap(np.load(snakemake.input.plane), cluster_id, folder / "umap.png", title=name)
    with atomic(snakemake.output.settings) as part:
        used = {"slide": facts | {"name": name, "tissue": snakemake.params.tissue}, **snakemake.params.all_settings}
        part.write_text(yaml.safe_dump(used, sort_keys=False, allow_unicode=True), encoding="utf-8")
