"""Every stage of the workflow, a row each: what else is to be known of a rule is derived from its row.

Rows stand in the order in which data flows. Outputs stand in the rules, too, where people read them; a test holds rows
and rules together, both ways.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ..export import EMBEDDING, FORMATS, PICTURE, TILES
from ..fit import Fit
from ..segmentation import GIVEN
from .layout import ResultsFolder, SlideFolder
from .settings import Settings, draws_classes

SLIDE, GROUP, RUN = "slide", "group", "run"
"""Whom a job is of: a slide, slides that are clustered together, or all of a run."""
NETWORK, CUML = "network", "cuml"
"""What may compute on a GPU: the backends of the stage's section, or cuML."""
SLIDE_FILE, PICTURED, OBJECTS, TRUTH = "slide", "pictured slide", "objects", "truth"
EXPORTED, WEIGHTS, PROMPT, ATLAS = "labels", "weights", "prompt", "atlas"
"""Files from outside: what people name, or put there."""
SHARD = "{scatteritem}"
CELLS = "cells"
"""The format that all others are made from; ``label_cells`` writes it."""
UNASKED = (CELLS, "qupath")
"""Formats that are made without being asked for, where cells have names."""


@dataclass(frozen=True)
class Case:
    """A slide in a run: what decides which stages it goes through.

    Attributes
    ----------
    settings : Settings
    trial : bool
        Whether it is that of a trial of a sweep.
    named : bool
        Whether its cells have names, by anybody, or will have.
    asked : bool
        Whether a model is asked about its clusters.
    truth : bool
        Whether people say what its cells are.
    """

    settings: Settings
    trial: bool
    named: bool
    asked: bool
    truth: bool

    @property
    def given(self) -> bool:
        """Whether its outlines come from elsewhere."""
        return self.settings.segmentation["model"] == GIVEN

    @property
    def applied(self) -> bool:
        """Whether an atlas says what its cells are."""
        return not self.trial and self.settings.apply["atlas"] is not None

    def exported(self, name: str) -> bool:
        """Whether it is wanted in a format; where cells have names, two are made unasked."""
        return name in self.settings.export["formats"] or (self.named and name in UNASKED)


@dataclass(frozen=True)
class Stage:
    """A stage of the workflow.

    Attributes
    ----------
    name : str
        Of its rule.
    of : str
        `SLIDE`, `GROUP` or `RUN`.
    files : dict of str to str
        Outputs by the names that the rule gives them, below the folder of the slide, group or run.
    fit : Fit
        What a job needs.
    after : tuple of str
        Stages whose files it reads, as far as a slide goes through them.
    sometimes : dict of str to Callable of Case to bool
        Stages whose files it reads of some slides, and of which.
    outside : tuple of str
        Which files from outside it reads: `SLIDE_FILE`, `OBJECTS`, ….
    section : str or None
        The section of the settings whose trials it is computed for; None: only for whole trials.
    gpu : str or None
        `NETWORK` or `CUML`; None: no use for one.
    part : str or None
        Where slides are clustered together, the stage by which each takes its part of what the group has.
    when : Callable of Case to bool
        Which slides go through it.
    contract : bool
        A slide is finished only with its files.
    optional : bool
        It is told of only once it was begun.
    """

    name: str
    of: str
    files: Mapping[str, str]
    fit: Fit
    after: tuple[str, ...] = ()
    sometimes: Mapping[str, Callable[[Case], bool]] = field(default_factory=dict)
    outside: tuple[str, ...] = ()
    section: str | None = None
    gpu: str | None = None
    part: str | None = None
    when: Callable[[Case], bool] = field(default=lambda case: True)
    contract: bool = False
    optional: bool = False

    def needs(self, case: Case) -> list[str]:
        """Return the stages whose files it reads of a slide."""
        read = [*self.after, *(name for name, of_case in self.sometimes.items() if of_case(case))]
        return [name for name in read if STAGES[name].when(case)]

    @property
    def scattered(self) -> bool:
        """Whether a slide's tiles are dealt out to several jobs."""
        return any(SHARD in file for file in self.files.values())

    @property
    def concerns_group(self) -> bool:
        """Whether a job needs what all cells of the group need, even if it is of one of its slides."""
        return "ktogether" in self.fit.units


def _in_run(case: Case) -> bool:
    return not case.trial


def _if_outlined(case: Case) -> bool:
    return not case.given


def _if_named(case: Case) -> bool:
    return not case.trial and case.named


def _if_asked(case: Case) -> bool:
    return not case.trial and case.asked


