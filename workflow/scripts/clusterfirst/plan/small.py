"""Small images, of which one job does many: which they are, and what is to be done for each.

A chain is several stages that one job does one after the other. Its files are those of the stages, so that all else in
a run finds them where it would anyway.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ..paths import SCRIPTS, library_sha256
from ..segmentation import SETTLING
from . import sizes, wanted
from .groups import any_of
from .layout import ResultsFolder, SlideFolder
from .stages import CHAINS, GROUP, SHARD, STAGES

if TYPE_CHECKING:
    from .plan import Plan

_PLAIN = (".png", ".jpg", ".jpeg", ".bmp")
"""What is read whole. A slide of a few MB may still have many tiles."""
ONLY_SHARD = "1-of-1"

Told = tuple[Mapping[str, Any], Mapping[str, Any]]
"""Inputs and params of a stage's rule, by name."""


def small_slides(plan: Plan) -> frozenset[str]:
    """Return the slides that go through chains: plain images with small files, outlined by a network in one shard.

    What decides is known before anything is made, and stays: a slide that changed rules would be done again.
    """
    wanted_mb = plan.config["small_images"]["up_to_mb"]
    if not plan.config["small_images"]["minutes"] or plan.stored or plan.config["segmentation"]["shards"] > 1:
        return frozenset()
    return frozenset(
        slide
        for slide, sample in plan.samples.items()
        if os.path.splitext(sample.path)[1].lower() in _PLAIN
        and "://" not in sample.path
        and not plan.given(slide)
        and 0 < sizes.file_mb(sample.path) <= wanted_mb
    )


def slides_of(plan: Plan, chain: str) -> frozenset[str]:
    """Return the slides that go through a chain."""
    if chain == "small_image":
        return plan.small
    alone = chain == "small_image_clusters"
    return frozenset(
        slide
        for slide in plan.small
        # What cells are called is known only after the clusters, and which are novel only from an atlas.
        if (plan.groups.of_slide(slide) == slide) == alone
        and not wanted.classes(plan, slide, "annotation")
        and not (alone and plan.settings(slide).of_novel)
    )


def chain_of(plan: Plan, stage: str, unit: str) -> str | None:
    """Return the chain by which a slide goes through a stage; None if that is a job of its own."""
    return next((one for one, stages in CHAINS.items() if stage in stages and unit in plan.chains[one]), None)


def patterns(plan: Plan, chains: Iterable[str], usual: str) -> tuple[str, str]:
    """Return regular expressions of the slides that go through one of some chains, and of what else a wildcard may be.

    Where all slides do, none is listed: a long list takes time, for each file of each job.

    Parameters
    ----------
    plan, chains
        They.
    usual
        What the wildcard may be otherwise.
    """
    slides = frozenset().union(*(plan.chains[chain] for chain in chains))
    if not slides:
        return any_of([]), usual
    folders = "|".join((ResultsFolder.groups, ResultsFolder.sweep))
    all_of_them = len(slides) == len(plan.samples)
    those = f"(?!(?:{folders})/)[^/]+" if all_of_them else f"(?:{any_of(sorted(slides))})"
    return those, f"(?!{those}(?:/|$))(?:{usual})"


# --- what is to be done ------------------------------------------------------------------------------------------


def _tile(plan: Plan, slide: str) -> Told:
    sample = plan.sample(slide)
    return {"slide": sample.path}, {"settings": plan.settings(slide).tiling, "mpp": sample.mpp}


def _filter_tiles(plan: Plan, slide: str) -> Told:
    files = {"slide": plan.sample(slide).path, "tiles": plan.at("tile", slide, "tiles")}
    return files, {"settings": plan.settings(slide).filter}


def _outline(plan: Plan, slide: str) -> Told:
    files = {
        "slide": plan.sample(slide).path,
        "tiles": plan.at("filter_tiles", slide, "tiles"),
        "weights": [*plan.weights_files("segmentation", slide).values()],
    }
    return files, {"settings": plan.segmentation(slide, without=SETTLING), "gpu": plan.config["gpu"]}


