"""Readers, network and outliners together, with an oracle for a network: the slide itself says where objects are."""

import itertools
import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import shapely
from PIL import Image

from clusterfirst.io import ClusterfirstError
from clusterfirst.segmentation import pipeline, seams, shards, views
from clusterfirst.slide.grid import slide_grids
from clusterfirst.slide.slide import Slide

from ..made import slide_facts

SIZE = (900, 700)
MPP = 0.5
FACTS = slide_facts(width=SIZE[0], height=SIZE[1], mpp=MPP)
TILING = {"mpp": None, "magnifications": [1.0], "tile_px": 128, "halo_px": 40}
SETTLING = {"min_area_um2": 2, "seam_overlap": 0.4, "seams": "truncate"}


def red_is_label(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Called in the workers."""
    if (image == 77).all():
        os.kill(os.getpid(), signal.SIGKILL)
    red = image[..., 0].astype(int)
    labels = np.where(red == 255, 0, red)  # white: beyond the border of the slide
    return labels, np.arange(1, labels.max() + 1) / 256


class Oracle:
    """Reads labels off the image."""

    mpp = None
    stride = 8
    percentiles = (0, 100)
    smoothing_px = 0.0
    labels = staticmethod(red_is_label)

    def __init__(self, tiles_at_once=3):
        self.tiles_at_once = tiles_at_once
        self.stacks = []

    def predict(self, images):
        self.stacks.append(images.shape)
        return images


@pytest.fixture(scope="module")
def labels():
    """Discs of radius 5 to 19, labelled 1 to 254."""
    rng = np.random.default_rng(0)
    canvas = np.zeros(SIZE[::-1], np.uint8)
    discs = np.empty((0, 3))
    for x, y, radius in rng.uniform((0, 0, 5), (*SIZE, 19), (3000, 3)):
        if len(discs) < 254 and (np.hypot(discs[:, 0] - x, discs[:, 1] - y) > discs[:, 2] + radius + 3).all():
            discs = np.vstack([discs, (x, y, radius)])
            cv2.circle(canvas, (int(x), int(y)), int(radius), len(discs), cv2.FILLED)
    return canvas


@pytest.fixture(scope="module")
def slide(labels, tmp_path_factory):
    path = tmp_path_factory.mktemp("oracle") / "slide.png"
    Image.fromarray(np.stack([labels, labels, labels], axis=-1)).save(path)
    return path


def tiles_of(**changes):
    tiles = slide_grids(FACTS, TILING | changes)
    return views.aligned_views(tiles, slide_mpp=MPP, mpp=None, stride=8)


def workers_for(path, count=2):
    return pipeline.Workers(path, slide_mpp=MPP, smoothing_px=0, labels=red_is_label, count=count)


@pytest.fixture(scope="module")
def workers(slide):
    with workers_for(slide) as some:
        yield some


def settled(workers, tiles, folder, count):
    """The objects of a slide dealt out to shards."""
    files = []
    for number in range(1, count + 1):
        item = f"{number}-of-{count}"
        files.append(folder / f"{item}.parquet")
        views_seen = pipeline.outline_views(views.shard(tiles, item), Oracle(), workers)
        shards.write(views_seen, files[-1], made_with={"model": "oracle"})
    seen = shards.read(files[::-1])
    assert seen.made_with == {"model": "oracle"}
    return seams.each_once(seen.polygons, seen.tile, tiles, facts=FACTS, settings=SETTLING)


@pytest.fixture(scope="module")
def whole(workers, tmp_path_factory):
    return settled(workers, tiles_of(), tmp_path_factory.mktemp("whole"), 1)


def test_every_object_comes_out_once_where_it_is(whole, labels):
    assert len(whole) == labels.max()
    assert not whole["truncated"].any()
    centres = shapely.get_coordinates(shapely.centroid(whole["geometry"].to_numpy())).astype(int)
    values = labels[centres[:, 1], centres[:, 0]]
    assert sorted(values) == list(range(1, labels.max() + 1))
    np.testing.assert_allclose(shapely.area(whole["geometry"]), np.bincount(labels.ravel())[values], atol=1)


@pytest.mark.parametrize("count", [3, 8])
def test_the_number_of_shards_changes_nothing(workers, whole, tmp_path, count):
    again = settled(workers, tiles_of(), tmp_path, count)
    assert shapely.to_wkb(again["geometry"]).tolist() == shapely.to_wkb(whole["geometry"]).tolist()
    assert again.drop(columns="geometry").equals(whole.drop(columns="geometry"))


def test_without_processes_the_same_comes_out(slide, whole, tmp_path):
    with workers_for(slide, count=0) as none:
        again = settled(none, tiles_of(), tmp_path, 1)
    assert shapely.to_wkb(again["geometry"]).tolist() == shapely.to_wkb(whole["geometry"]).tolist()
    assert again.drop(columns="geometry").equals(whole.drop(columns="geometry"))


def test_where_tiles_begin_changes_nothing(workers, whole, tmp_path):
    """Tile origins shifted by half a tile."""
    wider = slide_grids(slide_facts(width=SIZE[0] + 64, height=SIZE[1] + 64, mpp=MPP), TILING)
    for axis, end in (("x", SIZE[0]), ("y", SIZE[1])):
        length = {"x": "width", "y": "height"}[axis]
        for start, size in ((axis, length), (f"read_{axis}", f"read_{length}")):
            last = np.minimum(wider[start] + wider[size] - 64, end)
            wider[start] = np.maximum(wider[start] - 64, 0)
            wider[size] = last - wider[start]
    shifted = views.aligned_views(wider, slide_mpp=MPP, mpp=None, stride=8)
    again = settled(workers, shifted, tmp_path, 1)
    assert {shapely.normalize(one).wkb for one in again["geometry"]} == {
        shapely.normalize(one).wkb for one in whole["geometry"]
    }


def test_stacks_hold_tiles_of_one_size_and_are_full(workers):
    oracle = Oracle(tiles_at_once=4)
    tiles = tiles_of()
    seen = list(pipeline.outline_views(tiles, oracle, workers))
    assert sorted(view.tile for view in seen) == list(tiles.index)
    sizes = tiles.groupby(["read_height", "read_width"]).size()
    expected = {size: [4] * (count // 4) + [count % 4] * (count % 4 > 0) for size, count in sizes.items()}
    got = {size: [stack[0] for stack in group] for size, group in itertools.groupby(oracle.stacks, lambda s: s[1:3])}
    assert got == expected


def test_the_network_runs_beside_who_takes_its_results(workers):
    """It goes on while the caller is at something else, and in one thread: no two stacks are in it at a time."""
    threads = []

    class Watched(Oracle):
        def predict(self, images):
            threads.append(threading.get_ident())
            return super().predict(images)

    list(pipeline.outline_views(tiles_of(), Watched(), workers))
    assert len(threads) > 5
    assert len(set(threads)) == 1
    assert threading.get_ident() not in threads


class Narrow(Oracle):
    """Of little memory."""

    def __init__(self, most, error):
        super().__init__(tiles_at_once=8)
        self.most, self.error = most, error

    def predict(self, images):
        if len(images) > self.most:
            raise self.error
        return super().predict(images)


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("CUDA error: out of memory")])
def test_when_memory_runs_out_stacks_are_halved_and_nothing_changes(workers, caplog, error):
    narrow, tiles = Narrow(3, error), tiles_of()
    found = {view.tile: view.data for view in pipeline.outline_views(tiles, narrow, workers)}
    expected = {view.tile: view.data for view in pipeline.outline_views(tiles, Oracle(1), workers)}
    assert found == expected
    assert {stack[0] for stack in narrow.stacks} <= {1, 2}
    warnings = [entry.getMessage() for entry in caplog.records if entry.levelname == "WARNING"]
    assert [text.rsplit(" ", 1)[-1] for text in warnings] == ["4", "2"]


def test_when_one_tile_is_too_much_the_user_is_told(workers):
    narrow = Narrow(0, RuntimeError("CUDA error: out of memory"))
    with pytest.raises(ClusterfirstError, match=r"even for one tile at a time \(CUDA error: out of memory\)"):
        list(pipeline.outline_views(tiles_of(), narrow, workers))


def test_an_error_of_the_network_reaches_the_caller(workers):
    narrow = Narrow(0, ValueError("shapes do not match"))
    with pytest.raises(ValueError, match="shapes do not match"):
        list(pipeline.outline_views(tiles_of(), narrow, workers))


def test_tiles_read_ahead_are_bounded(workers, monkeypatch):
    """A network that never starts again must not fill the memory with tiles."""
    submitted = []
    tiles = tiles_of(tile_px=32, halo_px=0)
    submit = workers.pool.submit
    monkeypatch.setattr(workers.pool, "submit", lambda task, view: submitted.append(view.tile) or submit(task, view))
    running = pipeline.outline_views(tiles, Oracle(tiles_at_once=2), workers)
    next(running)
    assert len(tiles) > 500
    assert len(submitted) < 40
    running.close()


def test_a_killed_worker_is_an_error_that_says_so(tmp_path):
    path = tmp_path / "deadly.png"
    Image.new("RGB", SIZE, (77, 77, 77)).save(path)
    with workers_for(path) as workers, pytest.raises(ClusterfirstError, match="killed, most often for want of memory"):
        list(pipeline.outline_views(tiles_of(), Oracle(), workers))


def hold_workers(slide, pipe):
    """Start workers, tell their process numbers, and wait to be killed."""
    with workers_for(slide, 1) as workers:
        pipe.send(workers.pool.submit(os.getpid).result())
        time.sleep(60)


def test_workers_do_not_outlive_a_killed_parent(slide):
    ours, theirs = multiprocessing.Pipe()
    parent = multiprocessing.get_context("spawn").Process(target=hold_workers, args=(slide, theirs))
    parent.start()
    worker = ours.recv()
    os.kill(worker, 0)
    parent.kill()
    parent.join()
    deadline = time.monotonic() + 20
    while running(worker):
        assert time.monotonic() < deadline, "the worker lives on"
        time.sleep(0.1)


def running(pid: int) -> bool:
    """Whether there is such a process; one that nobody has reaped yet is none."""
    status = Path(f"/proc/{pid}/stat")
    try:
        return status.read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_damage_costs_the_tiles_whose_cores_it_lies_in_alone(damaged):
    with Slide(damaged) as slide:
        facts = slide.facts
    tiles = slide_grids(facts, TILING | {"tile_px": 256})
    aligned = views.aligned_views(tiles, slide_mpp=facts.mpp, mpp=None, stride=8)
    with workers_for(damaged) as workers:
        seen = {aligned.at[view.tile, "tile_id"]: view for view in pipeline.outline_views(aligned, Oracle(), workers)}
    assert len(seen) == len(tiles)
    assert [name for name, view in seen.items() if view.error] == ["x000256_y000256"]
    assert "cannot be read at x 256, y 256" in seen["x000256_y000256"].error
    assert seen["x000256_y000256"].data is None


def test_a_slide_that_vanished_is_named(tmp_path):
    with pytest.raises(ClusterfirstError, match=r"gone\.png: no such file"):
        workers_for(tmp_path / "gone.png")


def test_shards_of_different_settings_are_not_joined(tmp_path):
    for number, model in ((1, "old"), (2, "new")):
        shards.write([], tmp_path / f"{number}-of-2.parquet", made_with={"model": model})
    with pytest.raises(ClusterfirstError, match="different settings"):
        shards.read([tmp_path / "1-of-2.parquet", tmp_path / "2-of-2.parquet"])


def test_a_killed_shard_leaves_no_file(tmp_path):
    def dies():
        yield pipeline.TileJob(0, (0, 0, 8, 8), (0, 0, 8, 8), 0.5, [shapely.Point(4, 4).buffer(2).wkb], [0.5])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shards.write(dies(), tmp_path / "1-of-1.parquet", made_with={})
    assert list(tmp_path.iterdir()) == []


def test_shards_deal_out_every_tile_once(tmp_path):
    tiles = tiles_of()
    for count in (1, 3, 8, len(tiles), len(tiles) + 5):
        dealt = [views.shard(tiles, f"{number}-of-{count}").index.tolist() for number in range(1, count + 1)]
        assert list(itertools.chain(*dealt)) == tiles.index.tolist()
        assert max(map(len, dealt)) - min(map(len, dealt)) <= 1


def test_the_slide_reads_as_labels(slide, labels):
    """What the oracle rests on."""
    with Slide(slide, mpp=MPP) as opened:
        assert (opened.read(0, 0, *SIZE)[..., 0] == labels).all()
