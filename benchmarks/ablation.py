"""What moves label efficiency? One thing changed at a time, on images with typed nuclei and true outlines.

    .venv/bin/python benchmarks/ablation.py FOLDER MPP WORK | tee benchmarks/ablation.md

FOLDER as for labelling.py, of which the even images are taken: the settings were chosen on these; for ResNet-50, which
takes long, a few of them. The workflow embeds the cells, once for each way to crop; what follows is done here, by the
functions that the rules call.
"""

import sys
from pathlib import Path

import numpy as np
import yaml
from labelling import AUGNET, OURS, images, preset, run, sheet
from machine import machine
from whole import REPO

from clusterfirst import reduction
from clusterfirst.clustering.clusters import NO_TYPICAL, cluster
from clusterfirst.evaluation import clusters, pooled, truth
from clusterfirst.outlines import objects
from clusterfirst.plan.settings import Settings, resolve
from clusterfirst.reduction import inputs
from clusterfirst.slide.facts import SlideFacts

SEEDS = (0, 1)
GIVEN = {"geojson_origin": "bounds", "objects_of": "nucleus", "max_lost": 0.02, "min_median_um2": 0}
FEW = (2, 14, 20, 26)
"""Numbers of the images that ResNet-50 is shown."""
MODELS = ["morphology", "instanseg"]
EMBEDDINGS = {
    "": {"models": MODELS},
    "box": {"models": [*MODELS, "resnet50"], "crop": "box"},
    "square": {"models": [*MODELS, "resnet50"], "crop": "square", "crop_um": 16},
}
LEIDEN = {"method": "leiden", "resolution": 10.0}
HDBSCAN = {"method": "hdbscan"}


def on_all() -> list[tuple[str, str, str, dict, dict]]:
    """What is told of each row: group, name, embedding, changes of `reduction` and of `clustering`."""
    return [
        ("", "recommended", "", {}, {}),
        ("features", "morphology only", "", {"balance": {"instanseg": 0}}, {}),
        ("features", "instanseg only", "", {"balance": {"morphology": 0}}, {}),
        ("context", "none", "", {"context_weight": 0}, {}),
        ("context", "weight 1", "", {"context_weight": 1}, {}),
        ("scaling", "columns as they are", "", {"standardise": False, "clip": None}, {}),
        ("scaling", "no clipping", "", {"clip": None}, {}),
        ("scaling", "Harmony", "", {"batch_correction": "harmony"}, {}),
        ("reduction", "UMAP to 50", "", {"components": 50}, {}),
        ("reduction", "min_dist 0", "", {"min_dist": 0.0}, {}),
        ("reduction", "no UMAP", "", {"method": "none"}, {}),
        ("clusterer", "k-means to 25, no tree", "", {}, {"fine": 25}),
        ("clusterer", "leiden, resolution 10, joined to 25", "", {}, LEIDEN),
        ("clusterer", "leiden, resolution 1, as it is", "", {}, LEIDEN | {"resolution": 1.0, "groups": None}),
        ("clusterer", "hdbscan joined to 25", "", {}, HDBSCAN),
        ("clusterer", "hdbscan joined to 25, noise assigned", "", {}, HDBSCAN | {"assign_noise": True}),
        ("clusterer", "dbscan at the knee", "", {}, {"method": "dbscan", "groups": None}),
    ]


def on_few() -> list[tuple[str, str, str, dict, dict]]:
    """The same for features of ResNet-50."""
    alone = {"balance": {"morphology": 0, "instanseg": 0}}
    return [
        ("features", "recommended", "box", {"balance": {"resnet50": 0}}, {}),
        ("features, crop", "resnet50 only, box", "box", alone, {}),
        ("features, crop", "resnet50 only, 16 µm square", "square", alone, {}),
        ("features", "all three, resnet50 (square) at 0.5", "square", {"balance": {"resnet50": 0.5}}, {}),
    ]


