"""Embeddings of a synthetic slide whose cells are known to the pixel."""

import hashlib
import sys
import tempfile
import warnings
from pathlib import Path

import cv2
import geopandas
import numpy as np
import pandas as pd
import pytest
import shapely
import torch

from clusterfirst import devices
from clusterfirst.embedding import crops, encoders, morphology, networks, stain
from clusterfirst.embedding.walk import embed_slide
from clusterfirst.io import ClusterfirstError, write_table
from clusterfirst.outlines import objects
from clusterfirst.slide.grid import grid
from clusterfirst.slide.slide import Slide

from ..defaults import section

MPP = 0.5
WIDTH, HEIGHT = 640, 560
CPU = devices.choose(False, threads=1)
STAINS = np.array([(0.650, 0.704, 0.286), (0.072, 0.990, 0.105)])
STAINS /= np.linalg.norm(STAINS, axis=1, keepdims=True)
DARK, PALE, GROUND = (0.9, 0.1), (0.4, 0.2), (0.05, 0.3)
"""Hematoxylin and eosin."""


def colour(amounts):
    return 256 * 10 ** -(np.asarray(amounts) @ STAINS) - 1


@pytest.fixture(scope="module")
def drawing():
    """Label image and RGB image: discs, every other one dark and small, close to each other, on pink."""
    rng = np.random.default_rng(0)
    labels = np.zeros((HEIGHT, WIDTH), np.int32)
    amounts = np.tile(np.array(GROUND), (HEIGHT, WIDTH, 1))
    for count, (x, y) in enumerate((x, y) for y in range(20, HEIGHT - 20, 26) for x in range(20, WIDTH - 20, 26)):
        dark = count % 2 == 0
        centre = (x + int(rng.integers(-3, 4)), y + int(rng.integers(-3, 4)))
        disc = cv2.circle(np.zeros(labels.shape, np.uint8), centre, 6 if dark else 10, 1, -1) > 0
        labels[disc & (labels == 0)] = count + 1
        amounts[disc] = DARK if dark else PALE
    rgb = colour(amounts) + rng.normal(0, 3, (HEIGHT, WIDTH, 3))
    return labels, rgb.clip(0, 255).round().astype(np.uint8)


@pytest.fixture(scope="module")
def slide(drawing, tmp_path_factory):
    path = tmp_path_factory.mktemp("slide") / "discs.png"
    cv2.imwrite(str(path), drawing[1][..., ::-1])
    with Slide(path, mpp=MPP) as opened:
        yield opened


def tiled(*, tile_px=256, mpp=MPP):
    tiles = grid(WIDTH, HEIGHT, slide_mpp=MPP, mpp=mpp, tile_px=tile_px, halo_px=16, magnification=MPP / mpp)
    tiles.insert(0, "tile_id", [f"{x}-{y}" for x, y in zip(tiles["x"], tiles["y"], strict=True)])
    return tiles


