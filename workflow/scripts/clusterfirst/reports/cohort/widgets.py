"""Small parts of the page: numbers as they are read on it, names, links, bars, legends."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import quote

from ...clustering import NOISE
from ...html import Html, join, tag

# --- words and numbers -------------------------------------------------------------------------------------------


def percent(share: float | None) -> str:
    """Return a share in percent, without the sign; a dash where it is not known."""
    if share is None:
        return "–"
    return f"{100 * share:.1f}" if share >= 0.0005 or share == 0 else "< 0.1"


def sorted_percent(share: float | None) -> tuple[str, float | str]:
    """Return the same for a table, with what it is sorted by."""
    return percent(share), "" if share is None else share


def number(value: float | None, form: str = "{:,.0f}") -> str:
    """Return a number in that form; a dash where it is not known."""
    return "–" if value is None else form.format(value)


def cluster_name(cluster: int) -> str:
    """Return what a cluster is called before it has a name."""
    return "noise" if cluster == NOISE else f"cluster {cluster}"


def with_commands(text: str) -> Html:
    """Return a text of which that between backticks is for a terminal."""
    return join(tag("code", part) if place % 2 else part for place, part in enumerate(text.split("`")))


def folded(name: str) -> Html:
    """Return a name of any length, folded; what does not fit into its lines is told when pointed at."""
    return tag("span", name, class_="name", title=name)


def link(text: str, *parts: str) -> Html:
    """Return a link to a file beside the page."""
    return tag("a", text, href=quote("/".join(parts)))


# --- small drawings ----------------------------------------------------------------------------------------------


def bar(parts: Sequence[tuple[str, str, float]]) -> Html:
    """Return a bar of name, colour and share of each part; what is left of 1 stays empty."""
    stops, before = [], 0.0
    for _, colour, share in parts:
        stops.append(f"{colour} {100 * before:.2f}% {100 * (before + share):.2f}%")
        before += share
    stops.append(f"transparent {100 * before:.2f}% 100%")
    largest = sorted(parts, key=lambda part: -part[2])[:5]
    text = ", ".join(f"{name} {percent(share)} %" for name, _, share in largest)
    text += f", and {len(parts) - len(largest)} more" if len(parts) > len(largest) else ""
    style = f"background-image:linear-gradient(90deg,{','.join(stops)})"
    return tag("span", class_="bar", role="img", aria_label=text, title=text, style=style)


def swatch(colour: str, text: Any) -> Html:
    """Return a colour, and what has it."""
    return tag("span", tag("i", class_="swatch", style=f"background:{colour}"), tag("span", text), class_="key")


def legend(entries: Iterable[tuple[str, str]]) -> Html:
    """Return a list of texts and their colours."""
    return tag("ul", *(tag("li", swatch(colour, text)) for text, colour in entries), class_="legend")
