"""Files that other programs show wrongly: each is shown rightly, or refused with what to do."""

import contextlib
import logging
import re
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.ndimage import gaussian_filter

from clusterfirst.io import ClusterfirstError
from clusterfirst.slide import container, tiff
from clusterfirst.slide.facts import SlideFacts
from clusterfirst.slide.slide import Slide, UnreadableError

EDGE = 192
TILED = {"tile": (64, 64), "compression": "deflate"}
UM = {"resolution": (20_000, 20_000), "resolutionunit": "CENTIMETER"}


def _tissue(seed: int = 0, *, edge: int = EDGE) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(edge, edge, 3))
    return np.clip(150 + 400 * gaussian_filter(noise, (4, 4, 0)), 1, 254).astype(np.uint8)


TISSUE = _tissue()
WIDE = TISSUE.astype(np.uint32)


def pages(path: Path, *images: tuple[np.ndarray, dict]) -> None:
    with tifffile.TiffWriter(path, ome=path.name.endswith(".ome.tif")) as file:
        for image, how in images:
            file.write(image, **{"photometric": "rgb", **UM, **how})


def macro_first(path):
    pages(path, (TISSUE[::4, ::4], TILED | {"resolution": (5_000, 5_000)}), (TISSUE, TILED))


def larger_below(path):
    how = {**TILED, **UM, "photometric": "rgb", "metadata": None}
    with tifffile.TiffWriter(path) as file:
        file.write(TISSUE[::4, ::4], subifds=1, **how)
        file.write(TISSUE, **how)


def label_said_to_be_a_small_copy(path):
    label = np.full((32, 64, 3), 30, np.uint8)
    pages(path, (TISSUE, TILED), (label, TILED | {"subfiletype": 1}))


