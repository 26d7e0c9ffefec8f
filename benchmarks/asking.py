"""What is a person's time worth, and how many names should come before pages? On images with typed nuclei.

    .venv/bin/python benchmarks/asking.py FOLDER MPP WORK HALF [NAMES …] | tee -a benchmarks/asking.md

FOLDER, MPP, WORK and HALF as for `labelling.py`; outlines are those of people, settings those that we advise.
`snakemake evaluate_naming` once for each number of NAMES (`learning.names_first`; the default if none is given).
"""

import sys
from pathlib import Path

import numpy as np
from labelling import OURS, images, preset, run, sheet
from machine import machine

from clusterfirst.evaluation.naming import METHODS
from clusterfirst.evaluation.naming import OURS as ASKED
from clusterfirst.evaluation.naming_curves import TIMES, Curves
from clusterfirst.io import read_json


def shares(curves: Curves, method: str) -> np.ndarray:
    """Share of cells that are right, `TIMES` × seeds."""
    return np.array([curves.seeds(method, time) for time in TIMES])


def line(name: str, values: np.ndarray) -> str:
    return f"| {name} | " + " | ".join(f"{value:.3f}" for value in values) + " |"


def main(folder: Path, mpp: str, work: Path, half: str, names: list[int]) -> None:
    chosen = images(folder, half)
    sheet(chosen, mpp, work / "slides.csv")
    print(f"\n## {half} images of `{folder.name}`\n")
    told = False
    for count in names or [None]:
        learning = {} if count is None else {"learning": {"names_first": count}}
        run(preset("recommended", OURS["true"], learning), work, "evaluate_naming")
        curves = Curves([read_json(work / "results/groups/cohort/evaluation/naming.json")])
        ours = shares(curves, ASKED)
        if not told:
            print(f"{machine()}; {len(chosen)} images, {curves.total:,} cells; mean of {ours.shape[1]} seeds.\n")
            print("| seconds of a person | " + " | ".join(map(str, TIMES)) + " |\n|---" + "|---:" * len(TIMES) + "|")
            for method in METHODS[1:]:
                print(line(method, shares(curves, method).mean(axis=1)))
            told = True
        print(line(ASKED + ("" if count is None else f", {count} names"), ours.mean(axis=1)))
        if count is None or len(names) == 1:
            print(line("standard deviation over seeds", ours.std(axis=1, ddof=1)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), sys.argv[4], [int(one) for one in sys.argv[5:]])
