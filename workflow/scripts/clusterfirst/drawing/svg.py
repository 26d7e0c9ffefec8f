"""Tiles as SVG: every cell an element of its own over the image of the tile."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Sequence
from xml.etree import ElementTree as ET

import cv2
import numpy as np

from ..clustering import NOISE
from ..io import atomic
from .cells import box_of, dash_px
from .legends import Column
from .selection import Cells
from .texts import Text, edge_px

_TYPEFACES = "'DejaVu Sans', Verdana, sans-serif"
_JPEG_QUALITY = 90
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write(
    path: str | os.PathLike,
    image: np.ndarray,
    cells: Cells,
    parts: Sequence[np.ndarray],
    *,
    title: str,
    shapes: Sequence[str],
    line_px: float,
    light_px: float,
    words: Sequence[Text],
    legend: Column | None,
) -> None:
    """Write a tile as SVG 1.1: the tile as an embedded JPEG, cells grouped by colour, texts, legend.

    Every cell is a ``g`` with ``class="cell cluster-3"``, ``data-cell-id``, ``data-class`` if it has one, and a
    ``title`` that browsers show under the pointer. Where cells are coloured by class and only a model says so, they are
    dashed and have ``data-proposed``, or how else it came to that.

    Parameters
    ----------
    path
        The file.
    image
        H × W × 3 uint8 RGB: the tile without drawings.
    cells, parts
        Cells, and their vertices in pixels of the tile.
    title
        Of the document.
    shapes
        Any of ``polygons``, ``boxes``.
    line_px
        Width of lines.
    light_px
        Draw a white line, so much wider, under each; 0: none.
    words, legend
        What is written into the tile, and beside it; None: nothing.
    """
    high, wide = image.shape[:2]
    size = (legend.width, legend.height) if legend else (wide, high)
    root = ET.Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "xmlns:xlink": "http://www.w3.org/1999/xlink",
            **_box(0, 0, *size, corner=False),
            "viewBox": f"0 0 {size[0]} {size[1]}",
            "font-family": _TYPEFACES,
        },
    )
    _add(root, "title", text=title)
    clip = _add(_add(root, "defs"), "clipPath", id="tile")
    _add(clip, "rect", **_box(0, 0, wide, high))
    if legend:
        _add(root, "rect", **_box(0, 0, *size), fill="#ffffff")
    # Inkscape before 1.0 knows the link by its older name only.
    _add(root, "image", **_box(0, 0, wide, high), **{"xlink:href": _jpeg(image)})
    if light_px:
        under = _add(root, "g", id="under", fill="none", stroke="#ffffff", **_line(line_px + light_px))
        for xy in parts:
            _draw_shapes(under, xy, shapes)
    _draw_cells(root, cells, parts, shapes, line_px)
    _draw_words(root, words)
    if legend:
        _draw_legend(root, legend)
    with atomic(path) as part:
        ET.ElementTree(root).write(part, encoding="utf-8", xml_declaration=True)


def _draw_cells(root: ET.Element, cells: Cells, parts: Sequence[np.ndarray], shapes: Sequence[str], line_px: float):
    clipped = _add(
        root,
        "g",
        id="cells",
        fill="none",
        # So that the pointer finds a cell inside its outline, too.
        **{**_line(line_px), "pointer-events": "all"},
    )
    guessed, dash = cells.guessed, dash_px(line_px)
    for number in np.unique(cells.number).tolist():
        name = cells.key.none if number == NOISE else cells.key.name(number)
        group = _add(clipped, "g", **{"stroke": cells.key.colour(number), "data-name": name})
        for row in np.flatnonzero(cells.number == number).tolist():
            cluster = "noise" if cells.cluster_id[row] == NOISE else f"cluster-{cells.cluster_id[row]}"
            known = {"class": f"cell {cluster}", "data-cell-id": str(cells.cell_id[row])}
            if cells.named[row]:
                known["data-class"] = cells.named[row]
            if guessed[row]:
                known |= {f"data-{guessed[row]}": "true", "stroke-dasharray": _number(dash)}
            cell = _add(group, "g", **known)
            _add(cell, "title", text=cells.title(row))
            _draw_shapes(cell, parts[row], shapes)


def _draw_shapes(parent: ET.Element, xy: np.ndarray, shapes: Sequence[str]) -> None:
    if "polygons" in shapes:
        _add(parent, "path", d=_outline(xy))
    if "boxes" in shapes:
        left, top, right, bottom = box_of(xy)[[0, 2]].ravel()
        _add(parent, "rect", **_box(left, top, right - left, bottom - top))


def _line(width: float) -> dict[str, str]:
    return {"stroke-width": _number(width), "stroke-linejoin": "round", "clip-path": "url(#tile)"}


def _draw_words(root: ET.Element, words: Sequence[Text]) -> None:
    if not words:
        return
    size = words[0].size
    edge = {"stroke": "#ffffff", "stroke-width": str(2 * edge_px(size)), "paint-order": "stroke"}
    group = _add(root, "g", id="labels", **{"font-size": str(size), "stroke-linejoin": "round", **edge})
    for text in words:
        _add(group, "text", x=_number(text.x), y=_number(text.y), fill=text.colour, text=text.words)


def _draw_legend(root: ET.Element, legend: Column) -> None:
    group = _add(root, "g", id="legend")
    for left, top, right, bottom, shade in legend.rectangles:
        _add(group, "rect", **_box(left, top, right - left, bottom - top), fill=shade)
    for left, base, text, size in legend.texts:
        _add(group, "text", x=_number(left), y=_number(base), text=text, **{"font-size": str(size)})


def _add(parent: ET.Element, tag: str, *, text: str | None = None, **known: str) -> ET.Element:
    element = ET.SubElement(parent, tag, {name: _NOT_XML.sub("", value) for name, value in known.items()})
    if text is not None:
        element.text = _NOT_XML.sub("", text)
    return element


def _box(x: float, y: float, width: float, height: float, *, corner: bool = True) -> dict[str, str]:
    at = {"x": _number(x), "y": _number(y)} if corner else {}
    return at | {"width": _number(width), "height": _number(height)}


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _outline(xy: np.ndarray) -> str:
    """A closed path, to a tenth of a pixel; steps are shorter than places."""
    tenths = np.round(10 * xy).astype(int)
    if len(tenths) > 1 and (tenths[0] == tenths[-1]).all():
        tenths = tenths[:-1]
    steps = np.diff(tenths, axis=0, prepend=[[0, 0]]) / 10
    start, *others = (f"{x:g},{y:g}" for x, y in steps.tolist())
    return f"m{start}l{' '.join(others)}z"


def _jpeg(image: np.ndarray) -> str:
    done, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    if not done:
        raise OSError("a tile could not be encoded as JPEG")
    return "data:image/jpeg;base64," + base64.b64encode(data).decode()
