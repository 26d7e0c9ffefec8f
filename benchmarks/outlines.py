"""What InstanSeg finds at other resolutions and with other thresholds, on images whose nuclei people outlined.

    .venv/bin/python benchmarks/outlines.py WORK HALF FOLDER MPP [FOLDER MPP …] | tee -a benchmarks/outlines.md

Each FOLDER holds pairs of images and outlines, `name.png` and `name.geojson`, at MPP µm/px. Every second is taken: HALF
``even``, from the first, to choose by; ``odd``, the others, to report. Results are kept in WORK.
"""

import csv
import sys
from pathlib import Path

from labelling import run
from machine import machine

from clusterfirst.io import read_json

TRIED = ((None, None), (None, 0.5), (None, 0.4), (0.4, None), (0.4, 0.5), (0.4, 0.4))
"""µm per pixel, and how surely the middle of a nucleus must be seen; None: as usual."""


def sheet(folder: Path, mpp: str, half: str, path: Path) -> int:
    """Images as slides; returns how many."""
    path.parent.mkdir(parents=True, exist_ok=True)
    images = sorted(folder.resolve().glob("*.png"))[int(half == "odd") :: 2]
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["slide", "path", "mpp", "truth"])
        rows.writerows([image.stem, image, mpp, image.with_suffix(".geojson")] for image in images)
    return len(images)


def main(work: Path, half: str, given: list[str]) -> None:
    print(f"\n## {half} images\n\n{machine()}\n")
    print("| images | µm/px | threshold | precision | recall | F1 at 0.5 | F1, 0.5 to 0.95 by 0.05 | by 0.1 to 0.9 |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for folder, mpp in zip(map(Path, given[::2]), given[1::2], strict=True):
        own = work / f"{folder.name}-{half}"
        count = sheet(folder, mpp, half, own / "slides.csv")
        for sees, threshold in TRIED:
            run({"segmentation": {"mpp": sees, "seed_threshold": threshold}}, own, "evaluate_segmentation")
            steps = read_json(own / "results/evaluation/segmentation.json")["micro"]["thresholds"]
            at = steps[0]
            every = sum(one["f1"] for one in steps) / len(steps)
            coarse = [one["f1"] for one in steps[::2]]
            print(
                f"| `{folder.name}`, {count} | {sees or 'usual'} | {threshold or 'usual'} | {at['precision']:.3f} | "
                f"{at['recall']:.3f} | {at['f1']:.3f} | {every:.3f} | {sum(coarse) / len(coarse):.3f} |",
                flush=True,
            )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
