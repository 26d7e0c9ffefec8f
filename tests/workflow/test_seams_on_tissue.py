"""Tile borders leave no trace on a real slide."""

from dataclasses import replace

import numpy as np
import pytest
import shapely

from clusterfirst import devices
from clusterfirst.evaluation.segmentation import agreement
from clusterfirst.segmentation import pipeline, seams, shards, views
from clusterfirst.segmentation.instanseg import InstanSeg
from clusterfirst.slide import grid, tissue
from clusterfirst.slide.slide import Slide

TILE_PX = 512


def shifted(tiles, facts, by):
    """The same tiles with origins moved to the upper left by a part of a tile."""
    wider = grid.slide_grids(replace(facts, width=facts.width + by, height=facts.height + by), tiles)
    for axis, length in (("x", "width"), ("y", "height")):
        for start, size in ((axis, length), (f"read_{axis}", f"read_{length}")):
            last = np.minimum(wider[start] + wider[size] - by, getattr(facts, length))
            wider[start] = np.maximum(wider[start] - by, 0)
            wider[size] = last - wider[start]
    wider["tile_id"] = [f"x{x:06d}_y{y:06d}" for x, y in zip(wider["x"], wider["y"], strict=True)]
    return wider


@pytest.fixture(scope="module")
def outlined(cmu, weights, settings, tmp_path_factory):
    """Outline the slide with tiles of a given size and place; return the kept tiles and the objects."""
    segmentation = settings["segmentation"] | {"smoothing_px": 0.7}

    def outline(tile_px, by=0):
        with Slide(cmu) as slide:
            facts = slide.facts
            tiles = shifted(settings["tiling"] | {"tile_px": tile_px}, facts, by)
            found = tissue.filter_tiles(slide, tiles, settings["filter"] | {"max_bright_ratio": 1.0}, threads=2)
        kept = found.tiles.query("kept")
        seen = pipeline.outline_tiles(
            cmu,
            kept,
            facts=facts,
            histogram=found.histogram,
            settings=segmentation,
            weights=weights,
            device=devices.choose(False, threads=2),
        )
        part = tmp_path_factory.mktemp("outlines") / "1-of-1.parquet"
        shards.write(seen, part, made_with={})
        known = shards.read([part])
        aligned = views.aligned_views(kept, slide_mpp=facts.mpp, mpp=InstanSeg.mpp, stride=InstanSeg.stride)
        return kept, seams.each_once(known.polygons, known.tile, aligned, facts=facts, settings=segmentation)

    return outline


@pytest.fixture(scope="module")
def usual(outlined):
    return outlined(TILE_PX)


def within(tiles, polygons):
    """Those with their centroid in the core of one of the tiles."""
    cores = shapely.union_all(shapely.box(tiles.x, tiles.y, tiles.x + tiles.width, tiles.y + tiles.height))
    return polygons[shapely.contains(cores, shapely.centroid(polygons))]


def test_512_px_tiles_and_one_tile_for_the_whole_slide_give_the_same_objects(outlined, usual):
    tiles, many = usual
    _, one = outlined(4096)
    assert len(tiles) > 15
    alike = agreement(many["geometry"].to_numpy(), within(tiles, one["geometry"].to_numpy()))
    assert min(alike.of_found, alike.of_reference) >= 0.98
    assert alike.doubled == 0
    assert not many["truncated"].any()


def test_tiles_that_begin_half_a_tile_earlier_give_the_same_objects(outlined, usual):
    tiles, first = usual
    moved, second = outlined(TILE_PX, by=TILE_PX // 2)
    assert not set(moved["tile_id"]) & set(tiles["tile_id"]) - {"x000000_y000000"}
    # The filter judges other tiles: only ground that both kept can be compared.
    polygons = [within(tiles, within(moved, objects["geometry"].to_numpy())) for objects in (first, second)]
    assert min(map(len, polygons)) > 1500
    alike = agreement(*polygons)
    assert min(alike.of_found, alike.of_reference) >= 0.99
    assert alike.doubled == 0
