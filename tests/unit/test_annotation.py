"""Pictures: what is drawn lies where it belongs, in the colour it should have."""

import re
from dataclasses import replace

import cv2
import numpy as np
import pandas as pd
import pytest
import shapely
from PIL import Image, ImageDraw

from clusterfirst.clustering import NOISE, palette, tree
from clusterfirst.clustering.dbscan import KDistance
from clusterfirst.clustering.document import Clustering
from clusterfirst.drawing import (
    Cells,
    annotate_tiles,
    draw_cells,
    export_tiles,
    filter_map,
    legends,
    overview,
    plot_clusters,
    plot_umap,
    typeface,
)
from clusterfirst.slide.grid import slide_grids
from clusterfirst.slide.slide import Slide
from clusterfirst.slide.tissue import METRICS, UNREADABLE, filter_tiles

from ..defaults import section
from ..made import clustering

KEPT = (0, 158, 115)
WIDTH, HEIGHT, MPP, TILE = 1100, 700, 0.5, 256


def rgb(number: int) -> np.ndarray:
    return np.array(palette.rgb(palette.colour(number)), float)


def opened(path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def rectangle(x: float, y: float, width: float, height: float) -> np.ndarray:
    return np.array([(x, y), (x + width, y), (x + width, y + height), (x, y + height)], float)


def shows(image: np.ndarray, number: int, at_least: int = 1) -> bool:
    return np.count_nonzero((image == rgb(number)).all(axis=-1)) >= at_least


@pytest.fixture
def black() -> np.ndarray:
    return np.zeros((80, 100, 3), np.uint8)


def covered(image: np.ndarray, number: int) -> np.ndarray:
    """How much of each pixel of a black image the colour took."""
    return image @ rgb(number) / (rgb(number) @ rgb(number))


def test_outlines_lie_on_the_border_in_the_colour_of_the_cluster(black):
    out = draw_cells(black, [rectangle(20, 10, 50, 40)], np.array([3]), line_px=3)
    rows, columns = np.mgrid[0:80, 0:100] + 0.5
    outside = np.maximum.reduce([20 - columns, columns - 70, 10 - rows, rows - 50])
    assert covered(out, 3)[np.abs(outside) > 3].max() < 0.1
    near = (np.abs(outside) < 1) & ((rows > 14) & (rows < 46) | (columns > 24) & (columns < 66))
    assert (np.abs(out[near] - rgb(3)) <= 1).all()


@pytest.mark.parametrize("line_px", [0.1, 0.6, 1])
def test_a_line_is_never_too_thin_to_see(line_px, black):
    weight = covered(draw_cells(black, [rectangle(20.5, 10.5, 50, 40)], np.array([0]), line_px=line_px), 0)
    assert weight[30, 20] > 0.85
    assert weight[30, :45].sum() < 1.5


@pytest.mark.parametrize("line_px", [1, 2, 3, 4, 5, 8])
def test_a_line_is_about_as_wide_as_wished(line_px, black):
    weight = covered(draw_cells(black, [rectangle(20, 10, 50, 40)], np.array([0]), line_px=line_px), 0)
    # OpenCV's smoothing adds a pixel; of its own widths 3 and 4 look the same.
    assert weight[30, :45].sum() == pytest.approx(line_px, abs=1.5)


def test_outlines_are_centred_on_the_polygon(black):
    weight = covered(draw_cells(black, [rectangle(30, 20, 40, 30)], np.array([1]), line_px=1), 1)
    rows, columns = np.mgrid[0:80, 0:100] + 0.5
    assert (weight * columns).sum() / weight.sum() == pytest.approx(50, abs=0.1)
    assert (weight * rows).sum() / weight.sum() == pytest.approx(35, abs=0.1)


def test_a_filled_cell_covers_its_pixels_and_the_outline_around(black):
    weight = covered(draw_cells(black, [rectangle(12, 13, 4, 5)], np.array([4]), line_px=1, fill=1), 4)
    rows, columns = np.mgrid[0:80, 0:100] + 0.5
    assert weight[13:18, 12:16] == pytest.approx(np.ones((5, 4)), abs=0.01)
    # OpenCV fills a third of a pixel too low; half a pixel is what a wrong origin would come to.
    assert (weight * columns).sum() / weight.sum() == pytest.approx(14, abs=0.1)
    assert (weight * rows).sum() / weight.sum() == pytest.approx(15.5, abs=0.3)
    weight[12:19, 11:17] = 0
    assert weight.max() < 0.3
    weight[11:20, 10:18] = 0
    assert not weight.any()


@pytest.mark.parametrize("fill", [0, 0.25, 0.4, 1])
def test_the_inside_is_mixed_with_the_tissue_by_the_opacity(fill):
    image = np.full((60, 60, 3), (200, 120, 160), np.uint8)
    out = draw_cells(image, [rectangle(10, 10, 40, 40)], np.array([2]), line_px=1, fill=fill)
    wanted = fill * rgb(2) + (1 - fill) * np.array([200, 120, 160])
    assert (np.abs(out[13:47, 13:47] - wanted) <= 1).all()
    np.testing.assert_array_equal(out[:8], image[:8])


def test_the_image_given_is_not_drawn_upon(black):
    black.setflags(write=False)
    out = draw_cells(black, [rectangle(20, 20, 30, 30)], np.array([0]), line_px=2, fill=0.5)
    assert out.any()
    assert not black.any()


@pytest.mark.parametrize("fill", [0, 0.5])
def test_without_cells_the_image_is_returned_as_it_was(fill, black):
    black[5:9, 5:9] = 77
    np.testing.assert_array_equal(draw_cells(black, [], np.empty(0, int), line_px=1, fill=fill), black)


def test_every_cell_has_the_colour_of_its_own_cluster(black):
    cells = [rectangle(5 + 30 * i, 10, 20, 20) for i in range(3)]
    out = draw_cells(black, cells, np.array([7, NOISE, 0]), line_px=3)
    for (x, y), number in zip([(5, 20), (35, 20), (65, 20)], [7, NOISE, 0], strict=True):
        assert (np.abs(out[y, x] - rgb(number)) <= 1).all()


def test_cells_beyond_the_image_are_cut_off(black):
    out = draw_cells(black, [rectangle(-50, 10, 70, 20), rectangle(500, 500, 9, 9)], np.zeros(2, int), line_px=3)
    assert (np.abs(out[20, 20] - rgb(0)) <= 1).all()
    assert not out[20, :15].any()


def stained(width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """Every pixel tells its place: red by column, blue by row; green is the same all over."""
    image = np.full((height, width, 3), 150, np.uint8)
    image[..., 0] = np.arange(width) // 8 % 60 + 190
    image[..., 2] = (np.arange(height) // 8 % 60 + 190)[:, None]
    return image


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    path = tmp_path_factory.mktemp("slide") / "slide.png"
    Image.fromarray(stained()).save(path)
    with Slide(path, mpp=MPP) as opened_slide:
        yield opened_slide


def slide_of(folder, image: np.ndarray, mpp: float) -> Slide:
    Image.fromarray(image).save(folder / "given.png")
    return Slide(folder / "given.png", mpp=mpp)


@pytest.fixture
def tiles(slide, settings) -> pd.DataFrame:
    return tiles_at(slide, settings, 1.0)


def tiles_at(slide: Slide, settings: dict, *magnifications: float, edge: int = TILE) -> pd.DataFrame:
    used = settings["tiling"] | {"tile_px": edge, "mpp": None, "magnifications": list(magnifications)}
    return slide_grids(slide.facts, used)


CELLS = shapely.box([40, 240, 600], [40, 100, 300], [60, 276, 640], [64, 130, 340])
NUMBERS = np.array([0, 1, NOISE])
NO_CELLS = np.empty(0, object), np.empty(0, int)


def drawn_tiles(slide, tiles, folder, cells=CELLS, numbers=NUMBERS, *, threads=1, **options) -> dict[str, np.ndarray]:
    """Pictures of tiles, without legends if not asked for."""
    wished = section("annotation", **{"line_um": 1.5, "legend": False} | options)
    shown = cells if isinstance(cells, Cells) else Cells.of_clusters(cells, numbers)
    annotate_tiles(slide, tiles, shown, folder, wished, threads=threads)
    return {path.stem: opened(path) for path in folder.glob("*.png")}


@pytest.mark.parametrize("threads", [1, 3])
def test_every_tile_becomes_one_picture_of_its_core(threads, slide, tiles, tmp_path):
    pictures = drawn_tiles(slide, tiles, tmp_path, threads=threads)
    assert pictures.keys() == set(tiles["tile_id"])
    for tile in tiles.itertuples():
        assert pictures[tile.tile_id].shape == (tile.height, tile.width, 3)


def test_tiles_without_cells_are_the_plain_slide(slide, tiles, tmp_path):
    image = stained()
    for pictures in (
        drawn_tiles(slide, tiles, tmp_path),
        drawn_tiles(slide, tiles, tmp_path, *NO_CELLS),
    ):
        np.testing.assert_array_equal(pictures["x000768_y000512"], image[512:, 768:1024])
    np.testing.assert_array_equal(pictures["x000000_y000000"], image[:256, :256])


def test_exported_tiles_are_the_plain_slide(slide, tiles, tmp_path):
    export_tiles(slide, tiles, tmp_path, threads=2)
    assert len(list(tmp_path.iterdir())) == len(tiles)
    np.testing.assert_array_equal(opened(tmp_path / "x001024_y000512.png"), stained()[512:, 1024:])


def test_a_cell_across_the_border_is_drawn_in_both_tiles(slide, tiles, tmp_path):
    pictures = drawn_tiles(slide, tiles, tmp_path)
    left, right = pictures["x000000_y000000"], pictures["x000256_y000000"]
    # The cell spans 240 to 276 and 100 to 130; its lines are three pixels wide.
    for picture, inside in ((left, slice(245, 256)), (right, slice(0, 15))):
        assert (np.abs(picture[100, inside] - rgb(1)) <= 1).all()
        np.testing.assert_array_equal(picture[115, inside][:, 1], np.full(picture[115, inside].shape[0], 150))
    assert (np.abs(left[115, 240] - rgb(1)) <= 1).all()
    assert (np.abs(right[115, 276 - 256] - rgb(1)) <= 1).all()


def test_each_cell_lies_in_the_tile_where_it_is_and_in_no_other(slide, tiles, tmp_path):
    pictures = drawn_tiles(slide, tiles, tmp_path)
    homes = {number: {name for name, picture in pictures.items() if shows(picture, number)} for number in (0, 1, NOISE)}
    assert homes == {
        0: {"x000000_y000000"},
        1: {"x000000_y000000", "x000256_y000000"},
        NOISE: {"x000512_y000256"},
    }


def test_at_half_the_magnification_cells_are_half_as_large(slide, settings, tmp_path):
    pictures = drawn_tiles(slide, tiles_at(slide, settings, 0.5), tmp_path, line_um=3)
    picture = pictures["x000000_y000000"]
    assert picture.shape == (256, 256, 3)
    rows, columns = np.nonzero((np.abs(picture - rgb(1)) <= 1).all(axis=-1))
    assert (columns.min(), columns.max()) == pytest.approx((120, 138), abs=2.1)
    assert (rows.min(), rows.max()) == pytest.approx((50, 65), abs=2.1)


@pytest.mark.parametrize(("most", "wanted"), [(0, 0), (1, 1), (4, 4), (15, 15), (99, 15), (None, 15)])
def test_no_more_tiles_are_drawn_than_wished(most, wanted, slide, tiles, tmp_path):
    assert len(drawn_tiles(slide, tiles, tmp_path, max_tiles=most)) == wanted


def test_the_tiles_drawn_are_spread(slide, tiles, tmp_path):
    pictures = drawn_tiles(slide, tiles, tmp_path, max_tiles=3)
    assert pictures.keys() == {"x000000_y000000", "x000512_y000256", "x001024_y000512"}


def test_the_number_of_its_cluster_stands_beside_a_cell(slide, tiles, tmp_path):
    plain = drawn_tiles(slide, tiles, tmp_path)["x000000_y000000"]
    told = drawn_tiles(slide, tiles, tmp_path, text=["cluster"])["x000000_y000000"]
    rows, columns = np.nonzero((plain != told).any(axis=-1))
    # Cell 0 ends at 60, 64: its number is to the right. Cell 1 reaches beyond the tile: to the left of 240.
    assert rows.min() > 40
    for low, high in ((60, 80), (220, 240)):
        assert ((columns > low) & (columns < high)).any()
    assert not ((columns > 85) & (columns < 215)).any()


def test_no_tiles_are_no_pictures(slide, tiles, tmp_path):
    assert drawn_tiles(slide, tiles.iloc[:0], tmp_path) == {}


@pytest.fixture
def texts(monkeypatch) -> list[tuple]:
    """What is written into pictures: text, its box, the size of the picture."""
    written, original = [], ImageDraw.ImageDraw.text

    def spy(self, xy, text, **options):
        if self.mode == "L":
            return original(self, xy, text, **options)
        box = self.textbbox(xy, text, font=options["font"], anchor=options.get("anchor"))
        written.append((text, box, self.im.size))
        return original(self, xy, text, **options)

    def paint(self, picture):
        for left, base, text, size in self.texts:
            x0, y0, x1, y1 = typeface(size).getbbox(text, anchor="ls")
            written.append((text, (left + x0, base + y0, left + x1, base + y1), (self.width, self.height)))
        return paint_column(self, picture)

    paint_column = legends.Column.paint
    monkeypatch.setattr(legends.Column, "paint", paint)
    monkeypatch.setattr(ImageDraw.ImageDraw, "text", spy)
    return written


def legend(texts: list[tuple]) -> list[str]:
    return [text for text, _, _ in texts if not re.fullmatch(r"[\d.]+ [µm]m", text)]


def seen_whole(slide, cells, numbers, folder, *, longest: int = 550) -> np.ndarray:
    overview(slide, Cells.of_clusters(cells, numbers), folder / "overview.png", title="a slide", longest=longest)
    return opened(folder / "overview.png")


def scattered(clusters: int, width: int = WIDTH, height: int = HEIGHT) -> tuple[np.ndarray, np.ndarray]:
    """Round cells of ten pixels; cluster 0 is the largest."""
    rng = np.random.default_rng(0)
    numbers = np.sort(np.r_[np.arange(clusters), rng.integers(0, clusters, 4 * clusters), [NOISE] * 9])
    places = shapely.points(rng.uniform(10, (width - 10, height - 10), (len(numbers), 2)))
    return shapely.buffer(places, 5), numbers


def test_the_overview_is_the_thumbnail_with_a_legend_beside_it(slide, tmp_path, texts):
    picture = seen_whole(slide, CELLS, NUMBERS, tmp_path)
    assert picture.shape[0] == HEIGHT // 2
    assert picture.shape[1] > WIDTH // 2 + 50
    assert legend(texts) == ["a slide", "cluster 0: 1 (33%)", "cluster 1: 1 (33%)", "noise: 1 (33%)"]


def test_cells_lie_in_the_overview_where_they_are(slide, tmp_path):
    picture = seen_whole(slide, CELLS, NUMBERS, tmp_path)[:320, : WIDTH // 2]  # without the letters of the scale bar
    for cell, number in zip(CELLS, NUMBERS, strict=True):
        left, top, right, bottom = np.array(cell.bounds) / 2
        rows, columns = np.nonzero((np.abs(picture - rgb(number)) <= 1).all(axis=-1))
        found = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert found == pytest.approx((left, top, right, bottom), abs=1)


def test_the_legend_shows_the_colours_of_the_clusters(slide, tmp_path):
    beside = seen_whole(slide, CELLS, NUMBERS, tmp_path)[:, WIDTH // 2 :]
    for number in NUMBERS:
        assert shows(beside, number, 14 * 14)
    assert not shows(beside, 2)


def test_in_a_large_overview_the_nuclei_shine_through(tmp_path):
    with slide_of(tmp_path, stained(400, 300), mpp=0.25) as slide:
        picture = seen_whole(slide, shapely.box([100], [100], [140], [140]), np.array([0]), tmp_path)
    wanted = 0.4 * rgb(0) + 0.6 * stained(400, 300)[110:130, 110:130]
    assert (np.abs(picture[110:130, 110:130] - wanted) <= 1).all()


def test_an_overview_without_cells_is_the_thumbnail(slide, tmp_path, texts):
    picture = seen_whole(slide, *NO_CELLS, tmp_path)
    thumbnail, _ = slide.thumbnail(longest=550)
    np.testing.assert_array_equal(picture[:300, :550], thumbnail[:300])
    assert legend(texts) == ["a slide"]


def test_beyond_the_largest_clusters_the_legend_counts_the_rest(tmp_path, texts):
    with slide_of(tmp_path, stained(900, 900), mpp=MPP) as slide:
        seen_whole(slide, *scattered(60, 900, 900), tmp_path, longest=900)
    named = [text for text in legend(texts) if text.startswith("cluster")]
    assert named[0].startswith("cluster 0: ")
    more = next(text for text in legend(texts) if "more clusters" in text)
    assert int(re.search(r"\d+", more).group()) + len(named) == 60
    assert legend(texts)[-1] == "noise: 9 (3%)"


@pytest.mark.parametrize(("width", "height"), [(900, 900), (900, 300), (300, 900)])
def test_all_that_is_written_lies_inside_the_picture(width, height, tmp_path, texts):
    with slide_of(tmp_path, stained(width, height), mpp=MPP) as slide:
        seen_whole(slide, *scattered(60, width, height), tmp_path, longest=900)
    cut_off = [
        text
        for text, (left, top, right, bottom), (wide, high) in texts
        if left < 0 or top < 0 or right > wide or bottom > high
    ]
    assert cut_off == []


def test_small_shares_are_not_rounded_to_nothing(slide, tmp_path, texts):
    cells = shapely.box(np.full(1000, 40), 40, 60, 60)
    seen_whole(slide, cells, np.r_[np.zeros(997, int), 1, 1, 1], tmp_path)
    assert legend(texts)[1:] == ["cluster 0: 997 (100%)", "cluster 1: 3 (<1%)"]


def longest_run(dark: np.ndarray) -> int:
    edges = np.flatnonzero(np.diff(np.r_[0, dark.astype(int), 0]))
    return int((edges[1::2] - edges[::2]).max(initial=0))


@pytest.mark.parametrize("mpp", [0.0625, 0.25, 0.499, 1.7, 9.0])
@pytest.mark.parametrize("longest", [300, 1100])
def test_the_scale_bar_is_as_long_as_it_says(mpp, longest, tmp_path, texts):
    with slide_of(tmp_path, stained(), mpp) as slide:
        picture = seen_whole(slide, *NO_CELLS, tmp_path, longest=longest)[:, :longest]
    text, (left, top, right, bottom), _ = next(entry for entry in texts if re.fullmatch(r"[\d.]+ [µm]m", entry[0]))
    said = float(text.split()[0]) * (1000 if text.endswith("mm") else 1)
    black = (picture < 5).all(axis=-1)
    black[max(0, int(top)) : int(np.ceil(bottom))] = False  # letters
    pixels = max(longest_run(row) for row in black)
    # Pillow draws both end pixels.
    assert pixels * mpp * WIDTH / longest == pytest.approx(said, abs=1.5 * mpp * WIDTH / longest)
    assert longest / 16 < pixels < longest / 6 + 2
    assert 0 <= left < right <= longest


@pytest.mark.parametrize(("width", "mpp", "longest"), [(10_000, 0.6, 2000), (20_000, 0.3, 2000)])
def test_a_bar_of_just_a_power_of_ten_is_drawn(width, mpp, longest, tmp_path, texts):
    # A sixth of these slides is 1 mm, or in floats 999.9999999999999 µm.
    with slide_of(tmp_path, np.full((60, width, 3), 240, np.uint8), mpp) as slide:
        seen_whole(slide, *NO_CELLS, tmp_path, longest=longest)
    assert any(re.fullmatch("1 mm|500 µm", text) for text, _, _ in texts)


def judged(tiles: pd.DataFrame, reasons: dict[str, str]) -> pd.DataFrame:
    by = tiles["tile_id"].map(reasons).fillna("")
    return tiles.assign(kept=by == "", rejected_by=by)


def mapped(slide, tiles, folder) -> np.ndarray:
    filter_map(slide, tiles, folder / "map.png", title="a slide")
    return opened(folder / "map.png")


REASONS = {
    "x000000_y000000": "tissue_fraction",
    "x000256_y000000": "bright_ratio,edge_density",
    "x000512_y000000": "color_variance",
    "x000768_y000000": "edge_density,intensity_std,laplacian_variance",
}


def test_rejected_tiles_are_tinted_by_the_first_reason(slide, tiles, tmp_path):
    picture = mapped(slide, judged(tiles, REASONS), tmp_path)
    tints = {0: (187, 187, 187), 256: (230, 159, 0), 512: (240, 228, 66), 768: (86, 180, 233)}
    for x, tint in tints.items():
        inside = (slice(10, 240), slice(x + 10, x + 246))
        wanted = 0.5 * np.array(tint) + 0.5 * stained()[inside]
        assert (np.abs(picture[inside] - wanted) <= 1).all()


def test_kept_tiles_are_outlined_and_their_inside_is_left_as_it_is(slide, tiles, tmp_path):
    picture = mapped(slide, judged(tiles, REASONS), tmp_path)
    for tile in judged(tiles, REASONS).itertuples():
        x, y, right = tile.x, tile.y, tile.x + tile.width
        kept_colour = (picture[y : y + tile.height, x:right] == KEPT).all(axis=-1)
        assert kept_colour.any() == tile.kept
        if tile.kept:
            assert kept_colour[2, 8:-8].all()
            assert kept_colour[8:-8, 2].all()
            assert kept_colour[8:-8, -3].all()
            np.testing.assert_array_equal(
                picture[y + 10 : y + 90, x + 10 : right - 10], stained()[y + 10 : y + 90, x + 10 : right - 10]
            )


def test_the_map_counts_tiles_by_reason(slide, tiles, tmp_path, texts):
    mapped(slide, judged(tiles, REASONS), tmp_path)
    assert legend(texts) == [
        "a slide",
        "kept: 11 of 15 tiles",
        "glass on the thumbnail: 1",
        "too few edges: 1",
        "mostly bright: 1",
        "no colour: 1",
    ]


def test_the_map_of_a_slide_that_is_not_filtered_shows_what_cannot_be_decoded(slide, tiles, tmp_path, texts):
    tiles = filter_tiles(slide, tiles, False).tiles
    damaged = judged(tiles, {"x000256_y000000": UNREADABLE})
    mapped(slide, damaged, tmp_path)
    assert legend(texts) == ["a slide", "kept: 14 of 15 tiles", "cannot be decoded: 1"]


@pytest.mark.parametrize("reason", ["", "tissue_fraction", *METRICS])
def test_the_map_knows_every_reason(reason, slide, tiles, tmp_path, texts):
    mapped(slide, tiles.assign(kept=not reason, rejected_by=reason), tmp_path)
    assert f"kept: {0 if reason else 15} of 15 tiles" in legend(texts)
    assert len(legend(texts)) == 2 + bool(reason)


def test_of_several_magnifications_the_map_shows_the_finest(slide, settings, tmp_path, texts):
    tiles = tiles_at(slide, settings, 1.0, 0.5)
    mapped(slide, tiles.assign(kept=True, rejected_by=""), tmp_path)
    assert "kept: 15 of 15 tiles" in legend(texts)


def test_the_map_of_many_small_tiles_keeps_each_within_its_bounds(slide, settings, tmp_path):
    # Every other tile is kept; the right and bottom ones are slivers.
    tiles = tiles_at(slide, settings, 1.0, edge=8)
    reasons = dict.fromkeys(tiles["tile_id"][1::2], "tissue_fraction")
    tiles = judged(tiles, reasons)
    picture = mapped(slide, tiles, tmp_path)
    for tile in tiles.itertuples():
        part = picture[tile.y : tile.y + tile.height, tile.x : tile.x + tile.width]
        assert (part == KEPT).all(axis=-1).any() <= tile.kept


def test_the_map_of_a_whole_slide_shows_the_tissue_of_its_kept_tiles(slide, settings, tmp_path):
    # Eight pixels of the map are a tile of 512 on a slide of 100,000.
    tiles = tiles_at(slide, settings, 1.0, edge=8)
    picture = mapped(slide, tiles.assign(kept=True, rejected_by=""), tmp_path)
    middles = np.s_[4:600:8, 4:1000:8]
    np.testing.assert_array_equal(picture[middles], stained()[middles])


def umap_cells(numbers, key=None) -> Cells:
    polygons = np.full(len(numbers), shapely.box(0, 0, 1, 1))
    return Cells.of_clusters(polygons, numbers, **({"key": key} if key else {}))


PLOTTED = {
    "no cells": np.empty(0, int),
    "one cell": np.zeros(1, int),
    "all noise": np.full(50, NOISE),
    "sixty clusters": np.r_[np.repeat(np.arange(60), 5), NOISE],
}


@pytest.mark.parametrize("case", PLOTTED)
def test_a_map_of_cells_is_drawn_of_any_clusters(case, tmp_path):
    numbers = PLOTTED[case]
    plane = np.random.default_rng(0).normal(size=(len(numbers), 2)).astype(np.float32)
    plot_umap(plane, umap_cells(numbers), tmp_path / "umap.png", title=case)
    assert opened(tmp_path / "umap.png").shape == (900, 1200, 3)


def test_the_map_of_cells_shows_clusters_over_noise(tmp_path):
    plane = np.repeat([[0.0, 0.0], [1.0, 1.0]], 50, axis=0)
    numbers = np.r_[np.zeros(50, int), np.full(25, NOISE), np.full(25, 4)]
    plot_umap(plane, umap_cells(numbers), tmp_path / "umap.png", title="")
    picture = opened(tmp_path / "umap.png")
    axes, beside = picture[20:850, 45:950], picture[:, 970:]
    assert shows(axes, 0)
    assert shows(axes, 4)
    assert not shows(axes, NOISE)
    assert shows(beside, NOISE)


def clusters_of(sizes: list[int], *, noise: int = 0, groups: int | None = None, **chosen) -> Clustering:
    """Clusters of so many cells, of which the tree is known."""
    numbers = np.repeat([*range(len(sizes)), NOISE], [*sizes, noise])
    leaves = tree.grow(np.arange(len(sizes))[:, None] ** 2, np.array(sizes, int))
    return clustering(numbers, settings=chosen, tree=leaves, groups=groups)


def drawn(clusters: Clustering, folder, curve: KDistance | None = None) -> np.ndarray:
    plot_clusters(clusters, folder / "clusters.png", title="a slide", curve=curve)
    return opened(folder / "clusters.png")


@pytest.mark.parametrize("sizes", [[], [3], [50, 30, 1], [*range(80, 0, -1)]])
@pytest.mark.parametrize("noise", [0, 40])
def test_clusters_are_drawn_in_their_colours_beside_the_noise(sizes, noise, tmp_path):
    picture = drawn(clusters_of(sizes, noise=noise), tmp_path)
    shown = [(picture == palette.rgb(palette.colour(number))).all(axis=-1).sum() for number in range(len(sizes))[:3]]
    assert all(shown)
    assert shown == sorted(shown, reverse=True)


@pytest.mark.parametrize("source", ["given", "list", "knee", "quantile"])
@pytest.mark.parametrize("points", [0, 1, 300])
def test_the_curve_is_drawn_with_its_eps(source, points, tmp_path):
    curve = KDistance(4, np.linspace(0, 3, points) ** 2, 2.5, source)
    plain = drawn(clusters_of([30, 20]), tmp_path)
    picture = drawn(clusters_of([30, 20]), tmp_path, curve)
    assert picture.shape[0] > plain.shape[0]
    assert not (plain == (213, 94, 0)).all(axis=-1).any()
    assert (picture == (213, 94, 0)).all(axis=-1).any()
    below = picture[plain.shape[0] :]
    assert (below == (0, 114, 178)).all(axis=-1).any() == (points > 1)


def test_the_eps_of_a_list_are_drawn(tmp_path):
    tried = [
        {"eps": eps, "clusters": 3, "noise_fraction": 0.2, "explained": share}
        for eps, share in [(0.1, 0.2), (0.4, 0.9), (2.0, 0.1)]
    ]
    found = clusters_of([30, 20], eps=0.4, eps_tried=tried)
    assert drawn(found, tmp_path).shape[0] > drawn(clusters_of([30, 20]), tmp_path).shape[0]


@pytest.mark.parametrize("groups", [1, 2, 3])
def test_the_tree_above_the_groups_is_drawn(groups, tmp_path):
    found = clusters_of([30, 20, 10][:groups], groups=groups)
    tall = drawn(found, tmp_path).shape[0] > drawn(clusters_of([30]), tmp_path).shape[0]
    assert tall == (groups > 1)


def test_a_tree_too_large_to_be_drawn_is_left_out(tmp_path):
    few = clusters_of([1] * 3)
    large = clusters_of([1] * 1500)
    # Each cluster joins all those before it: deeper than Python recurses.
    merges = [[0 if row == 0 else 1499 + row, row + 1, 1.0 + row, 2 + row] for row in range(1499)]
    tree_of_all = tree.Tree(large.tree.sizes, np.array(merges))
    large = replace(large, tree=tree_of_all, groups=1500)
    assert drawn(large, tmp_path).shape == drawn(few, tmp_path).shape


WRITERS = {
    "overview": lambda slide, _, path: overview(slide, Cells.of_clusters(*NO_CELLS), path, title="", longest=300),
    "filter_map": lambda slide, tiles, path: filter_map(slide, judged(tiles, {}), path, title=""),
    "plot_umap": lambda _, __, path: plot_umap(np.zeros((3, 2)), umap_cells(np.zeros(3, int)), path, title=""),
    "plot_clusters": lambda _, __, path: plot_clusters(clusters_of([5, 2], groups=2), path, title=""),
    "annotate_tiles": lambda slide, tiles, path: annotate_tiles(
        slide,
        tiles.iloc[:1].assign(tile_id=path.stem),
        Cells.of_clusters(*NO_CELLS),
        path.parent,
        section("annotation"),
    ),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_a_picture_is_written_and_nothing_beside_it(writer, slide, tiles, tmp_path):
    WRITERS[writer](slide, tiles, tmp_path / "picture.png")
    assert [path.name for path in tmp_path.iterdir()] == ["picture.png"]


@pytest.mark.parametrize("writer", WRITERS)
def test_where_no_folder_can_be_made_writing_fails(writer, slide, tiles, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError):
        WRITERS[writer](slide, tiles, tmp_path / "file/picture.png")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("writer", WRITERS)
def test_where_a_folder_is_in_the_way_writing_fails_and_leaves_no_part(writer, slide, tiles, tmp_path):
    (tmp_path / "picture.png").mkdir()
    with pytest.raises(OSError):
        WRITERS[writer](slide, tiles, tmp_path / "picture.png")
    assert [path.name for path in tmp_path.iterdir()] == ["picture.png"]
    assert not list((tmp_path / "picture.png").iterdir())


@pytest.mark.parametrize("writer", ["overview", "filter_map", "annotate_tiles"])
def test_a_picture_written_in_part_is_an_error_and_does_not_replace_the_old_one(
    writer, slide, tiles, tmp_path, monkeypatch
):
    def full_disk(path, *_):
        with open(path, "wb") as file:
            file.write(b"half a picture")
        return False

    (tmp_path / "picture.png").write_text("the old one")
    monkeypatch.setattr(cv2, "imwrite", full_disk)
    with pytest.raises(OSError, match=re.escape("picture.png could not be written")):
        WRITERS[writer](slide, tiles, tmp_path / "picture.png")
    assert [path.name for path in tmp_path.iterdir()] == ["picture.png"]
    assert (tmp_path / "picture.png").read_text() == "the old one"