def _if_labelled(case: Case) -> bool:
    return not case.trial and (any(map(case.exported, (CELLS, *FORMATS))) or draws_classes(case.settings.annotation))


def _if_tiles(case: Case) -> bool:
    needed = any(case.exported(name) for name, one in FORMATS.items() if TILES in one.needs)
    return not case.trial and (case.settings.tiling["export"] or needed)


def _if_masked(case: Case) -> bool:
    return not case.trial and case.settings.export["nuclei_mask"]


def _if_true(case: Case) -> bool:
    return case.truth


NEEDED_FILES: Mapping[str, Mapping[str, tuple[str, str]]] = {
    EMBEDDING: {
        "embeddings": ("embed", "embeddings"),
        "columns": ("embed", "columns"),
        "reduced": ("reduce", "umap"),
    },
    TILES: {"tiles": ("filter_tiles", "tiles"), "pictures": ("export_tiles", "folder")},
}
"""By what a format needs besides the cells: the files, by the names that its rule gives them, as stage and key."""


def _export(name: str) -> Stage:
    """The stage that writes a format."""
    made = FORMATS[name]
    read = [stage for need in made.needs for stage, _ in NEEDED_FILES.get(need, {}).values()]
    return Stage(
        f"export_{name}",
        SLIDE,
        {"file": made.file},
        made.fit,
        after=("label_cells", *dict.fromkeys(read)),
        outside=(PICTURED,) if PICTURE in made.needs else (),
        when=lambda case: not case.trial and case.exported(name),
    )


