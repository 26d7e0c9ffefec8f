"""The mask of nuclei: white exactly where a pixel's centre lies in a polygon, readable by whoever reads pyramids."""

import os
import subprocess
import sys
import xml.etree.ElementTree as xml

import numpy as np
import openslide
import pytest
import shapely
import tifffile
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from clusterfirst.export import mask
from clusterfirst.export.mask import overlay, write_mask
from clusterfirst.io import ClusterfirstError
from clusterfirst.outlines.objects import outlines
from clusterfirst.slide.slide import Slide

MPP = 0.2521
NONE = np.empty(0, object)
TINT = np.array([0, 255, 0])
few = hypothesis_settings(max_examples=25, deadline=None)
seeds = st.integers(0, 2**32 - 1)


def stars(seed: int, count: int, width: int, height: int, *, smallest: float = 1, largest: float = 30) -> np.ndarray:
    """Polygons with dents, turning either way, some of them across the slide's edge, many overlapping."""
    rng = np.random.default_rng(seed)
    angles = np.linspace(0, 2 * np.pi, 17)[:-1]
    radii = rng.uniform(smallest, largest, (count, 1)) * rng.uniform(0.4, 1, (count, 16))
    rings = rng.uniform(0, (width, height), (count, 1, 2))
    rings = rings + radii[..., None] * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    return shapely.polygons([ring[:: rng.choice([1, -1])] for ring in rings])


