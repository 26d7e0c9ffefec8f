"""TIFF files: which of their images is the slide, whether it can be shown truly, and reading it where others cannot.

OpenSlide and Pillow read the first image of a TIFF, as red, green and blue of eight bits, whatever it is. What they
would show wrongly, and can be shown rightly, is read through tifffile; the rest is refused.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np

from ..io import ClusterfirstError

if TYPE_CHECKING:
    import tifffile

_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_CONVERT = "convert it to 8 bits per channel, red, green and blue, white being 255 (QuPath, ImageJ and vips do)"

NO_ALPHA = "its transparency is 0 everywhere, which cannot be meant: it is left out"

_NOTABLE = 0.1
"""Images of the file larger than this fraction of the slide are no macro or label: they are told of."""

MOST_PIXELS = 1 << 32
"""Images without tiles are held in memory: more pixels than this, 16 GB, are refused before any is decoded."""

_MOST_TILE_PIXELS = 1 << 26
_PAGES = 50
"""So many images of a file are looked at for what OpenSlide would take for small copies of the slide."""

_LEAST_MPP, _MOST_MPP = 0.01, 10.0
"""What tags say beyond these is junk that nobody need be told of, such as 72 dpi."""

_COLOURS = ("red", "green", "blue")
_CAMERA_BITS = (8, 10, 12, 14, 15, 16)
_NEARLY_ALL = 0.999

_SAMPLES, _SAMPLE_PX, _LEAST_PX = 8, 512, 64
"""Brightness of a large image is taken from this many squares of this edge along each side."""

_UM = {
    "nm": 1e-3,
    "µm": 1.0,
    "um": 1.0,
    "micron": 1.0,
    "microns": 1.0,
    "mm": 1e3,
    "cm": 1e4,
    "m": 1e6,
    "inch": 25_400.0,
    "in": 25_400.0,
    "pm": 1e-6,
    "Å": 1e-4,
}
"""µm per unit of length, by the names that OME and ImageJ give them."""


@dataclass(frozen=True)
class Survey:
    """What a TIFF file holds.

    Attributes
    ----------
    series : int
        The image that is the slide: the largest of the file.
    plane : dict
        Which one of each axis that is neither width, height nor colour.
    white : int
        The value of a pixel that is white.
    drops_alpha : bool
        The fourth sample of a pixel is no transparency, or is 0 everywhere.
    plain : bool
        OpenSlide and Pillow read the file as it is.
    mpp : tuple of float or None
        µm per pixel along x and y, as OME-XML, ImageJ or the tags of TIFF say.
    remarks : tuple of str
        What people should know of it.
    """

    series: int
    plane: Mapping[str, int]
    white: int
    drops_alpha: bool
    plain: bool
    mpp: tuple[float, float] | None
    remarks: tuple[str, ...]


def is_tiff(path: str | os.PathLike) -> bool:
    """Whether a file begins as a TIFF does."""
    with Path(path).open("rb") as file:
        return file.read(4) in _MAGIC


def survey(path: str | os.PathLike) -> Survey | None:
    """Look at all images of a TIFF; nothing is decoded but where the range of 16 bits or transparency is in doubt.

    Returns
    -------
    Survey or None
        None if no image of the file has a width and a height.

    Raises
    ------
    ClusterfirstError
        The largest image is none that can be shown in colours.
    ValueError, OSError
        The file is damaged.
    """
    import tifffile

    with decoding(), tifffile.TiffFile(path) as file:
        return _surveyed(file, Path(path))


@contextmanager
def decoding() -> Iterator[None]:
    """Raise ValueError for whatever decoders raise at damage: a TypeError of theirs is no slip of ours."""
    try:
        yield
    except (ClusterfirstError, OSError, ValueError):
        raise
    except MemoryError as error:
        raise ValueError("it asks for more memory than there is") from error
    except Exception as error:
        raise ValueError(str(error) or type(error).__name__) from error


def _surveyed(file: tifffile.TiffFile, path: Path) -> Survey | None:
    # Pages that follow each other in a circle are an error to be counted, and without end to those who ask for more.
    len(file.pages)
    pages = [page.aspage() for page in file.pages[:_PAGES]]
    _refuse_huge(pages)
    # Of an OME-TIFF of several files, the others are slides of their own.
    images = [one for one in file.series if {"X", "Y"} <= set(one.axes) and one.keyframe.parent is file]
    if not images:
        return None
    series = max(images, key=_area)
    sizes, page = _sizes(series), series.keyframe
    _refuse_pixels(path, series)
    as_pages = _colours_are_pages(file, series, path)
    plane, of_planes = _plane(path, sizes, len(series.axes), in_colour=as_pages or sizes.get("S", 1) >= 3)
    turned = _turned(page)
    white, of_range = _white(file, series, plane) if series.dtype == np.uint16 else (255, [])
    drops_alpha, of_alpha = _alpha(series, plane)
    mpp, of_mpp = _mpp(file, series)
    remarks = [*of_planes, *_others(images, series), *turned, *of_range, *of_alpha, *of_mpp]
    elsewhere = any(plane.values()) or page.offset != pages[0].offset or _has_false_level(pages, sizes)
    # libtiff scrambles the last tiles of a row that are of grey in more than one byte.
    grey = sizes.get("S", 1) < 3 and (series.dtype == np.uint16 or sizes.get("S", 1) == 2)
    odd = as_pages or elsewhere or drops_alpha or grey or bool(turned or of_range)
    if odd and not _readable(page):
        raise ClusterfirstError(
            f"slide {path}: {'; '.join(remarks) or 'it is no plain image'}; in colours of the kind "
            f"{getattr(page.photometric, 'name', page.photometric)} that is not read: {_CONVERT}"
        )
    number = next(number for number, one in enumerate(file.series) if one is series)
    return Survey(number, plane, white, drops_alpha, not odd, mpp, tuple(remarks))


def _colours_are_pages(file: tifffile.TiffFile, series: tifffile.TiffPageSeries, path: Path) -> bool:
    """Whether red, green and blue are images of their own; an error where channels are anything else."""
    sizes, names = _sizes(series), _channel_names(file, series)
    channels, samples, page = sizes.get("C", 1), sizes.get("S", 1), series.keyframe
    if channels == len(_COLOURS) and samples == 1 and names[:channels] == list(_COLOURS):
        return True
    # Beside shades of grey, a sample that is no transparency is another channel.
    beside_grey = page.photometric in (0, 1) and samples > 1 and not (samples == 2 and _has_alpha(page))
    if channels > 1 or samples > 4 or beside_grey:
        named = f" ({', '.join(names[:8])})" if names else ""
        raise ClusterfirstError(
            f"slide {path}: the image has {max(channels, samples)} channels{named}, which are not red, green and blue. "
            "Images of many channels are not read here: give one in colours"
        )
    return False


def _turned(page: tifffile.TiffPage) -> list[str]:
    """What is to be said of a tag of orientation."""
    turn = int(getattr(page.tags.get("Orientation"), "value", 1) or 1)
    if turn in (0, 1):
        return []
    return [of_turn(turn)]


def _alpha(series: tifffile.TiffPageSeries, plane: Mapping[str, int]) -> tuple[bool, list[str]]:
    """Whether the fourth sample is to be left out, and what is to be said of that."""
    page, samples = series.keyframe, _sizes(series).get("S", 1)
    if samples not in (2, 4) or page.photometric not in (0, 1, 2, 6):
        return False, []
    if not _has_alpha(page):
        return True, []  # it has no meaning
    shown = any(square[..., -1].any() for square in _Level(series.levels[-1], plane).squares())
    return (False, []) if shown else (True, [NO_ALPHA])


def _has_alpha(page: tifffile.TiffPage) -> bool:
    """Whether the last sample is transparency."""
    return bool(page.extrasamples) and page.extrasamples[0] in (1, 2)


def _sizes(series: tifffile.TiffPageSeries) -> dict[str, int]:
    """Lengths by axis: X, Y, S (samples of a pixel), C (channels), Z, T and others."""
    return dict(zip(series.axes, series.shape, strict=True))


def _size(series: tifffile.TiffPageSeries) -> tuple[int, int]:
    sizes = _sizes(series)
    return sizes["X"], sizes["Y"]


def _area(series: tifffile.TiffPageSeries) -> int:
    wide, high = _size(series)
    return wide * high


def _refuse_pixels(path: Path, series: tifffile.TiffPageSeries) -> None:
    """Refuse pixels that are no shades of light, or are not there."""
    if any(part is None for part in series.pages):
        raise ClusterfirstError(
            f"slide {path}: parts of the image lie in other files, which are missing: copy them into the same folder"
        )
    kind = series.dtype
    if kind is None:
        bits = series.keyframe.bitspersample
        raise ClusterfirstError(f"slide {path}: pixels of {bits} bits are not read: {_CONVERT}")
    if kind not in (np.bool_, np.uint8, np.uint16):
        words = {"f": "floats", "i": "signed integers", "u": "integers", "c": "complex numbers"}
        name = words.get(kind.kind, str(kind))
        raise ClusterfirstError(
            f"slide {path}: its pixels are {8 * kind.itemsize}-bit {name}, which are not read: {_CONVERT}"
        )


def _plane(path: Path, sizes: Mapping[str, int], axes: int, *, in_colour: bool) -> tuple[dict[str, int], list[str]]:
    """Choose one of several planes: the middle one of a focal stack, else the first."""
    plane, remarks = {}, []
    if len(sizes) < axes:
        raise ClusterfirstError(f"slide {path}: it holds planes along several axes without names: save one by itself")
    for axis, count in sizes.items():
        if axis in "XYSC":
            continue
        # Pages of which nothing is said are most often a focal stack, if each has colours of its own.
        known = axis in "ZT" or in_colour
        if count > 1 and not known:
            raise ClusterfirstError(
                f"slide {path}: it holds {count} pages in shades of grey, and does not say whether they are colours, "
                f"focal planes or channels. If they are red, green and blue, {_CONVERT}; if not, save one by itself"
            )
        plane[axis] = 0 if axis == "T" else count // 2
        if count > 1:
            what = {"Z": "focal planes", "T": "points in time"}.get(axis, "planes of the same size")
            remarks.append(
                f"it holds {count} {what}: number {plane[axis] + 1} is read; for another, save that one by itself"
            )
    return plane, remarks


def _others(images: list, main: Any) -> list[str]:
    """Tell of further images that are too large for a macro or a label, and no smaller copy of the slide."""
    sizes = _sizes(main)
    further = []
    for wide, high in (_size(other) for other in images if other is not main):
        if not _is_copy((wide, high), sizes) and wide * high >= _NOTABLE * sizes["X"] * sizes["Y"]:
            further.append(f"{wide} × {high} px")
    if not further:
        return []
    return [
        f"it holds further images ({', '.join(further[:5])}), which are not read; {sizes['X']} × {sizes['Y']} px is. "
        "If they are scenes of the slide, save each as a file of its own"
    ]


def _is_copy(size: tuple[int, int], of: Mapping[str, int]) -> bool:
    """Whether an image has the shape of the slide, and is smaller by a whole number of times."""
    wide, high = size
    times = of["X"] / wide
    whole = round(times) >= 2 and abs(times - round(times)) <= max(times / wide, 0.03)
    return whole and abs(high - of["Y"] / times) <= max(1, 0.02 * high)


def _refuse_huge(pages: Sequence[tifffile.TiffPage]) -> None:
    """Refuse what nobody writes, before libraries that end the process for want of memory see it."""
    for page in pages:
        edges = (page.tilewidth, page.tilelength) if page.is_tiled else (page.imagewidth, page.imagelength)
        most = _MOST_TILE_PIXELS if page.is_tiled else MOST_PIXELS
        if not all(isinstance(edge, int) and edge > 0 for edge in edges) or math.prod(edges) > most:
            what = "tiles" if page.is_tiled else "an image without tiles"
            raise ValueError(f"{what} of {edges[0]} × {edges[1]} px, where at most {most:,} px are read")


def _has_false_level(pages: Sequence[tifffile.TiffPage], sizes: Mapping[str, int]) -> bool:
    """Whether a picture of something else, such as the label, is said to be a small copy: OpenSlide believes that."""
    return any(page.is_reduced and not _is_copy((page.imagewidth, page.imagelength), sizes) for page in pages[1:])


def _readable(page: tifffile.TiffPage) -> bool:
    """Whether tifffile gives colours as they are: grey, RGB, or JPEG's, which it converts."""
    return page.photometric in (0, 1, 2) or (page.photometric == 6 and page.compression in (6, 7))


