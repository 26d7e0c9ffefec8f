"""Cellpose-SAM: batches, memory, weights, and outlines equal to those of Cellpose itself."""

import logging
import multiprocessing
import pickle
import sys
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise

import cv2
import numpy as np
import pytest
import torch
from cellpose import dynamics, models
from PIL import Image
from skimage.segmentation import relabel_sequential

from clusterfirst import devices
from clusterfirst.evaluation.segmentation import THRESHOLDS, score
from clusterfirst.io import ClusterfirstError
from clusterfirst.outlines.objects import outlines
from clusterfirst.segmentation import backend, cellpose, flows, shards
from clusterfirst.segmentation.cellpose import Cellpose
from clusterfirst.segmentation.flows import Labels
from clusterfirst.segmentation.intensity import Intensity
from clusterfirst.segmentation.pipeline import Workers, outline_views
from clusterfirst.segmentation.seams import each_once
from clusterfirst.segmentation.views import aligned_views
from clusterfirst.slide.grid import slide_grids

from ..made import slide_facts

CPU = devices.choose(False, threads=1)
PLAIN = Intensity((0.0,) * 3, (255.0,) * 3)
SETTINGS = {
    "flow_threshold": 0.4,
    "cellprob_threshold": 0.0,
    "diameter": None,
    "resample": True,
    "min_size": 15,
    "batch_size": None,
}
OUT_OF_MEMORY = (
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 99999 bytes."),
    MemoryError("Unable to allocate 1. GiB"),
)


def ellipses(size, count, *, radius, seed=0) -> np.ndarray:
    """Label image of ellipses; where two meet, the first keeps the pixels, if they are few."""
    rng = np.random.default_rng(seed)
    labels, found = np.zeros((size, size), np.int32), 0
    while found < count:
        centre = tuple(int(value) for value in rng.integers(0, size, 2))
        axes = tuple(int(value) for value in rng.uniform(0.7 * radius, 1.3 * radius, 2))
        drawn = cv2.ellipse(np.zeros((size, size), np.uint8), centre, axes, rng.uniform(0, 180), 0, 360, 1, -1) > 0
        if (labels[drawn] > 0).mean() < 0.1 and drawn.sum() > 0.5 * radius**2 * np.pi:
            found += 1
            labels[drawn & (labels == 0)] = found
    return labels


def flows_to(labels) -> np.ndarray:
    """What a perfect network says: 3 × H × W float32."""
    down, right = dynamics.masks_to_flows_gpu(labels, device=CPU.torch())[0]
    return np.stack([5 * down, 5 * right, np.where(labels > 0, 4.0, -4.0)]).astype(np.float32)


