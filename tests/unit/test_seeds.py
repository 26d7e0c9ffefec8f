"""From InstanSeg's maps to nuclei: what the published file makes of them, and what nobody would draw."""

import numpy as np
import pytest
import shapely
import torch

from clusterfirst import engine
from clusterfirst.devices import Device
from clusterfirst.evaluation.matching import overlaps
from clusterfirst.io import ClusterfirstError
from clusterfirst.outlines.objects import outlines
from clusterfirst.segmentation import instanseg, pipeline
from clusterfirst.segmentation.intensity import Intensity
from clusterfirst.segmentation.seeds import Nuclei
from clusterfirst.slide import grid
from clusterfirst.slide.slide import Slide

from ..defaults import section

CPU = Device("cpu", 2)
RANGE = Intensity((90, 50, 100), (250, 245, 245))
MEMBERS = Nuclei(
    # Of a seed is who is near it on both axes: 4 − |dx| − |dy| > 0, whatever the spreads.
    (
        (np.float32([[1, 0, 0, 0], [-1, 0, 0, 0], [0, 1, 0, 0], [0, -1, 0, 0]]), np.zeros(4, np.float32)),
        (np.float32([[1, 1, 1, 1]]), np.zeros(1, np.float32)),
        (np.float32([[-1]]), np.float32([4])),
    ),
    peak_px=5,
    depth=0.7,
    member=0.5,
    same=0.3,
    reach_px=32,
)


@pytest.fixture(scope="module")
def image(cmu):
    with Slide(cmu) as slide:
        return slide.read(800, 1700, 384, 320)


def maps(high, wide, nuclei):
    """What a network says that sees nuclei (x, y, radius) whose pixels all have their middle's place."""
    found = np.zeros((5, high, wide), np.float32)
    found[4] = -15
    y, x = np.mgrid[:high, :wide]
    for at_x, at_y, radius in nuclei:
        apart = np.hypot(x - at_x, y - at_y)
        inside = apart <= radius
        for axis, move in ((0, at_x - x), (1, at_y - y)):
            share = np.clip(0.25 * move / 8 + 0.5, 1e-3, 1 - 1e-3)
            found[axis][inside] = np.log(share / (1 - share))[inside]
        found[4][inside] = 15 * (0.5 - apart / radius / 2)[inside]
    return found


def test_labels_are_those_of_the_published_file(weights, image, monkeypatch):
    """Torch, in float32, so that both start from the same maps."""
    monkeypatch.setattr(engine, "computes_bf16", lambda device: False)
    network = instanseg.InstanSeg(
        weights, device=CPU, intensity=RANGE, settings=section("segmentation", engine="torch")
    )
    labels, scores = network.labels(network.predict(image[None])[0])
    seen = torch.from_numpy(RANGE.scale(image)).permute(2, 0, 1)[None].contiguous()
    with torch.inference_mode():
        theirs = instanseg.load(weights, device=torch.device("cpu"))(seen)[0, 0].int().numpy()
    assert theirs.max() > 100
    assert (labels > 0).sum() == pytest.approx((theirs > 0).sum(), rel=5e-3)
    same = alike(labels, theirs)
    assert same >= 0.995 * len(np.unique(theirs)[1:])
    assert same >= 0.995 * len(scores)
    assert ((scores > 0) & (scores < 1)).all()


def alike(ours, theirs, iou=0.9) -> int:
    """How many objects of two label images overlap so much."""
    return int((overlaps(outlines(ours)[0], outlines(theirs)[0]).iou >= iou).sum())


def test_both_engines_outline_the_same_nuclei(weights, image):
    found = []
    for name in ("torch", "openvino"):
        settings = section("segmentation", engine=name)
        network = instanseg.InstanSeg(weights, device=CPU, intensity=RANGE, settings=settings)
        found.append(network.labels(network.predict(image[None])[0])[0])
    assert alike(*found, iou=0.7) >= 0.97 * max(labels.max() for labels in found)


def test_a_lower_threshold_finds_more_nuclei_and_none_less(weights, image):
    found = []
    for threshold in (None, 0.4):
        settings = section("segmentation", seed_threshold=threshold)
        network = instanseg.InstanSeg(weights, device=CPU, intensity=RANGE, settings=settings)
        assert network.labels.depth == (threshold or 0.7)
        found.append(network.labels(network.predict(image[None])[0])[0].max())
    assert found[1] > found[0]