def _channel_names(file: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> list[str]:
    if series.kind == "ome":
        pixels = _ome_pixels(file, series)
        named = [] if pixels is None else [one.get("Name") for one in pixels if _tag(one) == "Channel"]
        return [name.strip().lower() for name in named if name]
    labels = (file.imagej_metadata or {}).get("Labels", []) if series.kind == "imagej" else []
    return [str(label).strip().lower() for label in labels]


def _tag(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _ome_pixels(file: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> ElementTree.Element | None:
    """What OME-XML says of the pixels of an image: of the first one of that size."""
    wanted = tuple(map(str, _size(series)))
    with suppress(ElementTree.ParseError):
        for element in ElementTree.fromstring(file.ome_metadata or "<none/>").iter():
            if _tag(element) == "Pixels" and (element.get("SizeX"), element.get("SizeY")) == wanted:
                return element
    return None


def _mpp(file: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> tuple[tuple[float, float] | None, list[str]]:
    """µm per pixel along x and y, from where writers put it, and what is to be said of it; None where nobody did."""
    of_ome, of_tags = _mpp_of_ome(file, series), _mpp_of_tags(file, series)
    if of_ome and of_tags and not 0.9 < of_ome[0] / of_tags[0] < 1.1 and _LEAST_MPP < of_tags[0] < _MOST_MPP:
        return of_ome, [f"its OME-XML says {of_ome[0]:.4g} µm/px, its tags {of_tags[0]:.4g}: the first counts"]
    return of_ome or of_tags, []


def _mpp_of_ome(file: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> tuple[float, float] | None:
    pixels = _ome_pixels(file, series) if series.kind == "ome" else None
    if pixels is None:
        return None
    found = []
    for axis in "XY":
        with suppress(ValueError, KeyError):
            unit = pixels.get(f"PhysicalSize{axis}Unit", "µm")
            found.append(float(pixels.get(f"PhysicalSize{axis}", 0)) * _UM[_with_micro_sign(unit)])
    lengths = [length for length in found if length > 0]
    # Where one is missing, pixels are square.
    return (lengths[0], lengths[-1]) if lengths else None


def _mpp_of_tags(file: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> tuple[float, float] | None:
    page = series.keyframe
    with suppress(ValueError, TypeError, ZeroDivisionError, KeyError):
        per_unit = [page.tags[f"{axis}Resolution"].value for axis in "XY"]
        pixels_per_unit = [number / of for number, of in per_unit]
        unit = int(getattr(page.tags.get("ResolutionUnit"), "value", 2))
        named = _with_micro_sign(str((file.imagej_metadata or {}).get("unit", ""))).lower()
        um = _UM[named] if named else {2: _UM["inch"], 3: _UM["cm"]}[unit]
        return um / pixels_per_unit[0], um / pixels_per_unit[1]
    return None


def _with_micro_sign(unit: str) -> str:
    """Writers have a Greek letter, or ImageJ's escape, for it."""
    return unit.replace("\\u00B5", "\u00b5").replace("\u03bc", "\u00b5")


def _white(file: tifffile.TiffFile, series: tifffile.TiffPageSeries, plane: Mapping[str, int]) -> tuple[int, list[str]]:
    """The value of white in pixels of 16 bits, of which cameras use ten to sixteen, and what is to be said of it."""
    counts = _below(series, plane)
    if not counts[-1]:
        raise ValueError("none of its pixels can be decoded")
    seen = range_of(counts)
    white, why = _known_white(file, series) or (seen, f"nearly all of its pixels are below {seen + 1:,}")
    # Where a tag is contradicted by what is there, that counts.
    if (seen + 1) // 2 > white:
        white, why = seen, f"its pixels exceed {white:,}, which its tags say"
    return white, [] if white == 65535 else [of_white(white, why)]


def _known_white(file: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> tuple[int, str] | None:
    """The value of white and how it is known, if the file says so."""
    pixels = _ome_pixels(file, series) if series.kind == "ome" else None
    tag, bits = series.keyframe.tags.get("MaxSampleValue"), series.keyframe.bitspersample
    with suppress(ValueError, TypeError):
        if pixels is not None and 8 <= int(pixels.get("SignificantBits", 16)) < 16:
            return (1 << int(pixels.get("SignificantBits"))) - 1, "SignificantBits of its OME-XML"
        if tag is not None and 0 < (most := int(np.max(tag.value))) < 65535:
            return most, f"its tag MaxSampleValue is {most:,}"
    return ((1 << bits) - 1, "it has so many bits") if 8 <= bits < 16 else None


def range_of(counts: np.ndarray) -> int:
    """Return the largest number of the fewest bits of a camera that hold nearly all values; see `held`."""
    return (1 << _CAMERA_BITS[int(np.argmax(counts >= _NEARLY_ALL * counts[-1]))]) - 1


def held(values: np.ndarray) -> np.ndarray:
    """Count, for each number of bits that cameras use, the values that it holds: a pixel may be hot, or marked."""
    return np.array([np.count_nonzero(values < 1 << bits) for bits in _CAMERA_BITS])


def of_turn(turn: int) -> str:
    """Say that a tag of orientation is not heeded."""
    return f"its tag of orientation ({turn}) is not heeded: it is shown as it is stored, as in QuPath"


def of_white(white: int, why: str) -> str:
    """Say which value is shown as white."""
    return f"its white is {white:,} of 65,535 ({why}): colours are scaled to that"


def scaled(stored: np.ndarray, white: int) -> np.ndarray:
    """Return uint8 of values of which `white` is the brightest."""
    return ((np.minimum(stored, white).astype(np.uint32) * 255 + white // 2) // white).astype(np.uint8)


def _below(series: tifffile.TiffPageSeries, plane: Mapping[str, int]) -> np.ndarray:
    """See `held`, of the colours at full resolution: means of a small copy are darker than what is white."""
    samples = _sizes(series).get("S", 1)
    colours = samples - (samples in (2, 4))
    level = _Level(series.levels[0], plane)
    return sum((held(square[..., :colours]) for square in level.squares()), np.zeros(len(_CAMERA_BITS), int))


class _Level:
    """One level of an image, of which rectangles are read."""

    def __init__(self, series: tifffile.TiffPageSeries, plane: Mapping[str, int]):
        import zarr

        self.width, self.height = _size(series)
        if not self.width or not self.height:
            raise ValueError("an image of no pixels")
        self._axes = [axis for axis in series.axes if axis not in plane]
        self._pixels, self._order = zarr.open_array(series.aszarr(level=0), mode="r"), list(series.axes)
        self._plane = dict(plane)
        if not series.keyframe.is_tiled:
            # Every read would decode whole strips, often the whole image.
            self._pixels = self._pixels[tuple(plane.get(axis, slice(None)) for axis in self._order)]
            self._order, self._plane = self._axes, {}

    def read(self, left: int, top: int, right: int, bottom: int) -> np.ndarray:
        """H × W × channels, as stored."""
        at = {"X": slice(left, right), "Y": slice(top, bottom), "S": slice(None), "C": slice(None), **self._plane}
        got = np.asarray(self._pixels[tuple(at[axis] for axis in self._order)])
        rest = [axis for axis in self._axes if axis not in "YX"]
        got = got.transpose([self._axes.index(axis) for axis in ("Y", "X", *rest)])
        return got.reshape(*got.shape[:2], -1)

    def squares(self) -> Iterator[np.ndarray]:
        """The whole level if it is small, else squares spread over it, as far as they can be decoded."""
        steps = [max(1, min(_SAMPLES, length // _SAMPLE_PX)) for length in (self.width, self.height)]
        whole = self.width * self.height <= (_SAMPLES * _SAMPLE_PX) ** 2
        edge = _SAMPLE_PX
        lefts, tops = (
            range(0, length, edge) if whole else np.linspace(0, length - edge, count).astype(int)
            for length, count in zip((self.width, self.height), steps, strict=True)
        )
        for top in tops:
            for left in lefts:
                yield from self._decodable(left, top, min(left + edge, self.width), min(top + edge, self.height))

    def _decodable(self, left: int, top: int, right: int, bottom: int) -> Iterator[np.ndarray]:
        """What can be read of a square: around damage, smaller ones."""
        try:
            with decoding():
                square = self.read(left, top, right, bottom)
        except (ValueError, OSError):
            x, y = (left + right) // 2, (top + bottom) // 2
            if max(right - left, bottom - top) > _LEAST_PX:
                for box in ((left, top, x, y), (x, top, right, y), (left, y, x, bottom), (x, y, right, bottom)):
                    yield from self._decodable(*box)
            return
        yield square


class TiffImage:
    """An image of a TIFF, as OpenSlide would show it. Safe to read from several threads, one after the other.

    An image without tiles is held in memory whole.
    """

    def __init__(self, path: str | os.PathLike, found: Survey):
        import tifffile

        self._file = tifffile.TiffFile(path)
        try:
            self._found = found
            with decoding():
                series = self._file.series[found.series]
                self._inverted = series.keyframe.photometric == 0
                self._times = 255 // ((1 << series.keyframe.bitspersample) - 1) if series.dtype == np.uint8 else 1
                self._premultiplied = tuple(series.keyframe.extrasamples)[:1] == (1,)
                self._levels = [_Level(level, found.plane) for level in series.levels]
        except BaseException:
            self._file.close()
            raise
        self._reading = threading.Lock()
        self.dimensions = self._levels[0].width, self._levels[0].height
        self.level_downsamples = tuple(self._levels[0].width / level.width for level in self._levels)
        mpp = dict(zip(("openslide.mpp-x", "openslide.mpp-y"), map(str, found.mpp or ()), strict=False))
        self.properties = {"openslide.vendor": "tiff", **mpp}

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def read_region(self, location: tuple[int, int], level: int, size: tuple[int, int]) -> np.ndarray:
        """Read a rectangle as H × W × 4 uint8; what lies outside is white. See `openslide.OpenSlide.read_region`."""
        of = self._levels[level]
        left, top = (round(edge / self.level_downsamples[level]) for edge in location)
        wide, high = size
        out = np.full((high, wide, 4), 255, np.uint8)
        x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + wide, of.width), min(top + high, of.height)
        if x1 > x0 and y1 > y0:
            with self._reading, decoding():
                stored = of.read(x0, y0, x1, y1)
            out[y0 - top : y1 - top, x0 - left : x1 - left] = self._shown(stored)
        return out

    def _shown(self, stored: np.ndarray) -> np.ndarray:
        """H × W × 4 uint8 of pixels as stored."""
        if stored.dtype == bool:
            stored = stored.astype(np.uint8) * 255
        if stored.dtype == np.uint16:
            stored = scaled(stored, self._found.white)
        stored = stored * np.uint8(self._times)
        alpha = np.full((*stored.shape[:2], 1), 255, np.uint8)
        if stored.shape[2] in (2, 4):
            stored, given = stored[..., :-1], stored[..., -1:]
            alpha = alpha if self._found.drops_alpha else given
        if self._premultiplied and not self._found.drops_alpha:
            stored = np.minimum(255, stored.astype(np.uint16) * 255 // np.maximum(alpha, 1)).astype(np.uint8)
        if self._inverted:
            stored = 255 - stored
        colours = stored if stored.shape[2] == 3 else np.repeat(stored, 3, axis=2)
        return np.concatenate([colours, alpha], axis=2)
