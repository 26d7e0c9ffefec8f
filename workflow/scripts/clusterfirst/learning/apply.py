"""From an atlas and a slide's embeddings to what its cells are, how sure that is, and what nobody has taught."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..io import ClusterfirstError, log, progress
from ..reduction.inputs import SlideEmbedding
from .atlas import Atlas
from .novelty import Crowd, sampled

_CHUNK_ROWS = 8192
TAUGHT, SLIDE = "taught", "slide"
"""Classes are as common as where it was taught, or as this slide's cells make likely."""


@dataclass(frozen=True)
class Asked:
    """What an atlas holds of a slide's n cells, before anything is decided.

    Attributes
    ----------
    chances : numpy.ndarray
        n × K float32, where classes are as common as where it was taught.
    novelty : numpy.ndarray
        n float32 in 0 to 1.
    """

    chances: np.ndarray
    novelty: np.ndarray


@dataclass(frozen=True)
class Applied:
    """What an atlas says of a slide's n cells.

    Attributes
    ----------
    label : numpy.ndarray
        n int, numbers of classes; −1: it abstains, or the cell is novel.
    probability : numpy.ndarray
        n float32: of the likeliest class, whether it is given or not.
    novelty : numpy.ndarray
        n float32 in 0 to 1.
    facts : dict
        JSON-ready: counts, and how common classes are.
    """

    label: np.ndarray
    probability: np.ndarray
    novelty: np.ndarray
    facts: dict[str, Any]


def ask(atlas: Atlas, slide: SlideEmbedding, *, embedding: Mapping[str, Any], mpp: float, threads: int) -> Asked:
    """Ask an atlas about the cells of a slide.

    Parameters
    ----------
    atlas
        What was learnt.
    slide
        Its cells.
    embedding
        Its ``embeddings.json``.
    mpp
        Its µm per level-0 pixel.

    Raises
    ------
    ClusterfirstError
        The slide was described otherwise than those that taught.
    """
    if differs := atlas.differences(embedding, mpp):
        raise ClusterfirstError(
            f"slide {slide.slide}: atlas {atlas.name} was taught by slides that were described otherwise, so it says "
            f"nothing of this one: {'; '.join(differs)}. Embed the slide as those were, or learn anew from slides like "
            "it"
        )
    count = len(slide.values)
    chances = np.empty((count, len(atlas.classes)), np.float32)
    strange = np.empty(count, np.float32)
    own, novelty = (
        atlas.recipe.preparation.width,
        atlas.novelty.among(Crowd.of(atlas.recipe.own(slide, sampled(count)))),
    )
    parts = atlas.recipe.walk(slide, threads=threads)
    for rows, described in progress(parts, total=-(-count // _CHUNK_ROWS), what="cells"):
        chances[rows] = atlas.calibration.probabilities(atlas.basis.of(described) @ atlas.weights)
        strange[rows] = novelty(np.ascontiguousarray(described[:, :own]))
    return Asked(chances, strange)


def decide(atlas: Atlas, asked: Asked, settings: Mapping[str, Any]) -> Applied:
    """Say what cells are, or that it is not known.

    Parameters
    ----------
    atlas
        Which was asked.
    asked
        What it holds of them.
    settings
        The ``apply`` section of the configuration.
    """
    chances, strange, count = asked.chances, asked.novelty, len(asked.novelty)
    novel = strange > settings["max_novelty"]
    taught = atlas.calibration.priors
    # Cells unlike anything taught would be counted as whatever they are least unlike.
    here = atlas.calibration.on(chances[~novel]) if not novel.all() else taught
    if settings["priors"] == SLIDE:
        chances = atlas.calibration.moved(chances, here)
    sure = chances.max(axis=1, initial=0).astype(np.float32)
    doubtful = ~novel & (sure < settings["min_probability"])
    label = np.where(novel | doubtful, -1, chances.argmax(axis=1))
    names = [entry["name"] for entry in atlas.classes]
    facts = {
        "cells": count,
        "labelled": {name: int((label == number).sum()) for number, name in enumerate(names)},
        "novel": int(novel.sum()),
        "doubtful": int(doubtful.sum()),
        "expected_right": float(sure[label >= 0].mean()) if (label >= 0).any() else None,
        "priors": {
            name: {"taught": float(before), "slide": float(now)}
            for name, before, now in zip(names, taught, here, strict=True)
        },
    }
    _tell(facts, settings, atlas)
    return Applied(label, sure, strange, facts)


def _tell(facts: Mapping[str, Any], settings: Mapping[str, Any], atlas: Atlas) -> None:
    count = max(1, facts["cells"])
    for name, number in facts["labelled"].items():
        shift = facts["priors"][name]
        log.info(
            "%s: %d cells, %.1f %% (where it was taught %.1f %%, by this slide's cells %.1f %%)",
            *(name, number, 100 * number / count, 100 * shift["taught"], 100 * shift["slide"]),
        )
    log.info(
        "no label: %d cells (%.1f %%) with a probability below %g, %d (%.1f %%) unlike anything taught (of taught "
        "kinds %.1f %% would be)",
        *(facts["doubtful"], 100 * facts["doubtful"] / count, settings["min_probability"]),
        *(facts["novel"], 100 * facts["novel"] / count, 100 * (1 - settings["max_novelty"])),
    )