def test_the_network_sees_the_resolution_that_is_wished_for(weights, cmu, monkeypatch):
    seen = []

    def predict(self, images):
        seen.append(images.shape)
        return np.zeros((len(images), 5, *images.shape[1:3]))

    monkeypatch.setattr(instanseg.InstanSeg, "predict", predict)
    tiles = grid.grid(2220, 2967, slide_mpp=0.499, mpp=0.499, tile_px=256, halo_px=32, magnification=20.0).iloc[[25]]
    tiles = tiles.assign(tile_id="one", kept=True)
    with Slide(cmu) as slide:
        given = {"facts": slide.facts, "histogram": np.ones((3, 256)), "weights": weights, "device": CPU}
    for mpp in (None, 0.25):
        list(pipeline.outline_tiles(cmu, tiles, settings=section("segmentation", mpp=mpp), **given))
    (_, usual, _, _), (_, fine, _, _) = seen
    assert fine == pytest.approx(2 * usual, rel=0.05)


def test_nuclei_are_found_where_they_are():
    nuclei = [(20, 20, 6), (60, 25, 8), (3, 50, 5), (76, 55, 5)]
    labels, scores = MEMBERS(maps(60, 80, nuclei))
    assert labels.max() == len(scores) == 4
    for x, y, radius in nuclei:
        own = labels == labels[min(y, 59), min(x, 79)]
        assert (
            own.sum() >= 0.8 * shapely.intersection(shapely.box(0, 0, 80, 60), shapely.Point(x, y).buffer(radius)).area
        )
    polygons, values = outlines(labels)
    assert len(polygons) == 4
    assert values.tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (40, 7), (64, 64), (65, 63)])
def test_images_of_any_size_and_without_nuclei(shape):
    labels, scores = MEMBERS(np.full((5, *shape), -20, np.float32))
    assert labels.shape == shape
    assert not labels.any()
    assert len(scores) == 0
    labels, scores = MEMBERS(maps(*shape, [(shape[1] // 2, shape[0] // 2, 3)]))
    assert labels.max() == len(scores) == 1


def test_equal_depths_have_one_seed():
    """Where a network has few digits, whole plateaus are equally deep."""
    flat = maps(60, 60, [(30, 30, 8)])
    flat[4][flat[4] > -10] = 12
    labels, _ = MEMBERS(flat)
    assert labels.max() == 1


def test_seeds_that_claim_the_same_pixels_are_one_nucleus():
    two = maps(60, 60, [(30, 30, 12)])
    two[4, 30, 24] = two[4, 30, 36] = 14
    labels, scores = MEMBERS(two)
    assert labels.max() == len(scores) == 1


def test_holes_are_filled_and_what_lies_apart_is_left_out():
    ring = maps(60, 60, [(30, 30, 10)])
    ring[0, 28:30, 30:32] = 9  # places far away
    ring[:4, 5:8, 5:8] = ring[:4, 29:32, 33:36]  # they say that they are of it, and cannot be
    labels, _ = MEMBERS(ring)
    assert labels.max() == 1
    assert (labels[28:30, 30:32] == 1).all()
    assert not labels[5:8, 5:8].any()


def test_what_are_no_numbers_are_refused():
    broken = maps(60, 60, [(30, 30, 8)])
    broken[2, 5, 5] = np.nan
    with pytest.raises(ClusterfirstError, match="no finite numbers"):
        MEMBERS(broken)


def test_it_is_kept_as_arrays_and_comes_back():
    again = Nuclei.of(MEMBERS.constants())
    assert {name: value for name, value in vars(again).items() if name != "layers"} == {
        name: value for name, value in vars(MEMBERS).items() if name != "layers"
    }
    for (weights, bias), (others, other) in zip(again.layers, MEMBERS.layers, strict=True):
        np.testing.assert_array_equal(weights, others)
        np.testing.assert_array_equal(bias, other)


def test_another_kind_of_file_is_refused(tmp_path):
    path = tmp_path / "other.pt"
    torch.jit.save(torch.jit.script(torch.nn.Linear(3, 3)), path)
    with pytest.raises(ClusterfirstError, match=r"other\.pt.*no InstanSeg model"):
        instanseg.InstanSeg(path, device=CPU, intensity=RANGE, settings=section("segmentation"))
