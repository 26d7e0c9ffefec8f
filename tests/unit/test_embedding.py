"""Embeddings of a synthetic slide whose cells are known to the pixel."""

import cv2
import geopandas
import numpy as np
import pandas as pd
import pytest
import shapely
import torch

from clusterfirst import devices, objects, slides, tiling
from clusterfirst.embedding import Embedding, crops, embed_slide, morphology, resnet50
from clusterfirst.io import ClusterfirstError, write_table

MPP = 0.5
WIDTH, HEIGHT = 640, 560
CPU = devices.torch_device(False, threads=1)
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
    with slides.Slide(path, mpp=MPP) as opened:
        yield opened


def grid(*, tile_px=256, mpp=MPP):
    tiles = tiling.grid(WIDTH, HEIGHT, slide_mpp=MPP, mpp=mpp, tile_px=tile_px, halo_px=16, magnification=MPP / mpp)
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
    return cells_of(polygons, grid(), tmp_path_factory.mktemp("cells"))


def morph(slide, cells, tiles=None, **options) -> pd.DataFrame:
    tiles = grid() if tiles is None else tiles
    embedding = embed_slide(slide, tiles, cells, model="morphology", device=CPU, **options)
    assert embedding.values.dtype == np.float32
    assert embedding.values.shape == (len(cells), len(embedding.columns))
    assert np.isfinite(embedding.values).all()
    return pd.DataFrame(embedding.values.astype(float), columns=embedding.columns)


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
    cells = cells_of(objects.outlines(labels)[0], grid(), tmp_path)
    with slides.Slide(path, mpp=MPP) as slide:
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
    found = morph(slide, cells_of(np.array([*row, lonely]), grid(), tmp_path))
    counts = np.expm1(found[["log_count_15um", "log_count_30um", "log_count_60um"]]).round().astype(int)
    assert counts.to_numpy().tolist() == [[1, 3, 4], [2, 4, 4], [2, 4, 4], [2, 4, 4], [1, 3, 4], [0, 0, 0]]
    np.testing.assert_allclose(np.expm1(found["log_distance_1"]), [9.5] * 5 + [200], rtol=1e-4)
    np.testing.assert_allclose(np.expm1(found["log_distance_3"]), [28.5, 19, 19, 19, 28.5, 200], rtol=1e-4)
    np.testing.assert_allclose(np.expm1(found["log_distance_10"]), 200, rtol=1e-4)
    # Elongation is 1 - 4/8 each, and all are parallel.
    np.testing.assert_allclose(found["alignment"], [0.25] * 5 + [0], atol=1e-3)
    np.testing.assert_allclose(found["log_relative_area"], 0, atol=1e-3)
    assert found["relative_h"][5] == 0


def test_alignment_is_negative_across_and_blind_to_turning_the_slide(slide, tmp_path):
    along = shapely.affinity.scale(shapely.Point(0, 0).buffer(1, quad_segs=32), 8, 4)
    pair = [shapely.affinity.translate(along, 300, 300), shapely.affinity.translate(along, 340, 300)]
    crossed = [pair[0], shapely.affinity.rotate(pair[1], 90)]
    results = {}
    for turn in (0, 30, 90, 135):
        turned = np.array([shapely.affinity.rotate(cell, turn, origin=(320, 300)) for cell in crossed])
        results[turn] = morph(slide, cells_of(turned, grid(), tmp_path))[[*morphology.SHAPE, "alignment"]]
    np.testing.assert_allclose(results[0]["alignment"], -0.25, atol=1e-3)
    for turn in (30, 90, 135):
        np.testing.assert_allclose(results[turn], results[0], atol=1e-4)


