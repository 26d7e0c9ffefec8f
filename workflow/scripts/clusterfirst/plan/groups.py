"""Which slides are clustered together.

A slide is known by its folder among the results: ``a``, or ``sweep/<trial>/a`` for what a trial makes of it. Cells that
are clustered together are a group, known by its folder too: the slide's, or ``groups/<name>``. Either is a unit.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from .layout import ResultsFolder
from .sheet import Sample
from .trials import split, word

_COHORT = f"{ResultsFolder.groups}/cohort"
_TISSUE = f"{ResultsFolder.groups}/tissue-"

# Snakemake goes through the whole pattern of a wildcard for every file of every job. A pattern that lists all slides
# would make the time of a dry-run grow with their square: what is no slide's folder is found out by `Plan.sample`.
A_SLIDE = f"(?:{ResultsFolder.sweep}/[^/]+/)?[^/]+"
A_GROUP = f"(?:{ResultsFolder.sweep}/[^/]+/)?{ResultsFolder.groups}/[^/]+"


def group_of(trial: str, sample: Sample, scope: str) -> str:
    """Return the group that a slide is clustered with.

    Parameters
    ----------
    trial
        Folder of the trial (see `Trial.folder`).
    sample
        The slide's row.
    scope
        Setting ``clustering.scope``.
    """
    if scope == "slide":
        return f"{trial}{sample.slide}"
    if scope == "cohort":
        return f"{trial}{_COHORT}"
    return f"{trial}{_TISSUE}{word(sample.tissue)}"


def is_of_tissue(group: str) -> bool:
    """Whether a group is that of a tissue."""
    return split(group)[1].startswith(_TISSUE)


@dataclass(frozen=True)
class Groups:
    """All slides of a run and its trials, by what they are clustered with.

    Attributes
    ----------
    members : dict of str to list of str
        By group, its slides, by name: rows of a sheet may be moved, and their clusters stay as they are.
    """

    members: Mapping[str, Sequence[str]]

    @classmethod
    def of(cls, slides: Mapping[str, Iterable[str]], group: Callable[[str, str], str]) -> Groups:
        """Gather the slides of each trial.

        Parameters
        ----------
        slides
            Names of slides, by the folder of the trial that they take part in.
        group
            Gives the group of a trial's slide.
        """
        members: dict[str, list[str]] = {}
        for trial, names in slides.items():
            for name in names:
                members.setdefault(group(trial, name), []).append(f"{trial}{name}")
        return cls({name: sorted(slides) for name, slides in members.items()})

    @cached_property
    def sharing(self) -> dict[str, str]:
        """The group of every slide that gets its map and clusters from one."""
        return {slide: group for group, slides in self.members.items() for slide in slides if group != slide}

    def of_slide(self, slide: str) -> str:
        """Return the group that a slide belongs to: itself, where it is clustered alone."""
        return self.sharing.get(slide, slide)

    @cached_property
    def patterns(self) -> tuple[str, str]:
        """Regular expressions of slides that get their clusters from a group, and of what is clustered by itself."""
        alone = [slide for slides in self.members.values() for slide in slides if slide not in self.sharing]
        if not self.sharing:
            return any_of([]), A_SLIDE
        if not alone:
            return A_SLIDE, A_GROUP
        # Both make the same files of slides; only names can tell whose turn it is.
        return _any_unit(self.sharing), f"{A_GROUP}|{_any_unit(alone)}"


def any_of(names: Iterable[str]) -> str:
    """Return a pattern of some names, or of none."""
    return "|".join(map(re.escape, names)) or "(?!)"


def _any_unit(units: Iterable[str]) -> str:
    """A pattern of some slides; trials of the same slides share one list of them."""
    names: dict[str, list[str]] = {}
    for trial, name in map(split, units):
        names.setdefault(trial, []).append(name)
    trials: dict[tuple[str, ...], list[str]] = {}
    for trial, own in names.items():
        trials.setdefault(tuple(own), []).append(trial)
    # Results of no trial have no folder before them: an empty choice.
    parts = [f"(?:{'|'.join(map(re.escape, own))})(?:{any_of(names)})" for names, own in trials.items()]
    return "|".join(parts) or any_of([])