def _segment(plan: Plan, slide: str) -> Told:
    files = {
        "tiles": plan.at("filter_tiles", slide, "tiles"),
        "outlines": [plan.at("outline", slide, "outlines").replace(SHARD, ONLY_SHARD)],
        "objects": [],
    }
    return files, {"settings": plan.segmentation(slide, without={"shards"}), "given": {}}


def _embed(plan: Plan, slide: str) -> Told:
    weights = plan.weights_files("embedding", slide)
    files = {
        "slide": plan.sample(slide).path,
        "tiles": plan.at("filter_tiles", slide, "tiles"),
        "cells": plan.at("segment", slide, "cells"),
        "weights": [*weights.values()],
    }
    return files, {"settings": plan.settings(slide).embedding, "weights": [*weights], "gpu": plan.config["gpu"]}


def _reduce(plan: Plan, slide: str) -> Told:
    files = {
        "embeddings": [plan.at("embed", slide, "embeddings")],
        "columns": [plan.at("embed", slide, "columns")],
        "cells": [plan.at("segment", slide, "cells")],
    }
    settings = plan.settings(slide).reduction
    return files, {"settings": settings, "slides": plan.names(slide), "gpu": plan.config["gpu"]}


def _cluster(plan: Plan, slide: str) -> Told:
    settings = plan.settings(slide)
    files = {key: plan.at("reduce", slide, key) for key in ("umap", "facts")} | {"learnt": []}
    return files, {"settings": settings.clustering, "typical": settings.typical, "gpu": plan.config["gpu"]}


def _share_map(plan: Plan, slide: str) -> Told:
    files = {key: plan.at("reduce", plan.groups.of_slide(slide), key) for key in ("umap", "plane", "facts")}
    return files, {"slide": plan.sample(slide).slide}


def _share_clusters(plan: Plan, slide: str) -> Told:
    group = plan.groups.of_slide(slide)
    files = {
        "clusters": plan.at("cluster", group, "clusters"),
        "facts": plan.at("reduce", group, "facts"),
        "umap": plan.at("reduce", slide, "umap"),
    }
    return files, {"slide": plan.sample(slide).slide}


def _annotate(plan: Plan, slide: str) -> Told:
    settings, sample = plan.settings(slide), plan.sample(slide)
    files = {
        "slide": sample.path,
        "tiles": plan.at("filter_tiles", slide, "tiles"),
        "cells": plan.at("segment", slide, "cells"),
        "plane": plan.at("reduce", slide, "plane"),
        "clusters": plan.at("cluster", slide, "clusters"),
        "classes": [],
    }
    return files, {"settings": settings.annotation, "all_settings": settings.decisive, "tissue": sample.tissue}


TOLD: Mapping[str, Callable[[Plan, str], Told]] = {
    "tile": _tile,
    "filter_tiles": _filter_tiles,
    "outline": _outline,
    "segment": _segment,
    "embed": _embed,
    "reduce": _reduce,
    "cluster": _cluster,
    "share_map": _share_map,
    "share_clusters": _share_clusters,
    "annotate": _annotate,
}
"""What each stage's own rule is told of a slide, but for contents of files; a test holds both together."""


def told_to(plan: Plan, chain: str, wildcards: Any) -> dict[str, Mapping[str, Any]]:
    """Return the params of all stages of a chain of ``wildcards.slide``: a change of one, and all is done again."""
    return {stage: TOLD[stage](plan, wildcards.slide)[1] for stage in CHAINS[chain]}


class Command:
    """What a shell is given; no setting, of which Snakemake would keep how it was when a file was made.

    Parameters
    ----------
    words
        Program and arguments.
    """

    def __init__(self, *words: str):
        self._words = words

    def __str__(self) -> str:
        return shlex.join(self._words)


def command(plan: Plan, chain: str, python: str, wildcards: Any) -> Command:
    """Return how a chain of ``wildcards.slide`` is started: without what the site has installed, in an instant."""
    return Command(python, "-S", str(SCRIPTS / "small_image.py"), folder(plan, chain, wildcards.slide))