def cells_of(polygons, tiles, tmp_path) -> geopandas.GeoDataFrame:
    """A table as `segment` writes it; each cell belongs to the tile whose core holds its centroid."""
    x, y = shapely.get_coordinates(shapely.centroid(polygons)).T
    step = tiles["width"].iloc[0]
    x, y = np.clip(x, 0, WIDTH - 1), np.clip(y, 0, HEIGHT - 1)
    ids = [f"{a}-{b}" for a, b in zip((x // step * step).astype(int), (y // step * step).astype(int), strict=True)]
    found = pd.DataFrame({"geometry": polygons, "tile_id": ids, "score": np.nan, "truncated": False})
    path = tmp_path / "masks.parquet"
    write_table(objects.table(found, mpp=MPP), path, {})
    return objects.read_objects(path)


@pytest.fixture(scope="module")
def polygons(drawing):
    return objects.outlines(drawing[0])[0]


@pytest.fixture(scope="module")
def cells(polygons, tmp_path_factory):
    return cells_of(polygons, tiled(), tmp_path_factory.mktemp("cells"))


def embedded(slide, cells, tiles=None, *, weights=None, histogram=None, threads=1, **changes):
    """What is written, and what is said of it."""
    given = {"weights": weights or {}, "histogram": histogram, "threads": threads, "device": CPU}
    given["settings"] = section("embedding", **changes)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "embeddings.npy")
        found = embed_slide(slide, tiled() if tiles is None else tiles, cells, path, **given)
        assert [file.name for file in Path(folder).iterdir()] == [path.name]
        values = np.load(path)
    assert values.shape == (len(cells), len(found.columns))
    assert np.isfinite(values).all()
    return values, found


def morph(slide, cells, tiles=None, **options) -> pd.DataFrame:
    values, found = embedded(slide, cells, tiles, models=["morphology"], **options)
    assert values.dtype == np.float32
    return pd.DataFrame(values.astype(float), columns=found.columns)


# --- morphology -------------------------------------------------------------------------------------------------------


def test_known_discs_have_known_numbers(slide, cells, drawing):
    found = morph(slide, cells)
    pixels = np.bincount(drawing[0].ravel())[1:]
    np.testing.assert_allclose(np.exp(found["log_area"]), pixels * MPP**2, atol=0.5 * MPP**2)
    dark = np.arange(len(cells)) % 2 == 0
    for those, (h, e) in ((dark, DARK), (~dark, PALE)):
        np.testing.assert_allclose(found["h_mean"][those], h, atol=0.02)
        np.testing.assert_allclose(found["h_p50"][those], h, atol=0.02)
        np.testing.assert_allclose(found["e_mean"][those], e, atol=0.02)
        np.testing.assert_allclose(found["step_h"][those], h - GROUND[0], atol=0.02)
        np.testing.assert_allclose(found["od_red"][those], (np.array([h, e]) @ STAINS)[0], atol=0.02)
        np.testing.assert_allclose(found["h_rim"][those], 0, atol=0.04)
    np.testing.assert_allclose(found["ring_h"], GROUND[0], atol=0.02)
    np.testing.assert_allclose(found["ring_e"], GROUND[1], atol=0.02)
    assert found["log_aspect"].max() < 0.05
    assert found["ellipse_fill"].min() > 0.97


def test_stain_agrees_with_numpy_per_cell(slide, cells, drawing):
    """The sums over groups against a loop that is too simple to be wrong."""
    labels, rgb = drawing
    found = morph(slide, cells)
    od = -np.log10((rgb + 1.0) / 256)
    rest = np.cross(*STAINS)
    h = (od @ np.linalg.inv(np.vstack([STAINS, rest / np.linalg.norm(rest)])))[..., 0]
    for row in range(0, len(cells), 37):
        values = h[labels == row + 1]
        expected = [values.mean(), values.std(), *np.quantile(values, (0.1, 0.5, 0.9))]
        np.testing.assert_allclose(found.loc[row, ["h_mean", "h_std", "h_p10", "h_p50", "h_p90"]], expected, atol=1e-4)


def test_cooccurrence_agrees_with_skimage():
    from skimage.feature import graycomatrix, graycoprops

    rng = np.random.default_rng(1)
    low, high = morphology._LEVELS_OD
    level = cv2.blur(rng.integers(0, 8, (30, 40)).astype(np.uint8), (3, 3))
    h = ((level + 0.5) / 8 * (high - low) + low).astype(np.float32)
    labels = np.zeros((60, 40), np.int32)
    labels[:30], labels[30:] = 1, 2
    both = np.vstack([h, np.full_like(h, 0.1)])
    found = morphology._cooccurrence(labels, both, 2, distance_px=1.0)
    # skimage's pixel at 45° and a distance of 1 is the diagonal neighbour, as here.
    angles = [0, np.pi / 4, np.pi / 2, 3 * np.pi / 4]
    counts = graycomatrix(level, [1], angles, levels=8, symmetric=True).sum(axis=3, keepdims=True)
    for name in ("contrast", "homogeneity", "energy", "correlation"):
        expected = graycoprops(counts / counts.sum(), name).item()
        assert found[f"glcm_{name}"][0] == pytest.approx(expected, abs=1e-6), name
    flat = {name.removeprefix("glcm_"): values[1] for name, values in found.items()}
    assert flat == {"contrast": 0, "homogeneity": 1, "energy": 1, "entropy": 0, "correlation": 0}


def test_texture_and_rim_tell_patterned_cells_from_plain_ones(tmp_path):
    x, y = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    centres = {"plain": 100, "striped": 200, "hollow": 300}
    amounts = np.tile(np.array(GROUND), (HEIGHT, WIDTH, 1))
    discs = {name: np.hypot(x - at, y - 100) < 15 for name, at in centres.items()}
    for disc in discs.values():
        amounts[disc] = (0.6, 0.1)
    amounts[discs["striped"] & (x % 8 < 4)] = (1.2, 0.1)
    amounts[np.hypot(x - centres["hollow"], y - 100) < 12] = (0.2, 0.1)
    path = tmp_path / "patterns.png"
    cv2.imwrite(str(path), colour(amounts).round().astype(np.uint8)[..., ::-1])
    labels = sum(disc.astype(np.int32) * (i + 1) for i, disc in enumerate(discs.values()))
    cells = cells_of(objects.outlines(labels)[0], tiled(), tmp_path)
    with Slide(path, mpp=MPP) as slide:
        found = morph(slide, cells).set_index(pd.Index(discs))
    assert found.loc["striped", "glcm_contrast"] > 3 * found.loc["plain", "glcm_contrast"] + 1
    assert found.loc["striped", "glcm_entropy"] > found.loc["plain", "glcm_entropy"] + 0.5
    assert found.loc["striped", "gradient_mean"] > 2 * found.loc["plain", "gradient_mean"]
    assert found.loc["hollow", "h_rim"] > 0.25
    assert abs(found.loc["plain", "h_rim"]) < 0.02


def test_neighbourhood_counts_and_distances(slide, tmp_path):
    """Five parallel ellipses in a row, 9.5 µm apart, and one far away."""
    along = shapely.affinity.scale(shapely.Point(0, 0).buffer(1, quad_segs=32), 8, 4)
    row = [shapely.affinity.translate(along, 100 + 19 * i, 100) for i in range(5)]
    lonely = shapely.affinity.translate(along, 600, 500)
    found = morph(slide, cells_of(np.array([*row, lonely]), tiled(), tmp_path))
    counts = np.expm1(found[["log_count_15um", "log_count_30um", "log_count_60um"]]).round().astype(int)
    assert counts.to_numpy().tolist() == [[1, 3, 4], [2, 4, 4], [2, 4, 4], [2, 4, 4], [1, 3, 4], [0, 0, 0]]
    np.testing.assert_allclose(np.expm1(found["log_distance_1"]), [9.5] * 5 + [200], rtol=1e-4)
    np.testing.assert_allclose(np.expm1(found["log_distance_3"]), [28.5, 19, 19, 19, 28.5, 200], rtol=1e-4)
    np.testing.assert_allclose(np.expm1(found["log_distance_10"]), 200, rtol=1e-4)
    # Elongation is 1 - 4/8 each, and all are parallel.
    np.testing.assert_allclose(found["alignment"], [0.25] * 5 + [0], atol=1e-3)
    np.testing.assert_allclose(found["log_relative_area"], 0, atol=1e-3)
    assert found["relative_h"][5] == 0


def test_neighbours_are_the_same_whatever_the_portions(monkeypatch):
    places = np.random.default_rng(0).uniform(0, 300, (50, 2))
    places[1] = places[0]
    whole = morphology._nearest(morphology.cKDTree(places), places, 4)
    monkeypatch.setattr(morphology, "_ROWS", 7)
    for found, expected in zip(morphology._nearest(morphology.cKDTree(places), places, 4), whole, strict=True):
        np.testing.assert_array_equal(found, expected)
    assert whole[1][:2, 0].tolist() == [1, 0]


def test_alignment_is_negative_across_and_blind_to_turning_the_slide(slide, tmp_path):
    along = shapely.affinity.scale(shapely.Point(0, 0).buffer(1, quad_segs=32), 8, 4)
    pair = [shapely.affinity.translate(along, 300, 300), shapely.affinity.translate(along, 340, 300)]
    crossed = [pair[0], shapely.affinity.rotate(pair[1], 90)]
    results = {}
    for turn in (0, 30, 90, 135):
        turned = np.array([shapely.affinity.rotate(cell, turn, origin=(320, 300)) for cell in crossed])
        results[turn] = morph(slide, cells_of(turned, tiled(), tmp_path))[[*morphology.SHAPE, "alignment"]]
    np.testing.assert_allclose(results[0]["alignment"], -0.25, atol=1e-3)
    for turn in (30, 90, 135):
        np.testing.assert_allclose(results[turn], results[0], atol=1e-4)


@pytest.mark.parametrize("mpp", [MPP, 2 * MPP])
def test_the_tile_a_cell_belongs_to_does_not_matter(slide, polygons, tmp_path, mpp):
    results = []
    for tile_px in (64, 512):
        tiles = tiled(tile_px=tile_px, mpp=mpp)
        results.append(morph(slide, cells_of(polygons, tiles, tmp_path), tiles, threads=2))
    np.testing.assert_allclose(results[0], results[1], atol=1e-4)


def test_rows_follow_the_cells_not_the_tiles(slide, cells):
    # Discs on whole pixels have many neighbours at equal distances, of which either may be the tenth.
    cells = cells.assign(x=cells["x"] + np.random.default_rng(4).normal(0, 0.01, len(cells)))
    ordered = morph(slide, cells)
    mixed = np.random.default_rng(3).permutation(len(cells))
    shuffled = morph(slide, cells.iloc[mixed].reset_index(drop=True))
    np.testing.assert_allclose(shuffled, ordered.iloc[mixed], atol=1e-4)
    assert ordered["log_area"].nunique() > 1


def test_no_cells(slide, cells):
    for method in ("none", "macenko"):
        values, found = embedded(slide, cells.iloc[:0], models=["morphology"], stain=method)
        assert values.shape == (0, len(found.columns))
    assert found.models == [
        {"model": "morphology", "columns": [0, len(found.columns)], "standardise": True, "weights_sha256": None}
    ]


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_odd_cells_have_finite_numbers(slide, tmp_path):
    """Smaller than a pixel, outside, across the corner, one upon another, without area; `morph` checks the rest."""
    odd = np.array(
        [
            shapely.box(100.6, 100.6, 100.9, 100.9),
            shapely.box(-50, -50, -40, -40),
            shapely.box(WIDTH + 5, HEIGHT + 5, WIDTH + 15, HEIGHT + 15),
            shapely.box(-5, -5, 8, 8),
            shapely.box(200, 200, 220, 220),
            shapely.box(200, 200, 220, 220),
            shapely.box(205, 205, 210, 210),
            shapely.Polygon([(300, 300), (310, 300), (320, 300)]),
        ]
    )
    found = morph(slide, cells_of(odd, tiled(), tmp_path))
    assert (found["od_green"] > 0.1).all(), "every cell takes its stain from some pixel"
    assert found.to_numpy().max() < 100
    assert found.to_numpy().min() > -100


def test_a_single_cell(slide, cells):
    found = morph(slide, cells.iloc[[7]].reset_index(drop=True))
    np.testing.assert_allclose(np.expm1(found["log_distance_1"]), 200, rtol=1e-4)


def test_cells_of_a_tile_that_is_not_kept_are_refused(slide, cells):
    tiles = tiled()
    with pytest.raises(ClusterfirstError, match="different runs"):
        embedded(slide, cells, tiles.iloc[1:], models=["morphology"])


def test_columns_are_documented():
    assert morphology.Morphology.columns == tuple(morphology.COLUMNS)
    parts = (morphology.SHAPE, morphology.STAIN, morphology.TEXTURE, morphology.RING, morphology.NEIGHBOURHOOD)
    assert sum(map(len, parts)) == len(morphology.COLUMNS)


def test_label_image_is_the_inverse_of_outlines():
    from scipy import ndimage

    noise = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(300, 400)), 4)
    labels, count = ndimage.label(ndimage.binary_fill_holes(noise > 0.03))
    polygons, values = objects.outlines(labels)
    assert count > 50
    assert np.array_equal(morphology.label_image(polygons, values, labels.shape), labels)
    moved = shapely.affinity.translate(shapely.box(0, 0, 10, 10), -4, 295)
    clipped = morphology.label_image(np.array([moved]), np.array([7]), labels.shape)
    assert (clipped[295:, :6] == 7).all()
    assert (clipped > 0).sum() == 30


