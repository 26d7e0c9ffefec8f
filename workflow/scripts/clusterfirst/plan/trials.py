"""Sweeps: which settings are to be tried, what each trial is called, and which stages it shares with others."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

ORDER = ("tiling", "filter", "segmentation", "embedding", "reduction", "clustering")
"""Sections in the order in which data flows: what comes before the first swept one is computed once."""

_EARLIER = {"clustering.scope": "reduction"}
"""Keys that decide earlier than their section: cells that are clustered together are reduced together."""


@dataclass(frozen=True)
class Trial:
    """One combination of swept values.

    Attributes
    ----------
    values : tuple of (str, Any)
        Key (``section.key``) and value, in the order of `ORDER`.
    """

    values: tuple[tuple[str, Any], ...]

    def until(self, section: str) -> Trial:
        """Return what the stages up to and including that of `section` depend on."""
        last = ORDER.index(section)
        return Trial(tuple((key, value) for key, value in self.values if ORDER.index(decides_at(key)) <= last))

    @property
    def words(self) -> dict[str, str]:
        """Keys and values as they are written in names of folders."""
        return {key.replace(".", "_"): word(value) for key, value in self.values}

    @property
    def settings(self) -> dict:
        """The values as sections of a configuration."""
        sections: dict[str, dict] = {}
        for key, value in self.values:
            section, name = key.split(".")
            sections.setdefault(section, {})[name] = value
        return sections


def decides_at(key: str) -> str:
    """Return the section whose stage is the first to depend on a key."""
    return _EARLIER.get(key, key.split(".")[0])


def trials(sweep: dict[str, list]) -> list[Trial]:
    """Return every combination of the listed values.

    Parameters
    ----------
    sweep
        Values by ``section.key``; empty for no trials.
    """
    if not sweep:
        return []
    keys = sorted(sweep, key=lambda key: ORDER.index(decides_at(key)))
    return [Trial(tuple(zip(keys, values, strict=True))) for values in product(*(sweep[key] for key in keys))]


def word(value: Any) -> str:
    """Write a value so that it can stand in the name of a folder.

    Examples
    --------
    >>> [word(value) for value in (0.25, None, ["morphology", "resnet50"], {"resnet50": 0.5}, "a/b.pt")]
    ['0.25', 'null', 'morphology+resnet50', 'resnet50=0.5', 'a-b.pt']
    """
    return "+".join(_words(value))


def _words(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield f"{word(key)}={word(item)}"
    elif isinstance(value, list):
        yield from map(word, value)
    elif value is None or isinstance(value, bool):
        yield str(value).lower().replace("none", "null")
    else:
        yield re.sub(r"[^\w.+-]", "-", str(value))
