"""Do tile borders change what is found on the demo slide? What does aligning tiles to the network's stride bring?

    .venv/bin/python benchmarks/seams.py | tee benchmarks/seams.md

Reference: one tile that holds the whole slide. Compared within the cores of the tiles that were kept.
"""

import shapely
from machine import machine
from whole import REPO, filtered, segmented

from clusterfirst import weights
from clusterfirst.evaluation.segmentation import agreement
from clusterfirst.segmentation.instanseg import InstanSeg


def outline(path, tile_px):
    """Return the kept tiles, and the outlines."""
    facts, found = filtered(path, tiling_settings={"tile_px": tile_px}, limits={"max_bright_ratio": 1.0})
    kept = found.tiles.query("kept")
    return kept, segmented(path, facts, kept, found.histogram, smoothing_px=0.7)["geometry"].to_numpy()


def main() -> None:
    path = weights.fetch(weights.SLIDES["CMU-1-Small-Region.svs"], REPO / "resources/slides")
    rows = []
    _, whole = outline(path, 4096)
    for name, tile_px, stride in (
        ("512 px tiles", 512, 8),
        ("500 px tiles, aligned", 500, 8),
        ("500 px tiles, not aligned", 500, 1),
    ):
        InstanSeg.stride = stride
        kept, found = outline(path, tile_px)
        cores = shapely.union_all(shapely.box(kept.x, kept.y, kept.x + kept.width, kept.y + kept.height))
        reference = whole[shapely.contains(cores, shapely.centroid(whole))]
        alike = agreement(found, reference)
        rows.append(
            f"| {name} | {len(found):,} | {len(reference):,} | {alike.of_found:.2%} | {alike.of_reference:.2%} | "
            f"{alike.doubled} |"
        )
    print("# Seams\n")
    print(f"{machine()}\n")
    print("| tiles | objects | in the single tile | matched of objects | matched of the single tile's | doubled |")
    print("|---|---|---|---|---|---|")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