# --- crops ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def view():
    image = np.random.default_rng(0).integers(0, 250, (50, 80, 3), np.uint8)
    return crops.Patch(image, (100, 200, 180, 250), np.array([1, 0]))


def cut(view, *shapes, size, mpp=MPP, blank=(255, 255, 255), mode, crop_um=16.0, margin_um=0.0):
    shapes = np.array(shapes)
    centres = shapely.get_coordinates(shapely.centroid(shapes))
    return crops.Crop(mode, crop_um, margin_um).cut(view, shapes, centres, mpp=mpp, size=size, blank=blank)


def test_box_crops_are_the_bounding_boxes_in_the_order_of_the_view(view):
    found = cut(view, shapely.box(110, 210, 120, 230), shapely.box(150, 205, 174, 229), mode="box", size=24)
    assert np.array_equal(found[0], view.image[5:29, 50:74])
    assert np.array_equal(found[1], cv2.resize(view.image[10:30, 10:20], (24, 24)))


def test_a_margin_shows_the_surroundings_and_white_outside_of_the_slide(view):
    boxes = shapely.box(102, 210, 112, 220), shapely.box(150, 210, 160, 220)
    found = cut(view, *boxes, mode="box", margin_um=2.5, size=20)
    assert np.array_equal(found[0], view.image[5:25, 45:65])
    assert (found[1][:, :3] == 255).all()
    assert np.array_equal(found[1][:, 3:], view.image[5:25, :17])