@pytest.mark.parametrize("mpp", [MPP, 2 * MPP])
def test_the_tile_a_cell_belongs_to_does_not_matter(slide, polygons, tmp_path, mpp):
    results = []
    for tile_px in (64, 512):
        tiles = grid(tile_px=tile_px, mpp=mpp)
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
    found = embed_slide(slide, grid(), cells.iloc[:0], model="morphology", device=CPU)
    assert found.values.shape == (0, len(found.columns))
    assert isinstance(found, Embedding)
    assert found.standardise


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
    found = morph(slide, cells_of(odd, grid(), tmp_path))
    assert (found["od_green"] > 0.1).all(), "every cell takes its stain from some pixel"
    assert found.to_numpy().max() < 100
    assert found.to_numpy().min() > -100


def test_a_single_cell(slide, cells):
    found = morph(slide, cells.iloc[[7]].reset_index(drop=True))
    np.testing.assert_allclose(np.expm1(found["log_distance_1"]), 200, rtol=1e-4)


def test_cells_of_a_tile_that_is_not_kept_are_refused(slide, cells):
    tiles = grid()
    with pytest.raises(ClusterfirstError, match="different runs"):
        embed_slide(slide, tiles.iloc[1:], cells, model="morphology", device=CPU)


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
    return crops.View(image, (100, 200, 180, 250), np.array([1, 0]))


def frame(*boxes):
    shapes = np.array([shapely.box(*box) for box in boxes])
    x, y = shapely.get_coordinates(shapely.centroid(shapes)).T
    return geopandas.GeoDataFrame({"geometry": shapes, "x": x, "y": y})


def test_box_crops_are_the_bounding_boxes_in_the_order_of_the_view(view):
    cells = frame((110, 210, 120, 230), (150, 205, 174, 229))
    found = list(crops.crops(view, cells, mode="box", crop_um=1, mpp=MPP, size=24))
    assert np.array_equal(found[0], view.image[5:29, 50:74])
    assert np.array_equal(found[1], cv2.resize(view.image[10:30, 10:20], (24, 24)))


def test_square_crops_have_the_edge_asked_for_and_are_white_outside(view):
    cells = frame((96, 196, 104, 204), (138, 218, 142, 222))
    found = list(crops.crops(view, cells, mode="square", crop_um=10, mpp=MPP, size=20))
    assert np.array_equal(found[0], view.image[10:30, 30:50])
    assert (found[1][:10] == 255).all()
    assert (found[1][:, :10] == 255).all()
    assert np.array_equal(found[1][10:, 10:], view.image[:10, :10])


