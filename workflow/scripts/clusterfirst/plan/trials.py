"""Trials of a sweep: which settings are tried, what each is called, and which stages it shares with others."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

from ..io import ClusterfirstError
from .layout import ResultsFolder

ORDER = ("tiling", "filter", "segmentation", "embedding", "reduction", "clustering")
"""Sections in the order in which data flows: what comes before the first swept one is computed once."""

_EARLIER = {"clustering.scope": "reduction"}
"""Keys that decide earlier than their section: cells that are clustered together are reduced together."""
_LONGEST = 200
"""Characters of a folder's name; file systems take 255 bytes."""


@dataclass(frozen=True)
class Trial:
    """One combination of swept values; without any, the ordinary run.

    Attributes
    ----------
    values : tuple of (str, Any)
        Key (``section.key``) and value, in the order of `ORDER`.
    """

    values: tuple[tuple[str, Any], ...] = ()

    def until(self, section: str) -> Trial:
        """Return what the stages up to and including that of `section` depend on."""
        last = ORDER.index(section)
        return Trial(tuple((key, value) for key, value in self.values if ORDER.index(decides_at(key)) <= last))

    @cached_property
    def folder(self) -> str:
        """The folder of what is computed with these values, below the results, with a slash; "" without values.

        Raises
        ------
        ClusterfirstError
            Its name would be too long for a file system.
        """
        if not self.values:
            return ""
        name = "__".join(f"{key.replace('.', '_')}~{word(value)}" for key, value in self.values)
        if len(name) > _LONGEST:
            raise ClusterfirstError(
                f"config: sweep: {name} is too long for the name of a folder: sweep fewer keys at once"
            )
        return f"{ResultsFolder.sweep}/{name}/"

    @property
    def settings(self) -> dict:
        """The values as sections of a configuration."""
        sections: dict[str, dict] = {}
        for key, value in self.values:
            section, name = key.split(".")
            sections.setdefault(section, {})[name] = value
        return sections


@dataclass(frozen=True)
class Trials:
    """Everything that a run tries.

    Attributes
    ----------
    parts : dict of str to Trial
        By folder: the ordinary run (""), every trial, and every trial cut off after a section.
    whole : dict of str or None to list of Trial
        By tissue: the trials of its whole sweep.
    """

    parts: Mapping[str, Trial]
    whole: Mapping[str | None, list[Trial]]

    @classmethod
    def of(cls, sweeps: Mapping[str | None, dict[str, list]]) -> Trials:
        """Make the trials of each tissue's sweep.

        Raises
        ------
        ClusterfirstError
            Two would have one folder.
        """
        parts, whole = {"": Trial()}, {}
        for tissue, sweep in sweeps.items():
            whole[tissue] = trials(sweep)
            for part in (trial.until(section) for trial in whole[tissue] for section in ORDER):
                if parts.setdefault(part.folder, part) != part:
                    raise ClusterfirstError(
                        f"config: sweep: two values are both written {part.folder}: change one of them slightly"
                    )
        return cls(parts, whole)

    @cached_property
    def of_tissue(self) -> dict[str | None, set[str]]:
        """By tissue, the folders of all that its slides take part in, besides the ordinary run."""
        return {
            tissue: {trial.until(section).folder for trial in whole for section in ORDER}
            for tissue, whole in self.whole.items()
        }

    @cached_property
    def tissues_of(self) -> dict[str, set[str | None]]:
        """By folder of a whole trial, the tissues whose it is: the beginning of another's may be the same."""
        found: dict[str, set[str | None]] = {}
        for tissue, whole in self.whole.items():
            for trial in whole:
                found.setdefault(trial.folder, set()).add(tissue)
        return found


def split(unit: str) -> tuple[str, str]:
    """Split what a slide or group is known by into the folder of its trial, and its own.

    Examples
    --------
    >>> split("sweep/clustering_groups~5/a"), split("groups/cohort")
    (('sweep/clustering_groups~5/', 'a'), ('', 'groups/cohort'))
    """
    if not in_sweep(unit):
        return "", unit
    sweep, trial, name = unit.split("/", 2)
    return f"{sweep}/{trial}/", name


def in_sweep(unit: str) -> bool:
    """Whether a slide or group is that of a trial, not of the ordinary run."""
    return unit.startswith(f"{ResultsFolder.sweep}/")


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