def test_square_crops_have_the_edge_asked_for_and_are_white_outside(view):
    found = cut(
        view, shapely.box(96, 196, 104, 204), shapely.box(138, 218, 142, 222), mode="square", crop_um=10, size=20
    )
    assert np.array_equal(found[0], view.image[10:30, 30:50])
    assert (found[1][:10] == 255).all()
    assert (found[1][:, :10] == 255).all()
    assert np.array_equal(found[1][10:, 10:], view.image[:10, :10])


def test_masked_crops_show_the_cell_and_nothing_else(view):
    triangle = shapely.Polygon([(110, 210), (130, 210), (110, 230)])
    crop = cut(view, shapely.box(150, 210, 160, 220), triangle, mode="masked", size=200, blank=(1, 2, 3))[0]
    box = cut(view, shapely.box(150, 210, 160, 220), triangle, mode="box", size=200)[0]
    y, x = np.mgrid[:200, :200]
    inside, outside = x + y < 197, x + y > 203
    assert np.array_equal(crop[inside], box[inside])
    assert (crop[outside] == (1, 2, 3)).all()


def test_parts_of_a_view_hold_each_cell_once(view):
    view = crops.Patch(view.image, view.bounds, np.arange(7)[::-1])
    parts = list(view.parts(3))
    assert [part.rows.tolist() for part in parts] == [[6, 5, 4], [3, 2, 1], [0]]
    assert all(part.image is view.image for part in parts)
    assert list(view.parts(None)) == [view]


# --- networks ---------------------------------------------------------------------------------------------------------


class Colours(torch.nn.Module):
    """Mean of each channel over an image's upper and lower half, 3 × 2 numbers."""

    def forward(self, images):
        return torch.nn.functional.adaptive_avg_pool2d(images, (2, 1)).flatten(1)


@pytest.fixture(scope="module")
def colours(tmp_path_factory):
    """A TorchScript file."""
    path = tmp_path_factory.mktemp("networks") / "colours.pt"
    torch.jit.save(torch.jit.trace(Colours(), torch.zeros(1, 3, 8, 8)), path)
    return str(path)


@pytest.fixture(autouse=True)
def float32(monkeypatch):
    """Unless a test says otherwise: the same on every machine."""
    monkeypatch.setattr(encoders, "computes_bf16", lambda device: False)


MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def crops_of(slide, cells, size=224):
    """Bounding boxes straight from the slide, one by one."""
    for x0, y0, x1, y1 in cells.geometry.bounds.round().astype(int).to_numpy():
        yield cv2.resize(slide.read(x0, y0, x1 - x0, y1 - y0), (size, size), interpolation=cv2.INTER_LINEAR)


def known_colours(slide, cells):
    images = np.array([((image / 255 - MEAN) / STD) for image in crops_of(slide, cells)])
    halves = images.reshape(len(cells), 2, -1, 3).mean(axis=2)
    return unit(halves.transpose(0, 2, 1).reshape(len(cells), 6))


@pytest.fixture(scope="module")
def few(cells):
    """Cells of several tiles, in no order."""
    return cells.iloc[np.random.default_rng(5).choice(len(cells), 30, replace=False)].reset_index(drop=True)


@pytest.mark.parametrize("options", [{}, {"batch_size": 1}, {"batch_size": 7, "threads": 2}, {"batch_size": 1000}])
def test_rows_are_what_the_network_makes_of_each_cell(slide, few, colours, options):
    assert few["tile_id"].nunique() > 2
    values, found = embedded(slide, few, models=[colours], **options)
    expected = known_colours(slide, few)
    assert np.abs(expected - expected[::-1]).max() > 0.1, "rows in a wrong order would pass"
    np.testing.assert_allclose(values, expected, atol=1e-4)
    assert found.columns == [f"colours_{index:04d}" for index in range(6)]
    assert found.models == [
        {
            "model": colours,
            "columns": [0, 6],
            "standardise": False,
            "weights_sha256": hashlib.sha256(Path(colours).read_bytes()).hexdigest(),
        }
    ]


def test_models_side_by_side_are_what_they_are_alone(slide, few, colours):
    alone = [embedded(slide, few, models=[model])[0] for model in ("morphology", colours)]
    both, found = embedded(slide, few, models=[colours, "morphology"], batch_size=4, threads=2)
    np.testing.assert_allclose(both[:, :6], alone[1], atol=1e-5)
    np.testing.assert_allclose(both[:, 6:], alone[0], atol=1e-4)
    assert [block["columns"] for block in found.models] == [[0, 6], [6, len(found.columns)]]
    assert [block["standardise"] for block in found.models] == [False, True]
    assert len(set(found.columns)) == both.shape[1]


