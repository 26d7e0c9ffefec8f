"""Slides in scanners' formats that tests can make (SCN, MIRAX, DICOM): what is read, what is told, what is refused."""

import contextlib
import logging
import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from clusterfirst.io import ClusterfirstError
from clusterfirst.slide.slide import UNREADABLE_GREY, Slide, UnreadableError

from .. import containers

WIDE, HIGH = 384, 320
MOST, MEAN = 24, 3
"""JPEG may be off by so much, at most and on average."""


def smooth(wide: int, high: int) -> np.ndarray:
    noise = np.random.default_rng(0).normal(size=(high, wide, 3))
    return np.clip(150 + 400 * gaussian_filter(noise, (4, 4, 0)), 1, 254).astype(np.uint8)


RGB = smooth(WIDE, HIGH)


def scn(folder: Path, rgb: np.ndarray = RGB, **how) -> Path:
    return containers.scn(folder / "a.scn", rgb, 0.5, **how)


def mirax(folder: Path, rgb: np.ndarray = RGB, **how) -> Path:
    return containers.mirax(folder / "Case1.mrxs", rgb, 0.5, **how)


def dicom(folder: Path, rgb: np.ndarray = RGB, **how) -> Path:
    return containers.dicom(folder / "series", rgb, 0.5, **how)


def assert_nearly(got: np.ndarray, wanted: np.ndarray) -> None:
    off = np.abs(got.astype(int) - wanted)
    assert off.max() <= MOST
    assert off.mean() <= MEAN


BOUNDS = {"leica": (scn, (200, 148, WIDE, HIGH)), "mirax": (mirax, (108, 100, 462, 352)), "dicom": (dicom, None)}
"""By OpenSlide's name of the format: who writes it, and the scanned part. MIRAX takes whole photos."""


@pytest.mark.parametrize("vendor", BOUNDS)
def test_a_scanners_slide_is_read_as_it_is(tmp_path, vendor):
    write, bounds = BOUNDS[vendor]
    with Slide(write(tmp_path)) as slide:
        facts = slide.facts
        assert (facts.vendor, facts.bounds, facts.remarks) == (vendor, bounds, ())
        assert (facts.mpp, facts.mpp_source, facts.objective) == (pytest.approx(0.5), "file", 20)
        x, y = facts.origin
        assert_nearly(slide.read(x, y, WIDE, HIGH), RGB)
        assert_nearly(slide.read(x + 150, y + 70, 90, 40), RGB[70:110, 150:240])
        assert_nearly(slide.read(x, y, WIDE, HIGH, mpp=1.0), containers.halved(RGB))
        assert_nearly(slide.read(x, y, WIDE, HIGH, mpp=2.0), containers.halved(RGB, 2))
        if bounds:
            assert slide.size > (x + WIDE, y + HIGH)
            frame = np.ones(slide.size[::-1], bool)
            frame[y : y + HIGH, x : x + WIDE] = False
            assert slide.read(0, 0, *slide.size)[frame].min() > 255 - MOST
        else:
            assert slide.size == (WIDE, HIGH)


@pytest.mark.parametrize("origin", [(0, 0), (40, 300)])
def test_the_scanned_part_of_scn_begins_where_the_file_says(tmp_path, origin):
    with Slide(scn(tmp_path, origin=origin)) as slide:
        assert slide.facts.bounds == (*origin, WIDE, HIGH)
        assert_nearly(slide.read(*origin, WIDE, HIGH), RGB)


def test_a_photo_that_mirax_did_not_take_is_glass(tmp_path):
    with Slide(mirax(tmp_path, absent=[(1, 1)])) as slide:
        assert slide.facts.bounds == BOUNDS["mirax"][1]
        shown = slide.read(*slide.facts.origin, WIDE, HIGH)
    gap = np.s_[128:220, 128:220]  # What the photos around do not show, either.
    assert (shown[gap] == 255).all()
    assert_nearly(shown[:, :120], RGB[:, :120])
    assert_nearly(shown[240:], RGB[240:])


