"""What kind of file a slide is, and what reads it truly; nothing is taken for a slide that is a picture of one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..io import ClusterfirstError
from .tiff import (
    MOST_PIXELS,
    NO_ALPHA,
    TiffImage,
    decoding,
    held,
    is_tiff,
    of_turn,
    of_white,
    range_of,
    scaled,
    survey,
)

if TYPE_CHECKING:
    from PIL import Image

_MIRAX, _VSI, _HAMAMATSU = (
    "the pictures lie in the folder {stem}/ beside it, which is missing or incomplete: copy it, too (and keep the "
    "ending .mrxs in small letters)",
    "the pictures lie in the folder _{stem}_/ beside it, and VSI is not read here: convert it to OME-TIFF",
    "the pictures lie in files beside it, which are missing or incomplete: copy them, too",
)
_CONVERT = "this format is not read here, or the file is incomplete: copy it again, or convert it to OME-TIFF"
_SCANNERS = {
    **dict.fromkeys((".mrxs",), _MIRAX),
    **dict.fromkeys((".vsi",), _VSI),
    **dict.fromkeys((".vms", ".vmu"), _HAMAMATSU),
    **dict.fromkeys((".dcm", ".dicom"), "it is no image of a slide by DICOM, or its series is incomplete"),
    **dict.fromkeys(
        (".czi", ".zvi", ".lif", ".nd2", ".ets", ".isyntax", ".i2syntax", ".afi", ".dzi", ".tmap"), _CONVERT
    ),
}
"""Formats of scanners that are no TIFF, and what to do where OpenSlide does not know a file: beside the pictures these
hold a small one of the whole glass, which other programs can open."""

_ORIENTATION = 274
"""Exif's number of the tag."""

_MIRAX_FILE, _DICOM_KIND = "mirax.DATAFILE.FILE_", "dicom.ImageType[3]"
"""Properties of OpenSlide: names of the files of pictures, by number; whether the largest level is itself a copy."""

_NO_FULL_SIZE = (
    "by DICOM its largest image is a smaller copy of another one: the file of full size is not in this folder, or was "
    "never made"
)


@dataclass(frozen=True)
class Opened:
    """An open file.

    Attributes
    ----------
    handle
        What reads it: ``openslide.OpenSlide``, or what behaves as that does.
    again : callable
        Gives another handle of the same file, without looking at all that the file holds.
    um_per_px : tuple of float or None
        µm per pixel along x and y that stand in it beyond what `handle` knows.
    remarks : tuple of str
        What people should know of it: of several images which is read, and the like.
    """

    handle: Any
    again: Callable[[], Any]
    um_per_px: tuple[float, float] | None = None
    remarks: tuple[str, ...] = ()


def open_container(path: str | os.PathLike) -> Opened:
    """Open a slide with what shows it truly.

    Raises
    ------
    ClusterfirstError
        The file is missing, damaged, of a kind that is not read, or holds no slide.
    """
    import openslide

    path = Path(path)
    with _opening(path):
        vendor = openslide.OpenSlide.detect_format(path)
        if vendor not in (None, "generic-tiff"):
            return _of_scanner(path)
        if advice := _advice(path):
            raise ClusterfirstError(f"slide {path} cannot be opened: {advice}")
        found = survey(path) if is_tiff(path) else None
        mpp, remarks = (found.mpp, found.remarks) if found else (None, ())
        if found and not found.plain:
            make = partial(TiffImage, path, found)
        elif vendor:
            make = partial(openslide.OpenSlide, path)
        else:
            handle, of_plain = _plain(path)
            return Opened(handle, _anew(path, lambda: _plain(path)[0]), mpp, (*remarks, *of_plain))
        return Opened(make(), _anew(path, make), mpp, remarks)


def _anew(path: Path, make: Callable[[], Any]) -> Callable[[], Any]:
    """What makes another handle, with errors that say which file it is."""

    def again() -> Any:
        with _opening(path):
            return make()

    return again


