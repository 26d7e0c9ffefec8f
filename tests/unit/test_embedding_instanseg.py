"""The encoder of InstanSeg as an embedder, with its real weights, on a real slide."""

import numpy as np
import pandas as pd
import pytest
import shapely
import torch

from clusterfirst import devices, engine
from clusterfirst.embedding import instanseg, maps
from clusterfirst.embedding.crops import Patch
from clusterfirst.embedding.walk import embed_slide
from clusterfirst.io import ClusterfirstError, write_table
from clusterfirst.outlines import objects
from clusterfirst.slide import grid
from clusterfirst.slide.slide import Slide
from clusterfirst.weights import WEIGHTS

from ..defaults import section

CPU = devices.choose(False, threads=1)
X, Y, SIDE = 1000, 700, 320
"""A piece of tissue, in level-0 pixels."""


@pytest.fixture(autouse=True)
def float32(monkeypatch):
    """The same on every machine."""
    monkeypatch.setattr(engine, "computes_bf16", lambda device: False)


@pytest.fixture(scope="module")
def image(cmu):
    with Slide(cmu) as slide:
        return slide.read(X, Y, SIDE, SIDE)


def encoder(weights):
    # From the darkest to the brightest grey value.
    settings = section("embedding", engine="torch")
    return instanseg.InstanSegEncoder("instanseg", weights, device=CPU, histogram=None, settings=settings)


def discs(places, radius=6.0):
    return shapely.buffer(shapely.points(places), radius)


def features(encode, image, polygons, *, mpp=0.5, bounds=None):
    """Embed polygons (pixels of the image if `bounds` is None) that are seen in one view."""
    rows = np.arange(len(polygons))
    high, wide = image.shape[:2]
    out = np.full((len(polygons), len(encode.columns)), np.nan, np.float32)
    encode._polygons, encode._out, encode._mpp = polygons, out, mpp
    view = Patch(image, bounds or (0, 0, wide, high), rows)
    encode.take(rows, encode.prepare(view))
    return out


def test_cells_are_told_apart_and_the_same_cell_is_described_alike_wherever_the_view_begins(weights, image):
    polygons = discs([(130, 140), (170, 165), (150, 190)])
    encode = encoder(weights)
    whole = features(encode, image, polygons)
    assert np.isfinite(whole).all()
    # Shifted by whole pixels of the deepest map, far from the borders of both views.
    part = features(encode, image[48:, 40:], shapely.transform(polygons, lambda xy: xy - (40, 48)))
    alike = np.abs(whole - part).mean()
    assert alike < 0.1 * np.abs(whole[0] - whole[1]).mean()


def test_a_view_in_blocks_is_like_one_in_a_single_pass(weights, image, monkeypatch):
    polygons = discs([(x, y) for x in range(40, 300, 40) for y in range(40, 300, 40)])
    encode = encoder(weights)
    whole = features(encode, image, polygons)
    monkeypatch.setattr(maps, "_BLOCK", 160)
    blocks = features(encode, image, polygons)
    spread = whole.std(axis=0).mean()
    assert np.abs(whole - blocks).mean() < 0.15 * spread
    assert not np.array_equal(whole, blocks)


def test_features_are_averages_over_the_pixels_of_a_cell(weights, image):
    """A cell of two halves has the mean of what the halves have, by their pixels."""
    left, right = shapely.box(100, 100, 112, 110), shapely.box(112, 100, 118, 110)
    encode = encoder(weights)
    each = features(encode, image, np.array([left, right]))
    both = features(encode, image, np.array([shapely.box(100, 100, 118, 110)]))
    np.testing.assert_allclose(both[0], (2 * each[0] + each[1]) / 3, rtol=1e-3, atol=1e-3)


def test_resolution_is_brought_to_that_of_the_network(weights, image):
    """Seen at 0.25 µm/px, the pixels doubled, the cells are the same."""
    polygons = discs([(130, 140), (170, 165)])
    doubled = np.repeat(np.repeat(image, 2, axis=0), 2, axis=1)
    encode = encoder(weights)
    once = features(encode, image, polygons)
    again = features(encode, doubled, shapely.transform(polygons, lambda xy: 2 * xy), mpp=0.25)
    np.testing.assert_allclose(once, again, atol=1e-4)


@pytest.mark.parametrize("side", [1, 7, 33])
def test_tiny_cells_in_tiny_views_have_features_too(weights, image, side):
    """No pixel has its centre in the cell, and the view is smaller than the network's stride."""
    speck = np.array([shapely.box(0.1, 0.1, 0.3, 0.3)])
    assert np.isfinite(features(encoder(weights), image[:side, :side], speck)).all()


def test_beside_it_morphology_measures_what_it_measures_alone(weights, cmu, tmp_path):
    tiles = grid.grid(2220, 2967, slide_mpp=0.499, mpp=0.499, tile_px=256, halo_px=16, magnification=1.0)
    tiles.insert(0, "tile_id", [f"{x}-{y}" for x, y in zip(tiles["x"], tiles["y"], strict=True)])
    polygons = discs([(1100, 800), (1180, 850), (1400, 900)])
    table = tmp_path / "masks.parquet"
    x, y = (shapely.get_coordinates(shapely.centroid(polygons)).T // 256 * 256).astype(int)
    owners = [f"{a}-{b}" for a, b in zip(x, y, strict=True)]
    found = pd.DataFrame({"geometry": polygons, "tile_id": owners, "score": np.nan, "truncated": False})
    write_table(objects.table(found, mpp=0.499), table, {})
    cells = objects.read_objects(table)
    with Slide(cmu) as slide:
        options = {"weights": {"instanseg": weights}, "device": CPU}
        alone, both = tmp_path / "alone.npy", tmp_path / "both.npy"
        embed_slide(slide, tiles, cells, alone, settings=section("embedding", models=["morphology"]), **options)
        found = embed_slide(slide, tiles, cells, both, settings=section("embedding"), **options)
    width = len(found.columns)
    assert [block["columns"] for block in found.models] == [[0, width - 256], [width - 256, width]]
    assert found.models[1]["standardise"]
    assert found.models[1]["weights_sha256"] == WEIGHTS["instanseg"].sha256
    np.testing.assert_array_equal(np.load(alone), np.load(both)[:, :-256])


def test_another_torchscript_file_is_no_instanseg_model(tmp_path):
    path = tmp_path / "other.pt"
    torch.jit.save(torch.jit.script(torch.nn.Linear(3, 3)), path)
    with pytest.raises(ClusterfirstError, match="it has no encoder"):
        encoder(path)