@pytest.mark.parametrize("name", ["Slidedat.ini", "Index.dat", "Data0000.dat", "Data0001.dat", "Data0002.dat"])
def test_mirax_without_one_of_its_files_is_refused(tmp_path, name):
    path = mirax(tmp_path)
    (tmp_path / "Case1" / name).unlink()
    named = "" if name == "Slidedat.ini" else name
    with pytest.raises(ClusterfirstError, match=rf"Case1\.mrxs cannot be opened.*{named}.*folder Case1/ beside it"):
        Slide(path)


def test_mirax_may_say_things_in_another_encoding(tmp_path):
    path = mirax(tmp_path)
    said = tmp_path / "Case1/Slidedat.ini"
    said.write_bytes(said.read_bytes().replace(b"SLIDE_VERSION = 02.01", b"SLIDE_NAME = M\xfcller\r\nGR\xd6SSE = 1"))
    with Slide(path) as slide:
        assert_nearly(slide.read(*slide.facts.origin, WIDE, HIGH), RGB)


def test_mirax_by_another_name_is_refused(tmp_path):
    path = mirax(tmp_path).rename(tmp_path / "Case1.MRXS")
    with pytest.raises(ClusterfirstError, match=r"keep the ending \.mrxs in small letters"):
        Slide(path, mpp=0.5)


def test_mirax_copied_in_part_shows_what_is_there_and_grey(tmp_path):
    path = mirax(tmp_path)
    with (tmp_path / "Case1/Data0001.dat").open("r+b") as file:
        file.truncate(0)
    with Slide(path) as slide:
        x, y = slide.facts.origin
        assert_nearly(slide.read(x, y, WIDE, 100), RGB[:100])
        with pytest.raises(UnreadableError, match=r"Case1\.mrxs cannot be read"):
            slide.read(x, y + HIGH - 50, WIDE, 50)
        assert (slide.read(x, y + HIGH - 50, WIDE, 50, patch=True) == UNREADABLE_GREY).any()


def test_dicom_is_the_same_by_whichever_of_its_files_among_other_series(tmp_path):
    path = dicom(tmp_path)
    other = containers.dicom(tmp_path / "other", 255 - RGB[:200, :300], 0.3)
    for file in other.parent.iterdir():
        shutil.copy(file, path.parent / f"other-{file.name}")
    with Slide(path) as full, Slide(path.with_name("half.dcm")) as half:
        assert full.size == half.size == (WIDE, HIGH)
        np.testing.assert_array_equal(full.read(0, 0, WIDE, HIGH), half.read(0, 0, WIDE, HIGH))
        assert full.facts.remarks == half.facts.remarks == ()


def test_dicom_without_its_smaller_copies_is_read_as_well(tmp_path):
    path = dicom(tmp_path)
    path.with_name("half.dcm").unlink()
    with Slide(path) as slide:
        assert_nearly(slide.read(0, 0, WIDE, HIGH, mpp=1.0), containers.halved(RGB))