def test_the_slide_is_read_once_for_all_models(slide, few, colours, monkeypatch):
    reads = []
    read = slide.read
    monkeypatch.setattr(slide, "read", lambda *place, **how: reads.append(place) or read(*place, **how))
    embedded(slide, few, models=["morphology", colours])
    assert len(reads) == few["tile_id"].nunique()


@pytest.mark.parametrize("models", [["morphology", "morphology"], ["colours.pt", "elsewhere/colours.pt"]])
def test_models_whose_columns_share_names_are_refused(slide, few, colours, models):
    files = {model: colours for model in models if model != "morphology"}
    with pytest.raises(ClusterfirstError, match="same name"):
        embedded(slide, few, models=models, weights=files)


def test_half_precision_on_disk(slide, few, colours):
    full = embedded(slide, few, models=["morphology", colours])[0]
    half = embedded(slide, few, models=["morphology", colours], dtype="float16")[0]
    assert half.dtype == np.float16
    np.testing.assert_allclose(half, full, rtol=1e-3, atol=1e-3)


def test_a_failure_leaves_no_file(slide, few, colours, tmp_path, monkeypatch):
    monkeypatch.setattr(crops.Crop, "cut", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        embed_slide(
            slide,
            tiled(),
            few,
            tmp_path / "e.npy",
            settings=section("embedding", models=[colours]),
            weights={},
            device=CPU,
        )
    assert list(tmp_path.iterdir()) == []


class Edges(torch.nn.Module):
    def forward(self, images):
        edges = [float(images.shape[2]), float(images.shape[3]), 100.0]
        return torch.tensor(edges).expand(images.shape[0], 3)


@pytest.mark.parametrize(("asked", "seen"), [(None, 224), (80, 80)])
def test_crops_have_the_size_asked_for(slide, few, tmp_path, asked, seen):
    path = str(tmp_path / "edges.pt")
    torch.jit.save(torch.jit.script(Edges()), path)
    values, _ = embedded(slide, few, models=[path], crop_px=asked)
    np.testing.assert_allclose(values, unit(np.array([[seen, seen, 100]] * len(few))), atol=1e-5)


@pytest.mark.parametrize("crop", [{"crop": "square", "crop_um": 30.0}, {"margin_um": 5.0}, {"crop": "masked"}])
def test_crop_modes_reach_the_network(slide, few, colours, crop):
    values = embedded(slide, few, models=[colours], **crop)[0]
    assert np.linalg.norm(values - known_colours(slide, few), axis=1).min() > 0.01


def test_what_is_masked_is_nothing_to_the_network(slide, few, colours):
    """The mean colour becomes zero; the box of a disc is 21 % corners, whose pink would show in the blue channel."""
    masked = embedded(slide, few, models=[colours], crop="masked")[0]
    discs = unit(np.array([(slide_colour(slide, cell) / 255 - MEAN) / STD for cell in few.geometry]))
    np.testing.assert_allclose(unit(masked[:, ::2]), discs, atol=0.1)


def slide_colour(slide, polygon):
    x, y = (int(value) for value in polygon.centroid.coords[0])
    return slide.read(x - 3, y - 3, 6, 6).reshape(-1, 3).mean(axis=0)


class Hungry:
    """Cannot take more than three crops at a time."""

    edge_px, mean, width = 8, (0.5, 0.5, 0.5), 3

    def __init__(self, most=3):
        self.most, self.sizes = most, []

    def __call__(self, images):
        if len(images) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3 GiB")
        self.sizes.append(len(images))
        return torch.from_numpy(images.mean(axis=(1, 2)))


def test_batches_are_halved_until_they_fit(slide, few, colours, monkeypatch):
    hungry = Hungry()
    monkeypatch.setattr(networks, "load", lambda *_, **__: hungry)
    values = embedded(slide, few, models=[colours], batch_size=8)[0]
    assert max(hungry.sizes) == 2
    assert sum(hungry.sizes) == len(few)
    expected = unit(np.array([image.mean(axis=(0, 1)) for image in crops_of(slide, few, 8)]))
    np.testing.assert_allclose(values, expected, atol=0.02)


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("crop", ["box", "square", "masked"])
def test_odd_cells_have_crops(slide, colours, tmp_path, crop):
    """Without area, outside, across the corner; `embedded` checks that all is finite."""
    line = shapely.Polygon([(300, 300), (310, 300), (320, 300)])
    odd = np.array([line, shapely.box(-50, -50, -40, -40), shapely.box(-5, -5, 8, 8)])
    values = embedded(slide, cells_of(odd, tiled(), tmp_path), models=[colours], crop=crop)[0]
    np.testing.assert_allclose(np.linalg.norm(values, axis=1), 1, atol=1e-5)


def test_not_enough_memory_for_a_single_crop_is_an_error(slide, few, colours, monkeypatch):
    monkeypatch.setattr(networks, "load", lambda *_, **__: Hungry(most=0))
    with pytest.raises(ClusterfirstError, match="even for one crop"):
        embedded(slide, few, models=[colours], batch_size=8)


@pytest.mark.parametrize(("peak", "free", "size"), [(280, 1000, 16), (280, 10, 1), (280, 10**9, 512), (40, 1000, 64)])
def test_batches_of_a_gpu_fit_into_half_of_its_free_memory(monkeypatch, peak, free, size):
    """Eight crops take 240 more than before, 30 each, or nothing that torch knows of."""
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 40)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: peak)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: None)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, free))
    assert networks._batch_size(Hungry(most=8), torch.device("cuda")) == size


# --- encoders ---------------------------------------------------------------------------------------------------------


