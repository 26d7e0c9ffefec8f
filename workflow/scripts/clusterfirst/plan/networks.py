"""Which backends the settings of a slide ask for, and what weights these need."""

from __future__ import annotations

from collections.abc import Mapping

from .. import embedding, segmentation, weights
from ..backends import Backend
from .settings import Settings


def backends(section: str, settings: Settings) -> list[Backend]:
    """Return the backends that section ``segmentation`` or ``embedding`` names."""
    if section == "segmentation":
        return [segmentation.BACKENDS[settings.segmentation["model"]]]
    return [embedding.backend(model) for model in settings.embedding["models"]]


def weights_names(settings: Settings) -> Mapping[str, Mapping[str, str]]:
    """Return the names or paths of weights, by section and model; a section that needs none is absent."""
    names = {
        "segmentation": segmentation.weights_of(settings.segmentation),
        "embedding": embedding.weights_of(settings.embedding),
    }
    return {section: of_models for section, of_models in names.items() if of_models}


def assets(settings: Settings) -> set[str]:
    """Return the names of those weights that can be fetched."""
    named = {name for of_models in weights_names(settings).values() for name in of_models.values()}
    return {name for name in named if weights.is_asset(name)}