def noisy(values, *, seed=1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return values + rng.normal(0, 1, values.shape).astype(np.float32)


def painted(values) -> np.ndarray:
    """Flows as colours, for `Decoder` to read: H × W × 3 uint8."""
    return (values.transpose(1, 2, 0) * 25.5 + 127.5).round().clip(0, 255).astype(np.uint8)


def record(values, size=None) -> np.void:
    fields = [("flows", values.dtype, values.shape), ("size", "i4", 2)]
    return np.array([(values, size or values.shape[1:])], fields)[0]


def share_found(labels, truth, *, iou=0.9) -> float:
    """F1 of objects that overlap with a true one by at least `iou`."""
    pairs, both = np.unique(np.stack([truth.ravel(), labels.ravel()]), axis=1, return_counts=True)
    areas = [dict(zip(*np.unique(image, return_counts=True), strict=True)) for image in (truth, labels)]
    good = [
        common / (areas[0][one] + areas[1][other] - common) >= iou
        for (one, other), common in zip(pairs.T, both, strict=True)
        if one and other
    ]
    return 2 * sum(good) / (truth.max() + labels.max())


class Decoder(torch.nn.Module):
    """A network that finds the flows in the colours, weaker towards the right of each sub-tile."""

    backbone = "sam_vitl"
    device = CPU.torch()
    dtype = torch.float32

    def __init__(self):
        super().__init__()
        self.sizes = []

    def forward(self, batch):
        self.sizes.append(len(batch))
        weaker = torch.linspace(1, 0.8, batch.shape[-1])
        return (batch - 0.5) * 10 * weaker, torch.zeros(len(batch), 256)


@pytest.fixture
def decoder(monkeypatch):
    """Builds a segmenter around a Decoder, which is returned with it."""

    def build(**settings) -> tuple[Cellpose, Decoder]:
        network = Decoder()
        monkeypatch.setattr(cellpose, "_model", lambda *_, **__: network)
        monkeypatch.setattr(cellpose, "computes_bf16", lambda _: False)
        return Cellpose("no file", device=CPU, intensity=PLAIN, settings=SETTINGS | settings), network

    return build


def itself(network, image, *, batch_size=8, **settings):
    """Labels and flows (3 × H × W) that Cellpose's own model gives of an image scaled like ours."""
    model = object.__new__(models.CellposeModel)
    model.net, model.device, model.backbone, model.gpu = network, CPU.torch(), network.backbone, False
    settings = {key: value for key, value in (SETTINGS | settings).items() if key != "batch_size"}
    labels, (_, both, logit), _ = model.eval(PLAIN.scale(image), normalize=False, batch_size=batch_size, **settings)
    return labels, np.stack([*both, logit])


@pytest.fixture(scope="module")
def truth():
    return ellipses(400, 100, radius=14)


@pytest.fixture(scope="module")
def flowing(truth):
    return flows_to(truth)


# Outlines


def test_known_cells_are_given_back(decoder, truth, flowing):
    touching = {(a, b) for row in (*truth, *truth.T) for a, b in pairwise(row.tolist()) if a and b and a != b}
    assert len(touching) > 10
    segmenter, _ = decoder(batch_size=4)
    (prediction,) = segmenter.predict(painted(flowing)[None])
    labels = segmenter.labels(prediction)[0]
    assert labels.shape == truth.shape
    assert share_found(labels, truth) >= 0.95


def test_known_cells_of_a_slide_are_given_back_across_seams(decoder, tmp_path):
    truth, _, _ = relabel_sequential(ellipses(1000, 500, radius=14)[:700])
    path = tmp_path / "slide.png"
    Image.fromarray(painted(flows_to(truth))).save(path)
    facts = slide_facts(width=1000, height=700)
    tiles = slide_grids(facts, {"mpp": None, "magnifications": [1.0], "tile_px": 256, "halo_px": 56})
    views = aligned_views(tiles, slide_mpp=0.5, mpp=Cellpose.mpp, stride=Cellpose.stride)
    segmenter, _ = decoder(batch_size=4)
    with Workers(path, slide_mpp=0.5, smoothing_px=0, labels=segmenter.labels, count=2) as workers:
        shards.write(outline_views(views, segmenter, workers), tmp_path / "1-of-1.parquet", made_with={})
    seen = shards.read([tmp_path / "1-of-1.parquet"])
    settings = {"min_area_um2": 0, "seam_overlap": 0.4, "seams": "truncate"}
    objects = each_once(seen.polygons, seen.tile, views, facts=facts, settings=settings)
    known, _ = outlines(truth)
    # Objects of slides' borders are cut there in the image, too.
    scores = score(objects["geometry"].to_numpy(), known)
    assert scores.truth > 300
    assert len(seen.polygons) > 1.3 * len(objects)
    assert scores.f1[THRESHOLDS.index(0.9)] >= 0.95


@pytest.mark.parametrize("diameter", [None, 20.0, 47.0])
@pytest.mark.parametrize("resample", [True, False])
def test_flows_and_outlines_are_those_of_cellpose(decoder, flowing, diameter, resample):
    image = painted(noisy(flowing))[:260, :231]
    segmenter, network = decoder(batch_size=3, diameter=diameter, resample=resample)
    expected, expected_flows = itself(network, image, diameter=diameter, resample=resample)
    (prediction,) = segmenter.predict(image[None])
    assert prediction["flows"].dtype == np.float32
    np.testing.assert_array_equal(prediction["flows"], expected_flows)
    assert (prediction["flows"].shape[1:] == image.shape[:2]) == (resample or diameter is None)
    labels = segmenter.labels(prediction)[0]
    assert labels.shape == image.shape[:2]
    assert expected.max() > 20
    np.testing.assert_array_equal(labels, expected)


def test_a_diameter_scales_steps_and_still_finds_the_cells(decoder):
    truth = ellipses(280, 12, radius=25)
    assert decoder(diameter=50.0, resample=False)[0].labels.steps == 200
    segmenter, _ = decoder(diameter=50.0)
    assert segmenter.labels.steps == 333
    (prediction,) = segmenter.predict(painted(flows_to(truth))[None])
    assert share_found(segmenter.labels(prediction)[0], truth, iou=0.8) >= 0.9


@pytest.mark.parametrize("flow_threshold", [0.0, 0.3, 0.4])
@pytest.mark.parametrize(("cellprob_threshold", "min_size"), [(0.0, 15), (-2.0, 500), (1.0, -1)])
def test_labels_are_those_of_cellpose(flowing, flow_threshold, cellprob_threshold, min_size):
    values = noisy(flowing)[:, :250, :200]
    labels, scores = Labels(flow_threshold, cellprob_threshold, min_size, steps=150)(record(values))
    expected = dynamics.resize_and_compute_masks(
        values[:2],
        values[2],
        niter=150,
        cellprob_threshold=cellprob_threshold,
        flow_threshold=flow_threshold,
        min_size=min_size,
    )
    assert expected.max() > 10
    assert labels.dtype == expected.dtype
    np.testing.assert_array_equal(labels, expected)
    assert scores is None


def test_cells_of_odd_flows_are_dropped(flowing, truth):
    values = flowing.copy()
    values[:2] *= np.where((truth <= 50) & (np.arange(400) % 2 == 0), 0.1, 1)  # weak in every other column
    kept, all_of_them = (Labels(threshold, 0.0, 15, steps=200)(record(values))[0] for threshold in (0.4, 0.0))
    assert (kept[(truth > 50) & (all_of_them > 0)] > 0).mean() > 0.95
    assert (kept[(truth > 0) & (truth <= 50)] > 0).mean() < 0.5


def shapes() -> np.ndarray:
    """Whose flows have ties: squares, a disc, one pixel, a line, a ring, neighbours and the border of the image."""
    labels = np.zeros((60, 80), np.uint16)
    labels[0:5, 0:5] = 1
    labels[5:10, 0:6] = 2
    labels[20, 20] = 3
    labels[22, 30:70] = 4
    labels += 5 * cv2.circle(np.zeros(labels.shape, np.uint16), (30, 45), 9, 1, -1)
    labels += 6 * cv2.circle(np.zeros(labels.shape, np.uint16), (60, 45), 11, 1, 2)
    labels[50:60, 0:10] = 7
    labels[50:60, 10:21] = 8
    return labels


@pytest.mark.parametrize("labels", [shapes(), ellipses(200, 30, radius=12)], ids=["ties", "ellipses"])
def test_flows_of_shapes_are_those_of_cellpose(labels):
    expected = dynamics.masks_to_flows_gpu(labels.astype(np.int64), device=CPU.torch())[0].reshape(2, -1)
    pixels, found = flows._flows_of(labels)
    np.testing.assert_array_equal(pixels, np.flatnonzero(labels))
    np.testing.assert_allclose(found, expected[:, pixels], rtol=0, atol=1e-12)


def test_flows_are_followed_as_cellpose_does(flowing):
    values = noisy(flowing)[:, :300]
    inside = values[2] > 0.5
    pixels = np.nonzero(inside)
    expected = dynamics.follow_flows(values[:2] * inside / 5.0, pixels, niter=120).int().numpy()
    found = flows.follow(torch.from_numpy(values), threshold=0.5, steps=120).numpy()
    assert (np.abs(expected - np.stack(pixels)) > 5).mean() > 0.3
    np.testing.assert_array_equal(found[:, inside], expected)


def test_following_where_the_network_is_gives_the_same_cells(decoder, flowing):
    """As on a GPU."""
    segmenter, _ = decoder(batch_size=4)
    image = painted(noisy(flowing))[None]
    expected = segmenter.labels(segmenter.predict(image)[0])[0]
    segmenter._follows = True
    (prediction,) = segmenter.predict(image)
    assert prediction["ends"].shape == (2, 400, 400)
    prediction["flows"][:2] *= 1.0001  # followed again, they would not end at the very same places
    prediction["ends"][:, :100] = 0
    moved = segmenter.labels(prediction)[0]
    np.testing.assert_array_equal(moved[130:] > 0, expected[130:] > 0)
    assert not np.array_equal(moved[:100] > 0, expected[:100] > 0)


def test_a_tile_without_cells_is_empty_and_says_nothing(decoder, monkeypatch):
    said = []
    listener = logging.Handler()
    listener.emit = said.append
    monkeypatch.setattr(logging.getLogger(), "handlers", [listener])
    segmenter, _ = decoder(diameter=60.0, resample=False)
    pale = np.full((1, 100, 130, 3), 120, np.uint8)
    few = pale.copy()
    few[0, 50, 50] = 255
    for image in (pale, few):
        labels = segmenter.labels(segmenter.predict(image)[0])[0]
        assert labels.shape == (100, 130)
        assert not labels.any()
    assert not said


def test_labels_work_in_another_process_on_one_thread(decoder, flowing):
    segmenter, _ = decoder(batch_size=4)
    (prediction,) = segmenter.predict(painted(flowing)[None])
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        flows._use_one_thread.cache_clear()
        expected, _ = pickle.loads(pickle.dumps(segmenter.labels))(prediction)
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            labels, _ = pool.submit(segmenter.labels, prediction).result()
            np.testing.assert_array_equal(labels, expected)
            assert pool.submit(torch.get_num_threads).result() == 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


# Batches


@pytest.fixture(scope="module")
def stack(flowing):
    """Five tiles, all different: four sub-tiles each."""
    image = painted(noisy(flowing))
    return np.stack([image[start : start + 300, start : start + 280] for start in (0, 20, 40, 60, 80)])


def test_batches_have_one_size_and_tiles_the_same_flows_in_any_stack(decoder, stack):
    segmenter, network = decoder(batch_size=7)
    together = segmenter.predict(stack)
    assert network.sizes == [7, 7, 7]
    alone = np.concatenate([segmenter.predict(tile[None]) for tile in stack])
    assert set(network.sizes) == {7}
    assert together.tobytes() == alone.tobytes()
    assert len({tile["flows"].tobytes() for tile in together}) == 5
    for tile, image in zip(together, stack, strict=True):
        np.testing.assert_array_equal(tile["flows"], itself(network, image)[1])


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=lambda error: type(error).__name__)
def test_when_memory_runs_out_batches_are_halved_and_no_tile_is_lost(decoder, stack, monkeypatch, caplog, error):
    expected = decoder(batch_size=11)[0].predict(stack)
    monkeypatch.setattr(logging.getLogger("clusterfirst"), "propagate", True)
    segmenter, network = decoder(batch_size=11)
    asked = []

    def narrow(batch):
        asked.append(len(batch))
        if len(batch) > 2:
            raise error
        return Decoder.forward(network, batch)[0]

    monkeypatch.setattr(segmenter, "_network", narrow)
    found = segmenter.predict(stack)
    assert asked == [11, 5, *[2] * 11]
    np.testing.assert_array_equal(found["flows"], expected["flows"])
    warnings = [entry.getMessage() for entry in caplog.records if entry.levelname == "WARNING"]
    assert [text.split("batch_size: ")[-1] for text in warnings] == ["5`", "2`"]
    assert str(error)[:20] in warnings[0]


