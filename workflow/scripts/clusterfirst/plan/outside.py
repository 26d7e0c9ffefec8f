"""Files from outside that a stage reads of a slide or group: what people name, or put among the results."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .. import weights
from . import small, units
from .contents import Contents, kept_in
from .networks import weights_names
from .stages import ATLAS, EXPORTED, GROUP, OBJECTS, PICTURED, PROMPT, SLIDE_FILE, STAGES, TRUTH, WEIGHTS, stages_of

if TYPE_CHECKING:
    from .plan import Plan

Prompt = Callable[[str], str]
"""Gives the file that says what is asked about a group's clusters."""


@dataclass(frozen=True)
class Outside:
    """Files from outside that stages read, and what of them Snakemake keeps.

    Attributes
    ----------
    plan : Plan
    contents : Contents
    kept_params : callable
        Gives the params that Snakemake kept of a job, by stage, unit and shard (None: the only one); None if it did not
        run, or nobody knows.
    prompt : callable
        Gives the file that says what is asked about a group's clusters.
    is_elsewhere : callable
        Whether a file lies in a storage: Snakemake itself knows those.
    """

    plan: Plan
    contents: Contents
    kept_params: Callable[[str, str, str | None], Iterable[str] | None]
    prompt: Prompt
    is_elsewhere: Callable[[str], bool]

    def is_known(self, stage: str, unit: str, shard: str | None) -> bool:
        """Whether it is kept what the files held that a job read."""
        return kept_in(self.kept_params(stage, unit, shard)) is not None

    def param(self, stage: str, unit: str, shard: str | None) -> object:
        """Return what the files hold that a job reads; see `Contents.param`."""
        return self.contents.param(self._files(stage, unit), self.kept_params(stage, unit, shard))

    def told(self, stage: str, unit: str) -> tuple[list[str], list[str]]:
        """Return files whose times count, and those that hold something else than when they were read."""
        by_time, replaced = units.by_time(self.plan, stage, unit)
        if stage not in STAGES:
            return by_time, replaced
        stage = small.chain_of(self.plan, stage, unit) or stage
        kept = self.kept_params(stage, unit, None)
        return [] if kept_in(kept) is not None else by_time, self.contents.replaced(self._files(stage, unit), kept)

    def _files(self, stage: str, unit: str) -> list[str]:
        found = [file for one in stages_of(stage) for file in files(self.plan, one, unit, prompt=self.prompt)]
        return [file for file in dict.fromkeys(found) if not self.is_elsewhere(file)]


def files(plan: Plan, stage: str, unit: str, *, prompt: Prompt) -> list[str]:
    """Return those files, by the names that the user gave them; always in the same order."""
    return [file for kind in STAGES[stage].outside for file in _FILES[kind](plan, stage, unit, prompt)]


def _slides(plan: Plan, stage: str, unit: str, _prompt: Prompt) -> Iterator[str]:
    for member in plan.members(unit) if STAGES[stage].of == GROUP else [unit]:
        yield plan.sample(member).path


def _pictured(plan: Plan, stage: str, unit: str, prompt: Prompt) -> Iterator[str]:
    if plan.settings(unit).export["image"]:
        yield from _slides(plan, stage, unit, prompt)


def _objects(plan: Plan, _stage: str, unit: str, _prompt: Prompt) -> Iterator[str]:
    if plan.given(unit):
        yield plan.sample(unit).objects


def _truth(plan: Plan, _stage: str, unit: str, _prompt: Prompt) -> Iterator[str]:
    if plan.sample(unit).truth:
        yield plan.sample(unit).truth


def _exported(plan: Plan, _stage: str, unit: str, _prompt: Prompt) -> Iterator[str]:
    if newest := plan.newest_labels(unit):
        yield plan.on_disk(newest)


def _own_weights(plan: Plan, stage: str, unit: str, _prompt: Prompt) -> Iterator[str]:
    """Weights that are fetched are known by their names, and checked by those who use them."""
    names = weights_names(plan.settings(unit)).get(STAGES[stage].section, {})
    yield from (name for name in names.values() if not weights.is_asset(name))


def _prompt(_plan: Plan, _stage: str, unit: str, prompt: Prompt) -> Iterator[str]:
    yield prompt(unit)


def _atlas(plan: Plan, _stage: str, unit: str, _prompt: Prompt) -> Iterator[str]:
    if atlas := plan.settings(unit).apply["atlas"]:
        yield atlas


_FILES: Mapping[str, Callable[[Plan, str, str, Prompt], Iterator[str]]] = {
    SLIDE_FILE: _slides,
    PICTURED: _pictured,
    OBJECTS: _objects,
    TRUTH: _truth,
    EXPORTED: _exported,
    WEIGHTS: _own_weights,
    PROMPT: _prompt,
    ATLAS: _atlas,
}
