"""Maps and tokens of networks as embedders: real timm code with seeded weights, compared with torch by hand."""

import numpy as np
import pandas as pd
import pytest
import shapely
import timm
import torch

from clusterfirst import devices, engine
from clusterfirst.embedding import backend, maps, weights_of
from clusterfirst.embedding.crops import Patch
from clusterfirst.embedding.pathology import KNOWN, options
from clusterfirst.embedding.tokens import Tokens
from clusterfirst.embedding.walk import embed_slide
from clusterfirst.io import ClusterfirstError, write_table
from clusterfirst.outlines import objects
from clusterfirst.plan.settings import check_config
from clusterfirst.slide import grid
from clusterfirst.slide.slide import Slide
from clusterfirst.weights import WEIGHTS

from ..defaults import section

CPU = devices.choose(False, threads=1)
VIT, CNN = "vit_tiny_patch16_224", "tf_efficientnet_lite0"


@pytest.fixture(autouse=True)
def float32(monkeypatch):
    """The same on every machine."""
    monkeypatch.setattr(engine, "computes_bf16", lambda device: False)
    monkeypatch.setattr(engine, "cpu_gains_by_bf16", lambda: False)


@pytest.fixture(scope="module")
def image(cmu):
    with Slide(cmu) as slide:
        return slide.read(1000, 700, 600, 600)


@pytest.fixture(scope="module")
def seeded(tmp_path_factory):
    """State dicts of architectures, drawn by a seed."""
    made = {}

    def make(name):
        if name not in made:
            torch.manual_seed(0)
            made[name] = tmp_path_factory.mktemp("weights") / f"{name}.pth"
            torch.save(timm.create_model(name, pretrained=False).state_dict(), made[name])
        return made[name]

    return make


def tokens(name, weights, **settings):
    settings = section("embedding", engine=settings.pop("engine", "torch"), **settings)
    return Tokens(f"tokens:{name}", weights, device=CPU, histogram=None, settings=settings)


def features(encode, image, polygons, *, mpp=0.5):
    """Embed polygons, in pixels of the image, that are seen in one view."""
    rows = np.arange(len(polygons))
    high, wide = image.shape[:2]
    out = np.full((len(polygons), len(encode.columns)), np.nan, np.float32)
    encode._polygons, encode._out, encode._mpp = polygons, out, mpp
    encode.take(rows, encode.prepare(Patch(image, (0, 0, wide, high), rows)))
    return out


def normalised(image, name):
    about = timm.data.resolve_model_data_config(timm.create_model(name, pretrained=False))
    pixels = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 255
    return (pixels - torch.tensor(about["mean"]).view(3, 1, 1)) / torch.tensor(about["std"]).view(3, 1, 1)


def under(found, box):
    """The mean of a map, brought to pixels, over a box."""
    left, top, right, bottom = box
    return found[0, :, top:bottom, left:right].mean(dim=(1, 2)).numpy()


BOXES = [(40, 60, 58, 75), (100, 100, 117, 121), (150, 30, 160, 44)]