class Half:
    """The cells of all images, with what people say they are."""

    def __init__(self, work: Path, outlines: dict[str, Path]):
        self.slides, self.truths, self.tiles = [], {}, {}
        for name, drawn in outlines.items():
            folder = work / "results" / name
            files = {key: folder / file for key, file in FILES.items()}
            self.slides.append(inputs.read(name, **files))
            facts = SlideFacts.of(files["cells"])
            cells = objects.read_objects(files["cells"])
            self.truths[name] = truth.read(drawn, cells["geometry"].to_numpy(), facts, given=GIVEN)
            self.tiles[name] = cells["tile_id"].to_numpy()

    @property
    def cells(self) -> int:
        return sum(len(slide.values) for slide in self.slides)

    def score(self, reduced: np.ndarray, settings: dict) -> dict[str, float | None]:
        """Cluster all cells together and hold the clusters against the truth."""
        found = cluster(reduced, settings, NO_TYPICAL, threads=2).cluster_id
        ends = np.cumsum([len(slide.values) for slide in self.slides])
        parts = np.split(found, ends[:-1])
        counts = {
            slide.slide: clusters.count(part, self.truths[slide.slide], self.tiles[slide.slide])
            for slide, part in zip(self.slides, parts, strict=True)
        }
        summary = pooled.summarise(counts, dict.fromkeys(counts, "all"), replicates=0)
        return {name: figure.value for name, figure in summary.figures.items()}


FILES = {"embeddings": "embeddings.npy", "columns": "embeddings.json", "cells": "masks.parquet"}


def embedded(chosen: list[Path], mpp: str, work: Path, embedding: dict) -> Half:
    sheet(chosen, mpp, work / "slides.csv")
    run(preset("recommended", AUGNET, OURS["true"], {"embedding": embedding}), work, "--until", "embed")
    return Half(work, {image.stem: image.with_suffix(".geojson") for image in chosen})


def table(rows: list[tuple[str, str, str, dict, dict]], halves: dict[str, Half], settings: Settings) -> None:
    print("| | | 25 names | 50 names | all named | clusters | noise | ARI | Hungarian per tile |")
    print("|---|---" + "|---:" * 7 + "|", flush=True)
    maps: dict[tuple, np.ndarray] = {}
    for group, name, half, reduce_with, cluster_with in rows:
        figures = []
        for seed in SEEDS:
            how = settings.reduction | reduce_with | {"seed": seed}
            key = (half, str(how))
            if key not in maps:
                maps[key] = reduction.reduce(halves[half].slides, how, threads=2).values
            figures.append(halves[half].score(maps[key], settings.clustering | cluster_with | {"seed": seed}))
        each = {key: np.array([one[key] for one in figures], float) for key in figures[0]}
        headline = each["efficiency_25"]
        row = [f"{headline.mean():.3f} [{headline.min():.3f}, {headline.max():.3f}]"]
        row += [f"{each[key].mean():.3f}" for key in ("efficiency_50", "efficiency_all")]
        row += [f"{each['units'].mean():.0f}"]
        row += [f"{each[key].mean():.3f}" for key in ("noise_fraction", "ari", "hungarian_tile")]
        print(f"| {group} | {name} | " + " | ".join(row) + " |", flush=True)


def main(folder: Path, mpp: str, work: Path) -> None:
    even = images(folder, "even")
    few = [image for image in even if int(image.stem.rsplit("_", 1)[1]) in FEW]
    schema = yaml.safe_load((REPO / "workflow/schemas/config.schema.yaml").read_text())
    settings = resolve(preset("recommended"), schema)
    halves = {"": embedded(even, mpp, work / "all", EMBEDDINGS[""])}
    print("# What moves label efficiency\n")
    print(
        f"{machine()}; even images of `{folder.name}` ({halves[''].cells:,} cells, true outlines, clustered together), "
        f"one change at a time from `config/presets/recommended.yaml`; mean of seeds {', '.join(map(str, SEEDS))}, in "
        "brackets the least and the greatest.\n"
    )
    table(on_all(), halves, settings)
    halves |= {crop: embedded(few, mpp, work / crop, EMBEDDINGS[crop]) for crop in ("box", "square")}
    numbers = ", ".join(map(str, FEW))
    print(f"\nOf the images {numbers} alone ({halves['box'].cells:,} cells), with ResNet-50 and AugNet's weights:\n")
    table(on_few(), halves, settings)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