def test_when_one_sub_tile_is_too_much_the_user_is_told(decoder, stack, monkeypatch):
    segmenter, _ = decoder(batch_size=2)

    def full(_):
        raise OUT_OF_MEMORY[0]

    monkeypatch.setattr(segmenter, "_network", full)
    with pytest.raises(ClusterfirstError, match=r"not enough memory on cpu .* 2\.00 GiB"):
        segmenter.predict(stack)


def test_other_errors_of_the_network_are_not_taken_for_want_of_memory(decoder, stack, monkeypatch):
    segmenter, _ = decoder(batch_size=2)

    def broken(_):
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(segmenter, "_network", broken)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        segmenter.predict(stack)
    assert segmenter._batch_size == 2


@pytest.mark.parametrize(
    ("free_gb", "edge_px", "dtype", "expected"),
    [
        (139, 256, torch.bfloat16, 32),
        (7.5, 256, torch.bfloat16, 32),
        (5.3, 256, torch.bfloat16, 16),
        (7.5, 256, torch.float32, 16),
        (7.5, 384, torch.bfloat16, 16),
        (0.01, 256, torch.bfloat16, 1),
    ],
)
def test_the_batch_is_what_fits_into_free_memory_of_a_gpu(monkeypatch, free_gb, edge_px, dtype, expected):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (int(free_gb * 1e9), int(1e12)))
    assert cellpose._batch_size(torch.device("cuda"), edge_px=edge_px, dtype=dtype) == expected


