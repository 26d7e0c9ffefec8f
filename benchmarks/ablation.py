"""What moves label efficiency? One thing changed at a time, on images with typed nuclei and true outlines.

    .venv/bin/python benchmarks/ablation.py FOLDER MPP WORK | tee benchmarks/ablation.md

FOLDER as for labelling.py, of which the even images are taken: the settings were chosen on these. The workflow embeds
the cells with every model, once for each way to crop; what follows is done here, by the functions that the rules call.
"""

import json
import sys
from pathlib import Path

import numpy as np
import yaml
from labelling import AUGNET, OURS, preset, run, sheet
from machine import machine
from whole import REPO

from clusterfirst import clustering, objects, reduction
from clusterfirst.evaluation import clusters, pooled, truth
from clusterfirst.io import read_metadata
from clusterfirst.reduction import inputs
from clusterfirst.settings import resolve

SEEDS = (0, 1)
ALL_MODELS = {"models": ["morphology", "instanseg", "resnet50"]}
CROPS = {"box": {"crop": "box"}, "square": {"crop": "square", "crop_um": 16}}
NO = {"morphology": 0, "instanseg": 0, "resnet50": 0}
OURS_ONLY = {"balance": {"resnet50": 0}}


LEIDEN = {"method": "leiden", "resolution": 10.0}
HDBSCAN = {"method": "hdbscan"}


def changes() -> list[tuple[str, str, str, dict, dict]]:
    """What is told of each row: group, name, crop, changes of `reduction` and of `clustering`."""
    alone = {name: {"balance": NO | {name: 1}} for name in NO}
    return [
        ("", "recommended", "box", OURS_ONLY, {}),
        ("clusterer", "k-means to 25, no tree", "box", OURS_ONLY, {"fine": 25}),
        ("clusterer", "leiden, resolution 10, joined to 25", "box", OURS_ONLY, LEIDEN),
        ("clusterer", "leiden, resolution 1, as it is", "box", OURS_ONLY, LEIDEN | {"resolution": 1.0, "groups": None}),
        ("clusterer", "hdbscan joined to 25", "box", OURS_ONLY, HDBSCAN),
        ("clusterer", "hdbscan joined to 25, noise assigned", "box", OURS_ONLY, HDBSCAN | {"assign_noise": True}),
        ("clusterer", "dbscan at the knee", "box", OURS_ONLY, {"method": "dbscan", "groups": None}),
        ("features", "morphology only", "box", alone["morphology"], {}),
        ("features", "instanseg only", "box", alone["instanseg"], {}),
        ("features, crop", "resnet50 only, box", "box", alone["resnet50"], {}),
        ("features, crop", "resnet50 only, 16 µm square", "square", alone["resnet50"], {}),
        ("features", "all three, resnet50 (square) at 0.5", "square", {"balance": {"resnet50": 0.5}}, {}),
        ("context", "none", "box", OURS_ONLY | {"context_weight": 0}, {}),
        ("context", "weight 1", "box", OURS_ONLY | {"context_weight": 1}, {}),
        ("scaling", "columns as they are", "box", OURS_ONLY | {"standardise": False, "clip": None}, {}),
        ("scaling", "no clipping", "box", OURS_ONLY | {"clip": None}, {}),
        ("scaling", "Harmony", "box", OURS_ONLY | {"batch_correction": "harmony"}, {}),
        ("reduction", "UMAP to 50", "box", OURS_ONLY | {"components": 50}, {}),
        ("reduction", "min_dist 0", "box", OURS_ONLY | {"min_dist": 0.0}, {}),
        ("reduction", "no UMAP", "box", OURS_ONLY | {"method": "none"}, {}),
    ]


class Half:
    """The cells of all images, with what people say they are."""

    def __init__(self, work: Path, images: dict[str, Path]):
        self.slides, self.truths, self.tiles = [], {}, {}
        for name, outlines in images.items():
            folder = work / "results" / name
            files = {key: folder / file for key, file in FILES.items()}
            self.slides.append(inputs.read(name, **files))
            facts = read_metadata(files["cells"])["slide"]
            cells = objects.read_objects(files["cells"])
            size = {"width": facts["width"], "height": facts["height"], "mpp": facts["mpp"]}
            self.truths[name] = truth.read(outlines, cells["geometry"].to_numpy(), **size)
            self.tiles[name] = cells["tile_id"].to_numpy()

    def score(self, reduced: np.ndarray, settings: dict) -> dict[str, float | None]:
        """Cluster all cells together and hold the clusters against the truth."""
        found = clustering.cluster(reduced, settings, threads=2).cluster_id
        ends = np.cumsum([len(slide.values) for slide in self.slides])
        parts = np.split(found, ends[:-1])
        counts = {
            slide.slide: clusters.count(part, self.truths[slide.slide], self.tiles[slide.slide])
            for slide, part in zip(self.slides, parts, strict=True)
        }
        summary = pooled.summarise(counts, dict.fromkeys(counts, "all"), replicates=0)
        return {name: figure.value for name, figure in summary.figures.items()}


FILES = {"embeddings": "embeddings.npy", "columns": "embeddings.json", "cells": "masks.parquet"}


def embedded(folder: Path, mpp: str, work: Path, crop: dict) -> Half:
    sheet(folder, mpp, "even", work / "slides.csv")
    config = preset("recommended", AUGNET, OURS["true"], {"embedding": ALL_MODELS | crop})
    run(config, work, "--until", "embed")
    images = [line.split(",")[0] for line in (work / "slides.csv").read_text().splitlines()[1:]]
    return Half(work, {name: folder / f"{name}.geojson" for name in images})


def main(folder: Path, mpp: str, work: Path) -> None:
    halves = {name: embedded(folder, mpp, work / name, crop) for name, crop in CROPS.items()}
    schema = yaml.safe_load((REPO / "workflow/schemas/config.schema.yaml").read_text())
    settings = resolve(preset("recommended"), schema)
    cells = sum(len(slide.values) for slide in halves["box"].slides)
    print("# What moves label efficiency\n")
    print(
        f"{machine()}; even images of `{folder.name}` ({cells:,} cells, true outlines, clustered together), one change "
        f"at a time from `config/presets/recommended.yaml`; mean of seeds {', '.join(map(str, SEEDS))}, in brackets "
        "the least and the greatest. ResNet-50 has AugNet's weights.\n"
    )
    print("| | | 25 names | 50 names | all named | clusters | noise | ARI | Hungarian per tile |")
    print("|---|---" + "|---:" * 7 + "|", flush=True)
    maps: dict[tuple, np.ndarray] = {}
    for group, name, crop, reduce_with, cluster_with in changes():
        figures = []
        for seed in SEEDS:
            how = settings["reduction"] | reduce_with | {"seed": seed}
            key = (crop, str(how))
            if key not in maps:
                maps[key] = reduction.reduce(halves[crop].slides, **how, threads=2).values
            figures.append(halves[crop].score(maps[key], settings["clustering"] | cluster_with | {"seed": seed}))
        each = {key: np.array([one[key] for one in figures], float) for key in figures[0]}
        headline = each["efficiency_25"]
        row = [f"{headline.mean():.3f} [{headline.min():.3f}, {headline.max():.3f}]"]
        row += [f"{each[key].mean():.3f}" for key in ("efficiency_50", "efficiency_all")]
        row += [f"{each['units'].mean():.0f}"]
        row += [f"{each[key].mean():.3f}" for key in ("noise_fraction", "ari", "hungarian_tile")]
        print(f"| {group} | {name} | " + " | ".join(row) + " |", flush=True)
        print(json.dumps({"name": name, "figures": figures}), file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
