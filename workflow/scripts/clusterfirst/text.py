"""Words and numbers as people read them, in messages, on pages and in pictures."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

_FORMULA = re.compile("'*[-=+@\t\r\n\uff1d\uff0b\uff0d\uff20]")
"""How a spreadsheet's formulas begin, also as full-width characters, and what has been quoted before."""


def cut(text: str, most: int) -> str:
    """Return a text of at most so many letters: of a longer one the beginning.

    Examples
    --------
    >>> cut("smooth muscle", 7)
    'smooth…'
    """
    return text if len(text) <= most else text[: most - 1] + "…"


def one_line(message: object, *, most: int = 500) -> str:
    """Return what a library says on one line, and no more of it than that: it may name hundreds of parameters."""
    text = " ".join(str(message).split())
    return text if len(text) <= most else text[:most] + " …"


def a_few(things: Sequence, name: Callable[[Any], str] = str, *, most: int = 3) -> str:
    """Return the names of things, of no more than so many.

    Examples
    --------
    >>> a_few([4, 8, 15, 16])
    '4, 8, 15, …'
    """
    return ", ".join([*map(name, things[:most]), *(["…"] if len(things) > most else [])])


def counted(count: int, thing: str) -> str:
    """Return how many there are of something.

    Examples
    --------
    >>> counted(1, "slide"), counted(2000, "slide")
    ('1 slide', '2,000 slides')
    """
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def spreadsheet(value: Any) -> Any:
    """Return a value as a table for spreadsheets has it: a text that would be a formula gets an apostrophe before it.

    Classes and the like come in with other people's files, and a spreadsheet runs what begins as a formula does. A
    number is none. `from_spreadsheet` takes the apostrophe off.

    Examples
    --------
    >>> [spreadsheet(value) for value in ("=1+1", "-", "'=", "stroma", "'s", -1.5, None)]
    ["'=1+1", "'-", "''=", 'stroma', "'s", -1.5, None]
    """
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value


def from_spreadsheet(value: str) -> str:
    """Return the text that `spreadsheet` wrote.

    Examples
    --------
    >>> [from_spreadsheet(value) for value in ("'=1+1", "''=", "stroma", "'s", "=")]
    ['=1+1', "'=", 'stroma', "'s", '=']
    """
    return value[1:] if value.startswith("'") and _FORMULA.match(value) else value


def span(seconds: float) -> str:
    """Return a time as people read it.

    Examples
    --------
    >>> [span(seconds) for seconds in (5, 65, 3700, 200000)]
    ['5 s', '1:05 min', '1:01 h', '55:33 h']
    """
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60}:{seconds % 60:02d} min"
    return f"{seconds // 3600}:{seconds % 3600 // 60:02d} h"