def calibrated(network):
    """Running statistics under which different crops end far from each other."""
    network.train()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = 1.0
        network(torch.randn(4, 3, 64, 64).cumsum(2).cumsum(3) / 50)
    return network.eval()


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A state dict of ResNet-50."""
    from torchvision.models import resnet50

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "resnet50.pth"
    torch.save(calibrated(resnet50(weights=None)).state_dict(), path)
    return path


@pytest.fixture(scope="module")
def expected(slide, few, weights):
    """What torchvision makes of three crops straight from the slide, one by one, in float32."""
    from torchvision.models import resnet50

    model = resnet50(weights=None)
    model.load_state_dict(torch.load(weights, weights_only=True))
    model.fc = torch.nn.Identity()
    model.eval()
    with torch.no_grad():
        images = (torch.from_numpy((crop / 255 - MEAN) / STD).float() for crop in crops_of(slide, few.iloc[:3]))
        rows = np.array([model(image.permute(2, 0, 1)[None])[0].numpy() for image in images])
    return unit(rows)


def farthest(a, b):
    return np.linalg.norm(a - b, axis=1).max()


@pytest.mark.parametrize(
    ("engine", "bf16", "tolerance"), [("torch", False, 1e-3), ("torch", True, 0.05), ("openvino", None, 0.05)]
)
def test_values_are_those_of_torchvision(expected, slide, few, weights, engine, bf16, tolerance, monkeypatch):
    monkeypatch.setattr(encoders, "computes_bf16", lambda device: bf16)
    values, found = embedded(slide, few.iloc[:3], models=["resnet50"], weights={"resnet50": weights}, engine=engine)
    np.testing.assert_allclose(np.linalg.norm(values, axis=1), 1, atol=1e-5)
    assert farthest(values, expected) < tolerance
    assert np.linalg.norm(expected[0] - expected[1]) > 2 * tolerance
    assert found.columns[0] == "resnet50_0000"
    assert len(found.columns) == 2048


IMAGES = np.random.default_rng(0).integers(0, 255, (2, 224, 224, 3), np.uint8)


@pytest.mark.parametrize(
    ("name", "width"),
    [
        ("resnet18", 512),
        ("densenet121", 1024),
        ("mobilenet_v3_small", 1024),
        ("convnext_tiny", 768),
        ("shufflenet_v2_x0_5", 1024),
        ("googlenet", 1024),
        ("swin_t", 768),
        ("regnet_y_400mf", 440),
    ],
)
def test_architectures_of_torchvision_lose_their_classifier_and_nothing_else(name, width, tmp_path):
    """Against torchvision's own network, listened to before its last layer."""
    from torchvision import models

    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = models.get_model(name, weights=None).eval()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
                module.weight.uniform_(0.5, 1.5)
    torch.save(network.state_dict(), tmp_path / "w.pth")
    encoder = encoders.load(f"torchvision:{name}", tmp_path / "w.pth", device=CPU, engine="torch")
    assert encoder.width == width

    if hasattr(network, "transform_input"):
        network.transform_input = True
    linear = [module for module in network.modules() if isinstance(module, torch.nn.Linear)][-1]
    heard = []
    linear.register_forward_pre_hook(lambda _, inputs: heard.append(inputs[0]))
    with torch.inference_mode():
        network(torch.from_numpy((IMAGES / 255 - MEAN) / STD).float().permute(0, 3, 1, 2))
    np.testing.assert_allclose(encoder(IMAGES), heard[-1], rtol=1e-2, atol=1e-3 * float(heard[-1].abs().max()))


def test_batch_norms_are_folded(weights):
    network = encoders.load("resnet50", weights, device=CPU, engine="torch")._network
    kinds = [type(module) for module in network.modules()]
    assert torch.nn.BatchNorm2d not in kinds
    assert kinds.count(torch.nn.Conv2d) == 53


