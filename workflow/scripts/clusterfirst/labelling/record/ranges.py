"""Rows as text: ``0-5,9,12-40``. A lasso around a whole region is a few characters."""

from __future__ import annotations

import re
from functools import lru_cache

import numpy as np

from ...io import ClusterfirstError

_RANGES = re.compile(r"\d{1,10}(-\d{1,10})?(,\d{1,10}(-\d{1,10})?)*")


def encode(rows: np.ndarray) -> str:
    """Write rows (in any order, each once) as ascending ranges."""
    rows = np.sort(np.asarray(rows, np.int64))
    if not len(rows):
        return ""
    breaks = np.flatnonzero(np.diff(rows) != 1)
    first = rows[np.concatenate([[0], breaks + 1])].tolist()
    last = rows[np.concatenate([breaks, [len(rows) - 1]])].tolist()
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in zip(first, last, strict=True))


@lru_cache(maxsize=8)  # an action is checked, compared with others, and done
def decode(text: str, count: int) -> np.ndarray:
    """Read rows.

    Parameters
    ----------
    text
        Ascending ranges.
    count
        Rows there are: what names another is an error.

    Returns
    -------
    numpy.ndarray
        int64, ascending; not to be written to.

    Raises
    ------
    ClusterfirstError
        The text is something else, or names rows that there are not.
    """
    if text and not _RANGES.fullmatch(text):
        raise ClusterfirstError("rows must be ranges such as '0-5,9,12-40'")
    if not text:
        return np.empty(0, np.int64)
    ends = [part.split("-") for part in text.split(",")]
    first = np.array([int(end[0]) for end in ends], np.int64)
    last = np.array([int(end[-1]) for end in ends], np.int64)
    # Ascending without overlap: no text, however long, can ask for more rows than there are.
    if (last < first).any() or (first[1:] <= last[:-1]).any():
        raise ClusterfirstError("rows must ascend, each named once")
    if last[-1] >= count:
        raise ClusterfirstError(f"row {last[-1]} does not exist: there are {count} cells")
    lengths = last - first + 1
    begin = np.repeat(first - np.concatenate([[0], np.cumsum(lengths)[:-1]]), lengths)
    rows = begin + np.arange(lengths.sum())
    rows.flags.writeable = False
    return rows