# --- resnet50 ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """Random weights, and running statistics under which different crops end far from each other."""
    from torchvision.models import resnet50 as network

    torch.manual_seed(0)
    model = network(weights=None)
    model.train()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = 1.0
        model(torch.randn(4, 3, 64, 64).cumsum(2).cumsum(3) / 50)
    path = tmp_path_factory.mktemp("weights") / "resnet50.pth"
    torch.save(model.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def few(cells):
    """Cells of several tiles, in no order."""
    return cells.iloc[np.random.default_rng(5).choice(len(cells), 9, replace=False)].reset_index(drop=True)


def resnet(slide, cells, weights, *, edge_px=64, bf16=False, **options) -> Embedding:
    """Small crops in float32 unless said otherwise: fast, and the same on every machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resnet50, "_EDGE_PX", edge_px)
        patch.setattr(resnet50, "computes_bf16", lambda device: bf16)
        return embed_slide(slide, grid(), cells, model="resnet50", weights=weights, device=CPU, **options)


@pytest.fixture(scope="module")
def batched(slide, few, weights):
    return resnet(slide, few, weights, batch_size=4)


def farthest(a, b):
    return np.linalg.norm(a - b, axis=1).max()


def nearest_two(rows):
    return np.linalg.norm(rows[:, None] - rows[None], axis=2)[np.triu_indices(len(rows), 1)].min()


def test_rows_have_unit_length(batched, few):
    assert batched.values.shape == (len(few), 2048)
    assert batched.values.dtype == np.float32
    assert batched.columns[0] == "resnet50_0000"
    assert len(batched.columns) == 2048
    assert not batched.standardise
    np.testing.assert_allclose(np.linalg.norm(batched.values, axis=1), 1, atol=1e-5)


def test_batches_across_tiles_are_as_good_as_one_by_one(batched, slide, few, weights):
    assert few["tile_id"].nunique() > 2
    assert farthest(resnet(slide, few, weights, batch_size=1, threads=2).values, batched.values) < 1e-3
    assert nearest_two(batched.values) > 1e-2, "rows in a wrong order would pass"


@pytest.fixture(scope="module")
def expected(slide, few, weights):
    """What torchvision makes of three crops straight from the slide, one by one, in float32."""
    from torchvision.models import resnet50 as network

    model = network(weights=None)
    model.load_state_dict(torch.load(weights, weights_only=True))
    model.fc = torch.nn.Identity()
    model.eval()
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    rows = []
    for x0, y0, x1, y1 in few.geometry.bounds.round().astype(int).to_numpy()[:3]:
        crop = cv2.resize(slide.read(x0, y0, x1 - x0, y1 - y0), (224, 224), interpolation=cv2.INTER_LINEAR)
        image = ((torch.from_numpy(crop) / 255 - mean) / std).permute(2, 0, 1)[None]
        with torch.no_grad():
            rows.append(torch.nn.functional.normalize(model(image))[0].numpy())
    assert nearest_two(np.array(rows)) > 1e-2
    return np.array(rows)


@pytest.mark.parametrize(("bf16", "tolerance"), [(False, 1e-3), (True, 0.2)])
def test_values_are_those_of_torchvision(expected, slide, few, weights, bf16, tolerance):
    # Random weights magnify rounding: with real ones, bfloat16 differs by less than 0.01.
    found = resnet(slide, few.iloc[:3], weights, edge_px=224, bf16=bf16).values
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert farthest(found, expected) < tolerance


def test_square_crops_reach_the_network(batched, slide, few, weights):
    square = resnet(slide, few.iloc[:2], weights, crop="square", crop_um=30.0)
    assert farthest(square.values, batched.values[:2]) > 0.02


def test_resnet_without_cells(slide, cells, weights):
    assert resnet(slide, cells.iloc[:0], weights).values.shape == (0, 2048)


@pytest.mark.parametrize("prefix", ["module.pre.", "module."])
def test_prefixes_and_classifier_are_dropped(weights, tmp_path, prefix):
    state = torch.load(weights, weights_only=True)
    torch.save({prefix + name: value for name, value in state.items()}, tmp_path / "w.pth")
    plain, prefixed = resnet50._model(weights).state_dict(), resnet50._model(tmp_path / "w.pth").state_dict()
    assert plain.keys() == prefixed.keys() == {name for name in state if not name.startswith("fc.")}
    assert all(torch.equal(plain[name], prefixed[name]) for name in plain)


def test_weights_that_lack_a_layer_are_refused(weights, tmp_path):
    state = torch.load(weights, weights_only=True)
    del state["layer3.2.conv1.weight"]
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(ClusterfirstError, match=r"Missing key.*layer3\.2\.conv1\.weight"):
        resnet50._model(tmp_path / "w.pth")


def test_weights_with_a_layer_too_many_are_refused(weights, tmp_path):
    state = torch.load(weights, weights_only=True)
    torch.save({**state, "extra.weight": torch.zeros(1)}, tmp_path / "w.pth")
    with pytest.raises(ClusterfirstError, match=r"Unexpected key.*extra\.weight"):
        resnet50._model(tmp_path / "w.pth")


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"PK\x03\x04 cut off"])
def test_files_that_are_no_weights_are_refused(tmp_path, content):
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(ClusterfirstError, match="cannot be loaded"):
        resnet50._model(tmp_path / "w.pth")


def test_missing_file_and_foreign_content_are_refused(tmp_path):
    with pytest.raises(ClusterfirstError, match="cannot be loaded"):
        resnet50._model(tmp_path / "none.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(ClusterfirstError, match="no state dict"):
        resnet50._model(tmp_path / "list.pth")
