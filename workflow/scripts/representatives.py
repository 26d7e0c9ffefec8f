"""Write what shows the clusters of a slide: a picture of each, the fewest tiles with all, a table, a summary."""

import pandas as pd

from clusterfirst import drawing
from clusterfirst.clustering import summary
from clusterfirst.clustering.document import Clustering
from clusterfirst.drawing import gallery
from clusterfirst.io import atomic, log, log_to, write_csv, write_json
from clusterfirst.outlines import objects
from clusterfirst.slide.facts import SlideFacts
from clusterfirst.slide.slide import Slide

if __name__ == "__main__":
    log_to(snakemake.log[0])
    tiles, out = pd.read_parquet(snakemake.input.tiles), snakemake.output
    facts, name = SlideFacts.of(snakemake.input.tiles), snakemake.wildcards.slide
    cells, clusters = objects.read_objects(snakemake.input.cells), Clustering.read(snakemake.input.clusters)
    typical = gallery.typical_cells(clusters, cells)
    chosen = summary.fewest_tiles(typical)
    few = tiles["tile_id"].isin(chosen.tile_id)
    how = {"threads": snakemake.threads}
    log.info("%d typical cells; %d tiles show all clusters", len(typical), few.sum())
    with Slide(snakemake.input.slide, mpp=facts.mpp) as slide:
        with atomic(out.tiles, directory=True) as folder:
            drawing.export_tiles(slide, tiles[few], folder, **how)
        with atomic(out.gallery, directory=True) as folder:
            files = gallery.cluster_galleries(slide, cells["geometry"].to_numpy(), clusters, folder, title=name, **how)
    shown = typical.assign(shown=typical["tile_id"].isin(chosen.tile_id))
    write_csv(shown, out.table, float_format="%.4g")
    pictures = {cluster: f"gallery/{file}" for cluster, file in files.items()}
    write_json(summary.summary(name, clusters, cells, typical, chosen, pictures), out.summary)
