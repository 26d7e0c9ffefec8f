"""Slides in formats of scanners, made from pixels: Leica SCN, MIRAX, and DICOM, as OpenSlide's documentation has them.

All are compressed as JPEG, as scanners do, so that pixels come back nearly, not exactly.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import tifffile
from PIL import Image

QUALITY = 95
"""Of JPEG."""

_UUID = "00000000-0000-0000-0000-00000000000{}"


def plain(path: Path, rgb: np.ndarray, mpp: float) -> Path:
    """Write a tiled TIFF without loss."""
    per_cm = 10_000 / mpp
    tifffile.imwrite(
        path, rgb, tile=(256, 256), compression="deflate", resolution=(per_cm, per_cm), resolutionunit="CENTIMETER"
    )
    return path


def jpeg(rgb: np.ndarray, *, subsampling: int = 0) -> bytes:
    """Compress an image; `subsampling` as in Pillow, 1 halves the columns of colours."""
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, "JPEG", quality=QUALITY, subsampling=subsampling)
    return file.getvalue()


def halved(rgb: np.ndarray, times: int = 1) -> np.ndarray:
    """Shrink an image to the half, as the levels of a pyramid are made."""
    size = rgb.shape[1] >> times, rgb.shape[0] >> times
    return cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)


def scn(
    path: Path, rgb: np.ndarray, mpp: float, *, origin: tuple[int, int] = (200, 148), objective: float = 20
) -> Path:
    """Write a Leica SCN: a macro of the whole glass, and the scanned part in two levels, of which one is a quarter.

    Parameters
    ----------
    origin
        Where the scanned part begins on the glass, in pixels. Multiples of four are whole pixels of both levels.
    """
    size = rgb.shape[1::-1]
    glass = [(before + edge + 60) // 4 * 4 for before, edge in zip(origin, size, strict=True)]
    macro = np.full((glass[1] // 20, glass[0] // 20, 3), 240, np.uint8)
    levels = [rgb, halved(rgb, 2)]

    def nm(pixels: int) -> int:
        return round(pixels * mpp * 1000)

    def image(name: str, number: int, views: Sequence[np.ndarray], first: int, box: str, power: float) -> str:
        sizes = [f'sizeX="{view.shape[1]}" sizeY="{view.shape[0]}"' for view in views]
        dimensions = "".join(f'<dimension {one} r="{r}" ifd="{first + r}"/>' for r, one in enumerate(sizes))
        return (
            f'<image name="{name}" uuid="urn:uuid:{_UUID.format(number)}">'
            "<creationDate>2010-01-01T00:00:00Z</creationDate>"
            '<device model="Leica SCN400;Leica SCN" version="1.4"/>'
            f'<pixels {sizes[0]}>{dimensions}</pixels><view {box} spacingZ="0"/>'
            f"<scanSettings><objectiveSettings><objective>{power:g}</objective></objectiveSettings>"
            "<illuminationSettings><numericalAperture>0.4</numericalAperture>"
            "<illuminationSource>brightfield</illuminationSource></illuminationSettings></scanSettings></image>"
        )

    whole = f'sizeX="{nm(glass[0])}" sizeY="{nm(glass[1])}"'
    part = f'sizeX="{nm(size[0])}" sizeY="{nm(size[1])}" offsetX="{nm(origin[0])}" offsetY="{nm(origin[1])}"'
    described = (
        f'<?xml version="1.0"?><scn xmlns="http://www.leica-microsystems.com/scn/2010/10/01" '
        f'uuid="urn:uuid:{_UUID.format(0)}"><collection name="c" uuid="urn:uuid:{_UUID.format(1)}" {whole}>'
        f"<barcode>MDAw</barcode>"
        + image("macro", 2, [macro], 0, f'{whole} offsetX="0" offsetY="0"', 0.6)
        + image("main", 3, levels, 1, part, objective)
        + "</collection></scn>"
    )
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        for view, step, text in zip((macro, *levels), (20, 1, 4), (described, None, None), strict=True):
            per_cm = 10_000 / (mpp * step)
            file.write(
                view,
                tile=(256, 256),
                compression="jpeg",
                compressionargs={"level": QUALITY},
                photometric="rgb",
                subsampling=(1, 1),
                resolution=(per_cm, per_cm),
                resolutionunit="CENTIMETER",
                description=text,
                metadata=None,
            )
    return path


_SIDE, _PER_SIDE, _OVERLAP = 64, 2, 16
"""MIRAX cuts a camera's photo into so many images of this edge along each side; photos overlap by so many pixels."""

