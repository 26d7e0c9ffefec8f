"""How configuration, sheet and sweep go together: each problem in a line, all before the first job."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from .. import weights
from ..embedding.pathology import KNOWN
from ..segmentation import GIVEN
from . import wanted
from .groups import is_of_tissue
from .networks import weights_names

if TYPE_CHECKING:
    from .plan import Plan

_SHARED = ("embedding", "reduction", "clustering", "classify")
"""Sections that slides must agree upon to be clustered together."""


def problems(plan: Plan, has_weights: Callable[[str], bool]) -> list[str]:
    """Return every problem once.

    Parameters
    ----------
    plan
        The run.
    has_weights
        Whether a file of weights, or another that the config names, is there or will be.
    """
    found = [
        *_missing_weights(plan, has_weights),
        *_missing_objects(plan),
        *_tissues_of_one_name(plan),
        *_different_settings(plan),
        *_unknown_balance(plan),
        *_missing_models(plan),
        *_missing_atlases(plan, has_weights),
        *_novel_to_nothing(plan),
    ]
    return list(dict.fromkeys(found))


def unused_tissues(plan: Plan) -> Iterator[str]:
    """A misspelt tissue would silently do nothing: yield a warning for each."""
    present = {sample.tissue for sample in plan.samples.values()}
    known = ", ".join(sorted(filter(None, present))) or "none"
    for name in set(plan.config["tissues"] or {}) - present:
        yield f"config: tissues.{name} concerns no slide; tissues in the sheet: {known}"


def _missing_weights(plan: Plan, has_weights: Callable[[str], bool]) -> Iterator[str]:
    """Weights that can neither be fetched nor are a file."""
    known = ", ".join(weights.WEIGHTS)
    for settings in plan.every_settings():
        for section, names in weights_names(settings).items():
            for model, name in names.items():
                if weights.is_asset(name) or has_weights(name):
                    continue
                if gated := KNOWN.get(model.removeprefix("tokens:")):
                    yield (
                        f"config: {section}: {model} needs a file that only its authors give: agree to the terms of "
                        f"huggingface.co/{gated.home} ({gated.licence}), fetch pytorch_model.bin there, and set "
                        f'embedding.weights: {{"{model}": the file}}'
                    )
                else:
                    yield (
                        f"config: {section}: no file {name} for {model}, and no weights of that name (known: {known})"
                    )


def _missing_atlases(plan: Plan, is_there: Callable[[str], bool]) -> Iterator[str]:
    """Atlases that are to be applied and are no file, nor what this run can learn."""
    for settings in plan.every_settings():
        atlas = settings.apply["atlas"]
        if atlas and atlas != wanted.own_atlas(plan) and not is_there(atlas):
            yield f"config: apply.atlas: no file {atlas}; `snakemake learn` makes atlases, of labelled slides"


def _novel_to_nothing(plan: Plan) -> Iterator[str]:
    """Clusters of novel cells, where no atlas says which these are."""
    for settings in plan.every_settings():
        if settings.of_novel and not settings.apply["atlas"]:
            yield "config: clustering.cells is novel, but to what? Set apply.atlas"
    if any(plan.settings(trial + slide).of_novel for trial in plan.whole_trials for slide in plan.slides_of[trial]):
        yield "config: clustering.cells is novel, and atlases are not asked in a sweep: set it to all, or sweep nothing"


def _missing_objects(plan: Plan) -> Iterator[str]:
    """Slides that are to take outlines from elsewhere, and say none."""
    for trial, slides in plan.slides_of.items():
        for slide in slides:
            model = plan.settings(trial + slide).segmentation["model"]
            if model == GIVEN and plan.samples[slide].objects is None:
                yield (
                    f"{plan.config['slides']}: slide {slide} has no file in column objects, and segmentation.model is "
                    "precomputed"
                )


def _different_settings(plan: Plan) -> Iterator[str]:
    """What slides that are to be clustered together would have to agree upon."""
    for members in plan.groups.members.values():
        first = plan.settings(members[0])
        for other in members[1:]:
            settings = plan.settings(other)
            # Of the same tissue, they are one.
            if settings is first:
                continue
            for section in (*_SHARED, *(["apply"] if first.of_novel else [])):
                own, shared = getattr(settings, section), getattr(first, section)
                for key in own:
                    if own[key] != shared[key]:
                        yield (
                            f"config: {section}.{key} is {shared[key]} for slide {members[0]}, but {own[key]} for "
                            f"slide {other}: slides that are clustered together (clustering.scope) need the same"
                        )


def _tissues_of_one_name(plan: Plan) -> Iterator[str]:
    """Tissues whose groups would have the same folder."""
    for group, members in plan.groups.members.items():
        names = list(dict.fromkeys(plan.sample(member).tissue for member in members))
        if is_of_tissue(group) and len(names) > 1:
            yield (
                f"{plan.config['slides']}: tissues {', '.join(map(repr, names))} are written the same in names of "
                "folders (clustering.scope is tissue): spell them the same, or change all but one"
            )


def _unknown_balance(plan: Plan) -> Iterator[str]:
    """Weights of models that the embedding does not have."""
    for trial in ("", *plan.whole_trials):
        for slide in plan.slides_of[trial]:
            settings = plan.settings(trial + slide)
            models = settings.embedding["models"]
            for model in set(settings.reduction["balance"]) - set(models):
                yield f"config: reduction.balance: {model} is none of embedding.models ({', '.join(models)})"


def _missing_models(plan: Plan) -> Iterator[str]:
    """Pictures that are to be shown to a model, and it is not said which."""
    for settings in plan.every_settings():
        if settings.classify["per_cluster"] and not settings.classify["model"]:
            yield (
                "config: classify.per_cluster is not 0: which model is to be asked? Set classify.model, as the server "
                "calls it"
            )