@pytest.mark.parametrize("side", [224, 512])
@pytest.mark.parametrize("engine_name", ["torch", "auto"])
def test_tokens_are_those_of_the_network_called_by_hand(seeded, image, side, engine_name):
    view = image[:side, :side]
    window = None if side == 224 else side
    encode = tokens(VIT, seeded(VIT), token_px=window, engine=engine_name)
    found = features(encode, view, np.array([shapely.box(*box) for box in BOXES]))
    network = timm.create_model(VIT, pretrained=False, num_classes=0, dynamic_img_size=True).eval()
    state = torch.load(seeded(VIT), weights_only=True)
    network.load_state_dict({key: value for key, value in state.items() if not key.startswith("head.")})
    with torch.inference_mode():
        seen = network.forward_features(normalised(view, VIT))[:, 1:]
        grid_ = seen.transpose(1, 2).reshape(1, -1, side // 16, side // 16)
        grid_ = torch.nn.functional.interpolate(grid_, size=(side, side), mode="bilinear")
    assert found.shape == (3, 192)
    np.testing.assert_allclose(found, [under(grid_, box) for box in BOXES], rtol=1e-3, atol=2e-3)


def test_maps_of_a_convolutional_network_are_its_own_side_by_side(seeded, image, tmp_path):
    view = image[:224, :256]
    found = features(tokens(CNN, seeded(CNN)), view, np.array([shapely.box(*box) for box in BOXES]))
    network = timm.create_model(CNN, pretrained=False).eval()
    network.load_state_dict(torch.load(seeded(CNN), weights_only=True))
    with torch.inference_mode():
        fine, coarse = network.forward_intermediates(normalised(view, CNN), indices=[2, 3], intermediates_only=True)
        coarse = torch.nn.functional.interpolate(coarse, scale_factor=2, mode="bilinear")
        whole = torch.nn.functional.interpolate(torch.cat([fine, coarse], 1), size=(224, 256), mode="bilinear")
    assert found.shape == (3, 152)
    np.testing.assert_allclose(found, [under(whole, box) for box in BOXES], rtol=1e-3, atol=2e-3)
    # EfficientNet's author has other names for the same layers.
    state = torch.load(seeded(CNN), weights_only=True)
    old = {"_conv_stem.weight" if not place else f"_{place}": value for place, value in enumerate(state.values())}
    torch.save(old, tmp_path / "old.pth")
    again = features(tokens(CNN, tmp_path / "old.pth"), view, np.array([shapely.box(*box) for box in BOXES]))
    np.testing.assert_array_equal(found, again)


@pytest.mark.parametrize(("name", "width"), [(VIT, 192), (CNN, 152)])
def test_cells_are_seen_alike_whichever_part_of_the_view_shows_them(seeded, image, name, width, monkeypatch):
    centres = [(x, y) for x in range(20, 600, 70) for y in range(20, 600, 70)]
    polygons = shapely.buffer(shapely.points(centres), 6.0)
    encode = tokens(name, seeded(name))
    monkeypatch.setattr(maps, "_BLOCK", 200)
    found = features(encode, image, polygons)
    assert found.shape == (len(polygons), width)
    assert np.isfinite(found).all()
    # The same cells, of which only some are in the view: what is not asked for does not matter.
    np.testing.assert_allclose(features(encode, image, polygons[:7]), found[:7], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("side", [1, 40, 250])
@pytest.mark.parametrize("name", [VIT, CNN])
def test_tiny_cells_in_small_views_have_features_too(seeded, image, name, side):
    speck = np.array([shapely.box(0.1, 0.1, 0.3, 0.3)])
    assert np.isfinite(features(tokens(name, seeded(name)), image[:side, :side], speck)).all()


def test_the_resolution_is_that_of_the_settings(seeded, image):
    doubled = np.repeat(np.repeat(image[:200, :200], 2, axis=0), 2, axis=1)
    polygons = np.array([shapely.box(*box) for box in BOXES])
    encode = tokens(CNN, seeded(CNN))
    once = features(encode, image[:200, :200], polygons)
    again = features(encode, doubled, shapely.transform(polygons, lambda xy: 2 * xy), mpp=0.25)
    np.testing.assert_allclose(once, again, atol=1e-3)
    other = features(tokens(CNN, seeded(CNN), token_mpp=1.0), image[:200, :200], polygons)
    assert np.abs(other - once).mean() > 0.1 * once.std()


class Scripted(torch.nn.Module):
    """Maps of some kinds that TorchScript files may give."""

    def __init__(self, kind):
        super().__init__()
        self.kind, self.network = kind, torch.nn.Conv2d(3, 5, 4, stride=4)
        self.plain = torch.nn.Conv2d(3, 5, 9, stride=4)

    def forward(self, images):
        if self.kind == "bordered":
            return self.plain(images)
        found = self.network(images)
        if self.kind == "row":
            return found.mean(dim=(2, 3))
        if self.kind == "channels last":
            return found.permute(0, 2, 3, 1)
        if self.kind == "fixed":
            return torch.nn.functional.adaptive_avg_pool2d(found, 16)
        return torch.nn.functional.interpolate(found, scale_factor=8.0) if self.kind == "larger" else found


@pytest.fixture
def scripted(tmp_path):
    def make(kind):
        torch.manual_seed(0)
        path = str(tmp_path / f"{kind}.pt")
        torch.jit.script(Scripted(kind)).save(path)
        return path

    return make


@pytest.mark.parametrize(("kind", "window"), [("map", None), ("larger", None), ("fixed", 224)])
def test_files_give_maps(scripted, image, kind, window):
    encode = tokens(scripted(kind), scripted(kind))
    assert (encode.window, len(encode.columns)) == (window, 5)
    # Left and right halves of the view are of two colours: cells are described by what lies under them.
    view = np.zeros((160, 224, 3), np.uint8)
    view[:, :112], view[:, 112:] = (200, 30, 90), (20, 160, 220)
    found = features(
        encode, view, np.array([shapely.box(*box) for box in ((20, 60, 30, 70), (24, 90, 40, 99), (150, 60, 160, 70))])
    )
    np.testing.assert_allclose(found[0], found[1], atol=1e-4)
    assert np.abs(found[0] - found[2]).max() > 0.1


@pytest.mark.parametrize("kind", ["row", "channels last", "bordered"])
def test_files_that_give_no_map_of_the_image_are_refused(scripted, kind):
    with pytest.raises(ClusterfirstError, match="and no map"):
        tokens(scripted(kind), scripted(kind))


def test_networks_of_one_size_see_windows_of_it(seeded, image):
    encode = tokens("swin_tiny_patch4_window7_224", seeded("swin_tiny_patch4_window7_224"))
    assert (encode.window, len(encode.columns)) == (224, 192 + 384)
    assert np.isfinite(features(encode, image[:200, :300], np.array([shapely.box(*BOXES[0])]))).all()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("no_such_network", {}, "timm has no architecture called no_such_network"),
        (VIT, {"token_px": 136}, "Choose another `embedding.token_px`"),
        ("vit_small_patch16_224", {}, "do not fit"),
    ],
)
def test_what_cannot_be_used_is_refused_before_a_tile_is_read(seeded, name, options, message):
    with pytest.raises(ClusterfirstError, match=message):
        tokens(name, seeded(VIT), **options)


