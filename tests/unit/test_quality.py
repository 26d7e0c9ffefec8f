"""Which tiles are worth looking at."""

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from clusterfirst.slide.grid import grid, slide_grids
from clusterfirst.slide.slide import Slide
from clusterfirst.slide.tissue import (
    METRICS,
    UNREADABLE,
    filter_tiles,
    histogram,
    measure,
    tissue_fraction,
    tissue_mask,
    verdict,
)

EDGE = 256
PINK = np.array([30, -30, 15])


def coloured(grey: np.ndarray, tint=PINK) -> np.ndarray:
    return np.clip(np.round(grey[..., None] + tint), 0, 255).astype(np.uint8)


def texture(seed: int = 0, edge: int = EDGE) -> np.ndarray:
    """Grey values of a good tile: blobs of a few pixels, sharp."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(edge, edge)), 3)
    return np.where(noise > 0.03, 90.0, 180.0)


def without_edges() -> np.ndarray:
    # Neighbours of a pixel in a checkerboard are alike on either side: its Laplacian is high, its gradient nothing.
    board = 4 * (-1.0) ** np.add.outer(np.arange(EDGE), np.arange(EDGE))
    return coloured(board + np.linspace(80, 200, EDGE))


def mostly_bright() -> np.ndarray:
    grey = texture()
    image = coloured(grey)
    image[:, 38:] = 250
    return image


def mostly_dark() -> np.ndarray:
    image = coloured(texture())
    image[:, 38:] = 5
    return image


def thin_faint_lines() -> np.ndarray:
    grey = np.full((EDGE, EDGE), 150.0)
    grey[25::50] += 45
    return coloured(grey)


def out_of_focus() -> np.ndarray:
    return coloured(128 + 90 * np.sin(2 * np.pi * np.arange(EDGE) / 24) * np.ones((EDGE, 1)))


def colourless() -> np.ndarray:
    return coloured(texture(), (0, 0, 0))


FAULTS = {
    "edge_density": without_edges,
    "bright_ratio": mostly_bright,
    "dark_ratio": mostly_dark,
    "intensity_std": thin_faint_lines,
    "laplacian_variance": out_of_focus,
    "color_variance": colourless,
}


def judge(rgb: np.ndarray, limits: dict) -> list[str]:
    return verdict({"tissue_fraction": 1.0, **measure(rgb)}, limits)


def test_a_good_tile_fails_nothing(settings):
    assert judge(coloured(texture()), settings["filter"]) == []


@pytest.mark.parametrize("measure_name", METRICS)
def test_each_measure_alone_can_reject_a_tile(measure_name, settings):
    rgb = FAULTS[measure_name]()
    assert judge(rgb, settings["filter"]) == [measure_name]
    direction, loose = ("min", 0) if f"min_{measure_name}" in settings["filter"] else ("max", 1)
    assert judge(rgb, settings["filter"] | {f"{direction}_{measure_name}": loose}) == []


def test_a_tile_with_several_faults_fails_by_all_of_them(settings):
    grey_card = np.full((EDGE, EDGE, 3), 128, np.uint8)
    assert judge(grey_card, settings["filter"]) == [
        "edge_density",
        "intensity_std",
        "laplacian_variance",
        "color_variance",
    ]


def test_a_tile_never_read_for_want_of_tissue_fails_by_that_alone(settings):
    assert verdict({"tissue_fraction": 0.0}, settings["filter"]) == ["tissue_fraction"]


@pytest.mark.parametrize("make", [without_edges, mostly_bright, out_of_focus, lambda: coloured(texture(3))])
def test_measures_are_what_they_say(make):
    rgb = make()
    found = measure(rgb)
    grey = np.round(rgb @ [0.299, 0.587, 0.114])
    assert found["intensity_std"] == pytest.approx(grey.std(), rel=0.01)
    assert found["laplacian_variance"] == pytest.approx(ndimage.laplace(grey, mode="mirror").var(), rel=0.03)
    assert found["color_variance"] == pytest.approx(rgb.reshape(-1, 3).mean(axis=0).var(), rel=1e-6)
    assert found["bright_ratio"] == pytest.approx((grey > 240).mean(), abs=0.005)
    assert found["dark_ratio"] == pytest.approx((grey < 15).mean(), abs=0.005)


def test_edge_density_is_the_share_of_edge_pixels():
    step = np.zeros((200, 100, 3), np.uint8)
    step[:, 50:] = 200
    assert measure(step)["edge_density"] == pytest.approx(1 / 100, rel=0.05)


def test_red_and_blue_are_not_swapped_in_grey():
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 0] = 255
    limits = measure(red)["dark_ratio"], measure(red[..., ::-1].copy())["bright_ratio"]
    assert limits == (0, 0)
    blue_dim = np.zeros((8, 8, 3), np.uint8)
    blue_dim[..., 2] = 100  # 11 as grey; the same red would be 30
    assert measure(blue_dim)["dark_ratio"] == 1
    assert measure(blue_dim[..., ::-1].copy())["dark_ratio"] == 0


@hypothesis_settings(max_examples=50, deadline=None)
@given(st.data(), st.sampled_from([1, 2, 4, 16]), st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_tissue_fraction_is_the_mean_of_the_mask_pixels_touched(data, pixels, wide, high, seed):
    mask = np.random.default_rng(seed).random((high, wide)) < 0.4
    x = data.draw(st.integers(0, wide * pixels - 1))
    y = data.draw(st.integers(0, high * pixels - 1))
    width = data.draw(st.integers(1, wide * pixels - x))
    height = data.draw(st.integers(1, high * pixels - y))
    inside = [
        mask[row, column]
        for row in range(high)
        for column in range(wide)
        if row * pixels < y + height and (row + 1) * pixels > y
        if column * pixels < x + width and (column + 1) * pixels > x
    ]
    tiles = pd.DataFrame({"x": [x], "y": [y], "width": [width], "height": [height]})
    assert tissue_fraction(mask, tiles, scale=1 / pixels) == pytest.approx([np.mean(inside)])


def test_a_sliver_beyond_the_last_mask_pixel_takes_that_one():
    mask = np.zeros((10, 10), bool)
    mask[9, 9] = True
    sliver = pd.DataFrame({"x": [101], "y": [101], "width": [2], "height": [2]})
    assert tissue_fraction(mask, sliver, scale=0.1) == [1.0]


def glass(width: int, height: int) -> np.ndarray:
    noise = np.random.default_rng(0).integers(-2, 3, (height, width, 1))
    return (245 + noise + np.zeros(3, int)).astype(np.uint8)


def slide_of(tmp_path, image: np.ndarray, mpp: float = 0.5) -> Slide:
    Image.fromarray(image).save(tmp_path / "slide.png")
    return Slide(tmp_path / "slide.png", mpp=mpp)


def tiles_of(slide: Slide, edge: int = EDGE) -> pd.DataFrame:
    return grid(*slide.size, slide_mpp=slide.mpp, mpp=slide.mpp, tile_px=edge, halo_px=16, magnification=1.0)


def test_glass_is_not_tissue_and_a_fleck_of_stain_is():
    thumbnail = glass(200, 150)
    assert not tissue_mask(thumbnail).any()
    thumbnail[60:70, 100:110] = (200, 120, 160)
    mask = tissue_mask(thumbnail)
    assert mask[60:70, 100:110].all()
    assert not mask[:40].any()
    assert not mask[:, :80].any()


@pytest.mark.parametrize("shade", [(200, 120, 160), (235, 205, 225), (120, 120, 125)])
def test_a_slide_that_is_all_tissue_is_all_tissue(shade):
    assert tissue_mask(np.full((60, 80, 3), shade, np.uint8)).all()


def test_dust_of_a_single_pixel_is_not_tissue():
    thumbnail = glass(60, 60)
    thumbnail[30, 30] = 150
    assert not tissue_mask(thumbnail).any()


@pytest.fixture
def spied(tmp_path):
    """A slide of 5 × 5 tiles on glass, two good ones, one grey, one smeared, the rest empty; and what is read of it."""
    image = glass(5 * EDGE, 5 * EDGE)

    def put(row: int, column: int, tile: np.ndarray) -> None:
        image[row * EDGE : (row + 1) * EDGE, column * EDGE : (column + 1) * EDGE] = tile

    put(0, 0, coloured(texture(1)))
    put(0, 1, coloured(texture(2)))
    put(1, 0, colourless())
    put(1, 1, np.full((EDGE, EDGE, 3), (201, 111, 151), np.uint8))
    with slide_of(tmp_path, image) as slide:
        read, original = [], slide.read

        def spy(x, y, width, height, **options):
            read.append((x, y, width, height))
            return original(x, y, width, height, **options)

        slide.read = spy
        yield slide, read


@pytest.fixture
def checked(spied, settings):
    slide, read = spied
    tiles = tiles_of(slide)
    return filter_tiles(slide, tiles, settings["filter"], threads=2), tiles, read


def test_exactly_the_sharp_coloured_tiles_are_kept(checked):
    tiles = checked[0].tiles
    assert tiles.loc[tiles["kept"], ["x", "y"]].to_numpy().tolist() == [[0, 0], [EDGE, 0]]


def test_every_tile_says_all_that_it_failed(checked):
    by = checked[0].tiles.set_index(["y", "x"])["rejected_by"]
    assert by[0, 0] == ""
    assert by[EDGE, 0] == "color_variance"
    assert by[EDGE, EDGE] == "edge_density,intensity_std,laplacian_variance"
    # Empty, but near enough to tissue to be looked at.
    assert by[0, 2 * EDGE] == "edge_density,bright_ratio,intensity_std,laplacian_variance,color_variance"
    assert by[4 * EDGE, 4 * EDGE] == "tissue_fraction"


def test_rows_and_columns_of_the_tiles_are_kept_as_they_came(checked):
    filtered, tiles, _ = checked
    pd.testing.assert_frame_equal(filtered.tiles[list(tiles.columns)], tiles)
    assert list(filtered.tiles.columns) == [*tiles.columns, "tissue_fraction", *METRICS, "kept", "rejected_by"]


def test_glass_is_never_read(checked):
    filtered, _, read = checked
    whole = (0, 0, 5 * EDGE, 5 * EDGE)
    glassy = filtered.tiles["rejected_by"] == "tissue_fraction"
    cores = filtered.tiles.loc[~glassy, ["x", "y", "width", "height"]]
    assert glassy.sum() >= 16
    assert sorted(rectangle for rectangle in read if rectangle != whole) == sorted(
        map(tuple, cores.to_numpy().tolist())
    )
    assert filtered.tiles.loc[glassy, list(METRICS)].isna().all(axis=None)
    assert filtered.tiles.loc[~glassy, list(METRICS)].notna().all(axis=None)


def test_only_kept_tiles_enter_the_histogram(checked):
    counts = checked[0].histogram
    good = np.concatenate([coloured(texture(seed)).reshape(-1, 3) for seed in (1, 2)])
    for channel in range(3):
        np.testing.assert_array_equal(counts[channel], np.bincount(good[:, channel], minlength=256))


def loose(settings) -> dict:
    """Limits that every tile keeps."""
    return {name: 1 if name.startswith("max") else 0 for name in settings["filter"]}


def test_without_a_filter_every_tile_is_read_once_and_kept_and_none_is_measured(spied, settings):
    slide, read = spied
    tiles = tiles_of(slide)
    found = filter_tiles(slide, tiles, False, threads=2)
    whole = (0, 0, 5 * EDGE, 5 * EDGE)
    assert sorted(read) == sorted([whole, *map(tuple, tiles[["x", "y", "width", "height"]].to_numpy().tolist())])
    judged = filter_tiles(slide, tiles, loose(settings), threads=2)
    pd.testing.assert_frame_equal(found.tiles.drop(columns=[*METRICS]), judged.tiles.drop(columns=[*METRICS]))
    assert found.tiles["kept"].all()
    assert found.tiles[[*METRICS]].isna().all(axis=None)
    assert (found.tiles.dtypes == judged.tiles.dtypes).all()
    np.testing.assert_array_equal(found.histogram, judged.histogram)


def test_without_a_filter_glass_alone_is_kept_and_has_no_colours(tmp_path):
    with slide_of(tmp_path, np.full((600, 700, 3), 255, np.uint8)) as slide:
        found = filter_tiles(slide, tiles_of(slide), False)
    assert found.tiles["kept"].all()
    assert not found.histogram.any()


def test_a_white_slide_keeps_nothing(tmp_path, settings):
    with slide_of(tmp_path, np.full((600, 700, 3), 255, np.uint8)) as slide:
        filtered = filter_tiles(slide, tiles_of(slide), settings["filter"])
    assert set(filtered.tiles["rejected_by"]) == {"tissue_fraction"}
    assert not filtered.tiles["kept"].any()
    assert not filtered.histogram.any()


def test_glass_beyond_the_tissue_of_a_kept_tile_stays_out_of_the_histogram(tmp_path, settings):
    image = glass(1024, 1024)
    image[:, :128] = np.tile(coloured(texture(5))[:, :128], (4, 1, 1))
    with slide_of(tmp_path, image) as slide:
        filtered = filter_tiles(slide, tiles_of(slide, 1024), loose(settings))
    assert filtered.tiles["kept"].all()
    tissue = np.bincount(image[:, :128, 0].ravel(), minlength=256)
    bright = filtered.histogram[0, 240:].sum()
    assert filtered.histogram[0, :240].sum() == tissue[:240].sum()
    # The mask reaches 50 µm (100 px) beyond the tissue, give or take a pixel (16 px) of the thumbnail.
    assert 1024 * 60 < bright < 1024 * 160


def test_the_histogram_counts_what_lies_under_the_mask():
    rgb = np.random.default_rng(1).integers(0, 256, (40, 60, 3), np.uint8)
    mask = np.zeros((4, 6), bool)
    mask[1:3, 2:5] = True
    counts = histogram(rgb, mask)
    for channel in range(3):
        wanted = np.bincount(rgb[10:30, 20:50, channel].ravel(), minlength=256)
        np.testing.assert_array_equal(counts[channel], wanted)


def test_a_sliver_at_the_border_is_measured_like_any_tile(tmp_path, settings):
    # The thumbnail is 64 × 96 pixels; at its scale along x the last four rows of the slide begin at its row 96.
    image = np.tile(coloured(texture(4)), (7, 4, 1))[:1540, :1017]
    with slide_of(tmp_path, image) as slide:
        filtered = filter_tiles(slide, tiles_of(slide, 512), settings["filter"])
    sliver = filtered.tiles[filtered.tiles["y"] == 1536]
    assert set(sliver["height"]) == {4}
    assert sliver["edge_density"].notna().all()
    assert filtered.tiles.loc[filtered.tiles["y"] < 1536, "kept"].all()


def test_tissue_of_a_real_slide_is_kept_and_its_colours_counted(cmu, settings):
    with Slide(cmu) as slide:
        filtered = filter_tiles(slide, tiles_of(slide, 512), settings["filter"], threads=2)
        thumbnail, _ = slide.thumbnail(mpp=8)
    kept = filtered.tiles[filtered.tiles["kept"]]
    # A strand of skin runs from top to bottom through the third column; the first is glass but for a few flecks.
    assert filtered.tiles.loc[filtered.tiles["x"] == 1024, "kept"].all()
    assert not filtered.tiles.loc[filtered.tiles["x"] == 0, "kept"].any()
    assert filtered.histogram.sum(axis=1) == pytest.approx([filtered.histogram[0].sum()] * 3)
    assert filtered.histogram[0].sum() <= (kept["width"] * kept["height"]).sum()
    mean = (filtered.histogram * np.arange(256)).sum(axis=1) / filtered.histogram.sum(axis=1)
    assert mean[1] < mean[0]  # haematoxylin and eosin swallow green
    assert cv2.cvtColor(thumbnail, cv2.COLOR_RGB2GRAY).mean() == pytest.approx(mean.mean(), abs=40)


@pytest.mark.parametrize("off", [False, True])
def test_tiles_that_cannot_be_decoded_are_named_and_the_others_judged(damaged, settings, off):
    with Slide(damaged) as slide:
        tiles = slide_grids(slide.facts, settings["tiling"] | {"tile_px": 256, "halo_px": 0})
        found = filter_tiles(slide, tiles, False if off else settings["filter"], threads=2)
    rejected = found.tiles.set_index("tile_id")["rejected_by"]
    assert rejected["x000256_y000256"] == UNREADABLE
    assert (rejected == UNREADABLE).sum() == 1
    assert list(found.unreadable) == ["x000256_y000256"]
    assert "cannot be read at x 256, y 256" in found.unreadable["x000256_y000256"]
    assert found.tiles["kept"].sum() >= 9
    assert not off or found.tiles["kept"].sum() == 11


@pytest.mark.parametrize("fill", [0, 8, 25])
@pytest.mark.parametrize("where", ["frame", "half", "hole"])
def test_black_where_nothing_was_scanned_is_no_tissue(fill, where):
    white = np.full((300, 400, 3), 245, np.uint8)
    white[100:160, 60:160] = (180, 90, 150)
    white[110:120, 80:84] = 10  # a grain of pigment
    black = white.copy()
    if where == "frame":
        black[:20], black[-20:], black[:, :20], black[:, -20:] = (fill,) * 4
    elif where == "half":
        black[:, 210:] = fill
    else:
        black[200:260, 250:330] = fill
    # As a thumbnail is: between black and glass there are greys.
    black = cv2.GaussianBlur(black, (3, 3), 0)
    np.testing.assert_array_equal(tissue_mask(black), tissue_mask(white))


def test_tissue_beside_black_is_tissue_up_to_there():
    image = np.zeros((200, 200, 3), np.uint8)
    image[60:140, 60:140] = (180, 90, 150)
    mask = tissue_mask(image)
    reach = round(50 / 8)
    assert mask[60:140, 60:140].all()
    assert not mask[: 58 - reach].any()
    assert not mask[:, 142 + reach :].any()


def test_black_beside_tissue_is_not_counted_among_its_colours(tmp_path):
    image = np.zeros((2 * EDGE, 2 * EDGE, 3), np.uint8)
    image[:, :EDGE] = np.random.default_rng(0).integers(90, 200, (2 * EDGE, EDGE, 3))
    with slide_of(tmp_path, image) as slide:
        counts = filter_tiles(slide, tiles_of(slide), False).histogram
    assert counts[:, 90:200].sum() > 0.9 * 3 * 2 * EDGE * EDGE
    assert counts[:, :10].sum() < 0.1 * counts.sum()