def pyramid_of_a_camera(path):
    image = ((WIDE * 16383 + 127) // 255).astype(np.uint16)
    image[0, 0] = 16383
    halved = (image[::2, ::2].astype(np.uint32) + image[1::2, ::2] + image[::2, 1::2] + image[1::2, 1::2]) // 4
    how = TILED | UM | {"photometric": "rgb"}
    with tifffile.TiffWriter(path, ome=True) as file:
        file.write(image, subifds=1, **how)
        file.write(halved.astype(np.uint16), subfiletype=1, **how)


def focal_planes(path):
    unsharp = gaussian_filter(TISSUE, (8, 8, 0))
    pages(path, *((image, TILED | {"metadata": None}) for image in (unsharp, TISSUE, unsharp)))


def colours_in_pages(path):
    named = {"axes": "CYX", "Channel": {"Name": ["Red", "Green", "Blue"]}}
    pages(path, (np.moveaxis(TISSUE, -1, 0), TILED | {"photometric": "minisblack", "metadata": named}))


def orientation(number: int, how: dict):
    def write(path):
        pages(path, (TISSUE, how | {"extratags": [(274, "H", 1, number, True)]}))

    return write


def camera(bits: int, how: dict):
    def write(path):
        image = ((WIDE * ((1 << bits) - 1) + 127) // 255).astype(np.uint16)
        image[0, 0] = (1 << bits) - 1
        pages(path, (image, how))

    return write


def camera_with_transparency(path):
    image = np.dstack([WIDE * 16, np.full((EDGE, EDGE), 65535)]).astype(np.uint16)
    pages(path, (image, TILED | {"extrasamples": ["unassalpha"]}))


def a_hot_pixel(path):
    image = (WIDE * 16).astype(np.uint16)
    image[0, 0] = 65535
    pages(path, (image, TILED))


def maximum_in_a_tag(path):
    pages(path, ((WIDE * 16).astype(np.uint16), TILED | {"extratags": [(281, "H", 3, (4080,) * 3, True)]}))


def camera_png(path):
    import cv2

    cv2.imwrite(str(path), (WIDE * 64).astype(np.uint16)[..., ::-1])


def unspecified_fourth(how: dict):
    def write(path):
        four = np.dstack([TISSUE, np.zeros((EDGE, EDGE), np.uint8)])
        pages(path, (four, how | {"extrasamples": ["unspecified"]}))

    return write


def all_transparent(path):
    four = np.dstack([TISSUE, np.zeros((EDGE, EDGE), np.uint8)])
    pages(path, (four, TILED | {"extrasamples": ["unassalpha"]}))


def all_transparent_png(path):
    Image.fromarray(np.dstack([TISSUE, np.zeros((EDGE, EDGE), np.uint8)])).save(path)


STRIPS = {"rowsperstrip": 32}
SHOWN = {
    "the macro stands first": ("a.ome.tif", macro_first, ""),
    "the slide is a SubIFD": ("a.tif", larger_below, ""),
    "a label is flagged as a level": ("a.tif", label_said_to_be_a_small_copy, ""),
    "focal planes": ("a.tif", focal_planes, "3 planes of the same size: number 2 is read"),
    "red, green and blue in pages": ("a.ome.tif", colours_in_pages, ""),
    "orientation 6, tiles": ("a.tif", orientation(6, TILED), r"orientation \(6\) is not heeded"),
    "orientation 3, strips": ("a.tif", orientation(3, STRIPS), r"orientation \(3\) is not heeded"),
    "14 bits, tiles": ("a.tif", camera(14, TILED), r"white is 16,383 of 65,535"),
    "14 bits, a pyramid": ("a.ome.tif", pyramid_of_a_camera, r"white is 16,383 of 65,535"),
    "12 bits, strips": ("a.tif", camera(12, STRIPS), r"white is 4,095 of 65,535"),
    "12 bits with transparency": ("a.tif", camera_with_transparency, r"white is 4,095 of 65,535"),
    "12 bits and a hot pixel": ("a.tif", a_hot_pixel, r"white is 4,095 of 65,535"),
    "12 bits by a tag": ("a.tif", maximum_in_a_tag, r"MaxSampleValue is 4,080"),
    "14 bits, PNG": ("a.png", camera_png, r"white is 16,383 of 65,535"),
    "RGBX, tiles": ("a.tif", unspecified_fourth(TILED), ""),
    "RGBX, strips": ("a.tif", unspecified_fourth(STRIPS), ""),
    "transparent all over": ("a.tif", all_transparent, "transparency is 0 everywhere"),
    "transparent all over, PNG": ("a.png", all_transparent_png, "transparency is 0 everywhere"),
}


@pytest.mark.parametrize("case", SHOWN)
def test_an_odd_file_is_shown_as_it_is_meant(tmp_path, case):
    name, write, remark = SHOWN[case]
    write(tmp_path / name)
    with Slide(tmp_path / name, mpp=None if name.endswith("tif") else 0.5) as slide:
        assert slide.size == (EDGE, EDGE)
        assert slide.mpp == pytest.approx(0.5)
        shown = slide.read(0, 0, EDGE, EDGE).astype(int)
        part = slide.read(50, 30, 40, 20)
        small, _ = slide.thumbnail(longest=EDGE // 4)
    # Cameras' values were rounded; the first pixel of theirs is white.
    assert np.abs(shown - TISSUE)[1:].max() <= 1
    np.testing.assert_array_equal(part, shown[30:50, 50:90])
    assert np.abs(small - TISSUE.reshape(EDGE // 4, 4, EDGE // 4, 4, 3).mean((1, 3)))[1:].max() <= 2
    said = "; ".join(slide.facts.remarks)
    assert re.search(remark, said) if remark else not said


GREY = TISSUE[..., 0]
GREYS = {
    "16 bits, tiles": ("a.tif", {**TILED, "photometric": "minisblack"}, GREY.astype(np.uint16) * 257),
    "16 bits, strips": ("a.tif", {**STRIPS, "photometric": "minisblack"}, GREY.astype(np.uint16) * 257),
    "inverted and turned": (
        "a.tif",
        {**TILED, "photometric": "miniswhite", "extratags": [(274, "H", 1, 6, True)]},
        255 - GREY,
    ),
    "transparent all over": (
        "a.tif",
        {**TILED, "photometric": "minisblack", "planarconfig": "contig", "extrasamples": ["unassalpha"]},
        np.dstack([GREY, 0 * GREY]),
    ),
    "16 bits, PNG": ("a.png", None, GREY.astype(np.uint16) * 257),
}


@pytest.mark.parametrize("case", GREYS)
def test_shades_of_grey_are_shown_as_they_are(tmp_path, case):
    name, how, image = GREYS[case]
    # Tiles that the width is no multiple of.
    image = image[:150, :150]
    if how is None:
        Image.fromarray(image).save(tmp_path / name)
    else:
        pages(tmp_path / name, (image, how))
    with Slide(tmp_path / name, mpp=0.5) as slide:
        shown = slide.read(0, 0, 150, 150)
    np.testing.assert_array_equal(shown, np.repeat(GREY[:150, :150, None], 3, axis=2))


def test_one_damaged_tile_costs_itself_where_bits_must_be_counted(tmp_path, monkeypatch):
    looks = []
    monkeypatch.setattr(container, "survey", lambda path: looks.append(path) or tiff.survey(path))
    path = tmp_path / "a.tif"
    pages(path, ((WIDE * 64).astype(np.uint16), TILED))
    with tifffile.TiffFile(path) as file:
        at, length = file.pages[0].dataoffsets[0], file.pages[0].databytecounts[0]
    content = bytearray(path.read_bytes())
    content[at : at + length] = b"\xff" * length
    path.write_bytes(content)
    with Slide(path) as slide:
        with pytest.raises(UnreadableError):
            slide.read(0, 0, 64, 64)
        assert np.abs(slide.read(64, 0, 128, 64).astype(int) - TISSUE[:64, 64:]).max() <= 1
    assert len(looks) == 1  # not again with each attempt at damage


def test_exif_orientation_of_a_plain_image_is_told_of(tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(TISSUE).save(tmp_path / "a.jpg", exif=exif)
    with Slide(tmp_path / "a.jpg", mpp=0.5) as slide:
        assert "orientation (6) is not heeded" in slide.facts.remarks[0]


def channels(count: int, **how):
    def write(path):
        image = np.stack([TISSUE[..., 0]] * count)
        pages(path, (image, TILED | {"photometric": "minisblack", "metadata": {"axes": "CYX"}, **how}))

    return write


def grey_pages(path):
    pages(path, *((TISSUE[..., 0], TILED | {"photometric": "minisblack", "metadata": None}) for _ in range(3)))


def of_type(kind, how: dict):
    def write(path):
        pages(path, (TISSUE.astype(kind), how))

    return write


def five_samples(path):
    image = np.dstack([TISSUE, TISSUE[..., :2]])
    pages(path, (image, TILED | {"extrasamples": ["unspecified"] * 2}))


def channels_beside_grey(path):
    image = np.dstack([TISSUE, TISSUE[..., :1]])
    how = {"photometric": "minisblack", "planarconfig": "contig", "extrasamples": [0, 0, 0], "metadata": None}
    pages(path, (image, TILED | how))


def axes_without_names(path):
    pages(path, (np.stack([[TISSUE] * 3] * 2), TILED))


def mirax_alone(path):
    Image.fromarray(TISSUE).save(path, "JPEG")


def nothing_but_pixels(path):
    Image.fromarray(TISSUE).save(path, "TIFF")


REFUSED = {
    "floats, tiles": ("a.tif", of_type(np.float32, TILED), "32-bit floats, which are not read: convert it to 8 bits"),
    "floats, strips": ("a.tif", of_type(np.float32, STRIPS), "32-bit floats"),
    "signed": ("a.tif", of_type(np.int16, TILED), "16-bit signed integers"),
    "32 bits": ("a.tif", of_type(np.uint32, TILED), "32-bit integers"),
    "four channels": ("a.ome.tif", channels(4), "has 4 channels.*not red, green and blue"),
    "three other channels": ("a.ome.tif", channels(3), "has 3 channels"),
    "pages of grey": ("a.tif", grey_pages, "3 pages in shades of grey"),
    "five samples": ("a.tif", five_samples, "has 5 channels"),
    "channels beside grey": ("a.tif", channels_beside_grey, "has 4 channels"),
    "axes without names": ("a.tif", axes_without_names, "several axes without names"),
    "MIRAX without its folder": ("Case1.mrxs", mirax_alone, r"folder Case1/ beside it, which is missing"),
    "VSI": ("a.vsi", nothing_but_pixels, r"folder _a_/ beside it"),
    "Hamamatsu without its files": ("a.vms", mirax_alone, "files beside it, which are missing"),
    "CZI that is none": ("a.czi", mirax_alone, "convert it to OME-TIFF"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_shown_rightly_is_refused_with_what_to_do(tmp_path, case):
    name, write, message = REFUSED[case]
    write(tmp_path / name)
    with pytest.raises(ClusterfirstError, match=message):
        Slide(tmp_path / name, mpp=0.5)


def test_a_large_second_image_is_told_of(tmp_path):
    pages(tmp_path / "a.tif", (TISSUE, TILED), (TISSUE[:100, :150], TILED))
    with Slide(tmp_path / "a.tif") as slide:
        assert "further images (150 × 100 px), which are not read" in slide.facts.remarks[0]


RESOLUTIONS = {
    "OME-XML in nm": (
        "a.ome.tif",
        {
            "metadata": {"PhysicalSizeX": 500, "PhysicalSizeXUnit": "nm"}
            | {"PhysicalSizeY": 500, "PhysicalSizeYUnit": "nm"},
            "resolution": None,
            "resolutionunit": None,
        },
    ),
    "OME-XML with one of both": (
        "a.ome.tif",
        {"metadata": {"PhysicalSizeX": 0.5}, "resolution": (10_000, 10_000)},
    ),
    "tags of strips, inch": ("a.tif", {"resolution": (50_800, 50_800), "resolutionunit": "INCH"}),
    "tags of tiles, cm": ("a.tif", TILED),
}


@pytest.mark.parametrize("case", RESOLUTIONS)
def test_um_per_pixel_are_read_where_writers_put_them(tmp_path, case):
    name, how = RESOLUTIONS[case]
    pages(tmp_path / name, (TISSUE, how))
    with Slide(tmp_path / name) as slide:
        assert (slide.mpp, slide.facts.mpp_source) == (pytest.approx(0.5), "file")


def test_um_per_pixel_of_imagej_are_read(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", TISSUE, imagej=True, resolution=(2, 2), metadata={"unit": "um"})
    with Slide(tmp_path / "a.tif") as slide:
        assert slide.mpp == pytest.approx(0.5)


def test_a_sheet_that_contradicts_the_file_wins_and_both_numbers_are_said(tmp_path):
    pages(tmp_path / "a.tif", (TISSUE, TILED))
    with Slide(tmp_path / "a.tif", mpp=0.25) as slide:
        assert slide.mpp == 0.25
        assert slide.facts.remarks == ("0.25 µm/px are used, but the file says 0.5: areas differ 4 times",)
    with Slide(tmp_path / "a.tif", mpp=0.51) as slide:
        assert slide.facts.remarks == ()


def test_facts_say_only_what_there_is_to_say(cmu):
    with Slide(cmu) as slide:
        assert set(slide.facts.document()) == {*("path", "width", "height", "mpp", "mpp_source", "objective", "vendor")}
    with Slide(cmu, mpp=0.25) as slide:
        again = SlideFacts.told({"slide": slide.facts.document()}, "table")
    assert again == slide.facts
    assert "the file says 0.499" in again.remarks[0]


@pytest.fixture(scope="module")
def valid(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("valid")
    writers = {
        **{name: write for name, write, _ in SHOWN.values()},
        "plain.tif": lambda path: pages(path, (TISSUE, TILED)),
        "strips.tif": lambda path: pages(path, (TISSUE, STRIPS)),
        "a.jpg": lambda path: Image.fromarray(TISSUE).save(path),
        "plain.png": lambda path: Image.fromarray(TISSUE).save(path),
    }
    for name, write in writers.items():
        write(folder / name)
    return folder


@pytest.mark.filterwarnings("ignore:::PIL")
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_is_an_error_of_ours_or_a_picture(tmp_path, valid, data, caplog):
    caplog.set_level(logging.CRITICAL)
    name = data.draw(st.sampled_from(sorted(path.name for path in valid.iterdir())))
    content = (valid / name).read_bytes()
    damaged = bytearray(content)
    # Where the structure lies: at the beginning, and in TIFF also at the end.
    places = st.one_of(st.integers(0, min(400, len(content) - 1)), st.integers(0, len(content) - 1))
    for place, value in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=6)):
        damaged[place] = value
    damaged = damaged[: data.draw(st.one_of(st.just(len(damaged)), st.integers(0, len(damaged))))]
    path = tmp_path / name
    path.write_bytes(damaged)
    with contextlib.suppress(ClusterfirstError), Slide(path, mpp=0.5) as slide:
        wide, high = slide.size
        if wide * high <= 1_000_000:
            assert slide.read(0, 0, wide, high).shape == (high, wide, 3)
        else:
            slide.read(0, 0, 100, 100)
