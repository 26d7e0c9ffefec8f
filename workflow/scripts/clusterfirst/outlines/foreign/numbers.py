"""Numbers as spreadsheets write them, wherever they stand: understood, or refused with their lines."""

from __future__ import annotations

import re

import numpy as np

from ...io import ClusterfirstError
from ...text import a_few

_PLAIN = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_COMMA = re.compile(r"[+-]?(\d{1,3}(\.\d{3})+|\d+),\d+([eE][+-]?\d+)?|[+-]?\d{1,3}(\.\d{3}){2,}")
"""Certainly with a decimal comma, unless three digits follow; or with thousands points."""
_GROUPED = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d+)?")
"""With thousands commas; or, if there is one comma and no point, a decimal comma before three digits."""
_SPACED = re.compile(r"(?<=\d)[ \u00a0\u202f\u2009'’](?=\d{3}(\D|$))")
_PIXELS = re.compile(r"\s*(px|pixels?)$", re.IGNORECASE)
_UNIT = re.compile(r"[+-]?[\d.,]+\s*[a-zA-Zµμ°%²]+\.?")
MISSING = {"", "na", "n/a", "nan", "null", "none", "-", "inf", "-inf"}
_THREE = re.compile(r"\d{1,3}\.\d{3}")
_WHOLE = re.compile(r"\d{1,3}")
_FEW = 5
_ONE = "write all numbers with a decimal point, and without anything between thousands"


def read(texts: list[str], lines: list[int], where: str) -> np.ndarray:
    """Read the numbers of a table's columns, which one program has written.

    One number alone does not say whether ``12,345`` is twelve or twelve thousand; all of them together mostly do.

    Parameters
    ----------
    texts
        As they stand in the file.
    lines
        The line of each.
    where
        The file, for messages.

    Returns
    -------
    numpy.ndarray
        NaN for what is missing or no number.

    Raises
    ------
    ClusterfirstError
        They have units other than pixels, or could mean two things.
    """
    texts = [text.strip() for text in texts]
    if not all(map(_PLAIN.fullmatch, texts)):
        texts = _with_points([_PIXELS.sub("", _SPACED.sub("", text)) for text in texts], lines, where)
    if _like_thousands(texts):
        three = [n for n, text in enumerate(texts) if _THREE.fullmatch(text)]
        _refuse(three, texts, lines, where, "may mean a fraction or thousands", _ONE)
    return np.array([float(text) if _PLAIN.fullmatch(text) else np.nan for text in texts])


def _with_points(texts: list[str], lines: list[int], where: str) -> list[str]:
    """Write numbers with decimal points, whatever they were written with."""
    units = [n for n, text in enumerate(texts) if _UNIT.fullmatch(text) and not _PLAIN.fullmatch(text)]
    _refuse(
        units, texts, lines, where, "has a unit", "coordinates must be pixels of the slide at level 0, without a unit"
    )
    grouped = [bool(_GROUPED.fullmatch(text)) for text in texts]
    comma = [bool(_COMMA.fullmatch(text)) and not one for text, one in zip(texts, grouped, strict=True)]
    thousands = [one and ("." in text or text.count(",") > 1) for text, one in zip(texts, grouped, strict=True)]
    points = [bool("." in text and _PLAIN.fullmatch(text)) for text in texts]
    if any(comma):
        # Points are then thousands points, or somebody mixed the two.
        mixed = [n for n, text in enumerate(texts) if thousands[n] or (points[n] and not _THREE.fullmatch(text))]
        _refuse(mixed, texts, lines, where, f"has a decimal point, and {_first(comma, texts, lines)} a comma", _ONE)
        return [text.replace(".", "").replace(",", ".") for text in texts]
    if any(thousands) or (any(grouped) and any(points)):
        return [text.replace(",", "") for text in texts]
    doubtful = [n for n, one in enumerate(grouped) if one]
    _refuse(doubtful, texts, lines, where, "may mean a fraction or thousands", _ONE)
    return texts


def _like_thousands(texts: list[str]) -> bool:
    """Whether points may stand before thousands: all others are below a thousand, and none has other decimals."""
    numbers = [text for text in texts if text.lower() not in MISSING]
    three = sum(bool(_THREE.fullmatch(text)) for text in numbers)
    whole = sum(bool(_WHOLE.fullmatch(text)) for text in numbers)
    return three >= _FEW and whole > 0 and three + whole == len(numbers)


def _first(these: list[bool], texts: list[str], lines: list[int]) -> str:
    first = these.index(True)
    return f"'{texts[first]}' (line {lines[first]})"


def _refuse(wrong: list[int], texts: list[str], lines: list[int], where: str, what: str, do: str) -> None:
    if wrong:
        places = a_few(list(dict.fromkeys(lines[n] for n in wrong)), lambda line: f"line {line}")
        raise ClusterfirstError(f"{where}: '{texts[wrong[0]]}' {what} ({places}): {do}")