def jobs_of(chain: str) -> list[str]:
    """Return what logs and benchmarks of a chain's stages are called."""
    return [f"{name}-{ONLY_SHARD}" if STAGES[name].scattered else name for name in CHAINS[chain]]


def weights(plan: Plan, chain: str, slide: str) -> list[str]:
    """Return the files of weights that the stages of a chain load, each once."""
    found = (TOLD[stage](plan, slide)[0].get("weights", []) for stage in CHAINS[chain])
    return [*dict.fromkeys(file for files in found for file in files)]


def made_before(plan: Plan, chain: str, slide: str) -> list[str]:
    """Return the files of other stages that those of a chain read."""
    others = {plan.sample(slide).path, *weights(plan, chain, slide)}
    return [file for file in _read(plan, chain, slide) if file not in others]


def _read(plan: Plan, chain: str, slide: str) -> list[str]:
    """What a chain reads and does not make, each file once."""
    made = {file for stage in CHAINS[chain] for file in outputs(plan, stage, slide).values()}
    found = [file for stage in CHAINS[chain] for file in _flat(TOLD[stage](plan, slide)[0])]
    return [file for file in dict.fromkeys(found) if file not in made]


def _flat(files: Mapping[str, Any]) -> Iterable[str]:
    return [one for value in files.values() for one in ([value] if isinstance(value, str) else value)]


def outputs(plan: Plan, stage: str, slide: str) -> dict[str, str]:
    """Return the files that a stage makes of a slide, by name."""
    return {key: plan.at(stage, slide, key).replace(SHARD, ONLY_SHARD) for key in STAGES[stage].files}


def folder(plan: Plan, chain: str, slide: str) -> str:
    """Return where a chain of a slide keeps what it has done; see `small.kept.Kept`."""
    return f"{plan.results}/{ResultsFolder.small}/{chain}/{slide}"


def job(plan: Plan, chain: str, slide: str, contents: Any) -> dict[str, Any]:
    """Return all that a process must know to do a chain of a slide, in plain values.

    Parameters
    ----------
    plan, chain, slide
        What is to be done.
    contents
        What the files from outside hold (see `contents.Contents.param`).

    Returns
    -------
    dict
        See `small.kept` and `small.stages`. ``key`` tells settings, files, what they hold, and this library from any
        other. ``with``: others can be done at the same time if they have the same. ``after``: the folder of what must
        be done first, if this run does it.
    """
    home, aside = f"{plan.results}/{slide}", f"{folder(plan, chain, slide)}/made"
    made = [file for stage in CHAINS[chain] for file in outputs(plan, stage, slide).values()]
    names = [os.path.relpath(file, home) for file in made]
    moved = {file: f"{aside}/{name}" for file, name in zip(made, names, strict=True)}
    reads, group = _read(plan, chain, slide), plan.groups.of_slide(slide)

    def placed(files: Mapping[str, Any]) -> dict[str, Any]:
        return {
            key: moved.get(value, value) if isinstance(value, str) else [moved.get(one, one) for one in value]
            for key, value in files.items()
        }

    def stage(name: str, job_name: str) -> dict[str, Any]:
        files, params = TOLD[name](plan, slide)
        return {
            "name": name,
            "input": placed(files),
            "output": placed(outputs(plan, name, slide)),
            "params": params,
            "wildcards": {"group" if STAGES[name].of == GROUP else "slide": slide, "scatteritem": ONLY_SHARD},
            "log": f"{job_name}.log",
            "benchmark": f"{home}/{SlideFolder.benchmarks}/{job_name}.tsv",
        }

    stages = [stage(*names) for names in zip(CHAINS[chain], jobs_of(chain), strict=True)]
    what = [[one["params"] for one in stages], reads, repr(contents), library_sha256()]
    return {
        "key": hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest(),
        "folder": home,
        "files": names,
        "logs": f"{home}/{SlideFolder.logs}",
        "reads": reads,
        "stages": stages,
        "minutes": plan.config["small_images"]["minutes"],
        "with": group if group != slide and chain != "small_image" else "",
        "after": None if chain == "small_image" else folder(plan, "small_image", slide),
    }
