"""How large slides are said to be, with and without the tables of finished stages."""

import os
import time
from dataclasses import astuple

import numpy as np
import pandas as pd
import pytest

from clusterfirst.io import write_array, write_table
from clusterfirst.plan import sizes

from ..made import slide_facts

MPP = 0.5


@pytest.fixture
def slide(tmp_path):
    """The file of a slide of 10 MB, of which nothing is read."""
    path = tmp_path / "slide.svs"
    with path.open("wb") as file:
        file.truncate(10_000_000)
    return path


@pytest.fixture
def say(settings, tmp_path):
    """Ask for the size of a slide, of which some tables may be there."""

    def ask(path, *, mpp=MPP, **tiling):
        tables = {name: tmp_path / f"{name}.parquet" for name in ("tiles", "filtered", "masks")}
        return sizes.of_slide(path, mpp=mpp, tiling=settings["tiling"] | tiling, **tables)

    return ask


def facts(**changed):
    return slide_facts(width=10_240, height=5_120, mpp=MPP, **changed).document()


def write(path, rows, **metadata):
    write_table(pd.DataFrame({"row": np.arange(rows)}), path, metadata)


def test_what_finished_stages_say_replaces_guesses_which_are_larger(slide, say, tmp_path):
    guessed = say(slide)
    write(tmp_path / "tiles.parquet", 200, slide=facts())
    tiled = say(slide)
    write(tmp_path / "filtered.parquet", 200, slide=facts(), kept=50)
    filtered = say(slide)
    write(tmp_path / "masks.parquet", 5_000)
    segmented = say(slide)
    for name in ("tiles", "mpx", "seen_mm2", "cells"):
        assert getattr(guessed, name) > getattr(tiled, name) > getattr(filtered, name), name
    assert filtered.cells > segmented.cells == 5_000
    assert (tiled.tiles, filtered.tiles) == (200, 50)
    assert guessed.mm2 > tiled.mm2 == pytest.approx(5.12 * 2.56)
    # 624 px are read of every tile, 0.312 mm.
    assert filtered.mpx == pytest.approx(50 * 0.624**2)
    assert filtered.seen_mm2 == pytest.approx(50 * 0.312**2)
    assert all(size.slide_mb == 10 for size in (guessed, tiled, filtered, segmented))


def test_a_table_that_is_made_again_is_read_again(slide, say, tmp_path):
    path = tmp_path / "masks.parquet"
    write(path, 10)
    assert say(slide).cells == 10
    write(path, 2_000)
    os.utime(path, ns=(time.time_ns() + 10**9,) * 2)
    assert say(slide).cells == 2_000


def test_a_broken_table_is_no_table(slide, say, tmp_path):
    (tmp_path / "masks.parquet").write_bytes(b"PAR1, not quite")
    assert say(slide) == sizes.of_slide(
        slide, mpp=MPP, tiling={"mpp": None, "magnifications": [1.0], "tile_px": 512, "halo_px": 56, "num_tiles": None},
        tiles="nowhere", filtered="nowhere", masks="nowhere",
    )  # fmt: skip


def test_a_slide_that_is_not_here_yet_is_taken_for_a_large_one(say, tmp_path):
    unknown = say(tmp_path / "elsewhere.svs", mpp=None)
    assert unknown.slide_mb == 1000
    assert unknown.cells > 10**6


def test_the_pixels_of_some_formats_lie_in_a_folder_beside_the_file(tmp_path):
    (tmp_path / "slide.mrxs").write_bytes(b"12")
    (tmp_path / "slide").mkdir()
    (tmp_path / "slide/Data0001.dat").write_bytes(bytes(3_000_000))
    assert sizes.slide_mb(tmp_path / "slide.mrxs") == 3


def test_only_plain_images_are_held_in_memory(slide, say, tmp_path):
    assert say(slide).image_mb == 0
    image = tmp_path / "image.png"
    image.write_bytes(bytes(1_000_000))
    assert say(image).image_mb > 4
    write(tmp_path / "tiles.parquet", 10, slide=facts(vendor="image"))
    assert say(image).image_mb == pytest.approx(10_240 * 5_120 * 4 / 1e6)


def test_sampled_tiles_and_coarser_ones_are_fewer(slide, say):
    assert say(slide, num_tiles=5).tiles == 5
    both = say(slide, magnifications=[1.0, 0.5])
    assert both.tiles == pytest.approx(1.25 * say(slide).tiles)
    assert both.seen_mm2 == pytest.approx(2 * say(slide).seen_mm2)


def test_several_resolutions_of_finished_tiles_show_the_same_area_each(slide, say, tmp_path):
    write(tmp_path / "filtered.parquet", 125, slide=facts(), kept=125)
    seen = say(slide, magnifications=[1.0, 0.5]).seen_mm2
    assert seen == pytest.approx(100 * 0.312**2 + 25 * 0.624**2)


def test_sizes_add_up(slide, say):
    one = say(slide)
    together = sum([one, one, one], start=sizes.Size())
    assert astuple(together) == tuple(3 * value for value in astuple(one))
    assert together.slides == 3


def test_the_rows_of_a_plane_are_told_by_the_size_of_its_file(tmp_path):
    path = tmp_path / "umap2d.npy"
    assert sizes.rows_of_plane(path) == 0
    write_array(np.zeros((12_345, 2), np.float32), path)
    assert sizes.rows_of_plane(path) == 12_345
