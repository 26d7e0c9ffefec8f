"""The gallery: which cells it shows, where, at what scale, and what it says of them."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import shapely
from PIL import Image

from clusterfirst.clustering import palette
from clusterfirst.clustering.document import Entry
from clusterfirst.drawing import gallery
from clusterfirst.slide.slide import Slide

from ..made import clustering
from .test_annotation import opened, texts  # noqa: F401  a fixture

MPP = 0.5
CROP, STEP = 96, 100


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    """1,000 × 1,000, black, but for a white square of 20 px (10 µm) every 100 px, grey by its column."""
    image = np.zeros((1000, 1000, 3), np.uint8)
    for row in range(10):
        for column in range(10):
            image[100 * row + 40 : 100 * row + 60, 100 * column + 40 : 100 * column + 60] = 100 + 10 * column
    path = tmp_path_factory.mktemp("gallery") / "slide.png"
    Image.fromarray(image).save(path)
    with Slide(path, mpp=MPP) as opened_slide:
        yield opened_slide


def squares(size=20):
    """100 cells around the white squares, row by row."""
    rows, columns = np.divmod(np.arange(100), 10)
    x, y = 100 * columns + 50, 100 * rows + 50
    return shapely.box(x - size / 2, y - size / 2, x + size / 2, y + size / 2)


def entry(number, size, representatives):
    return Entry(number, size, palette.colour(number), None, [number], representatives)


def drawn(slide, clusters, folder, cells=None, **options):
    cells = squares() if cells is None else cells
    gallery.gallery(slide, cells, clusters, folder / "gallery.png", title="a slide", **options)
    return opened(folder / "gallery.png")


def crops(picture, rows):
    """Crops by row and column, of a sheet with so many rows."""
    left = picture.shape[1] - 10 * STEP - 30
    return [[picture[45 + r * STEP :, left + c * STEP :][:CROP, :CROP] for c in range(10)] for r in range(rows)]


@pytest.mark.parametrize("threads", [1, 3])
def test_every_cluster_has_a_row_of_its_own_cells(threads, slide, tmp_path):
    picture = drawn(slide, [entry(0, 60, [0, 1, 9]), entry(1, 40, [5])], tmp_path, threads=threads)
    first, second = crops(picture, 2)
    # Grey by the column that the cell lies in.
    assert [crop[CROP // 2, CROP // 2, 0] for crop in first[:3]] == [100, 110, 190]
    assert second[0][CROP // 2, CROP // 2, 0] == 150
    assert (first[3] == 255).all()
    for row, crop in ((0, first[0]), (1, second[0])):
        # A thin line: no pixel is wholly of its colour.
        off = np.abs(crop - np.array([palette.rgb(palette.colour(number)) for number in (0, 1)])[:, None, None]).sum(-1)
        assert (off[row] < 90).sum() > 40
        assert off[row].min() < off[1 - row].min()


def test_a_crop_shows_the_cell_in_its_middle_at_the_scale_that_is_told(slide, tmp_path, texts):  # noqa: F811
    ((crop, *_),) = crops(drawn(slide, [entry(0, 1, [33])], tmp_path), 1)
    assert "10 µm; every crop is 16 µm wide" in [text for text, _, _ in texts]
    # 10 µm of 16 are 60 of 96 px: from 18 to 78. The line covers a few on either side.
    assert (np.abs(crop[23:73, 23:73] - 130.0) < 5).all()
    beyond = np.ones((CROP, CROP), bool)
    beyond[13:83, 13:83] = False
    assert crop[beyond].max() < 10
    for side in (crop[13:23, 48], crop[73:83, 48], crop[48, 13:23], crop[48, 73:83]):
        assert side.max() > 230


@pytest.mark.parametrize(("px", "side"), [(2, 16), (20, 16), (40, 32), (1000, 100)])
def test_crops_are_as_wide_as_the_cells_want_within_reason(px, side):
    assert gallery.side_um(squares(px), mpp=MPP) == side


def test_one_giant_does_not_make_all_others_tiny():
    cells = squares()
    cells[0] = shapely.box(0, 0, 190, 190)
    assert gallery.side_um(cells, mpp=MPP) == 16


def test_sizes_and_shares_stand_beside_the_rows(slide, tmp_path, texts):  # noqa: F811
    cells = np.tile(squares(), 20)
    drawn(slide, [entry(0, 1990, [1]), entry(4, 10, [2])], tmp_path, cells)
    said = [text for text, _, _ in texts]
    assert [text for text in said if text][:5] == ["a slide", "cluster 0", "1,990 (100%)", "cluster 4", "10"]


def test_clusters_without_cells_on_the_slide_have_no_row(slide, tmp_path, texts):  # noqa: F811
    drawn(slide, [entry(0, 50, [1]), entry(1, 0, []), entry(2, 50, [2])], tmp_path)
    assert [text for text, _, _ in texts if text.startswith("cluster")] == ["cluster 0", "cluster 2"]


def test_of_very_many_clusters_the_largest_are_shown_in_their_order(slide, tmp_path, texts):  # noqa: F811
    many = [entry(number, 1 + number % 2, [number % 100]) for number in range(gallery.ROWS + 20)]
    drawn(slide, many, tmp_path)
    shown = [int(text.split()[1]) for text, _, _ in texts if text.startswith("cluster")]
    assert shown == sorted(shown)
    assert len(shown) == gallery.ROWS
    assert {number for number in range(gallery.ROWS + 20) if number % 2} <= set(shown)
    assert "… and 20 smaller clusters" in [text for text, _, _ in texts]


def test_no_more_crops_than_there_is_room_for(slide, tmp_path):
    wide = drawn(slide, [entry(0, 100, list(range(40)))], tmp_path)
    assert wide.shape == drawn(slide, [entry(0, 100, list(range(10)))], tmp_path).shape


@pytest.mark.parametrize("corner", [0, 990])
def test_crops_stay_inside_the_slide_and_show_what_colour_their_cell_has(corner, slide, tmp_path):
    cell = shapely.box([corner], [corner], [corner + 10], [corner + 10])
    ((crop, *_),) = crops(drawn(slide, [entry(0, 1, [0])], tmp_path, cell), 1)
    # 16 µm are 32 px of the slide: the cell is 30 px of the crop wide, in its corner.
    there = np.s_[-30:, -30:] if corner else np.s_[:30, :30]
    coloured = np.abs(crop[there].astype(int) - palette.rgb(palette.colour(0))).sum(axis=-1) < 40
    assert coloured.sum() > 80
    away = np.s_[:-40, :-40] if corner else np.s_[40:, 40:]
    assert (crop[away] == 0).all(), "no white beyond"


def test_a_slide_without_cells_has_a_gallery_that_says_so(slide, tmp_path, texts):  # noqa: F811
    drawn(slide, [], tmp_path, np.empty(0, object))
    assert "no clusters" in [text for text, _, _ in texts]


def test_all_that_is_written_lies_inside_the_picture(slide, tmp_path, texts):  # noqa: F811
    many = [entry(number, 123456789, [number % 100]) for number in range(gallery.ROWS + 5)]
    drawn(slide, many, tmp_path, np.tile(squares(), 1000))
    drawn(slide, [], tmp_path, np.empty(0, object))
    for text, (left, top, right, bottom), (wide, high) in texts:
        assert min(left, top) >= 0, text
        assert right <= wide, text
        assert bottom <= high, text


def test_typical_cells_are_listed_cluster_by_cluster():
    clusters = replace(
        clustering([0] * 5, [0.5, 0.6, 0.7, 0.8, 0.9]), entries=[entry(0, 3, [4, 0]), entry(1, 0, []), entry(2, 2, [1])]
    )
    places = np.arange(5)
    cells = pd.DataFrame({"x": 10 * places, "y": 100 * places, "tile_id": [f"t{place}" for place in places]})
    table = gallery.typical_cells(clusters, cells)
    assert table.to_dict("list") == {
        "cluster_id": [0, 0, 2],
        "cell_id": [4, 0, 1],
        "confidence": [0.9, 0.5, 0.6],
        "x": [40, 0, 10],
        "y": [400, 0, 100],
        "tile_id": ["t4", "t0", "t1"],
    }


def test_without_clusters_there_are_no_typical_cells():
    cells = pd.DataFrame({"x": [], "y": [], "tile_id": []})
    assert gallery.typical_cells(clustering([]), cells).empty


def sheets(slide, entries, folder, cells=None):
    cells = squares() if cells is None else cells
    clusters = replace(clustering([0] * len(cells), [0.5] * len(cells)), entries=entries)
    return gallery.cluster_galleries(slide, cells, clusters, folder, title="a slide")


def test_every_cluster_with_typical_cells_has_a_sheet_of_its_own(slide, tmp_path, texts):  # noqa: F811
    files = sheets(slide, [entry(0, 60, [11, 19]), entry(1, 0, []), entry(12, 40, [45] * 8)], tmp_path)
    assert files == {0: "cluster_000.png", 12: "cluster_012.png"}
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(files.values())
    said = [text for text, _, _ in texts]
    assert said[:4] == ["cluster 0: 60 cells (60%)", "a slide", "cell 11, 0.50", "cell 19, 0.50"]
    assert said.count("cell 45, 0.50") == 8
    first, second = (opened(tmp_path / name) for name in files.values())
    # 10 µm in crops of 30 µm, 192 px: the cell's own grey in the middle, its neighbours' not yet in view.
    for column, grey in ((0, 110), (1, 190)):
        x, y = 30 + 200 * column + 96, 75 + 96
        assert (first[y - 20 : y + 20, x - 20 : x + 20] == grey).all()
    assert "20 µm; every picture is 30 µm wide; below it, the cell and its confidence" in said
    bar = (first[-31] == 0).all(axis=-1)
    assert bar[:165].sum() == pytest.approx(20 / 30 * 192, abs=1.5)
    assert second.shape[0] > first.shape[0], "two rows"
    for text, (left, top, right, bottom), (wide, high) in texts:
        assert min(left, top) >= 0, text
        assert right <= wide, text
        assert bottom <= high, text


def test_a_slide_without_cells_has_no_sheets(slide, tmp_path):
    assert sheets(slide, [], tmp_path, np.empty(0, object)) == {}
    assert not list(tmp_path.iterdir())
