"""A cohort: the slides of a run that are finished, and those that are not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ...plan.layout import ResultsFolder, SlideFolder
from .figures import Slide


@dataclass(frozen=True)
class Missing:
    """A slide that is not finished: the stage that it stands at, what that is, and why."""

    slide: str
    stage: str
    word: str
    why: str


@dataclass(frozen=True)
class Cohort:
    """What the page is about.

    Attributes
    ----------
    results : pathlib.Path
        The folder of all results; the page lies in it.
    slides : sequence of Slide
        Finished, in the order of the sheet.
    missing : sequence of Missing
        All others.
    seconds : dict of str to float
        By group of several slides, what was done for all of them at once took.
    version : str
        Of clusterfirst.
    made : datetime
        When the page is made.
    """

    results: Path
    slides: Sequence[Slide]
    missing: Sequence[Missing]
    seconds: Mapping[str, float]
    version: str
    made: datetime

    @property
    def together(self) -> dict[str, list[Slide]]:
        """Slides that share clusters, by the folder of their group."""
        groups: dict[str, list[Slide]] = {}
        for slide in self.slides:
            if slide.group != slide.name:
                groups.setdefault(slide.group, []).append(slide)
        return groups

    @property
    def alone(self) -> list[Slide]:
        """Slides with clusters of their own."""
        return [slide for slide in self.slides if slide.group == slide.name]

    def folder(self, name: str) -> SlideFolder:
        """Return the results of a slide or group."""
        return ResultsFolder(self.results).slide(name)


def title(group: str) -> str:
    """Return what people call a group of slides that share clusters, by its folder."""
    kind = group.rsplit("/", 1)[-1]
    return "All slides together" if kind == "cohort" else f"Tissue: {kind.removeprefix('tissue-')}"
