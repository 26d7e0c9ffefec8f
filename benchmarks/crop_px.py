"""What does it cost to show a network smaller crops? What it gains is in embedding.py.

    .venv/bin/python benchmarks/crop_px.py FOLDER MPP WORK | tee benchmarks/crop_px.md

FOLDER and WORK as for ablation.py, of which the images that ResNet-50 is shown are taken: true outlines, bounding
boxes, AugNet's weights. Means over the seeds of ablation.py, in brackets the least and the greatest.
"""

import sys
from pathlib import Path

import numpy as np
import yaml
from ablation import FEW, SEEDS, embedded
from labelling import images, preset
from machine import machine
from whole import REPO

from clusterfirst import reduction
from clusterfirst.plan.settings import resolve

EDGES = (224, 160, 112, 80, 56)


def main(folder: Path, mpp: str, work: Path) -> None:
    chosen = [image for image in images(folder, "even") if int(image.stem.rsplit("_", 1)[1]) in FEW]
    schema = yaml.safe_load((REPO / "workflow/schemas/config.schema.yaml").read_text())
    settings = resolve(preset("recommended"), schema)
    print("# Smaller crops\n")
    print(
        f"{machine()}, 2 threads; images {', '.join(map(str, FEW))} of `{folder.name}`; ResNet-50, AugNet's weights.\n"
    )
    print("| crop_px | cells | 25 names |\n|---:|---:|---:|", flush=True)
    for edge in EDGES:
        half = embedded(chosen, mpp, work / str(edge), {"models": ["resnet50"], "crop_px": edge})
        figures = []
        for seed in SEEDS:
            reduced = reduction.reduce(half.slides, settings.reduction | {"seed": seed}, threads=2).values
            figures.append(half.score(reduced, settings.clustering | {"seed": seed}))
        named = [one["efficiency_25"] for one in figures]
        span = f"{np.mean(named):.3f} [{min(named):.3f}, {max(named):.3f}]"
        print(f"| {edge} | {half.cells:,} | {span} |", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