def test_a_stack_has_at_least_one_batch_and_is_bounded(decoder):
    assert decoder()[0].tiles_at_once == 1
    assert decoder(batch_size=12)[0].tiles_at_once == 12
    assert decoder(batch_size=1000)[0].tiles_at_once == 64


# Weights


def test_the_real_network_gives_finite_flows(random_cpsam):
    segmenter = backend("cellpose")(random_cpsam, device=CPU, intensity=PLAIN, settings=SETTINGS)
    assert segmenter.tiles_at_once == 1
    image = painted(flows_to(ellipses(240, 20, radius=14)))
    found = segmenter.predict(image[None])
    assert found.shape == (1,)
    assert found["flows"].shape == (1, 3, 240, 240)
    assert found["flows"].dtype == (np.float16 if segmenter._dtype == torch.bfloat16 else np.float32)
    assert np.isfinite(found["flows"]).all()
    assert found["flows"].std() > 0.01
    assert segmenter.labels(found[0])[0].shape == (240, 240)


@pytest.fixture(scope="module")
def shallow(random_cpsam):
    """Ours and Cellpose's model with the same parameters in float32, one block of the real network each."""
    theirs = models.CellposeModel(gpu=False, device=CPU.torch(), pretrained_model=str(random_cpsam), use_bfloat16=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cellpose, "computes_bf16", lambda _: False)
        ours = Cellpose(random_cpsam, device=CPU, intensity=PLAIN, settings=SETTINGS | {"batch_size": 2})
    mine, his = ours._model.state_dict(), theirs.net.state_dict()
    assert mine.keys() == his.keys()
    assert all(torch.equal(mine[name], his[name]) for name in mine)
    for network in (ours._model, theirs.net):
        network.encoder.blocks = network.encoder.blocks[:1]
    return ours, theirs.net