def plainly(polygons: np.ndarray, width: int, height: int, factor: int = 1) -> np.ndarray:
    """The whole image at once: whether each pixel's centre lies in the union."""
    rows, columns = (np.mgrid[0 : -(-height // factor), 0 : -(-width // factor)] + 0.5) * factor
    union = shapely.union_all(polygons)
    shapely.prepare(union)
    return shapely.contains_xy(union, columns, rows)


def written(polygons: np.ndarray, path, width: int, height: int, **options) -> list[np.ndarray]:
    """All levels of the mask, as bool."""
    write_mask(
        np.asarray(polygons, object), path, width=width, height=height, **({"mpp": MPP, "tile_px": 64} | options)
    )
    levels = [level.asarray() for level in tifffile.TiffFile(path).series[0].levels]
    assert all(np.isin(level, (0, 255)).all() and level.dtype == np.uint8 for level in levels)
    return [level == 255 for level in levels]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "mask.tiff"


@few
@given(seeds, st.integers(1, 60), st.integers(20, 300), st.integers(20, 300))
def test_every_level_is_the_plain_rasterisation(tmp_path_factory, seed, count, width, height):
    polygons = stars(seed, count, width, height)
    levels = written(polygons, tmp_path_factory.mktemp("mask") / "mask.tiff", width, height)
    for number, level in enumerate(levels):
        np.testing.assert_array_equal(level, plainly(polygons, width, height, 2**number))
    assert max(levels[-1].shape) <= 64
    assert len(levels) == 1 or max(levels[-2].shape) > 64


@few
@given(seeds, st.floats(1, 4))
def test_the_mask_of_an_outlined_label_image_is_that_image(tmp_path_factory, seed, roughness):
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(150, 130)), roughness)
    labels, _ = ndimage.label(noise > 0.7 * noise.std())
    # An outline holds what its object encloses; diagonal neighbours enclose nothing.
    filled = ndimage.binary_fill_holes(labels > 0, structure=np.ones((3, 3)))
    (level, *_) = written(outlines(labels)[0], tmp_path_factory.mktemp("mask") / "mask.tiff", 130, 150)
    np.testing.assert_array_equal(level, filled)


@pytest.mark.parametrize("tile_px", [16, 64, 128, 512])
def test_tiles_leave_no_trace(tile_px, path):
    polygons = stars(5, 80, 400, 300)
    level, *lower = written(polygons, path, 400, 300, tile_px=tile_px)
    np.testing.assert_array_equal(level, plainly(polygons, 400, 300))
    for number, small in enumerate(lower, start=1):
        np.testing.assert_array_equal(small, plainly(polygons, 400, 300, 2**number))


@pytest.mark.parametrize(("width", "height"), [(64, 64), (65, 63), (1, 1), (1, 500), (500, 1), (129, 257), (128, 256)])
def test_nothing_is_lost_at_the_right_and_at_the_bottom(width, height, path):
    levels = written([shapely.box(0, 0, width, height)], path, width, height)
    assert [level.shape for level in levels[:2]] == [(height, width), (-(-height // 2), -(-width // 2))][: len(levels)]
    assert levels[0].all()
    for number, level in enumerate(levels):
        inside = plainly([shapely.box(0, 0, width, height)], width, height, 2**number)
        np.testing.assert_array_equal(level, inside)


def test_a_slide_without_nuclei_is_black(path):
    levels = written(NONE, path, 500, 300)
    assert [level.shape for level in levels] == [(300, 500), (150, 250), (75, 125), (38, 63)]
    assert not any(level.any() for level in levels)


def test_one_polygon_may_cover_many_tiles(path):
    ring = shapely.Point(300, 280).buffer(250, quad_segs=200)
    levels = written([ring], path, 600, 560)
    for number, level in enumerate(levels):
        np.testing.assert_array_equal(level, plainly([ring], 600, 560, 2**number))
    assert levels[0][280, 60:540].all()


def test_what_lies_beyond_the_slide_is_cut_off(path):
    polygons = shapely.box(
        [-50, 190, 90, -900, 100], [-50, 90, -40, -900, 400], [20, 300, 110, -800, 200], [10, 200, 7, 9, 500]
    )
    level = written(polygons, path, 200, 100)[0]
    wanted = np.zeros((100, 200), bool)
    wanted[:10, :20] = wanted[90:, 190:] = wanted[:7, 90:110] = True
    np.testing.assert_array_equal(level, wanted)


@pytest.mark.parametrize("offset", [0, 0.25, 0.5, 0.999])
def test_neighbours_that_share_a_border_leave_no_gap_and_do_not_grow(offset, path):
    # With an offset of a half, borders run through the centres of pixels.
    x, y = (part.ravel() * 7.0 + 10 + offset for part in np.mgrid[0:20, 0:15])
    level = written(shapely.box(x, y, x + 7, y + 7), path, 200, 150)[0]
    start = 10 + round(offset > 0.5)
    wanted = np.zeros_like(level)
    wanted[start : start + 105, start : start + 140] = True
    np.testing.assert_array_equal(level, wanted)


def test_overlapping_nuclei_that_turn_either_way_do_not_undo_each_other(path):
    square = shapely.box(10, 10, 40, 40)
    for polygons in ([square, square.reverse()], [square] * 3, [square.reverse(), shapely.box(20, 20, 30, 60)]):
        level = written(polygons, path, 64, 64)[0]
        np.testing.assert_array_equal(level, plainly(polygons, 64, 64))


def test_a_nucleus_between_the_centres_of_pixels_is_not_seen(path):
    levels = written([shapely.box(10.6, 10.6, 11.4, 11.4), shapely.box(20, 20, 20.4, 50)], path, 64, 64)
    assert not levels[0].any()


def test_the_white_area_is_that_of_the_nuclei_at_every_level(path):
    # At the coarsest level a nucleus is half as wide as a pixel.
    rng = np.random.default_rng(3)
    x, y = (20.0 * part.ravel() + rng.uniform(2, 8, part.size) for part in np.mgrid[0:100, 0:100])
    polygons = shapely.buffer(shapely.points(x, y), rng.uniform(3, 6, len(x)))
    area = shapely.area(polygons).sum()
    levels = written(polygons, path, 2000, 2000, tile_px=128)
    assert len(levels) == 5
    for number, level in enumerate(levels):
        pixels = 4**number
        # The error of counting points: the root of how many nuclei or pixels there are, at worst.
        assert level.sum() * pixels == pytest.approx(area, abs=4 * pixels * np.sqrt(area / pixels))


def test_one_batch_of_polygons_or_many_make_the_same_mask(path, monkeypatch):
    polygons = stars(8, 50, 200, 200)
    whole = written(polygons, path, 200, 200)[0]
    monkeypatch.setattr(mask, "_BATCH", 7)
    np.testing.assert_array_equal(written(polygons, path, 200, 200)[0], whole)


@pytest.mark.parametrize("classic", [True, False])
@pytest.mark.parametrize(("width", "height"), [(700, 513), (300, 64), (64, 40)])
def test_openslide_reads_all_levels_and_the_resolution(width, height, classic, path, monkeypatch):
    if not classic:
        monkeypatch.setattr(mask, "_CLASSIC_BYTES", 0)
    levels = written(stars(1, 60, width, height), path, width, height)
    assert tifffile.TiffFile(path).is_bigtiff != classic
    assert openslide.OpenSlide.detect_format(path) == "generic-tiff"
    with openslide.OpenSlide(path) as slide:
        assert slide.level_dimensions == tuple(level.shape[::-1] for level in levels)
        assert slide.level_downsamples == pytest.approx([2**number for number in range(len(levels))], rel=0.02)
        for axis in "xy":
            assert float(slide.properties[f"openslide.mpp-{axis}"]) == pytest.approx(MPP, rel=1e-5)
        for number, level in enumerate(levels):
            rgba = np.asarray(slide.read_region((0, 0), number, slide.level_dimensions[number]))
            assert (rgba[..., 3] == 255).all()
            np.testing.assert_array_equal(rgba[..., :3], np.repeat(level[..., None], 3, axis=2) * np.uint8(255))


def test_a_part_read_by_openslide_lies_where_it_should(path):
    level = written(stars(2, 60, 700, 500), path, 700, 500)[0]
    with openslide.OpenSlide(path) as slide:
        part = np.asarray(slide.read_region((333, 222), 0, (150, 90)))[..., 0]
    np.testing.assert_array_equal(part == 255, level[222:312, 333:483])


def test_the_mask_is_a_slide_of_the_same_size_and_scale(path):
    levels = written(stars(2, 60, 700, 500), path, 700, 500)
    with Slide(path) as slide:
        assert slide.size == (700, 500)
        assert slide.mpp == pytest.approx(MPP, rel=1e-5)
        np.testing.assert_array_equal(slide.read(0, 0, 700, 500)[..., 0] == 255, levels[0])


def test_the_levels_are_pages_and_subifds_at_once_and_say_what_they_are(path):
    written(stars(4, 60, 700, 500), path, 700, 500)
    with tifffile.TiffFile(path) as tiff:
        first, *others = pages = list(tiff.pages)
        assert [page.offset for page in others] == list(first.subifds)
        assert len(tiff.series) == 1
        assert [level.shape for level in tiff.series[0].levels] == [page.shape for page in pages]
        assert [page.subfiletype for page in pages] == [0] + [1] * len(others)
        for number, page in enumerate(pages):
            assert page.tile == (64, 64)
            assert page.compression == tifffile.COMPRESSION.ADOBE_DEFLATE
            assert page.photometric == tifffile.PHOTOMETRIC.MINISBLACK
            assert page.tags["ResolutionUnit"].value == tifffile.RESUNIT.CENTIMETER
            assert page.get_resolution("MICROMETER") == pytest.approx([1 / (MPP * 2**number)] * 2, rel=1e-5)


def test_bio_formats_is_told_what_it_needs_for_a_pyramid(path):
    written(NONE, path, 700, 500)
    root = xml.fromstring(tifffile.TiffFile(path).ome_metadata)
    (pixels,) = root.iter("{http://www.openmicroscopy.org/Schemas/OME/2016-06}Pixels")
    told = pixels.attrib
    assert (told["SizeX"], told["SizeY"], told["SizeC"], told["Type"]) == ("700", "500", "1", "uint8")
    assert (float(told["PhysicalSizeX"]), float(told["PhysicalSizeY"])) == (MPP, MPP)


def test_empty_tiles_are_encoded_once_per_level(path, monkeypatch):
    encoded, original = [], mask._deflate
    monkeypatch.setattr(mask, "_deflate", lambda inside: encoded.append(inside.any()) or original(inside))
    levels = written(shapely.box([70, 1000], [70, 900], [90, 1010], [90, 910]), path, 2000, 2000)
    assert len(levels) == 6
    assert encoded.count(False) == len(levels)
    assert encoded.count(True) <= 2 * len(levels)


def test_the_same_nuclei_make_the_same_file(path):
    polygons = stars(6, 40, 300, 200)
    written(polygons, path, 300, 200)
    first = path.read_bytes()
    written(polygons, path, 300, 200)
    assert path.read_bytes() == first


@pytest.mark.parametrize("tile_px", [100, 0])
def test_tiles_that_tiff_cannot_have_are_refused_and_nothing_is_left(tile_px, path):
    with pytest.raises(ValueError):
        write_mask(NONE, path, width=300, height=200, mpp=MPP, tile_px=tile_px)
    assert list(path.parent.iterdir()) == []


def test_a_mask_written_in_part_does_not_replace_the_old_one(path, monkeypatch):
    path.write_text("the old one")

    def fails(_):
        raise MemoryError

    monkeypatch.setattr(mask, "_deflate", fails)
    with pytest.raises(MemoryError):
        write_mask(NONE, path, width=300, height=200, mpp=MPP)
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert path.read_text() == "the old one"


def test_memory_does_not_grow_with_the_slide_and_imagecodecs_is_not_needed(repo, path):
    code = """
import resource, sys
sys.modules["imagecodecs"] = None
import numpy as np, shapely
from clusterfirst.export.mask import write_mask

def peak_mb(edge):
    x, y = np.random.default_rng(0).uniform(0, edge, (2, 500))
    write_mask(shapely.box(x, y, x + 40, y + 40), sys.argv[1], width=edge, height=edge, mpp=0.25)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

small, large = peak_mb(3_000), peak_mb(60_000)
print(large - small)
"""
    environment = os.environ | {"PYTHONPATH": str(repo / "workflow" / "scripts")}
    command = [sys.executable, "-c", code, str(path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    # The slide itself would be 3,600 MB.
    assert float(done.stdout) < 60
    with openslide.OpenSlide(path) as slide:
        assert slide.level_dimensions[0] == (60_000, 60_000)


def stained(width: int, height: int) -> np.ndarray:
    """Every pixel tells its place."""
    image = np.full((height, width, 3), 150, np.uint8)
    image[..., 0] = np.arange(width) // 8 % 60 + 150
    image[..., 2] = (np.arange(height) // 8 % 60 + 150)[:, None]
    return image


def seen(polygons: np.ndarray, folder, image: np.ndarray, **options) -> np.ndarray:
    Image.fromarray(image).save(folder / "slide.png")
    with Slide(folder / "slide.png", mpp=0.5) as slide:
        overlay(slide, np.asarray(polygons, object), folder / "overlay.png", **options)
    return np.asarray(Image.open(folder / "overlay.png"))


def test_nuclei_are_tinted_and_the_rest_is_left_as_it_is(tmp_path):
    image = stained(500, 400)
    polygons = [shapely.box(100, 40, 160, 300), shapely.box(300, 200, 420, 220), shapely.box(480, -20, 600, 30)]
    picture = seen(polygons, tmp_path, image)[:350]
    inside = plainly(polygons, 500, 400)[:350]
    np.testing.assert_array_equal(picture[~inside], image[:350][~inside])
    assert (np.abs(picture[inside] - (image[:350][inside] + TINT) / 2) <= 0.5).all()


def test_small_nuclei_tint_a_pixel_by_their_share_of_it(tmp_path):
    image = np.full((1200, 1600, 3), 200, np.uint8)
    x, y = (20.0 * part.ravel() for part in np.mgrid[0:80, 0:40])  # down to 800 of 1200
    picture = seen(shapely.box(x, y, x + 5, y + 10), tmp_path, image, longest=400)
    assert picture.shape == (300, 400, 3)
    shares = (picture[:200].astype(float) - 200)[..., 0] / (0.5 * (TINT[0] - 200))
    assert shares.mean() == pytest.approx(50 / 400, rel=0.03)
    # Of five pixels to a nucleus's twenty columns, it takes the first and a quarter of the second.
    np.testing.assert_allclose(shares[1], np.tile([1, 0.25, 0, 0, 0], 80), atol=0.01)


def test_without_nuclei_the_picture_is_the_thumbnail_with_a_scale_bar(tmp_path):
    image = stained(900, 600)
    picture = seen(NONE, tmp_path, image)
    rows, columns = np.nonzero((picture != image).any(axis=-1))
    assert rows.min() > 550
    assert columns.max() < 150
    # A sixth of the slide is 75 µm: the bar is 50 µm, or 100 pixels.
    assert max((picture[row] == 0).all(axis=-1).sum() for row in range(540, 600)) in (100, 101)


def test_the_picture_is_no_longer_than_wished_nor_than_the_slide(tmp_path):
    assert seen(NONE, tmp_path, stained(900, 600), longest=300).shape == (200, 300, 3)
    assert seen(NONE, tmp_path, stained(900, 600), longest=3000).shape == (600, 900, 3)


def test_a_slide_that_cannot_be_read_leaves_no_picture(tmp_path):
    (tmp_path / "slide.png").write_text("no slide")
    with pytest.raises(ClusterfirstError), Slide(tmp_path / "slide.png", mpp=0.5) as slide:
        overlay(slide, NONE, tmp_path / "overlay.png")
    assert not (tmp_path / "overlay.png").exists()


def test_nuclei_of_a_true_slide(cmu, tmp_path):
    with Slide(cmu) as slide:
        width, height = slide.size
        polygons = stars(9, 2000, width, height, smallest=5, largest=15)
        write_mask(polygons, tmp_path / "mask.tiff", width=width, height=height, mpp=slide.mpp)
        overlay(slide, polygons, tmp_path / "overlay.png", longest=1000)
        with Slide(tmp_path / "mask.tiff") as written_mask:
            assert written_mask.size == slide.size
            assert written_mask.mpp == pytest.approx(slide.mpp, rel=1e-5)
            small, _ = written_mask.thumbnail(longest=1000)
    picture = np.asarray(Image.open(tmp_path / "overlay.png"))
    assert picture.shape == small.shape
