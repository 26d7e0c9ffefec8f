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
    found = read_json(snakemake.input.clusters)
    cluster_id = np.array(found["cells"]["cluster_id"], int)
    plane = np.load(snakemake.input.plane)
    how = {"title": name, "threads": snakemake.threads}
    with (
        Slide(snakemake.input.slide, mpp=facts["mpp"]) as slide,
        atomic(snakemake.output.folder, directory=True) as folder,
    ):
        annotation.annotate_slide(slide, tiles, cells, cluster_id, plane, folder, **settings, **how)
        gallery.gallery(slide, cells["geometry"].to_numpy(), found["clusters"], folder / "gallery.png", **how)
    with atomic(snakemake.output.settings) as part:
        used = {"slide": facts | {"name": name, "tissue": snakemake.params.tissue}, **snakemake.params.all_settings}
        part.write_text(yaml.safe_dump(used, sort_keys=False, allow_unicode=True), encoding="utf-8")