def test_convolutions_that_are_used_twice_keep_their_norms():
    class Twice(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = torch.nn.Conv2d(3, 3, 1), torch.nn.BatchNorm2d(3)

        def forward(self, x):
            return self.norm(self.conv(self.conv(x)))

    network = calibrated(Twice())
    images = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(encoders._folded(network)(images), network(images))


def test_old_names_of_densenet_are_understood(tmp_path):
    state = {
        "features.denseblock1.denselayer1.norm.1.weight": torch.ones(1),
        "features.denseblock1.denselayer1.conv.2.weight": torch.ones(2),
        "features.norm.1.weight": torch.ones(3),
    }
    torch.save(state, tmp_path / "w.pth")
    assert list(encoders._state(tmp_path / "w.pth")) == [
        "features.denseblock1.denselayer1.norm1.weight",
        "features.denseblock1.denselayer1.conv2.weight",
        "features.norm.1.weight",
    ]


@pytest.mark.parametrize("prefix", ["module.pre.", "module."])
def test_prefixes_are_dropped(weights, tmp_path, prefix):
    state = torch.load(weights, weights_only=True)
    torch.save({prefix + name: value for name, value in state.items()}, tmp_path / "w.pth")
    assert encoders._state(tmp_path / "w.pth").keys() == state.keys()


@pytest.mark.parametrize(
    ("name", "suffix", "mean", "std"),
    [
        ("resnet18", "pth", tuple(MEAN), tuple(STD)),
        ("vit_tiny_patch16_224", "safetensors", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    ],
)
def test_networks_of_timm_are_shown_what_timm_says(tmp_path, name, suffix, mean, std):
    import timm
    from safetensors.torch import save_file

    torch.manual_seed(0)
    network = timm.create_model(name, pretrained=False).eval()
    path = tmp_path / f"w.{suffix}"
    (torch.save if suffix == "pth" else save_file)(network.state_dict(), path)
    encoder = encoders.load(f"timm:{name}", path, device=CPU, engine="torch")
    assert encoder.mean == mean
    network.reset_classifier(0)
    with torch.inference_mode():
        expected = network(torch.from_numpy((IMAGES / 255 - mean) / std).float().permute(0, 3, 1, 2))
    torch.testing.assert_close(encoder(IMAGES), expected, rtol=1e-3, atol=1e-3)


def test_timm_is_asked_for_by_name(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ClusterfirstError, match="pip install timm"):
        encoders.load("timm:resnet18", tmp_path / "w.pth", device=CPU, engine="torch")


def field(number, value):
    """A field of a protocol buffer; lengths and numbers below 128."""
    if isinstance(value, int):
        return bytes([number << 3, value])
    value = value.encode() if isinstance(value, str) else value
    assert len(value) < 2**14
    length = bytes([len(value)]) if len(value) < 128 else bytes([len(value) & 127 | 128, len(value) >> 7])
    return bytes([number << 3 | 2]) + length + value


def onnx(batch, edge, *, flat=True):
    """Mean of each channel, as an ONNX file; see the definitions of onnx.proto. `edge` below 128 or a name."""

    def tensor(name, *sides):
        shape = b"".join(field(1, field(2 if isinstance(side, str) else 1, side)) for side in sides)
        return field(1, name) + field(2, field(1, field(1, 1) + field(2, shape)))

    nodes = field(1, field(1, "x") + field(2, "pooled") + field(4, "GlobalAveragePool"))
    if flat:
        nodes += field(1, field(1, "pooled") + field(2, "y") + field(4, "Flatten"))
    out = tensor("y", batch, 3) if flat else tensor("pooled", batch, 3, 1, 1)
    graph = nodes + field(2, "colours") + field(11, tensor("x", batch, 3, edge, edge)) + field(12, out)
    return field(1, 8) + field(7, graph) + field(8, field(1, "") + field(2, 13))


@pytest.mark.parametrize(("batch", "edge", "seen"), [("n", "edge", 224), (2, 64, 64), ("n", 96, 96)])
@pytest.mark.parametrize("flat", [True, False])
def test_networks_in_onnx_files(tmp_path, batch, edge, seen, flat):
    path = tmp_path / "colours.onnx"
    path.write_bytes(onnx(batch, edge, flat=flat))
    encoder = encoders.load(str(path), path, device=CPU, engine="torch")
    assert (encoder.edge_px, encoder.width) == (seen, 3)
    images = np.random.default_rng(1).integers(0, 255, (5, seen, seen, 3), np.uint8)
    np.testing.assert_allclose(encoder(images), ((images / 255 - MEAN) / STD).mean(axis=(1, 2)), atol=1e-5)


def test_another_size_than_a_network_takes_is_refused_at_once(tmp_path):
    path = tmp_path / "colours.onnx"
    path.write_bytes(onnx("n", 96))
    with pytest.raises(ClusterfirstError, match=r"shown 2 × 3 × 64 × 64 floats, it fails.*embedding\.crop_px"):
        encoders.load(str(path), path, device=CPU, engine="torch", edge_px=64)


def test_feature_maps_are_averaged(tmp_path):
    torch.jit.save(torch.jit.trace(torch.nn.Identity(), torch.zeros(1, 3, 8, 8)), tmp_path / "same.ts")
    encoder = encoders.load(str(tmp_path / "same.ts"), tmp_path / "same.ts", device=CPU, engine="torch")
    np.testing.assert_allclose(encoder(IMAGES), ((IMAGES / 255 - MEAN) / STD).mean(axis=(1, 2)), atol=1e-4)


def test_scripts_compute_in_bfloat16_where_the_device_does(tmp_path, monkeypatch):
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 7, stride=4), torch.nn.ReLU(), torch.nn.Conv2d(8, 5, 3))
    torch.jit.save(torch.jit.trace(network, torch.zeros(1, 3, 32, 32)), tmp_path / "n.pt")
    results = []
    for bf16 in (False, True):
        monkeypatch.setattr(encoders, "computes_bf16", lambda device, bf16=bf16: bf16)
        results.append(encoders.load("n.pt", tmp_path / "n.pt", device=CPU, engine="torch")(IMAGES))
    assert results[1].dtype == torch.float32
    assert not torch.equal(*results)
    torch.testing.assert_close(*results, rtol=0.02, atol=0.02)


class Pair(torch.nn.Module):
    def forward(self, x):
        return x, x


class Tokens(torch.nn.Module):
    def forward(self, x):
        return x.flatten(2)


class Wants64(torch.nn.Module):
    def forward(self, x):
        return x.view(-1, 3, 64, 64).mean((2, 3))[:, :2] @ torch.zeros(3, 3)


@pytest.mark.parametrize(
    ("kind", "message"), [(Pair, "gives tuple"), (Tokens, r"gives \(2, 3, 50176\)"), (Wants64, "fails")]
)
def test_networks_that_give_no_row_for_a_crop_are_refused_at_once(tmp_path, kind, message):
    torch.jit.save(torch.jit.script(kind()), tmp_path / "n.pt")
    with pytest.raises(ClusterfirstError, match=message):
        encoders.load(str(tmp_path / "n.pt"), tmp_path / "n.pt", device=CPU, engine="torch")


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("torchvision:resnet51", "no image classifier called resnet51"),
        ("torchvision:squeezenet1_0", "no linear layer"),
        ("timm:resnet51", "no architecture called resnet51"),
        ("resnet", "is no model"),
    ],
)
def test_unknown_models_are_refused(tmp_path, model, message):
    with pytest.raises(ClusterfirstError, match=message):
        encoders.load(model, tmp_path / "w.pth", device=CPU, engine="torch")