def test_weights_are_known_by_name():
    models = ["tokens:tf_efficientnet_lite0", "tokens:vit_small_patch16_224", "tokens:/some/net.pt"]
    assert weights_of({"models": models, "weights": {}}) == dict(
        zip(models, ["efficientnet_lite0", "timm:vit_small_patch16_224", "/some/net.pt"], strict=True)
    )
    assert backend(models[0]).columns == 152


def test_beside_others_it_has_columns_of_its_own(seeded, cmu, tmp_path):
    tiles = grid.grid(2220, 2967, slide_mpp=0.499, mpp=0.499, tile_px=256, halo_px=16, magnification=1.0)
    tiles.insert(0, "tile_id", [f"{x}-{y}" for x, y in zip(tiles["x"], tiles["y"], strict=True)])
    polygons = shapely.buffer(shapely.points([(1100, 800), (1180, 850), (1400, 900)]), 6.0)
    x, y = (shapely.get_coordinates(shapely.centroid(polygons)).T // 256 * 256).astype(int)
    owners = [f"{a}-{b}" for a, b in zip(x, y, strict=True)]
    found = pd.DataFrame({"geometry": polygons, "tile_id": owners, "score": np.nan, "truncated": False})
    write_table(objects.table(found, mpp=0.499), tmp_path / "masks.parquet", {})
    cells = objects.read_objects(tmp_path / "masks.parquet")
    model = f"tokens:{VIT}"
    with Slide(cmu) as slide:
        settings = section("embedding", models=["morphology", model])
        about = embed_slide(
            slide,
            tiles,
            cells,
            tmp_path / "both.npy",
            settings=settings,
            weights={model: seeded(VIT)},
            device=CPU,
        )
    assert [block["columns"] for block in about.models] == [[0, 44], [44, 236]]
    assert about.models[1]["standardise"]
    assert np.isfinite(np.load(tmp_path / "both.npy")).all()


def test_the_registry_says_where_the_small_network_comes_from():
    asset = WEIGHTS["efficientnet_lite0"]
    assert asset.sha256.startswith("57934424")
    assert "Apache-2.0" in asset.licence


SIZES = {"uni": 303e6, "uni2-h": 681e6, "h-optimus-0": 1.13e9, "virchow2": 631e6}
"""Parameters, as their authors state them."""


@pytest.mark.parametrize("name", KNOWN)
def test_transformers_that_were_trained_with_slides_are_built_as_their_authors_say(name):
    known = KNOWN[name]
    with torch.device("meta"):
        network = timm.create_model(known.architecture, num_classes=0, **options(known))
    assert sum(one.numel() for one in network.parameters()) == pytest.approx(SIZES[name], rel=0.01)
    assert network.num_features == known.columns == backend(f"tokens:{name}").columns
    assert network.patch_embed.img_size == (224, 224)
    assert (known.mean[0] > 0.7) == (name == "h-optimus-0")


def test_a_gated_network_says_where_its_file_is(schema):
    config = {"embedding": {"models": ["tokens:uni2-h"]}}
    assert check_config(config, schema) == []
    assert weights_of({"models": ["tokens:uni2-h"], "weights": {}}) == {"tokens:uni2-h": "uni2-h.bin"}