def test_flows_of_the_real_network_are_those_of_cellpose(shallow, stack):
    ours, network = shallow
    image = stack[0, :240]
    _, expected = itself(network, image, batch_size=2)
    assert expected.std() > 0.01
    np.testing.assert_allclose(ours.predict(image[None])[0]["flows"], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_flows_of_the_real_network_do_not_depend_on_the_stack(shallow, stack, monkeypatch, dtype):
    ours, _ = shallow
    monkeypatch.setattr(ours, "_dtype", dtype)
    monkeypatch.setattr(ours, "_model", ours._model.to(dtype))
    small = stack[:3, :240, :240]
    together = ours.predict(small)  # batches of two: the first and the second, the third and nothing
    others = np.concatenate([ours.predict(small[:1]), ours.predict(small[1:])])
    assert together.tobytes() == others.tobytes()
    assert together[0]["flows"].tobytes() != together[1]["flows"].tobytes()


def test_names_may_begin_as_training_on_several_gpus_leaves_them(tmp_path):
    torch.save({"module.W2": torch.ones(1), "module.out.bias": torch.zeros(2)}, tmp_path / "w")
    assert set(cellpose._state(tmp_path / "w")) == {"W2", "out.bias"}


def refused(path, match):
    with pytest.raises(ClusterfirstError, match=match) as caught:
        Cellpose(path, device=CPU, intensity=PLAIN, settings=SETTINGS)
    assert str(path) in str(caught.value)
    assert "segmentation.weights" in str(caught.value)


def saved(content, path) -> bytes:
    torch.save(content, path)
    return path.read_bytes()


def test_files_that_are_no_models_are_refused(tmp_path):
    whole = saved({"W2": torch.ones(100)}, tmp_path / "whole")
    for content in (b"", b"<html>not found</html>", whole[:-200], whole[:100]):
        (tmp_path / "w").write_bytes(content)
        refused(tmp_path / "w", r"\d+ bytes\) are no whole file .*web page")
    (tmp_path / "w").write_bytes(whole.replace(b"torch", b"torcn"))
    refused(tmp_path / "w", "cannot be loaded")
    refused(tmp_path / "none", "do not exist")


def test_files_with_other_contents_are_refused(tmp_path):
    saved([1, 2], tmp_path / "list")
    refused(tmp_path / "list", "no state dict")
    saved({"model": {"W2": torch.ones(1)}}, tmp_path / "checkpoint")
    refused(tmp_path / "checkpoint", "no state dict")
    saved({"downsample.down.res_down_0.conv.conv_0.0.weight": torch.ones(2)}, tmp_path / "cyto3")
    refused(tmp_path / "cyto3", "no model of Cellpose 4 .*cyto3")
    saved({"W2": torch.ones(192, 3, 8, 8)}, tmp_path / "part")
    refused(tmp_path / "part", r"do not fit sam_vitl: .*Missing key.*encoder\.pos_embed")


def test_a_network_on_dinov3_says_which_package_it_lacks(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "dinov3", None)
    saved({"W2": torch.ones(1), "encoder.cls_token": torch.ones(1, 1, 1024)}, tmp_path / "cpdino")
    refused(tmp_path / "cpdino", r"Python package `dinov3` .*pip install git\+https")
