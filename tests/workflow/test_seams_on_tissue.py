"""Tile borders leave no trace on a real slide."""

import numpy as np
import pytest
import shapely

from clusterfirst import quality, segmentation, tiling
from clusterfirst.devices import torch_device
from clusterfirst.slides import Slide


@pytest.fixture(scope="module")
def outlined(cmu, weights, settings):
    """Outline the slide with tiles of a given size."""

    def outline(tile_px):
        limits = {**settings["filter"], "max_bright_ratio": 1.0}
        with Slide(cmu) as slide:
            tiles = tiling.slide_grids(slide.metadata(), {**settings["tiling"], "tile_px": tile_px})
            found = quality.filter_tiles(slide, tiles, limits, threads=2)
            return found.tiles, segmentation.segment_slide(
                slide,
                found.tiles.query("kept"),
                model="instanseg",
                weights=weights,
                histogram=found.histogram,
                device=torch_device(False, threads=2),
                min_area_um2=8,
                smoothing_px=0.7,
                threads=2,
            )

    return outline


def in_kept_cores(tiles, polygons):
    kept = tiles.query("kept")
    cores = shapely.union_all(shapely.box(kept.x, kept.y, kept.x + kept.width, kept.y + kept.height))
    return polygons[shapely.contains(cores, shapely.centroid(polygons))]


def iou(first, second):
    """Pairs that touch, and their intersection over union."""
    i, j = shapely.STRtree(second).query(first, predicate="intersects")
    shared = shapely.area(shapely.intersection(first[i], second[j]))
    return i, j, shared / (shapely.area(first[i]) + shapely.area(second[j]) - shared)


def test_512_px_tiles_and_one_tile_for_the_whole_slide_give_the_same_objects(outlined):
    tiles, many = outlined(512)
    _, one = outlined(4096)
    assert tiles["kept"].sum() > 15
    seen = many["geometry"].to_numpy()
    reference = in_kept_cores(tiles, one["geometry"].to_numpy())
    i, j, overlap = iou(reference, seen)
    matched = overlap >= 0.7
    assert len(np.unique(i[matched])) >= 0.98 * len(reference)
    assert len(np.unique(j[matched])) >= 0.98 * len(seen)
    assert not many["truncated"].any()

    # None doubled: no two objects cover the same nucleus.
    i, j, overlap = iou(seen, seen)
    assert overlap[i != j].max(initial=0) < 0.3
