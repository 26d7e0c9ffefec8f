"""From a slide to its objects in one process, without the workflow."""

import tempfile
from pathlib import Path

import numpy as np
import yaml

from clusterfirst import devices
from clusterfirst.plan.settings import resolve
from clusterfirst.segmentation import backend, pipeline, seams, shards, views
from clusterfirst.slide import grid, tissue
from clusterfirst.slide.slide import Slide
from clusterfirst.weights import WEIGHTS, fetch

REPO = Path(__file__).resolve().parent.parent
SCHEMA = yaml.safe_load((REPO / "workflow/schemas/config.schema.yaml").read_text())
SETTINGS = resolve({}, SCHEMA)


def weights() -> Path:
    """The InstanSeg file."""
    return fetch(WEIGHTS["instanseg"], REPO / "resources/models")


def cores_mm2(tiles, *, mpp: float) -> float:
    """Area of the cores of tiles: what seconds are divided by."""
    return float((tiles["width"] * tiles["height"]).sum()) * (mpp / 1000) ** 2


def filtered(path, *, mpp=None, tiling_settings=None, limits=None):
    """Return a slide's facts and what came of filtering its tiles."""
    with Slide(path, mpp=mpp) as slide:
        tiles = grid.slide_grids(slide.facts, {**SETTINGS.tiling, **(tiling_settings or {})})
        return slide.facts, tissue.filter_tiles(slide, tiles, {**SETTINGS.filter, **(limits or {})}, threads=2)


def segmented(path, facts, tiles, histogram: np.ndarray, *, threads=2, **changes):
    """Return the objects of the given tiles (see `seams.each_once`)."""
    settings = {**SETTINGS.segmentation, **changes}
    kind = backend(settings["model"])
    seen = pipeline.outline_tiles(
        path,
        tiles,
        facts=facts,
        histogram=histogram,
        settings=settings,
        weights=weights(),
        device=devices.choose("auto", threads=threads),
        threads=threads,
    )
    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder, "1-of-1.parquet")
        shards.write(seen, part, made_with={})
        known = shards.read([part])
    aligned = views.aligned_views(tiles, slide_mpp=facts.mpp, mpp=kind.mpp, stride=kind.stride)
    return seams.each_once(known.polygons, known.tile, aligned, facts=facts, settings=settings, scores=known.scores)