_PHOTO = _SIDE * _PER_SIDE
_STEP = _PHOTO - _OVERLAP


def mirax(
    path: Path,
    rgb: np.ndarray,
    mpp: float,
    *,
    origin: tuple[int, int] = (108, 100),
    objective: int = 20,
    absent: Sequence[tuple[int, int]] = (),
) -> Path:
    """Write a MIRAX slide: ``<name>.mrxs``, a picture of the glass, and the folder ``<name>/`` with all else.

    The camera took overlapping photos at places of its own, and none of the outermost column and row. What they show
    beyond the right and lower edge is white. Of the full size one half lies in ``Data0000.dat``, the other in
    ``Data0001.dat``; all else lies in ``Data0002.dat``.

    Parameters
    ----------
    origin
        Where the photos begin, in pixels of level 0: at most 112; even numbers are whole pixels of both levels.
    absent
        Column and row of photos within that were not taken either.
    """
    across, down = (2 + -(-max(0, edge - _PHOTO + 2) // _STEP) for edge in rgb.shape[1::-1])
    canvas = np.full((_PHOTO + down * _STEP, _PHOTO + across * _STEP, 3), 255, np.uint8)
    canvas[: rgb.shape[0], : rgb.shape[1]] = rgb
    # Photo 0 of either direction was never taken. A stage is not exact: every second photo lies two pixels further.
    taken = {
        (column, row): tuple((at - 1) * _STEP - 2 * ((at - 1) % 2) for at in (column, row))
        for row in range(1, down)
        for column in range(1, across)
        if (column - 1, row - 1) not in absent
    }
    files = [b"", b"", b""]

    def kept(content: bytes, file: int) -> tuple[int, int, int]:
        """Offset, length and file of a record."""
        record = len(files[file]), len(content), file
        files[file] += content
        return record

    levels: list[list[tuple[int, ...]]] = [[], []]
    for count, ((column, row), (x, y)) in enumerate(taken.items()):
        photo = canvas[y : y + _PHOTO, x : x + _PHOTO]
        for part in np.ndindex(_PER_SIDE, _PER_SIDE):
            top, left = (one * _SIDE for one in part)
            number = (row * _PER_SIDE + part[0]) * across * _PER_SIDE + column * _PER_SIDE + part[1]
            levels[0].append(
                (number, *kept(jpeg(photo[top : top + _SIDE, left : left + _SIDE]), count >= len(taken) / 2))
            )
        levels[1].append((row * _PER_SIDE * across * _PER_SIDE + column * _PER_SIDE, *kept(jpeg(halved(photo)), 2)))
    places = b"".join(
        struct.pack("<Bii", 0, *(start + at for start, at in zip(origin, taken[spot], strict=True)))
        if spot in taken
        else bytes(9)
        for spot in ((column, row) for row in range(down) for column in range(across))
    )
    overview = jpeg(np.full((60, 150, 3), 240, np.uint8))
    further = [kept(places, 2), kept(overview, 2)]

    folder = path.with_suffix("")
    folder.mkdir()
    path.write_bytes(overview)
    name = "0123456789ABCDEF0123456789ABCDEF"
    for number, content in enumerate(files):
        (folder / f"Data{number:04}.dat").write_bytes(content)
    (folder / "Index.dat").write_bytes(_index(name, levels, further))
    # Real ones begin with a byte order mark, too.
    (folder / "Slidedat.ini").write_text(
        _slidedat(name, across, down, mpp, objective, len(files)), encoding="utf-8-sig", newline="\r\n"
    )
    return path


def _index(name: str, levels: Sequence[Sequence[tuple[int, ...]]], further: Sequence[tuple[int, ...]]) -> bytes:
    """Index.dat: where the images of each level and further records lie; pointers to pointers to pages."""
    index = bytearray(b"01.02" + name.encode() + bytes(8))
    roots = len(index) - 8

    def put(*numbers: int) -> int:
        where = len(index)
        index.extend(struct.pack(f"<{len(numbers)}i", *numbers))
        return where

    pages = [put(len(level), 0, *(value for entry in level for value in entry)) for level in levels]
    others = [put(1, 0, 0, 0, *record) for record in further]
    tables = [put(*[put(0, page) for page in group]) for group in (pages, others)]
    struct.pack_into("<2i", index, roots, *tables)
    return bytes(index)


def _slidedat(name: str, across: int, down: int, mpp: float, objective: int, files: int) -> str:
    levels = {
        f"LAYER_0_LEVEL_{number}_SECTION": {
            "OVERLAP_X": _OVERLAP,
            "OVERLAP_Y": _OVERLAP,
            "MICROMETER_PER_PIXEL_X": mpp * 2**number,
            "MICROMETER_PER_PIXEL_Y": mpp * 2**number,
            "IMAGE_FORMAT": "JPEG",
            "IMAGE_FILL_COLOR_BGR": 0xFFFFFF,
            "DIGITIZER_WIDTH": _SIDE,
            "DIGITIZER_HEIGHT": _SIDE,
            "IMAGE_CONCAT_FACTOR": number,
        }
        for number in range(2)
    }
    sections = {
        "GENERAL": {
            "SLIDE_ID": name,
            "SLIDE_VERSION": "02.01",
            "IMAGENUMBER_X": across * _PER_SIDE,
            "IMAGENUMBER_Y": down * _PER_SIDE,
            "OBJECTIVE_MAGNIFICATION": objective,
            "CameraImageDivisionsPerSide": _PER_SIDE,
        },
        "HIERARCHICAL": {
            "INDEXFILE": "Index.dat",
            "HIER_COUNT": 1,
            "HIER_0_NAME": "Slide zoom level",
            "HIER_0_COUNT": len(levels),
            **{f"HIER_0_VAL_{number}_SECTION": section for number, section in enumerate(levels)},
            "NONHIER_COUNT": 2,
            "NONHIER_0_NAME": "VIMSLIDE_POSITION_BUFFER",
            "NONHIER_0_COUNT": 1,
            "NONHIER_1_NAME": "Scan data layer",
            "NONHIER_1_COUNT": 1,
            "NONHIER_1_VAL_0": "ScanDataLayer_SlideThumbnail",
            "NONHIER_1_VAL_0_SECTION": "NONHIERLAYER_1_LEVEL_0_SECTION",
        },
        "NONHIERLAYER_1_LEVEL_0_SECTION": {"THUMBNAIL_IMAGE_TYPE": "JPEG"},
        "DATAFILE": {"FILE_COUNT": files, **{f"FILE_{number}": f"Data{number:04}.dat" for number in range(files)}},
        **levels,
    }
    lines = [
        f"[{title}]\n" + "".join(f"{key} = {value}\n" for key, value in sections[title].items()) for title in sections
    ]
    return "".join(lines)


def dicom(folder: Path, rgb: np.ndarray, mpp: float, *, objective: float | None = 20) -> Path:
    """Write a series of DICOM (VL Whole Slide Microscopy Image): a file for each of two levels, in a new folder.

    Returns
    -------
    Path
        The file of full size, ``full.dcm``; the half lies in ``half.dcm``.
    """
    from pydicom.uid import generate_uid

    folder.mkdir()
    names = "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"
    series = {name: generate_uid(entropy_srcs=[name, str(zlib.crc32(rgb))]) for name in names}
    for number, (name, view) in enumerate((("full.dcm", rgb), ("half.dcm", halved(rgb)))):
        _instance(view, mpp * 2**number, objective, number, series).save_as(folder / name, enforce_file_format=True)
    return folder / "full.dcm"


def _instance(rgb: np.ndarray, mpp: float, objective: float | None, number: int, series: dict):
    """One level as a data set: tiles of 128 px, all of them, row by row."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.encaps import encapsulate
    from pydicom.sequence import Sequence as Items
    from pydicom.uid import JPEGBaseline8Bit, VLWholeSlideMicroscopyImageStorage, generate_uid

    def item(**values) -> Dataset:
        made = Dataset()
        for name, value in values.items():
            setattr(made, name, Items([value]) if isinstance(value, Dataset) else value)
        return made

    def code(value: str, scheme: str, meaning: str) -> Dataset:
        return item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)

    edge = 128
    high, wide = rgb.shape[:2]
    across, down = -(-wide // edge), -(-high // edge)
    padded = np.pad(rgb, ((0, down * edge - high), (0, across * edge - wide), (0, 0)), mode="edge")
    tiles = [
        jpeg(padded[row * edge : (row + 1) * edge, column * edge : (column + 1) * edge], subsampling=1)
        for row, column in np.ndindex(down, across)
    ]
    path = item(
        OpticalPathIdentifier="1",
        IlluminationTypeCodeSequence=code("111744", "DCM", "Brightfield illumination"),
        IlluminationColorCodeSequence=code("414298005", "SCT", "Full Spectrum"),
    )
    if objective is not None:
        path.ObjectiveLensPower = objective
    spacing = [f"{mpp / 1000:.10g}"] * 2
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = VLWholeSlideMicroscopyImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[series["SeriesInstanceUID"], str(number)])
    meta.TransferSyntaxUID = JPEGBaseline8Bit
    made = item(
        SOPClassUID=meta.MediaStorageSOPClassUID,
        SOPInstanceUID=meta.MediaStorageSOPInstanceUID,
        Modality="SM",
        InstanceNumber=number + 1,
        ImageType=["DERIVED", "PRIMARY", "VOLUME", "RESAMPLED" if number else "NONE"],
        PatientName="made^for^tests",
        PatientID="made",
        Manufacturer="none",
        ContainerIdentifier="glass",
        VolumetricProperties="VOLUME",
        SpecimenLabelInImage="NO",
        BurnedInAnnotation="NO",
        FocusMethod="AUTO",
        ExtendedDepthOfField="NO",
        ImagedVolumeWidth=wide * mpp / 1000,
        ImagedVolumeHeight=high * mpp / 1000,
        ImagedVolumeDepth=1.0,
        ImageOrientationSlide=[0, -1, 0, -1, 0, 0],
        TotalPixelMatrixOriginSequence=item(XOffsetInSlideCoordinateSystem=20, YOffsetInSlideCoordinateSystem=40),
        TotalPixelMatrixColumns=wide,
        TotalPixelMatrixRows=high,
        TotalPixelMatrixFocalPlanes=1,
        NumberOfOpticalPaths=1,
        DimensionOrganizationType="TILED_FULL",
        Rows=edge,
        Columns=edge,
        NumberOfFrames=len(tiles),
        SamplesPerPixel=3,
        PhotometricInterpretation="YBR_FULL_422",
        PlanarConfiguration=0,
        BitsAllocated=8,
        BitsStored=8,
        HighBit=7,
        PixelRepresentation=0,
        LossyImageCompression="01",
        LossyImageCompressionMethod="ISO_10918_1",
        OpticalPathSequence=path,
        SharedFunctionalGroupsSequence=item(PixelMeasuresSequence=item(PixelSpacing=spacing, SliceThickness=0.001)),
        **series,
    )
    made.file_meta = meta
    made.PixelData = encapsulate(tiles)
    made["PixelData"].VR = "OB"
    return made