_ROWS = (
    Stage(
        "tile",
        SLIDE,
        {"tiles": SlideFolder.tiles},
        Fit(
            memory={"job": 150, "thumbnail_mm2": 0.6, "image_mb": 2},
            seconds={"job": 5, "thumbnail_mm2": 0.02, "image_mb": 0.02},
            disk={"job": 20, "slide_mb": 1},
        ),
        outside=(SLIDE_FILE,),
        section="tiling",
        contract=True,
    ),
    Stage(
        "filter_tiles",
        SLIDE,
        {"tiles": SlideFolder.filtered, "picture": SlideFolder.filter_map},
        Fit(
            memory={"job": 240, "threads": 25, "mm2": 0.4, "image_mb": 2},
            seconds={"job": 10, "mm2": 0.1},
            core_seconds={"slide_mb": 0.4},
            disk={"job": 20, "slide_mb": 1},
        ),
        after=("tile",),
        outside=(SLIDE_FILE,),
        section="filter",
        contract=True,
    ),
    Stage(
        "export_tiles",
        SLIDE,
        {"folder": SlideFolder.tile_pictures},
        Fit(
            memory={"job": 180, "threads": 25, "image_mb": 2},
            seconds={"job": 10},
            core_seconds={"slide_mb": 0.4, "mpx": 0.2},
            disk={"job": 20, "slide_mb": 1, "mpx": 1.5},
        ),
        after=("filter_tiles",),
        outside=(SLIDE_FILE,),
        when=_if_tiles,
    ),
    Stage(
        "outline",
        SLIDE,
        {"outlines": f"{SlideFolder.outlines}/{SHARD}.parquet"},
        Fit(
            memory={"job": 600, "threads": 60, "gpu": 4000, "image_mb": 2},
            seconds={"job": 60},
            disk={"job": 20, "slide_mb": 1, "kcells": 0.3},
        ),
        after=("filter_tiles",),
        outside=(SLIDE_FILE, WEIGHTS),
        section="segmentation",
        gpu=NETWORK,
        when=_if_outlined,
        contract=True,
    ),
    Stage(
        "segment",
        SLIDE,
        {"cells": SlideFolder.cells, "failed": SlideFolder.failed_tiles},
        Fit(
            memory={"job": 210, "kcells": 3.2, "given_mb": 10},
            seconds={"job": 10, "kcells": 0.1},
            disk={"job": 10, "kcells": 0.6, "given_mb": 1},
        ),
        after=("filter_tiles", "outline"),
        outside=(OBJECTS,),
        section="segmentation",
        contract=True,
    ),
    Stage(
        "embed",
        SLIDE,
        {"embeddings": SlideFolder.embeddings, "columns": SlideFolder.embedding_columns},
        Fit(
            memory={"job": 250, "threads": 35, "gpu": 4000, "kcells": 3, "image_mb": 2},
            seconds={"job": 60},
            core_seconds={"kcells": 0.5, "mpx": 0.2},
            disk={"job": 20, "slide_mb": 1, "kcells": 0.3, "mvalues": 4},
        ),
        after=("filter_tiles", "segment"),
        outside=(SLIDE_FILE, WEIGHTS),
        section="embedding",
        gpu=NETWORK,
        contract=True,
    ),
    # Its own memory hardly grows; the pages of the embeddings do, which the system can take back.
    Stage(
        "apply_atlas",
        SLIDE,
        {"learnt": SlideFolder.learnt},
        Fit(
            memory={"job": 600, "kcells": 1.4},
            seconds={"job": 20},
            core_seconds={"kcells": 0.3},
            disk={"job": 10, "kcells": 0.3, "mvalues": 4},
        ),
        after=("segment", "embed"),
        outside=(ATLAS,),
        when=lambda case: case.applied,
        optional=True,
    ),
    Stage(
        "reduce",
        GROUP,
        {"umap": SlideFolder.reduced, "plane": SlideFolder.plane, "facts": SlideFolder.reduction},
        Fit(
            memory={"job": 300, "kfitted": 9, "mvalues": 4, "mfeatures": 8, "gpu": 4000},
            seconds={"job": 30, "kcells": 0.2, "kfitted": 1},
            disk={"job": 20, "kcells": 0.3, "mvalues": 4},
        ),
        after=("segment", "embed"),
        section="reduction",
        gpu=CUML,
        part="share_map",
        contract=True,
    ),
    Stage(
        "share_map",
        SLIDE,
        {"umap": SlideFolder.reduced, "plane": SlideFolder.plane, "facts": SlideFolder.reduction},
        Fit(memory={"job": 150, "ktogether": 0.2}, seconds={"job": 5}, disk={"job": 10, "ktogether": 0.1}),
        after=("reduce",),
        section="reduction",
    ),
    Stage(
        "cluster",
        GROUP,
        {"clusters": SlideFolder.clusters, "plot": SlideFolder.clusters_plot},
        Fit(
            memory={"job": 350, "ktogether": 2, "gpu": 4000},
            seconds={"job": 20, "ktogether": 0.3},
            disk={"job": 10, "ktogether": 0.2},
        ),
        after=("reduce",),
        sometimes={"apply_atlas": lambda case: case.settings.of_novel},
        section="clustering",
        gpu=CUML,
        part="share_clusters",
        contract=True,
    ),
    Stage(
        "share_clusters",
        SLIDE,
        {"clusters": SlideFolder.clusters, "plot": SlideFolder.clusters_plot},
        Fit(
            memory={"job": 200, "ktogether": 0.3},
            seconds={"job": 10, "ktogether": 0.02},
            disk={"job": 10, "ktogether": 0.2},
        ),
        after=("reduce", "cluster"),
        section="clustering",
    ),
    # The areas of all cells of the group, and the outlines of a few.
    Stage(
        "cluster_views",
        GROUP,
        {"folder": SlideFolder.views},
        Fit(
            memory={"job": 300, "threads": 25, "ktogether": 1.5, "image_mb": 2},
            seconds={"job": 60, "ktogether": 0.1, "slides": 1},
            disk={"job": 100, "slide_mb": 1},
        ),
        after=("segment", "cluster"),
        outside=(SLIDE_FILE,),
        when=_if_asked,
    ),
    Stage(
        "classify_clusters",
        GROUP,
        {"classes": SlideFolder.proposals},
        # The seconds are the server's, not ours.
        Fit(memory={"job": 300, "ktogether": 0.3}, seconds={"job": 1200}, disk={"job": 20}),
        after=("cluster_views", "cluster"),
        outside=(PROMPT,),
        when=_if_asked,
    ),
    Stage(
        "learn_atlas",
        RUN,
        {"atlas": ResultsFolder.atlas, "page": ResultsFolder.atlas_page},
        # The described cells of the largest slide, and 100,000 cells in a basis of some 1,400 columns.
        Fit(memory={"job": 3000, "slides": 1}, seconds={"job": 300, "slides": 20}, disk={"job": 50, "slides": 1}),
        after=("segment", "embed"),
    ),
    Stage(
        "label_cells",
        SLIDE,
        {"cells": SlideFolder.labelled_cells},
        Fit(
            memory={"job": 200, "kcells": 2},
            seconds={"job": 10, "kcells": 0.1},
            disk={"job": 10, "kcells": 1},
        ),
        after=("segment", "reduce", "cluster", "apply_atlas", "classify_clusters"),
        outside=(EXPORTED,),
        when=_if_labelled,
    ),
    Stage(
        "annotate",
        SLIDE,
        {"folder": SlideFolder.drawn, "settings": SlideFolder.settings},
        _DRAWING := Fit(
            memory={"job": 400, "threads": 25, "kcells": 1.5, "image_mb": 2},
            seconds={"job": 30, "kcells": 0.1, "mm2": 0.1},
            core_seconds={"mpx": 0.5, "slide_mb": 0.2},
            disk={"job": 50, "slide_mb": 1, "kcells": 0.5, "mpx": 2},
        ),
        after=("filter_tiles", "segment", "reduce", "cluster"),
        sometimes={"label_cells": lambda case: draws_classes(case.settings.annotation)},
        outside=(SLIDE_FILE,),
        when=_in_run,
        contract=True,
    ),
    Stage(
        "annotate_labels",
        SLIDE,
        {"folder": SlideFolder.drawn_by_label},
        _DRAWING,
        after=("filter_tiles", "cluster", "label_cells"),
        outside=(SLIDE_FILE,),
        when=_if_named,
    ),
    *map(_export, FORMATS),
    Stage(
        "nuclei_mask",
        SLIDE,
        {"mask": SlideFolder.nuclei_mask, "overlay": SlideFolder.nuclei_overlay},
        Fit(
            memory={"job": 350, "kcells": 1.5, "image_mb": 2},
            seconds={"job": 20, "kcells": 0.1, "mm2": 0.1},
            disk={"job": 50, "slide_mb": 1, "kcells": 0.5},
        ),
        after=("segment",),
        outside=(SLIDE_FILE,),
        when=_if_masked,
    ),
    # The cells of a slide, and as many tiles as show the typical ones.
    Stage(
        "representatives",
        SLIDE,
        {
            "tiles": SlideFolder.representative_tiles,
            "gallery": SlideFolder.representative_gallery,
            "table": SlideFolder.representative_cells,
            "summary": SlideFolder.representative_summary,
        },
        Fit(
            memory={"job": 300, "threads": 25, "kcells": 4, "image_mb": 2},
            seconds={"job": 30, "kcells": 0.1},
            core_seconds={"mpx": 0.5, "slide_mb": 0.2},
            disk={"job": 50, "slide_mb": 1, "mpx": 1.5},
        ),
        after=("filter_tiles", "segment", "cluster"),
        outside=(SLIDE_FILE,),
        when=_in_run,
        optional=True,
    ),
    Stage(
        "annotate_representatives",
        SLIDE,
        {"folder": SlideFolder.representative_drawn},
        Fit(
            memory={"job": 300, "threads": 25, "kcells": 4, "image_mb": 2},
            seconds={"job": 30, "kcells": 0.1},
            core_seconds={"mpx": 0.5, "slide_mb": 0.2},
            disk={"job": 50, "slide_mb": 1, "mpx": 2},
        ),
        after=("filter_tiles", "segment", "cluster", "representatives"),
        sometimes={"label_cells": lambda case: draws_classes(case.settings.drawing_of_representatives)},
        outside=(SLIDE_FILE,),
        when=_in_run,
        optional=True,
    ),
    Stage(
        "evaluate_slide_segmentation",
        SLIDE,
        {"scores": SlideFolder.segmentation_scores, "picture": SlideFolder.segmentation_picture},
        Fit(
            memory={"job": 400, "kcells": 3, "given_mb": 8, "image_mb": 2},
            seconds={"job": 30, "kcells": 0.5},
            disk={"job": 20, "slide_mb": 1, "given_mb": 1},
        ),
        after=("segment",),
        outside=(SLIDE_FILE, TRUTH),
        when=lambda case: _in_run(case) and _if_true(case),
        optional=True,
    ),
    Stage(
        "evaluate_slide_clusters",
        SLIDE,
        {"scores": SlideFolder.cluster_scores, "truth": SlideFolder.true_classes},
        Fit(
            memory={"job": 300, "kcells": 3, "given_mb": 8},
            seconds={"job": 20, "kcells": 0.2},
            disk={"job": 20, "given_mb": 1},
        ),
        after=("segment", "cluster"),
        outside=(TRUTH,),
        when=_if_true,
        optional=True,
    ),
    Stage(
        "validate_clusters",
        GROUP,
        {"figures": SlideFolder.validity},
        Fit(
            memory={"job": 300, "ktogether": 3, "gpu": 4000},
            seconds={"job": 60, "ktogether": 1},
            disk={"job": 20, "ktogether": 0.2},
        ),
        after=("reduce", "cluster"),
        sometimes={"apply_atlas": lambda case: case.settings.of_novel},
        gpu=CUML,
        optional=True,
    ),
    # For each seed and method, the cells with a truth in a basis of some 1,400 columns; people ask a hundred times.
    Stage(
        "simulate_naming",
        GROUP,
        {"moments": SlideFolder.naming_moments},
        Fit(
            memory={"job": 500, "ktogether": 30},
            seconds={"job": 300, "ktogether": 10},
            core_seconds={"ktogether": 60},
            disk={"job": 20, "ktogether": 0.5},
        ),
        after=("segment", "embed", "cluster", "evaluate_slide_clusters"),
        when=_in_run,
        optional=True,
    ),
    Stage(
        "pool_naming",
        RUN,
        {
            "page": ResultsFolder.naming_page,
            "table": ResultsFolder.naming_table,
            "plot": ResultsFolder.naming_plot,
        },
        Fit(memory={"job": 800, "slides": 1}, seconds={"job": 60, "slides": 1}, disk={"job": 50, "slides": 0.2}),
        after=("simulate_naming",),
    ),
    # Its cells are described once for each way to teach and seed.
    Stage(
        "transfer_labels",
        RUN,
        {"page": ResultsFolder.transfer_page, "table": ResultsFolder.transfer_table},
        Fit(memory={"job": 3000, "slides": 5}, seconds={"job": 600, "slides": 30}, disk={"job": 50, "slides": 1}),
        after=("segment", "embed", "cluster", "evaluate_slide_clusters"),
    ),
    # Guessed: a few numbers for every slide and trial.
    Stage(
        "pool_segmentation_scores",
        RUN,
        {
            "table": ResultsFolder.segmentation_table,
            "scores": ResultsFolder.segmentation_scores,
            "plot": ResultsFolder.segmentation_plot,
        },
        Fit(memory={"job": 500, "slides": 0.1}, seconds={"job": 30, "slides": 0.1}, disk={"job": 50}),
        after=("evaluate_slide_segmentation",),
    ),
    Stage(
        "pool_cluster_scores",
        RUN,
        {
            "page": ResultsFolder.clusters_page,
            "table": ResultsFolder.clusters_table,
            "scores": ResultsFolder.clusters_scores,
            "efficiency": ResultsFolder.label_efficiency,
            "confusion": ResultsFolder.confusion,
            "bars": ResultsFolder.figures,
        },
        Fit(memory={"job": 800, "slides": 0.5}, seconds={"job": 60, "slides": 0.5}, disk={"job": 50, "slides": 0.1}),
        after=("evaluate_slide_clusters", "validate_clusters"),
    ),
    Stage(
        "compare_trials",
        RUN,
        {
            "table": ResultsFolder.sweep_table,
            "best": ResultsFolder.best,
            "plot": ResultsFolder.sweep_plot,
            "page": ResultsFolder.sweep_page,
        },
        Fit(memory={"job": 800, "slides": 1}, seconds={"job": 60, "slides": 1}, disk={"job": 50, "slides": 0.2}),
        after=("evaluate_slide_clusters", "validate_clusters"),
    ),
    Stage(
        "benchmarks",
        RUN,
        {"page": ResultsFolder.costs_page, "table": ResultsFolder.costs_table},
        Fit(memory={"job": 500, "slides": 0.2}, seconds={"job": 30, "slides": 0.2}, disk={"job": 20, "slides": 0.1}),
    ),
    Stage(
        "cohort",
        RUN,
        {"page": ResultsFolder.cohort_page},
        Fit(memory={"job": 1000, "slides": 2}, seconds={"job": 60, "slides": 5}, disk={"job": 20, "slides": 0.2}),
    ),
)

STAGES: Mapping[str, Stage] = {row.name: row for row in _ROWS}
"""By the names of their rules, in the order in which data flows."""

CHAINS: Mapping[str, tuple[str, ...]] = {
    "small_image": ("tile", "filter_tiles", "outline", "segment", "embed"),
    "small_image_clusters": ("reduce", "cluster", "annotate"),
    "small_image_share": ("share_map", "share_clusters", "annotate"),
}
"""Rules by which a small image goes through several stages at once (see `plan.small`)."""


def stages_of(name: str) -> tuple[str, ...]:
    """Return the stages that a rule does: its own, or those of a chain."""
    return CHAINS.get(name, (name,))


PARTS = {row.part: row.name for row in _ROWS if row.part}
"""By the stage that takes a slide's part, the stage of the group that it is a part of."""
CONTRACT = tuple(row.name for row in _ROWS if row.contract)
"""Stages of every run."""
FINISHED = tuple(file for name in CONTRACT for file in STAGES[name].files.values() if SHARD not in file)
"""Files of a finished slide. All are asked for, so that a deleted one is made again."""
