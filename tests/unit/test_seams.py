"""Each object once, whatever the tiles: the invariant of `Seams`, against slides whose objects are known."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from shapely import affinity

from clusterfirst.segmentation.seams import Seams, each_once
from clusterfirst.segmentation.views import aligned_views
from clusterfirst.slide.grid import grid, slide_grids

from ..made import slide_facts

few = hypothesis_settings(max_examples=50, deadline=None)
seeds = st.integers(0, 2**32 - 1)
MPP = 0.5
OVERLAP = 0.4


def ellipses(rng: np.random.Generator, width: int, height: int, *, smallest: float, gap: float = 1.0) -> np.ndarray:
    """Random ellipses, `gap` apart, cut off at the slide's border as the tissue is."""
    found, taken = [], np.empty((0, 3))
    for _ in range(400):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        radius = smallest * math.exp(rng.exponential(0.6))
        if radius > 90 or (np.hypot(taken[:, 0] - x, taken[:, 1] - y) < taken[:, 2] + radius + gap).any():
            continue
        taken = np.vstack([taken, (x, y, radius)])
        round_one = shapely.Point(x, y).buffer(radius, quad_segs=6)
        shape = affinity.rotate(affinity.scale(round_one, 1, rng.uniform(0.6, 1)), rng.uniform(0, 180))
        shape = shape.intersection(shapely.box(0, 0, width, height))
        if shape.area > 10:
            found.append(shape)
    return np.array(found, object)


@dataclass
class Seen:
    """What all tiles saw: `polygons[i]` by tile `tile[i]` of the object `truth[i]`, `whole[i]` or in part."""

    polygons: np.ndarray
    tile: np.ndarray
    truth: np.ndarray
    whole: np.ndarray

    @property
    def seen_whole(self) -> set[int]:
        return set(self.truth[self.whole])


def look(tiles: pd.DataFrame, shapes: np.ndarray, size: tuple[int, int], *, jitter=0.0, rng=None) -> Seen:
    """Show every tile what lies in its read rectangle, each object moved by up to `jitter` for every tile anew."""
    seen = []
    for index, tile in enumerate(tiles.itertuples()):
        right, bottom = tile.read_x + tile.read_width, tile.read_y + tile.read_height
        view = shapely.box(tile.read_x, tile.read_y, right, bottom)
        # Only edges that lie within the slide cut anything; half a pixel of the tile's is as good as touching.
        inner = shapely.box(
            -math.inf if tile.read_x <= 0 else tile.read_x,
            -math.inf if tile.read_y <= 0 else tile.read_y,
            math.inf if right >= size[0] else right,
            math.inf if bottom >= size[1] else bottom,
        ).bounds
        half = tile.mpp / MPP / 2
        for truth in np.flatnonzero(shapely.intersects(view.buffer(jitter), shapes)):
            shape = shapes[truth]
            if jitter:
                shape = affinity.translate(shape, *rng.uniform(-jitter, jitter, 2))
            piece = shape.intersection(view)
            if piece.area == 0:
                continue
            left, top, far, low = piece.bounds
            margin = min(left - inner[0], top - inner[1], inner[2] - far, inner[3] - low)
            seen.append((piece, index, truth, margin > half))
    polygons = np.empty(len(seen), object)
    polygons[:] = [one[0] for one in seen]
    columns = [np.array([one[i] for one in seen], kind) for i, kind in ((1, int), (2, int), (3, bool))]
    return Seen(polygons, *columns)


