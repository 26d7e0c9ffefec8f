"""What is known of a finished slide in numbers: tiles, tissue, cells, clusters, classes, time."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import yaml

from ...clustering import NOISE
from ...clustering.document import Clustering, Entry
from ...io import read_metadata
from ...labels import GUESSES, SOURCES
from ...plan.layout import SlideFolder
from ...slide.facts import SlideFacts


@dataclass(frozen=True)
class Tiles:
    """How many tiles were kept, rejected, and could not be read, and the tissue in which cells were looked for, mm²."""

    kept: int
    rejected: int
    unreadable: int
    tissue_mm2: float


@dataclass(frozen=True)
class Labels:
    """What a slide's cells are called.

    Attributes
    ----------
    classes : list of dict
        ``name``, ``colour``.
    counts : dict of str to int
        Cells of each class, in the order of `classes`.
    guessed : Counter
        How many of them are no person's, by how they came about (see `labels.GUESSES`).
    by_cluster : dict of int to Counter
        Cells of each class by cluster.
    """

    classes: list[dict]
    counts: dict[str, int]
    guessed: Counter
    by_cluster: dict[int, Counter]

    @property
    def cells(self) -> int:
        """Cells that have a label."""
        return sum(self.counts.values())

    @property
    def labelled(self) -> int:
        """Those that people gave one, or somebody has looked at."""
        return self.cells - self.guessed.total()


@dataclass(frozen=True)
class Slide:
    """A finished slide.

    Attributes
    ----------
    name, group : str
        Its folder among the results, and that of the slides it is clustered with (its own if with none).
    tissue : str or None
    settings : dict
        ``settings.yaml``: all settings it was made with, and ``slide``, the facts about it.
    tiles : Tiles
    cells, noise : int
    clusters : list of Entry
        By id; of a slide that shares clusters, those that it has no cells of, too.
    labels : Labels or None
    seconds : float
        That all its jobs took.
    weights : str or None
        sha256 of the weights that outlined it.
    notes : tuple of str
        What a reader must know of these numbers.
    """

    name: str
    group: str
    tissue: str | None
    settings: dict[str, Any]
    tiles: Tiles
    cells: int
    noise: int
    clusters: list[Entry]
    labels: Labels | None
    seconds: float
    weights: str | None
    notes: tuple[str, ...] = ()

    @property
    def mpp(self) -> float:
        """µm per pixel of the full resolution."""
        return self.settings["slide"]["mpp"]

    @property
    def shares(self) -> dict[int, float]:
        """Of all cells, the share of each cluster that has any, and of noise."""
        sizes = {cluster.id: cluster.size for cluster in self.clusters} | {NOISE: self.noise}
        return {number: size / self.cells for number, size in sizes.items() if size}

    @property
    def noise_share(self) -> float | None:
        """Of all cells, the share that is in no cluster; None without cells."""
        return self.noise / self.cells if self.cells else None


def density(count: int, tissue_mm2: float) -> float | None:
    """Return cells per mm² of tissue; None where there is no tissue."""
    return count / tissue_mm2 if tissue_mm2 > 0 else None


def read(folder: str | os.PathLike, *, name: str, group: str, seconds: float, exported: str | None = None) -> Slide:
    """Read the numbers of a finished slide.

    Parameters
    ----------
    folder
        Of its results.
    name, group, seconds
        See `Slide`.
    exported
        Name of the latest export of its labels, if there is one.
    """
    results = SlideFolder(folder)
    settings = yaml.safe_load(results.settings.read_text(encoding="utf-8"))
    clusters = Clustering.read(results.clusters)
    labels, notes = read_labels(results.labelled_cells, clusters.cluster_id, exported=exported)
    return Slide(
        name=name,
        group=group,
        tissue=settings["slide"].get("tissue"),
        settings=settings,
        tiles=read_tiles(results),
        cells=clusters.counts.cells,
        noise=clusters.counts.noise,
        clusters=clusters.entries,
        labels=labels,
        seconds=seconds,
        weights=read_metadata(results.cells).get("weights_sha256"),
        notes=(*SlideFacts.of(results.filtered).remarks, *notes),
    )


def read_tiles(results: SlideFolder) -> Tiles:
    """Count tiles and measure tissue; see `tissue_mm2`."""
    tiles = pd.read_parquet(
        results.filtered,
        columns=["tile_id", "width", "height", "magnification", "tissue_fraction", "kept"],
    )
    failed = set(pd.read_csv(results.failed_tiles)["tile_id"])
    unreadable = tiles["tile_id"].isin(failed)
    looked = tiles["kept"] & ~unreadable
    if read_metadata(results.cells).get("settings", {}).get("model") == "precomputed":
        # Outlines from elsewhere may lie on tiles that the filter rejects: people have looked there, too.
        looked |= tiles["tile_id"].isin(pq.read_table(results.cells, columns=["tile_id"])["tile_id"].unique())
    return Tiles(
        kept=int((tiles["kept"] & ~unreadable).sum()),
        rejected=int((~tiles["kept"] & ~unreadable).sum()),
        unreadable=int(unreadable.sum()),
        tissue_mm2=tissue_mm2(tiles[looked], mpp=SlideFacts.of(results.filtered).mpp),
    )


def tissue_mm2(tiles: pd.DataFrame, *, mpp: float) -> float:
    """Return the area of tissue in tiles.

    Parameters
    ----------
    tiles
        ``width``, ``height`` (level-0 px), ``tissue_fraction``, ``magnification``. Tiles of each magnification cover
        the slide; of several, the one with the most tissue counts.
    mpp
        µm per level-0 pixel.
    """
    areas = tiles["width"] * tiles["height"] * tiles["tissue_fraction"] * mpp**2 / 1e6
    return float(areas.groupby(tiles["magnification"]).sum().max()) if len(tiles) else 0.0


def read_labels(
    path: Path, cluster_id: np.ndarray, *, exported: str | None = None
) -> tuple[Labels | None, tuple[str, ...]]:
    """Read what cells are called, and what is to be said about that.

    Parameters
    ----------
    path
        ``cells.parquet``, if there is one.
    cluster_id
        Of the slide's cells, as they are clustered now.
    exported
        Name of the latest export of labels, if there is one.

    Returns
    -------
    Labels or None
        None if there is no such file, nothing in it has a label, or it is of other cells or clusters.
    tuple of str
        What is out of date.
    """
    mend = "run `snakemake labels`, then `snakemake cohort`, both with the same `--configfile`"
    if not path.is_file():
        return None, (f"labels were exported, but not given to the cells: {mend}",) if exported else ()
    table = pq.read_table(path, columns=["cluster_id", "label", "label_source"]).to_pandas()
    if not np.array_equal(table["cluster_id"], cluster_id):
        return None, (f"{path.name} is older than these clusters, and left out: {mend}",)
    facts = read_metadata(path)
    named = (facts.get("labels") or {}).get("file")
    notes = (f"labels were exported since: {mend}",) if exported not in (None, named) else ()
    said = table[table["label"].notna()]
    if said.empty:
        return None, notes
    by_cluster: dict[int, Counter] = {}
    for (cluster, label), count in said.groupby(["cluster_id", "label"]).size().items():
        by_cluster.setdefault(int(cluster), Counter())[label] = int(count)
    counts = said["label"].value_counts()
    classes = known_classes(facts, counts.index)
    return Labels(
        classes=classes,
        counts={entry["name"]: int(counts.get(entry["name"], 0)) for entry in classes},
        guessed=Counter(said.loc[said["label_source"].isin(list(GUESSES)), "label_source"]),
        by_cluster=by_cluster,
    ), notes


def known_classes(facts: Mapping[str, Any], used: Iterable[str]) -> list[dict]:
    """Return name and colour of the classes that metadata of ``cells.parquet`` know, and of all that are used."""
    known: dict[str, str] = {}
    for part in (facts, *(facts.get(source.name) for source in SOURCES)):
        for entry in (part or {}).get("classes") or []:
            known.setdefault(entry["name"], entry["colour"])
    known |= dict.fromkeys(sorted(set(used) - set(known)), GREY)
    return [{"name": name, "colour": colour} for name, colour in known.items()]


GREY = "#777777"
"""Of a class whose colour is not known."""


def guesses(slides: Iterable[Slide]) -> dict[str, int]:
    """Return how many labels of some slides are guesses, by how they came about, as far as there are any."""
    counts = sum((slide.labels.guessed for slide in slides if slide.labels), Counter())
    return {how: counts[how] for how in GUESSES if counts[how]}


def used_classes(slides: Sequence[Slide]) -> tuple[list[dict], list[str]]:
    """Return the classes that cells of any slide have, each once, with its first colour; and names of those of none."""
    entries = [entry for slide in slides if slide.labels for entry in slide.labels.classes]
    colours = {entry["name"]: entry["colour"] for entry in reversed(entries)}
    used = {name for slide in slides if slide.labels for name, count in slide.labels.counts.items() if count}
    classes = [{"name": name, "colour": colours[name]} for name in dict.fromkeys(entry["name"] for entry in entries)]
    return [entry for entry in classes if entry["name"] in used], [e["name"] for e in classes if e["name"] not in used]


def class_of_cluster(slides: Sequence[Slide], number: int) -> tuple[str, float] | None:
    """Return what most labelled cells of a cluster are called on some slides, and their share of those; or None."""
    counts: Counter = Counter()
    for slide in slides:
        if slide.labels:
            counts.update(slide.labels.by_cluster.get(number, {}))
    if not counts:
        return None
    ((name, most),) = counts.most_common(1)
    return name, most / counts.total()
