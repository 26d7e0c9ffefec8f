"""How well do outlines match those that people drew? The workflow itself, on images with true outlines beside them.

    .venv/bin/python benchmarks/accuracy.py FOLDER MPP WORK | tee benchmarks/accuracy.md

FOLDER holds `name.png` and `name.geojson` pairs at MPP µm/px, such as MoNuSeg's; results are kept in WORK.
"""

import csv
import subprocess
import sys
from pathlib import Path

import pandas as pd
import yaml
from machine import machine
from whole import REPO

from clusterfirst.io import read_json


def run(folder: Path, mpp: str, work: Path) -> None:
    """Score every image of the folder as a slide of its own, with the default settings."""
    work.mkdir(parents=True, exist_ok=True)
    with (work / "slides.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["slide", "path", "mpp", "truth"])
        for image in sorted(folder.resolve().glob("*.png")):
            rows.writerow([image.stem, image, mpp, image.with_suffix(".geojson")])
    config = {"slides": "slides.csv", "models_dir": str(REPO / "resources/models")}
    (work / "own.yaml").write_text(yaml.safe_dump(config))
    (work / "config").mkdir(exist_ok=True)
    (work / "config/config.yaml").write_text((REPO / "config/config.yaml").read_text())
    command = [sys.executable, "-m", "snakemake", "--snakefile", REPO / "workflow/Snakefile", "--directory", work]
    command += ["--configfile", work / "own.yaml", "--workflow-profile", REPO / "profiles/default"]
    subprocess.run([*command, "evaluate_segmentation", "--quiet", "all"], check=True, stdout=sys.stderr)


def main(folder: Path, mpp: str, work: Path) -> None:
    run(folder, mpp, work)
    table = pd.read_csv(work / "results/evaluation/segmentation.csv")
    micro = read_json(work / "results/evaluation/segmentation.json")["micro"]
    figures = ["slide", "found", "truth", "precision", "recall", "f1", "mean_f1", "pq", "sq", "dq", "aji"]
    table[["found", "truth"]] = table[["found", "truth"]].astype("Int64")
    print("# Accuracy of outlines\n")
    print(
        f"{machine()}; instanseg with default settings on `{folder.name}` at {mpp} µm/px, images as slides. Precision, "
        "recall and F1 at IoU 0.5.\n"
    )
    print(table[figures].to_markdown(index=False, floatfmt=".3f", missingval=""))
    print("\n| IoU | " + " | ".join(f"{row['iou']:.2f}" for row in micro["thresholds"]) + " |")
    print("|---" * (1 + len(micro["thresholds"])) + "|")
    print("| F1, all objects | " + " | ".join(f"{row['f1']:.3f}" for row in micro["thresholds"]) + " |")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
