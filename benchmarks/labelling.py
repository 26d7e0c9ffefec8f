"""How many cells does a person label by naming 25 clusters? The workflow itself, on images with typed nuclei.

    .venv/bin/python benchmarks/labelling.py FOLDER MPP WORK HALF OUTLINES | tee benchmarks/labelling-OUTLINES.md

FOLDER holds `name_<number>.png` and `.geojson` pairs at MPP µm/px, as CoNSeP does. HALF is `even` (settings were tuned
on these) or `odd` (types not looked at while tuning). OUTLINES is `true` (those of people, through `precomputed`) or
`instanseg`. Results are kept in WORK; each setting redoes only what it changes. ResNet-50 has AugNet's weights, for
those of ImageNet cannot be had where this was measured.
"""

import csv
import json
import subprocess
import sys
from pathlib import Path

import yaml
from machine import machine
from whole import REPO

AUGNET = {"embedding": {"weights": {"resnet50": "augnet"}}}
OURS = {
    "true": {"segmentation": {"model": "precomputed"}},
    "instanseg": {"segmentation": {"model": "instanseg"}},
}
FIGURES = {
    "efficiency_5": "5 names",
    "efficiency_10": "10 names",
    "efficiency_25": "25 names",
    "efficiency_50": "50 names",
    "efficiency_all": "all named",
    "efficiency_25_of_true": "25 names, missed cells counted wrong",
    "efficiency_25_shuffled": "25 names, clusters shuffled",
    "majority": "one name for all",
    "hungarian_tile": "Hungarian per tile",
    "hungarian_tile_one_cluster": "Hungarian per tile, one cluster",
    "hungarian_tile_shuffled": "Hungarian per tile, shuffled",
    "hungarian_group": "Hungarian, pooled",
    "ari": "ARI",
    "ami": "AMI",
    "homogeneity": "homogeneity",
    "completeness": "completeness",
    "noise_fraction": "noise",
    "units": "clusters to name",
}
RECALLS = ("recall_25", "recall_all")


def images(folder: Path, half: str) -> list[Path]:
    """Every second image, by number."""
    numbered = {int(image.stem.rsplit("_", 1)[1]): image for image in folder.resolve().glob("*.png")}
    return [numbered[number] for number in sorted(numbered) if number % 2 == (half == "odd")]


def sheet(chosen: list[Path], mpp: str, path: Path) -> None:
    """Images as slides of their own, all of one tissue."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["slide", "path", "tissue", "mpp", "objects", "truth"])
        for image in chosen:
            outlines = image.with_suffix(".geojson")
            rows.writerow([image.stem, image, "tissue", mpp, outlines, outlines])


def preset(name: str, *over: dict) -> dict:
    """A preset with other sections laid over it."""
    config = yaml.safe_load((REPO / f"config/presets/{name}.yaml").read_text())
    for change in over:
        for section, values in change.items():
            # Another model of the segmentation takes other settings, too.
            old = {} if section == "segmentation" else config.get(section, {})
            config[section] = {**old, **values}
    return config


def run(config: dict, work: Path, *targets: str) -> None:
    """Run the workflow in `work`."""
    own = {"slides": "slides.csv", "models_dir": str(REPO / "resources/models"), **config}
    (work / "own.yaml").write_text(yaml.safe_dump(own))
    (work / "config").mkdir(exist_ok=True)
    (work / "config/config.yaml").write_text((REPO / "config/config.yaml").read_text())
    command = [sys.executable, "-m", "snakemake", *targets, "--snakefile", REPO / "workflow/Snakefile"]
    command += ["--directory", work, "--configfile", work / "own.yaml"]
    command += ["--workflow-profile", REPO / "profiles/default", "--quiet", "all"]
    subprocess.run(command, check=True, stdout=sys.stderr)


def told(figure: dict, digits: int) -> str:
    """A value and its interval."""
    if figure["value"] is None:
        return "–"
    span = "" if figure["low"] is None else f" [{figure['low']:.{digits}f}, {figure['high']:.{digits}f}]"
    return f"{figure['value']:.{digits}f}{span}"


def main(folder: Path, mpp: str, work: Path, half: str, outlines: str) -> None:
    sheet(images(folder, half), mpp, work / "slides.csv")
    ours = OURS[outlines]
    settings = {
        "paper": preset("paper", AUGNET, ours),
        "paper, cohort": preset("paper", AUGNET, ours, {"clustering": {"scope": "cohort"}}),
        "recommended": preset("recommended", ours),
    }
    found = {}
    for name, config in settings.items():
        run(config, work, "evaluate")
        found[name] = json.loads((work / "results/evaluation/evaluation.json").read_text())
    pools = {name: document["pools"]["all slides"] for name, document in found.items()}
    cells = pools["recommended"]["cells"]
    print(f"# Labelling with {outlines} outlines\n")
    print(
        f"{machine()}; {half} images of `{folder.name}`, {cells['detected']:,} cells, {cells['with_truth']:,} with a "
        f"truth, {cells['true_not_detected']:,} true cells not detected. In brackets: 95 % bootstrap over images. "
        "Names are counted over all images together, except where it says in each image.\n"
    )
    print("| | " + " | ".join(settings) + " |\n|---" + "|---:" * len(settings) + "|")
    for key, name in FIGURES.items():
        digits = 0 if key == "units" else 3
        print(f"| {name} | " + " | ".join(told(pool["figures"][key], digits) for pool in pools.values()) + " |")
    means = [f"{document['mean_over_slides']['efficiency_25']:.3f}" for document in found.values()]
    print("| 25 names in each image, mean over images | " + " | ".join(means) + " |")
    for key, name in (("mixing", "neighbours of own image, over chance"), ("spread", "spread over images")):
        groups = [list(document["groups"].values()) for document in found.values()]
        values = [group[0].get(key) if len(group) == 1 else None for group in groups]
        print(f"| {name} | " + " | ".join("–" if value is None else f"{value:.2f}" for value in values) + " |")
    print("\nRecall of each class after 25 names, and after all:\n")
    print("| class | cells | " + " | ".join(settings) + " |\n|---|---:" + "|---:" * len(settings) + "|")
    for name, facts in pools["recommended"]["classes"].items():
        recalls = [pool["classes"][name] for pool in pools.values()]
        cells = " | ".join(", ".join(told({**one[key], "low": None}, 2) for key in RECALLS) for one in recalls)
        print(f"| {name} | {facts['cells']:,} | {cells} |")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), sys.argv[4], sys.argv[5])
