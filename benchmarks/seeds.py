"""How much of the label efficiency is luck? The recommended setting with several seeds, cut into 5 to 50 clusters.

    .venv/bin/python benchmarks/seeds.py FOLDER WORK | tee benchmarks/seeds.md

FOLDER and WORK as for labelling.py, which has run with HALF `odd` and OUTLINES `true`, and left its embeddings there.
"""

import sys
from pathlib import Path

import numpy as np
import yaml
from ablation import Half
from labelling import images, preset
from machine import machine
from whole import REPO

from clusterfirst import reduction
from clusterfirst.plan.settings import resolve

SEEDS = range(5)
GROUPS = (5, 10, 25, 50)


def main(folder: Path, work: Path) -> None:
    half = Half(work, {image.stem: image.with_suffix(".geojson") for image in images(folder, "odd")})
    schema = yaml.safe_load((REPO / "workflow/schemas/config.schema.yaml").read_text())
    settings = resolve(preset("recommended"), schema)
    print("# Label efficiency over seeds\n")
    print(
        f"{machine()}; `config/presets/recommended.yaml` on the odd images of `{folder.name}` ({half.cells:,} cells, "
        "true outlines, types not looked at while tuning); the tree cut into so many clusters, all of them named.\n"
    )
    print("| seed | " + " | ".join(f"{groups} names" for groups in GROUPS) + " |\n|---" + "|---:" * len(GROUPS) + "|")
    found = []
    for seed in SEEDS:
        reduced = reduction.reduce(half.slides, settings.reduction | {"seed": seed}, threads=2).values
        how = settings.clustering | {"seed": seed}
        found.append([half.score(reduced, how | {"groups": groups})["efficiency_all"] for groups in GROUPS])
        print(f"| {seed} | " + " | ".join(f"{value:.3f}" for value in found[-1]) + " |", flush=True)
    print("| mean | " + " | ".join(f"{value:.3f}" for value in np.mean(found, axis=0)) + " |")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