@contextmanager
def _opening(path: Path) -> Iterator[None]:
    """Say of whatever libraries raise which file it is, and what to do."""
    import openslide

    if path.is_dir():
        raise ClusterfirstError(f"slide {path} is a folder: name a file; of a series by DICOM, any one of its files")
    if not path.is_file():
        raise ClusterfirstError(f"slide {path}: no such file")
    try:
        yield
    except (openslide.OpenSlideError, OSError, SyntaxError, ValueError) as error:
        raise ClusterfirstError(
            f"slide {path} cannot be opened as a slide or an image: {error}. "
            "The file is truncated or damaged, or of a format that is not read here: copy it again, or convert it"
        ) from error


def _of_scanner(path: Path) -> Opened:
    """Open what OpenSlide knows, if its files are all there: it misses some only once they are read, others never."""
    import openslide

    make = partial(openslide.OpenSlide, path)
    try:
        handle = make()
    except openslide.OpenSlideError as error:
        if path.suffix == ".mrxs":
            raise ClusterfirstError(f"slide {path} cannot be opened ({error}): {_advice(path)}") from error
        raise
    said = handle.properties
    data = [said[f"{_MIRAX_FILE}{number}"] for number in range(int(said.get(f"{_MIRAX_FILE}COUNT", 0)))]
    if missing := [name for name in data if not (path.with_suffix("") / name).is_file()]:
        handle.close()
        raise ClusterfirstError(f"slide {path} cannot be opened (no file {', '.join(missing[:5])}): {_advice(path)}")
    copied = said.get(_DICOM_KIND) == "RESAMPLED"
    return Opened(handle, _anew(path, make), remarks=(_NO_FULL_SIZE,) if copied else ())


def _advice(path: Path) -> str | None:
    """What to do about a file by its ending, if that is a scanner's."""
    return _SCANNERS[path.suffix.lower()].format(stem=path.stem) if path.suffix.lower() in _SCANNERS else None


def _plain(path: Path) -> tuple[Any, tuple[str, ...]]:
    """Decode a plain image now: Pillow would do it at the first read, and not safely for two threads at once."""
    import openslide

    with decoding():
        image, remarks = _decoded(path)
    return openslide.ImageSlide(image), tuple(remarks)


def _decoded(path: Path) -> tuple[Image.Image, list[str]]:
    from PIL import Image

    # Slides are the user's own files and big by nature: Pillow's guard against huge images is out of place.
    Image.MAX_IMAGE_PIXELS = None
    image = Image.open(path)
    deep = image.format == "PNG" and image.tile and "16" in str(image.tile[0][3])
    if image.mode[0] in "IF" and not deep:
        raise ValueError(f"pixels of mode {image.mode} are no colours: convert the image to 8-bit RGB")
    if image.width * image.height > MOST_PIXELS:
        raise ValueError(
            f"{image.width} × {image.height} px are too many for an image that is held in memory: convert it to a "
            "pyramidal TIFF"
        )
    frames = getattr(image, "n_frames", 1)
    remarks = [f"it holds {frames} pictures: the first is read"] if frames > 1 and image.format != "TIFF" else []
    if image.format != "TIFF" and (turn := image.getexif().get(_ORIENTATION, 1)) not in (0, 1):
        remarks.append(of_turn(turn))
    if deep:
        image, said = _of_16_bits(path, image)
        remarks += said
    image.load()
    if image.mode in ("RGBA", "LA") and not np.asarray(image.getchannel("A")).any():
        remarks.append(NO_ALPHA)
        image = image.convert("RGBA")
        image.putalpha(255)
    return image if image.mode in ("RGB", "RGBA") else image.convert("RGB"), remarks


def _of_16_bits(path: Path, image: Image.Image) -> tuple[Image.Image, list[str]]:
    """Scale what a camera of fewer bits has taken; Pillow keeps the upper half of 16 bits."""
    import cv2
    from PIL import Image

    stored = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if stored is None or stored.dtype != np.uint16:
        raise ValueError("its pixels of 16 bits cannot be decoded")
    grey = stored.ndim == 2
    colours = stored if grey else stored[..., 2::-1]
    white = range_of(held(colours))
    if white == 65535 and not grey:
        return image, []
    shown = scaled(colours, white)
    if not grey and stored.shape[2] == 4:
        shown = np.dstack([shown, (stored[..., 3] >> 8).astype(np.uint8)])
    said = [] if white == 65535 else [of_white(white, f"nearly all of its pixels are below {white + 1:,}")]
    return Image.fromarray(shown), said