@pytest.mark.parametrize("change", ["missing", "surplus"])
def test_weights_that_do_not_fit_are_refused(weights, tmp_path, change):
    state = torch.load(weights, weights_only=True)
    if change == "missing":
        del state["layer3.2.conv1.weight"]
    else:
        state["extra.weight"] = torch.zeros(1)
    torch.save(state, tmp_path / "w.pth")
    expected = {"missing": r"Missing key.*layer3\.2\.conv1\.weight", "surplus": r"Unexpected key.*extra\.weight"}
    with pytest.raises(ClusterfirstError, match=expected[change]):
        encoders.load("resnet50", tmp_path / "w.pth", device=CPU, engine="torch")


@pytest.mark.parametrize("content", [None, b"", b"<html>not found</html>", b"PK\x03\x04 cut off"])
@pytest.mark.parametrize("name", ["resnet50", "n.pt", "n.onnx", "w.safetensors"])
def test_files_that_are_no_networks_are_refused(tmp_path, content, name):
    path = tmp_path / (name if "." in name else "w.pth")
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ClusterfirstError, match="cannot be loaded"):
        encoders.load("resnet50" if "safetensors" in name else name, path, device=CPU, engine="torch")


def test_foreign_content_is_refused(tmp_path):
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(ClusterfirstError, match="no state dict"):
        encoders.load("resnet50", tmp_path / "list.pth", device=CPU, engine="torch")


# --- stains -----------------------------------------------------------------------------------------------------------


def painted(path, stains, strength, *, seed):
    """A slide of cells on pink and some glass, with stains of its own; the amounts are the same for the same seed."""
    rng = np.random.default_rng(seed)
    patches = rng.uniform((0.05, 0.2), (0.15, 0.5), (HEIGHT // 16, WIDTH // 16, 2)) * strength
    amounts = patches.repeat(16, axis=0).repeat(16, axis=1)
    for x, y in rng.integers(0, (WIDTH, HEIGHT), (500, 2)).tolist():
        amounts[max(0, y - 6) : y + 6, max(0, x - 6) : x + 6] = rng.uniform((0.5, 0.05), (0.9, 0.2)) * strength
    amounts[:50] = 0
    rgb = 241 * np.exp(-amounts @ (stains / np.linalg.norm(stains, axis=1, keepdims=True)) * 2) - 1
    cv2.imwrite(str(path), rgb.clip(0, 255).round().astype(np.uint8)[..., ::-1])
    return path


@pytest.fixture(scope="module")
def two_stainings(tmp_path_factory):
    """The same tissue, stained and scanned in two laboratories."""
    folder = tmp_path_factory.mktemp("stains")
    purple, blue = np.array([(0.65, 0.70, 0.29), (0.07, 0.99, 0.11)]), np.array([(0.75, 0.6, 0.28), (0.2, 0.9, 0.38)])
    with (
        Slide(painted(folder / "a.png", purple, 1.0, seed=3), mpp=MPP) as one,
        Slide(painted(folder / "b.png", blue, 0.8, seed=3), mpp=MPP) as other,
    ):
        yield one, other


@pytest.mark.parametrize(("method", "share"), [("macenko", 0.3), ("reinhard", 0.5)])
def test_two_stainings_of_one_tissue_become_alike(two_stainings, method, share):
    before = [slide.read(0, 0, WIDTH, HEIGHT) for slide in two_stainings]
    after = [
        stain.recolouring(slide, tiled(), method=method)(image)
        for slide, image in zip(two_stainings, before, strict=True)
    ]
    apart = [np.abs(a.astype(float) - b)[60:].mean() for a, b in (before, after)]
    assert apart[0] > 10
    assert apart[1] < share * apart[0]
    if method == "macenko":
        assert all(image[:45].min() > 225 for image in after), "glass stays glass"


def test_macenko_gives_torchstains_reference(two_stainings):
    from torchstain.numpy.normalizers import NumpyMacenkoNormalizer

    again = NumpyMacenkoNormalizer()
    image = two_stainings[1].read(0, 0, WIDTH, HEIGHT)
    again.fit(stain.recolouring(two_stainings[1], tiled(), method="macenko")(image)[60:])
    reference = NumpyMacenkoNormalizer()
    np.testing.assert_allclose(again.HERef, reference.HERef, atol=0.03)
    np.testing.assert_allclose(again.maxCRef, reference.maxCRef, rtol=0.1)


def test_reinhard_gives_its_reference(two_stainings):
    recolour = stain.recolouring(two_stainings[0], tiled(), method="reinhard")
    pixels = recolour(two_stainings[0].read(0, 60, WIDTH, HEIGHT - 60)).reshape(-1, 3)
    np.testing.assert_allclose(stain._lab_statistics(pixels), stain._REFERENCE_LAB, atol=1.5)


def test_stains_reach_the_embedding(slide, few):
    plain, recoloured = (morph(slide, few, stain=method) for method in ("none", "macenko"))
    assert (plain["h_mean"] - recoloured["h_mean"]).abs().max() > 0.05
    np.testing.assert_array_equal(plain["log_area"], recoloured["log_area"])


@pytest.mark.parametrize(
    ("colour", "method", "message"),
    [
        ((250, 250, 250), "reinhard", "too little tissue"),
        ((120, 60, 160), "macenko", "no two stains"),
        ((235, 150, 190), "macenko", "no two stains"),  # eosin only: hardly any red is taken out
    ],
)
def test_slides_without_stains_to_learn_are_refused(tmp_path, colour, method, message):
    image = np.full((HEIGHT, WIDTH, 3), colour, np.uint8)
    image[::2] -= 10
    cv2.imwrite(str(tmp_path / "flat.png"), image)
    with Slide(tmp_path / "flat.png", mpp=MPP) as slide, pytest.raises(ClusterfirstError, match=message):
        stain.recolouring(slide, tiled(), method=method)