def settle(tiles: pd.DataFrame, seen: Seen, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    objects = Seams(tiles, *size, slide_mpp=MPP, overlap=OVERLAP, merge=False).settle(seen.polygons, seen.tile)
    return objects.index.to_numpy(), objects["truncated"].to_numpy()


def kept_tiles(rng, width, height, *, tile_px, halo_px, rejected, magnifications=(1.0,), aligned=False):
    facts = slide_facts(width=width, height=height, mpp=MPP)
    options = {"mpp": None, "magnifications": list(magnifications), "tile_px": tile_px, "halo_px": halo_px}
    tiles = slide_grids(facts, options)
    tiles = tiles[rng.random(len(tiles)) >= rejected].reset_index(drop=True)
    return aligned_views(tiles, slide_mpp=MPP, mpp=None, stride=8) if aligned else tiles


def check_no_two_are_the_same(polygons: np.ndarray, tile: np.ndarray) -> None:
    first, second = shapely.STRtree(polygons).query(polygons, predicate="intersects")
    pairs = (first < second) & (tile[first] != tile[second])
    shared = shapely.area(shapely.intersection(polygons[first[pairs]], polygons[second[pairs]]))
    smaller = np.minimum(shapely.area(polygons[first[pairs]]), shapely.area(polygons[second[pairs]]))
    assert (shared < OVERLAP * smaller).all()


def check_invariant(seen: Seen, chosen: np.ndarray, truncated: np.ndarray) -> None:
    assert (np.diff(chosen) > 0).all()
    times = np.bincount(seen.truth[chosen], minlength=1 + seen.truth.max(initial=0))
    for truth in seen.seen_whole:
        assert times[truth] == 1, f"object {truth} appears {times[truth]} times"
    np.testing.assert_array_equal(truncated, ~seen.whole[chosen])
    assert set(seen.truth[chosen[~truncated]]) == seen.seen_whole
    check_no_two_are_the_same(seen.polygons[chosen], seen.tile[chosen])


sizes = st.integers(100, 600)
tile_edges = st.integers(64, 256)
halos = st.integers(0, 100)
shares = st.sampled_from([0.0, 0.0, 0.2, 0.5])


@few
@given(seeds, sizes, sizes, tile_edges, halos, shares, st.booleans())
def test_what_a_kept_tile_sees_whole_appears_once_and_as_it_is(
    seed, width, height, tile_px, halo_px, rejected, aligned
):
    rng = np.random.default_rng(seed)
    shapes = ellipses(rng, width, height, smallest=3)
    tiles = kept_tiles(rng, width, height, tile_px=tile_px, halo_px=halo_px, rejected=rejected, aligned=aligned)
    seen = look(tiles, shapes, (width, height))
    chosen, truncated = settle(tiles, seen, (width, height))
    check_invariant(seen, chosen, truncated)
    found = chosen[~truncated]
    difference = shapely.symmetric_difference(seen.polygons[found], shapes[seen.truth[found]])
    assert (shapely.area(difference) < 1e-6).all()


@few
@given(seeds, sizes, sizes, tile_edges, st.integers(0, 60))
def test_without_rejected_tiles_whatever_fits_into_the_halo_is_whole(seed, width, height, tile_px, halo_px):
    rng = np.random.default_rng(seed)
    shapes = ellipses(rng, width, height, smallest=3)
    tiles = kept_tiles(rng, width, height, tile_px=tile_px, halo_px=halo_px, rejected=0)
    seen = look(tiles, shapes, (width, height))
    chosen, truncated = settle(tiles, seen, (width, height))
    left, top, right, bottom = shapely.bounds(shapes).reshape(-1, 4).T
    fits = np.flatnonzero(np.maximum(right - left, bottom - top) < halo_px - 1)
    assert set(fits) <= set(seen.truth[chosen[~truncated]])


# With a halo narrower than views differ, what one tile sees whole may stick out as a sliver in its neighbour.
@few
@given(seeds, sizes, sizes, tile_edges, st.integers(8, 100), shares, st.booleans())
def test_two_views_of_an_object_that_differ_a_little_are_one(seed, width, height, tile_px, halo_px, rejected, aligned):
    rng = np.random.default_rng(seed)
    shapes = ellipses(rng, width, height, smallest=9, gap=6)
    # Views of one object moved by up to 2 px along both axes share what lies 2√2 px within it. Slivers at the slide's
    # border share too little of themselves to be known as one.
    shapes = shapes[shapely.area(shapely.buffer(shapes, -2 * math.sqrt(2))) >= OVERLAP * shapely.area(shapes)]
    tiles = kept_tiles(rng, width, height, tile_px=tile_px, halo_px=halo_px, rejected=rejected, aligned=aligned)
    seen = look(tiles, shapes, (width, height), jitter=2.0, rng=rng)
    chosen, truncated = settle(tiles, seen, (width, height))
    check_invariant(seen, chosen, truncated)


@few
@given(seeds, sizes, sizes, st.integers(64, 128), st.integers(0, 60), shares, st.booleans())
def test_an_object_seen_at_two_magnifications_appears_once(seed, width, height, tile_px, halo_px, rejected, aligned):
    rng = np.random.default_rng(seed)
    shapes = ellipses(rng, width, height, smallest=4)
    tiles = kept_tiles(
        rng,
        width,
        height,
        tile_px=tile_px,
        halo_px=halo_px,
        rejected=rejected,
        magnifications=(1.0, 0.5),
        aligned=aligned,
    )
    seen = look(tiles, shapes, (width, height))
    chosen, truncated = settle(tiles, seen, (width, height))
    check_invariant(seen, chosen, truncated)
    # Where both see it whole, the finer view is taken.
    magnification = tiles["magnification"].to_numpy()[seen.tile]
    finest = pd.Series(magnification[seen.whole]).groupby(seen.truth[seen.whole]).max()
    whole = chosen[~truncated]
    assert magnification[whole].tolist() == finest.loc[seen.truth[whole]].tolist()


def looked_at(tiles: pd.DataFrame, size: tuple[int, int], *, less: float = 0.0) -> shapely.Geometry:
    """The ground that kept tiles saw, `less` at inner edges, and without end where that is the border of the slide."""
    right, bottom = tiles.read_x + tiles.read_width, tiles.read_y + tiles.read_height
    return shapely.union_all(
        shapely.box(
            np.where(tiles.read_x <= 0, -9999, tiles.read_x + less),
            np.where(tiles.read_y <= 0, -9999, tiles.read_y + less),
            np.where(right >= size[0], 9999, right - less),
            np.where(bottom >= size[1], 9999, bottom - less),
        )
    )


@few
@given(seeds, sizes, sizes, st.integers(64, 128), st.integers(2, 40), shares, st.booleans())
def test_merging_gives_back_objects_that_no_tile_sees_whole(seed, width, height, tile_px, halo_px, rejected, aligned):
    rng = np.random.default_rng(seed)
    shapes = ellipses(rng, width, height, smallest=12, gap=3)
    tiles = kept_tiles(rng, width, height, tile_px=tile_px, halo_px=halo_px, rejected=rejected, aligned=aligned)
    seen = look(tiles, shapes, (width, height))
    seams = Seams(tiles, width, height, slide_mpp=MPP, overlap=OVERLAP, merge=True)
    objects = seams.settle(seen.polygons, seen.tile)
    truth = seen.truth[objects.index]
    ground, overlapping = (looked_at(tiles, (width, height), less=less) for less in (0, 1))
    inside = shapely.distance(shapes, ground.boundary) > 0.5 if not ground.is_empty else np.zeros(len(shapes), bool)
    for number in np.unique(seen.truth):
        found = objects[truth == number]
        if inside[number] and overlapping.covers(shapes[number]):
            assert len(found) == 1, f"object {number} appears {len(found)} times"
            assert not found["truncated"].any()
            assert found["geometry"].iloc[0].symmetric_difference(shapes[number]).area < 1e-6
        elif number not in seen.seen_whole and not ground.covers(shapes[number]):
            assert found["truncated"].all()
    if not rejected:
        assert set(truth) == set(seen.truth)


def test_a_tile_that_could_not_be_read_owns_nothing():
    """Its neighbour, which sees the object whole in its halo, would otherwise leave it to it."""
    tiles, shape = two_tiles().assign(tile_id=["left", "right"]), np.array([shapely.box(105, 40, 115, 50)])
    facts = slide_facts(width=200, height=100, mpp=MPP)
    settings = {"min_area_um2": 0, "seam_overlap": OVERLAP, "seams": "truncate"}
    for failed, found in (((), []), ((1,), ["left"])):
        objects = each_once(shape, np.array([0]), tiles, facts=facts, settings=settings, failed=failed)
        assert objects["tile_id"].tolist() == found


def test_merging_joins_nothing_that_two_tiles_saw_differently():
    # One sees a long bar, the other something across it: they share a corner of what both looked at.
    along, across = shapely.box(30, 40, 120, 50), shapely.box(80, 46, 160, 80)
    seams = Seams(two_tiles(), 200, 100, slide_mpp=MPP, overlap=OVERLAP, merge=True)
    objects = seams.settle(np.array([along, across]), np.array([0, 1]))
    assert objects["geometry"].tolist() == [along, across]
    assert objects["truncated"].tolist() == [True, True]


def two_tiles(halo: int = 20) -> pd.DataFrame:
    return grid(200, 100, slide_mpp=MPP, mpp=MPP, tile_px=100, halo_px=halo, magnification=1.0)


def chosen_of(tiles: pd.DataFrame, *views: tuple[int, shapely.Polygon]) -> tuple[list[int], list[bool]]:
    polygons = np.array([polygon for _, polygon in views], object)
    seams = Seams(tiles, 200, 100, slide_mpp=MPP, overlap=OVERLAP, merge=False)
    objects = seams.settle(polygons, np.array([tile for tile, _ in views], int))
    return objects.index.tolist(), objects["truncated"].tolist()


def test_the_tile_in_whose_middle_an_object_lies_owns_it():
    shape = shapely.box(85, 40, 95, 50)
    assert chosen_of(two_tiles(), (0, shape), (1, shape)) == ([0], [False])
    shape = shapely.box(105, 40, 115, 50)
    assert chosen_of(two_tiles(), (0, shape), (1, shape)) == ([1], [False])


def test_objects_of_a_slide_that_every_tile_sees_in_full_are_not_lost():
    shape, other = shapely.box(85, 40, 95, 50), shapely.box(150, 40, 160, 50)
    chosen, truncated = chosen_of(two_tiles(halo=100), (0, shape), (0, other), (1, shape), (1, other))
    assert sorted(index % 2 for index in chosen) == [0, 1]
    assert truncated == [False, False]


def test_what_the_neighbour_of_the_owner_alone_saw_is_not_taken():
    # The owner looked in better light, and saw nothing there.
    assert chosen_of(two_tiles(), (1, shapely.box(85, 40, 92, 50))) == ([], [])


def test_what_only_the_halo_of_a_rejected_neighbour_covers_is_taken():
    first = two_tiles().iloc[:1].reset_index(drop=True)
    assert chosen_of(first, (0, shapely.box(105, 40, 115, 50))) == ([0], [False])


def test_one_object_and_its_two_halves_are_not_both_taken():
    one, upper, lower = shapely.box(92, 40, 108, 60), shapely.box(92, 40, 108, 50), shapely.box(92, 50, 108, 60)
    chosen, _ = chosen_of(two_tiles(), (0, one), (1, upper), (1, lower))
    assert chosen in ([0], [1, 2])


def test_of_an_object_too_long_for_any_tile_the_larger_piece_remains_truncated():
    bar = shapely.box(30, 40, 160, 50)
    left, right = bar.intersection(shapely.box(0, 0, 120, 100)), bar.intersection(shapely.box(80, 0, 200, 100))
    chosen, truncated = chosen_of(two_tiles(), (0, left), (1, right))
    assert chosen == [0]
    assert truncated == [True]


def test_an_object_cut_by_the_border_of_the_slide_is_whole():
    for shape in (shapely.box(0, 40, 10, 50), shapely.box(40, 0, 50, 10), shapely.box(40, 90, 50, 100)):
        assert chosen_of(two_tiles(), (0, shape)) == ([0], [False])
    assert chosen_of(two_tiles(), (1, shapely.box(190, 40, 200, 50))) == ([0], [False])


def test_objects_of_one_tile_are_never_taken_for_one_another():
    outer, inner = shapely.box(20, 20, 60, 60), shapely.box(30, 30, 40, 40)
    assert chosen_of(two_tiles(), (0, outer), (0, inner)) == ([0, 1], [False, False])


@pytest.mark.parametrize("tiles", [two_tiles(), two_tiles().iloc[:0]], ids=["empty tiles", "no tiles"])
def test_nothing_seen_is_nothing_chosen(tiles):
    assert chosen_of(tiles) == ([], [])


@pytest.mark.parametrize("overshoot", [1, 2, 3])
def test_a_view_that_ends_beyond_the_slide_still_ends_at_its_border(overshoot):
    # As `aligned_views` makes them: read at a quarter of the resolution, to whole strides.
    tiles = two_tiles().assign(mpp=4 * MPP)
    tiles.loc[1, "read_width"] += overshoot
    tiles["read_height"] += overshoot
    for shape in (shapely.box(180, 40, 200, 50), shapely.box(150, 90, 170, 100)):
        assert chosen_of(tiles, (1, shape)) == ([0], [False])


@few
@given(
    st.integers(50, 3000),
    st.integers(50, 3000),
    st.floats(0.1, 2),
    st.sampled_from([None, 0.25, 0.5, 1.0]),
    st.sampled_from([1, 4, 8, 32]),
    st.floats(0.25, 1),
    halos,
)
def test_aligned_views_start_at_strides_and_contain_the_read_rectangle(
    width, height, slide_mpp, mpp, stride, magnification, halo_px
):
    tiles = grid(
        width,
        height,
        slide_mpp=slide_mpp,
        mpp=slide_mpp / magnification,
        tile_px=256,
        halo_px=halo_px,
        magnification=magnification,
    )
    views = aligned_views(tiles, slide_mpp=slide_mpp, mpp=mpp, stride=stride)
    quantum = views["mpp"] * stride / slide_mpp
    assert np.abs(quantum - quantum.round()).max() < 1e-6
    quantum = quantum.round().astype(int)
    wanted = stride * (tiles["mpp"] if mpp is None else mpp + 0 * tiles["mpp"]) / slide_mpp
    # Where a stride is less than a level-0 pixel, it becomes one.
    assert (np.abs(quantum - wanted) <= 0.5 + 1e-6)[wanted >= 0.5].all()
    for start, length in (("read_x", "read_width"), ("read_y", "read_height")):
        end, old_end = views[start] + views[length], tiles[start] + tiles[length]
        assert (views[start] % quantum == 0).all()
        assert (views[length] % quantum == 0).all()
        assert (views[start] >= 0).all()
        assert ((views[start] <= tiles[start]) & (tiles[start] - views[start] < quantum)).all()
        assert ((end >= old_end) & (end - old_end < quantum)).all()
        # So many pixels does the network see: a whole number of strides.
        pixels = (views[length] * slide_mpp / views["mpp"]).round()
        assert (pixels % stride == 0).all()
    same = [name for name in tiles if not name.startswith("read_") and name != "mpp"]
    pd.testing.assert_frame_equal(views[same], tiles[same], check_dtype=False)


def test_aligned_views_leave_the_given_tiles_alone():
    tiles = two_tiles().iloc[1:]
    before = tiles.copy()
    views = aligned_views(tiles, slide_mpp=0.3, mpp=0.5, stride=8)
    pd.testing.assert_frame_equal(tiles, before)
    assert list(views.index) == [0]
