"""Pages that people read, print and pass on: one HTML file each, everything inside, nothing fetched."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterable, Sequence
from hashlib import sha256
from html import escape
from pathlib import Path
from typing import Any

from ..io import atomic

_HERE = Path(__file__).parent


class Html(str):
    """Text that is HTML already. All other text is escaped when it becomes part of a page."""

    __slots__ = ()


def html(value: Any) -> Html:
    """Return a value as HTML: `Html` as it is, all else escaped."""
    return value if isinstance(value, Html) else Html(escape(str(value)))


def join(parts: Iterable[Any], between: str = "") -> Html:
    """Put values one after the other, each as `html` gives it."""
    return Html(between.join(map(html, parts)))


def tag(name: str, /, *inside: Any, **attributes: Any) -> Html:
    """Return an element.

    Parameters
    ----------
    name
        Of the element.
    inside
        Its content, put together; escaped unless it is `Html`.
    attributes
        Those that are None are left out. ``class_`` is written ``class``, ``data_sort`` is written ``data-sort``.

    Examples
    --------
    >>> tag("td", "a < b", class_="text", data_sort=3, title=None)
    '<td class="text" data-sort="3">a &lt; b</td>'
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    closing = "" if name in ("img", "br", "input", "meta") else f"{join(inside)}</{name}>"
    return Html(f"<{name}{given}>{closing}")


def table(
    heads: Sequence[Any],
    rows: Iterable[Sequence[Any]],
    *,
    caption: str | None = None,
    texts: Iterable[int] = (),
    kinds: Iterable[str | None] | None = None,
    names: Iterable[str | None] | None = None,
    total: Sequence[Any] | None = None,
) -> Html:
    """Return a table whose first column names the rows, in a box that scrolls where it is wider than the page.

    Parameters
    ----------
    heads
        Of the columns.
    rows
        Cells, escaped unless they are `Html`. A pair is what is shown, and the number by which it is sorted.
    caption
        Says what the table holds; for those who hear it, and above it.
    texts
        Positions of columns that hold text, and so begin at the left, as the first does.
    kinds
        CSS class of each row, or None.
    names
        What each row is about, for the search box (see `document`), or None.
    total
        A last row that stays the last when the table is sorted.
    """
    texts, rows = {0, *texts}, list(rows)

    def line(cells: Sequence[Any], kind: str | None, name: str | None) -> Html:
        return tag("tr", *(_cell(cell, place, texts) for place, cell in enumerate(cells)), class_=kind, data_name=name)

    head = (tag("th", text, scope="col", class_="text" if place in texts else None) for place, text in enumerate(heads))
    nothing = [None] * len(rows)
    body = map(line, rows, kinds or nothing, names or nothing)
    parts = [tag("caption", caption)] if caption else []
    parts += [tag("thead", tag("tr", *head)), tag("tbody", *body)]
    parts += [tag("tfoot", line(total, None, None))] if total else []
    # What scrolls must be reachable by keyboard, and say what it is.
    told = caption or str(heads[0]) or "table"
    return tag("div", tag("table", *parts), class_="wide", tabindex=0, role="region", aria_label=told)


def _cell(cell: Any, place: int, texts: set[int]) -> Html:
    shown, key = cell if isinstance(cell, tuple) else (cell, None)
    kind = "text" if place in texts else None
    if place == 0:
        return tag("th", tag("span", shown), scope="row", class_=kind, data_sort=key)
    return tag("td", shown, class_=kind, data_sort=key)


def picture(data: bytes, kind: str, text: str, **attributes: Any) -> Html:
    """Return a picture that lies inside the page.

    Parameters
    ----------
    data
        The file.
    kind
        ``png`` or ``jpeg``.
    text
        What is to be seen, for those who do not see it.
    attributes
        See `tag`.
    """
    source = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    return tag("img", alt=text, src=source, **attributes)


def document(title: str, *body: Any, style: str = "", tables: bool = False) -> Html:
    """Return a whole page.

    Parameters
    ----------
    title
        Of the window.
    body
        Its content.
    style
        CSS beside that of all pages.
    tables
        Let readers sort tables, and search rows and figures by name. The page is whole without JavaScript, too.
    """
    script = (_HERE / "tables.js").read_text(encoding="utf-8") if tables else ""
    style = (_HERE / "page.css").read_text(encoding="utf-8") + style
    # Nothing can be fetched, and no other script can run, whatever has found its way into a name.
    allowed = ["default-src 'none'", "img-src data:", "style-src 'unsafe-inline'", f"script-src {_hash(script)}"]
    head = [
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content="; ".join(allowed)),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        tag("style", Html(style)),
    ]
    end = [tag("script", Html(script))] if script else []
    whole = tag("html", tag("head", *head), "\n", tag("body", join(body, "\n"), *end), lang="en")
    return Html(f"<!doctype html>\n{whole}\n")


def _hash(script: str) -> str:
    if not script:
        return "'none'"
    return f"'sha256-{base64.b64encode(sha256(script.encode()).digest()).decode()}'"


def write(page: Html, path: str | os.PathLike) -> None:
    """Write a page, atomically."""
    with atomic(path) as part:
        part.write_text(page, encoding="utf-8")
