"""The grid of tiles."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from clusterfirst.slide.grid import grid, slide_grids, thin

from ..made import slide_facts

few = hypothesis_settings(max_examples=50, deadline=None)


def painted(tiles, width: int, height: int) -> np.ndarray:
    """How many cores lie on each pixel."""
    count = np.zeros((height, width), int)
    for tile in tiles.itertuples():
        assert 0 <= tile.x < tile.x + tile.width <= width
        assert 0 <= tile.y < tile.y + tile.height <= height
        count[tile.y : tile.y + tile.height, tile.x : tile.x + tile.width] += 1
    return count


sizes = st.integers(1, 700)
slide_mpps = st.floats(0.1, 2.0)
relative_mpps = st.floats(0.5, 8.0)


@few
@given(sizes, sizes, slide_mpps, relative_mpps, st.integers(64, 900), st.integers(0, 300))
def test_cores_cover_the_slide_exactly_once(width, height, slide_mpp, relative, tile_px, halo_px):
    tiles = grid(
        width,
        height,
        slide_mpp=slide_mpp,
        mpp=slide_mpp * relative,
        tile_px=tile_px,
        halo_px=halo_px,
        magnification=1 / relative,
    )
    assert (painted(tiles, width, height) == 1).all()


@few
@given(sizes, sizes, slide_mpps, relative_mpps, st.integers(64, 900), st.integers(0, 300))
def test_read_rectangles_are_cores_and_halos_cut_off_at_the_border(
    width, height, slide_mpp, relative, tile_px, halo_px
):
    mpp = slide_mpp * relative
    tiles = grid(
        width, height, slide_mpp=slide_mpp, mpp=mpp, tile_px=tile_px, halo_px=halo_px, magnification=1 / relative
    )
    halo = halo_px * relative
    for start, length, read_start, read_length, whole in (
        ("x", "width", "read_x", "read_width", width),
        ("y", "height", "read_y", "read_height", height),
    ):
        before = tiles[start] - tiles[read_start]
        after = tiles[read_start] + tiles[read_length] - tiles[start] - tiles[length]
        assert (before >= 0).all()
        assert (after >= 0).all()
        at_border = tiles[read_start] == 0, tiles[read_start] + tiles[read_length] == whole
        for margin, cut in zip((before, after), at_border, strict=True):
            assert (np.abs(margin - halo) <= 0.5 + 1e-6)[~cut].all()
            assert (margin <= halo + 0.5 + 1e-6).all()
        assert (tiles[read_start] >= 0).all()
        assert (tiles[read_start] + tiles[read_length] <= whole).all()


@few
@given(
    st.integers(200, 900),
    st.integers(200, 900),
    st.floats(0.1, 2.0),
    st.lists(st.sampled_from([0.125, 0.25, 0.3, 0.5, 0.7, 1.0, 2.0]), min_size=1, max_size=4, unique=True),
    st.integers(64, 300),
)
def test_every_magnification_has_a_grid_of_its_own(width, height, mpp, magnifications, tile_px):
    facts = slide_facts(width=width, height=height, mpp=mpp)
    tiles = slide_grids(facts, {"mpp": None, "magnifications": magnifications, "tile_px": tile_px, "halo_px": 16})
    assert tiles["tile_id"].is_unique
    assert list(tiles.index) == list(range(len(tiles)))
    assert tiles["magnification"].is_monotonic_decreasing
    assert set(tiles["magnification"]) == set(magnifications)
    for magnification, part in tiles.groupby("magnification"):
        assert (painted(part, width, height) == 1).all()
        assert part["mpp"].unique() == pytest.approx(mpp / magnification)
        assert part["width"].max() == pytest.approx(min(width, tile_px / magnification), abs=0.5 + 1e-6)


def test_a_fixed_resolution_is_what_tiles_are_read_at():
    facts = slide_facts(width=3000, height=2000, mpp=0.25)
    tiles = slide_grids(facts, {"mpp": 0.5, "magnifications": [1.0, 0.1], "tile_px": 512, "halo_px": 56})
    assert set(tiles["mpp"]) == {0.5}
    assert set(tiles["magnification"]) == {0.5}
    assert len(tiles) == 3 * 2
    first = tiles.iloc[0]
    assert first[["x", "y", "width", "height"]].tolist() == [0, 0, 1024, 1024]
    assert first[["read_x", "read_y", "read_width", "read_height"]].tolist() == [0, 0, 1136, 1136]
    last = tiles.iloc[-1]
    assert last[["x", "y", "width", "height"]].tolist() == [2048, 1024, 952, 976]
    assert last[["read_x", "read_y", "read_width", "read_height"]].tolist() == [1936, 912, 1064, 1088]


def test_tiles_go_row_by_row_and_ids_say_where_they_lie():
    facts = slide_facts(width=150, height=100)
    tiles = slide_grids(facts, {"mpp": None, "magnifications": [1.0], "tile_px": 64, "halo_px": 0})
    assert tiles["tile_id"].tolist() == [f"x{x:06d}_y{y:06d}" for y in (0, 64) for x in (0, 64, 128)]


@few
@given(st.lists(st.booleans(), max_size=300), st.integers(1, 60))
def test_thinning_keeps_so_many_candidates_evenly_spread(candidates, wanted):
    candidates = np.array(candidates, bool)
    chosen = thin(candidates, wanted)
    assert chosen.shape == candidates.shape
    assert not (chosen & ~candidates).any()
    assert chosen.sum() == min(wanted, candidates.sum())
    ranks = np.flatnonzero(chosen[candidates])
    if len(ranks) > 1:
        assert np.ptp(np.diff(ranks)) <= 1
        assert (ranks[0], ranks[-1]) == (0, candidates.sum() - 1)


def test_thinning_to_nothing_keeps_nothing():
    assert not thin(np.ones(5, bool), 0).any()