@pytest.mark.parametrize("objective", [20, None])
def test_dicom_without_the_image_of_full_size_is_told_of(tmp_path, objective):
    path = dicom(tmp_path, objective=objective)
    path.unlink()
    with Slide(path.with_name("half.dcm")) as slide:
        assert (slide.size, slide.mpp) == ((WIDE // 2, HIGH // 2), pytest.approx(1.0))
        assert_nearly(slide.read(0, 0, WIDE // 2, HIGH // 2), containers.halved(RGB))
        assert "the file of full size is not in this folder" in slide.facts.remarks[0]
        assert ("an objective of 20x gives about 0.5" in slide.facts.remarks[-1]) == (objective == 20)


def another_kind(made):
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID = pydicom.uid.VLPhotographicImageStorage


def another_compression(made):
    made.file_meta.TransferSyntaxUID = pydicom.uid.JPEGLSLossless


def another_flavour(made):
    made.ImageType = ["DERIVED", "PRIMARY", "LABEL", "NONE"]


def focal_planes(made):
    made.TotalPixelMatrixFocalPlanes = 3


def grey_of_16_bits(made):
    made.SamplesPerPixel, made.BitsAllocated, made.PhotometricInterpretation = 1, 16, "MONOCHROME2"


OTHER_DICOM = {
    "no slide": (another_kind, "no image of a slide by DICOM"),
    "JPEG-LS": (another_compression, "Unsupported transfer syntax"),
    "a label alone": (another_flavour, "No pyramid levels found"),
    "a focal stack": (focal_planes, "TotalPixelMatrixFocalPlanes value 3"),
    "fluorescence": (grey_of_16_bits, "BitsAllocated value 16"),
}


@pytest.mark.parametrize("case", OTHER_DICOM)
def test_other_dicom_is_refused(tmp_path, case):
    change, message = OTHER_DICOM[case]
    path = dicom(tmp_path)
    path.with_name("half.dcm").unlink()
    made = pydicom.dcmread(path)
    change(made)
    made.save_as(path)
    with pytest.raises(ClusterfirstError, match=message):
        Slide(path, mpp=0.5)


def test_a_folder_is_refused_with_what_to_name(tmp_path):
    with pytest.raises(ClusterfirstError, match="series is a folder: name a file; of a series by DICOM, any one of"):
        Slide(dicom(tmp_path).parent)


SMALL = smooth(160, 136)


@pytest.fixture(scope="module")
def valid(tmp_path_factory) -> dict[str, tuple[Path, Path]]:
    """By name: a file of a slide, and the one to open."""
    folder = tmp_path_factory.mktemp("valid")
    slides = [write(folder, SMALL) for write in (scn, mirax, dicom)]
    beside = [*(folder / "Case1").iterdir(), folder / "series/half.dcm"]
    owner = {".dat": slides[1], ".ini": slides[1], ".dcm": slides[2]}
    return {file.name: (file, owner.get(file.suffix, file)) for file in (*slides, *beside)}


@contextlib.contextmanager
def replaced(file: Path, content: bytes):
    whole = file.read_bytes()
    file.write_bytes(content)
    try:
        yield
    finally:
        file.write_bytes(whole)


FUZZ = {"deadline": None, "derandomize": True, "suppress_health_check": [HealthCheck.function_scoped_fixture]}


@pytest.mark.filterwarnings("ignore:::PIL")
@settings(max_examples=150, **FUZZ)
@given(data=st.data())
def test_a_file_that_ends_early_is_an_error_of_ours_or_does_not_matter(valid, data, caplog):
    caplog.set_level(logging.CRITICAL)
    file, path = valid[data.draw(st.sampled_from(sorted(valid)))]
    content = file.read_bytes()
    length = data.draw(st.one_of(st.integers(0, len(content) - 1), st.integers(0, min(2000, len(content) - 1))))
    with replaced(file, content[:length]), contextlib.suppress(ClusterfirstError), Slide(path, mpp=0.5) as slide:
        assert_nearly(slide.read(*slide.facts.origin, *SMALL.shape[1::-1]), SMALL)


def ends_the_process(name: str, content: bytes) -> range:
    """Where OpenSlide 4.0.1 believes any number: in DICOM's table of offsets, as length of MIRAX's table of places."""
    if name.endswith(".dcm"):
        table = content.index(b"\xe0\x7f\x10\x00OB")
        return range(table, content.index(b"\xff\xd8\xff", table))
    return range(len(content) - 84, len(content) - 80) if name == "Index.dat" else range(0)


@pytest.mark.filterwarnings("ignore:::PIL")
@settings(max_examples=150, **FUZZ)
@given(data=st.data())
def test_damage_is_an_error_of_ours_or_a_picture(valid, data, caplog):
    caplog.set_level(logging.CRITICAL)
    file, path = valid[data.draw(st.sampled_from(sorted(valid)))]
    damaged = bytearray(file.read_bytes())
    spared = ends_the_process(file.name, bytes(damaged))
    # Where the structure lies: at the beginning, but for the small files of MIRAX.
    places = st.one_of(st.integers(0, min(1200, len(damaged) - 1)), st.integers(0, len(damaged) - 1))
    for place, value in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=6)):
        damaged[place] = damaged[place] if place in spared else value
    with replaced(file, damaged), contextlib.suppress(ClusterfirstError), Slide(path, mpp=0.5) as slide:
        wide, high = slide.size if np.prod(slide.size) <= 1_000_000 else (100, 100)
        assert slide.read(0, 0, wide, high).shape == (high, wide, 3)
