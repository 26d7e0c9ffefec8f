"""How many cells does a person label by naming 25 clusters? The workflow itself, on images with typed nuclei.

    .venv/bin/python benchmarks/labelling.py FOLDER MPP WORK HALF OUTLINES | tee benchmarks/labelling-OUTLINES.md

FOLDER holds `name_<number>.png` and `.geojson` pairs at MPP µm/px, as CoNSeP does. HALF is `even` (settings were tuned
on these) or `odd` (their types were not looked at while tuning). OUTLINES is `true` (those of the people, through
`precomputed`) or `instanseg`. Results are kept in WORK; each setting redoes only what it changes.
"""

import csv
import json
import subprocess
import sys
from pathlib import Path

import yaml
from whole import REPO

PRESETS = REPO / "config/presets"


def sheet(folder: Path, mpp: str, half: str, path: Path) -> None:
    """Every second image as a slide of its own, all of one tissue."""
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["slide", "path", "tissue", "mpp", "objects", "truth"])
        for image in sorted(folder.resolve().glob("*.png")):
            if int(image.stem.rsplit("_", 1)[1]) % 2 == (half == "odd"):
                outlines = image.with_suffix(".geojson")
                rows.writerow([image.stem, image, "tissue", mpp, outlines, outlines])


def merged(*configs: dict) -> dict:
    """Lay configurations over each other, section by section."""
    out: dict = {}
    for config in configs:
        for section, value in config.items():
            out[section] = {**out.get(section, {}), **value} if isinstance(value, dict) else value
    return out


def evaluate(config: dict, work: Path) -> dict:
    """Run `snakemake evaluate` and return its figures."""
    (work / "own.yaml").write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "snakemake", "--snakefile", REPO / "workflow/Snakefile", "--directory", work]
    command += ["--configfile", work / "own.yaml", "--workflow-profile", REPO / "profiles/default"]
    subprocess.run([*command, "evaluate", "--quiet", "all"], check=True, stdout=sys.stderr)
    return json.loads((work / "results/evaluation/evaluation.json").read_text())
