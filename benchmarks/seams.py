"""Do tile borders change what is found on the demo slide? What does aligning tiles to the network's stride bring?

    .venv/bin/python benchmarks/seams.py | tee benchmarks/seams.md

Reference: one tile that holds the whole slide. Compared within the cores of the tiles that were kept.
"""

from pathlib import Path

import numpy as np
import shapely
import yaml
from machine import machine

from clusterfirst import models, quality, segmentation, tiling
from clusterfirst.devices import torch_device
from clusterfirst.segmentation.instanseg import InstanSeg
from clusterfirst.settings import resolve
from clusterfirst.slides import Slide

REPO = Path(__file__).resolve().parent.parent


def outline(slide, weights, settings, tile_px):
    """Return the kept tiles, and the outlines."""
    limits = {**settings["filter"], "max_bright_ratio": 1.0}
    tiles = tiling.slide_grids(slide.metadata(), {**settings["tiling"], "tile_px": tile_px})
    found = quality.filter_tiles(slide, tiles, limits, threads=2)
    kept = found.tiles.query("kept")
    objects = segmentation.segment_slide(
        slide,
        kept,
        model="instanseg",
        weights=weights,
        histogram=found.histogram,
        device=torch_device("auto", threads=2),
        min_area_um2=8,
        smoothing_px=0.7,
        threads=2,
    )
    return kept, objects["geometry"].to_numpy()


def agreement(found, reference):
    """Fractions of both that match at IoU 0.7, and how many found ones overlap another by 0.3 or more."""
    i, j = shapely.STRtree(reference).query(found, predicate="intersects")
    shared = shapely.area(shapely.intersection(found[i], reference[j]))
    good = shared / (shapely.area(found[i]) + shapely.area(reference[j]) - shared) >= 0.7
    a, b = shapely.STRtree(found).query(found, predicate="intersects")
    a, b = a[a < b], b[a < b]
    common = shapely.area(shapely.intersection(found[a], found[b]))
    doubled = int((common >= 0.3 * np.minimum(shapely.area(found[a]), shapely.area(found[b]))).sum())
    return len(np.unique(i[good])) / len(found), len(np.unique(j[good])) / len(reference), doubled


def main() -> None:
    slide_file = models.fetch(models.SLIDES["CMU-1-Small-Region.svs"], REPO / "resources/slides")
    weights = models.fetch(models.WEIGHTS["instanseg"], REPO / "resources/models")
    settings = resolve({}, yaml.safe_load((REPO / "workflow/schemas/config.schema.yaml").read_text()))
    rows = []
    with Slide(slide_file) as slide:
        _, whole = outline(slide, weights, settings, 4096)
        for name, tile_px, stride in (
            ("512 px tiles", 512, 8),
            ("500 px tiles, aligned", 500, 8),
            ("500 px tiles, not aligned", 500, 1),
        ):
            InstanSeg.stride = stride
            kept, found = outline(slide, weights, settings, tile_px)
            cores = shapely.union_all(shapely.box(kept.x, kept.y, kept.x + kept.width, kept.y + kept.height))
            reference = whole[shapely.contains(cores, shapely.centroid(whole))]
            of_found, of_reference, doubled = agreement(found, reference)
            rows.append(
                f"| {name} | {len(found):,} | {len(reference):,} | {of_found:.2%} | {of_reference:.2%} | {doubled} |"
            )
    print("# Seams\n")
    print(f"{machine()}\n")
    print("| tiles | objects | in the single tile | matched of objects | matched of the single tile's | doubled |")
    print("|---|---|---|---|---|---|")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
