"""The names of result files, each said once; those of files for other tools are said in `export.FORMATS`.

Rules alone spell them too, where their outputs stand for people to read.

``SlideFolder("results/a").clusters`` is the path, ``SlideFolder.clusters`` the name below the folder.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, overload


class File:
    """A file or folder of a `Folder`: its path, asked of one; its name, asked of the class."""

    def __init__(self, name: str):
        self.name = name

    @overload
    def __get__(self, folder: None, kind: type) -> str: ...
    @overload
    def __get__(self, folder: Folder, kind: type) -> Path: ...
    def __get__(self, folder: Folder | None, kind: type) -> Any:
        return self.name if folder is None else folder.path / self.name


class Folder:
    """A folder among the results.

    Parameters
    ----------
    path
        Where it is.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)

    @classmethod
    def names(cls) -> dict[str, str]:
        """Return all names below the folder, by attribute."""
        return {key: value.name for one in cls.__mro__ for key, value in vars(one).items() if isinstance(value, File)}


OVERVIEW, GALLERY, MAP = "overview.png", "gallery.png", "umap.png"
"""Pictures of a slide, of its clusters and of its cells' map, in the folders of drawings."""


class SlideFolder(Folder):
    """The folder of a slide, or of a group of slides that are clustered together."""

    tiles = File("tiles.parquet")
    filtered = File("filtered.parquet")
    filter_map = File("filtered.png")
    tile_pictures = File("tiles")
    outlines = File("outlines")
    cells = File("masks.parquet")
    failed_tiles = File("failed_tiles.csv")
    embeddings = File("embeddings.npy")
    embedding_columns = File("embeddings.json")
    reduced = File("umap.npy")
    plane = File("umap2d.npy")
    reduction = File("reduction.json")
    clusters = File("clusters.json")
    clusters_plot = File("clusters.png")
    drawn = File("annotated")
    overview = File(f"annotated/{OVERVIEW}")
    gallery = File(f"annotated/{GALLERY}")
    map = File(f"annotated/{MAP}")
    settings = File("settings.yaml")
    representatives = File("representatives")
    representative_tiles = File("representatives/tiles")
    representative_gallery = File("representatives/gallery")
    representative_cells = File("representatives/cells.csv")
    representative_summary = File("representatives/summary.json")
    representative_drawn = File("representatives/annotated")
    labels = File("labels")
    labelled_cells = File("cells.parquet")
    drawn_by_label = File("annotated_by_label")
    overview_by_label = File(f"annotated_by_label/{OVERVIEW}")
    nuclei_mask = File("nuclei_mask.tiff")
    nuclei_overlay = File("nuclei_mask.png")
    views = File("views")
    proposals = File("classes.json")
    segmentation_scores = File("evaluation/segmentation.json")
    segmentation_picture = File("evaluation/segmentation.png")
    cluster_scores = File("evaluation/clusters.json")
    true_classes = File("evaluation/truth.parquet")
    validity = File("evaluation/validity.json")
    naming_moments = File("evaluation/naming.json")
    learnt = File("learnt.parquet")
    logs = File("logs")
    benchmarks = File("benchmarks")


class ResultsFolder(Folder):
    """The folder of all results."""

    lock = File(".lock")
    small = File(".small")
    logs = File("logs")
    groups = File("groups")
    cohort_page = File("cohort.html")
    costs_page = File("benchmarks.html")
    costs_table = File("benchmarks.csv")
    classify = File("classify")
    atlases = File("atlas")
    atlas = File("atlas/{atlas}.atlas")
    atlas_page = File("atlas/{atlas}.html")
    evaluation = File("evaluation")
    segmentation_table = File("evaluation/segmentation.csv")
    segmentation_scores = File("evaluation/segmentation.json")
    segmentation_plot = File("evaluation/segmentation.png")
    clusters_page = File("evaluation/clusters.html")
    clusters_table = File("evaluation/clusters.csv")
    clusters_scores = File("evaluation/evaluation.json")
    label_efficiency = File("evaluation/label_efficiency.png")
    confusion = File("evaluation/confusion.png")
    figures = File("evaluation/figures.png")
    naming_page = File("evaluation/naming.html")
    naming_table = File("evaluation/naming.csv")
    naming_plot = File("evaluation/naming.png")
    transfer_page = File("evaluation/transfer.html")
    transfer_table = File("evaluation/transfer.csv")
    sweep = File("sweep")
    sweep_page = File("sweep/sweep.html")
    sweep_table = File("sweep/sweep.csv")
    sweep_plot = File("sweep/sweep.png")
    best = File("sweep/best.yaml")

    def slide(self, name: str) -> SlideFolder:
        """Return the folder of a slide or group of that name (``groups/cohort``, ``sweep/<trial>/<slide>``)."""
        return SlideFolder(self.path / name)


class ClassifyFolder(Folder):
    """The folder of what a model was asked, of all groups."""

    ledger = File("ledger.jsonl")
    answers = File("answers")


RESERVED = tuple(
    sorted({getattr(ResultsFolder, name) for name in ("atlases", "classify", "evaluation", "groups", "logs", "sweep")})
)
"""Folders of the results that can be no slide's."""
