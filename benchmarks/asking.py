"""What is a person's time worth, and how many names should come before pages? On images with typed nuclei.

    .venv/bin/python benchmarks/asking.py FOLDER MPP WORK HALF [NAMES …] | tee -a benchmarks/asking.md

FOLDER, MPP, WORK and HALF as for `labelling.py`; outlines are those of people, settings those that we advise.
`snakemake evaluate_naming` once for each number of NAMES (`learning.names_first`; the default if none is given).
"""

import sys
from pathlib import Path

import pandas as pd
from labelling import OURS, images, preset, run, sheet
from machine import machine

from clusterfirst.evaluation.naming import METHODS
from clusterfirst.evaluation.naming import OURS as ASKED
from clusterfirst.evaluation.naming_curves import TIMES


def shares(table: pd.DataFrame) -> pd.DataFrame:
    """Share of cells that are right at `TIMES`, a row for each method and seed."""
    rows = {}
    for key, one in table.groupby(["method", "seed"]):
        right = [one.loc[one["seconds"] <= time, "right"].iloc[-1] for time in TIMES]
        rows[key] = [cells / one["cells"].iloc[0] for cells in right]
    return pd.DataFrame.from_dict(rows, orient="index", columns=TIMES).rename_axis(None)


def line(name: str, values: pd.Series) -> str:
    return f"| {name} | " + " | ".join(f"{value:.3f}" for value in values) + " |"


def main(folder: Path, mpp: str, work: Path, half: str, names: list[int]) -> None:
    chosen = images(folder, half)
    sheet(chosen, mpp, work / "slides.csv")
    print(f"\n## {half} images of `{folder.name}`\n")
    told = False
    for count in names or [None]:
        learning = {} if count is None else {"learning": {"names_first": count}}
        run(preset("recommended", OURS["true"], learning), work, "evaluate_naming")
        table = pd.read_csv(work / "results/evaluation/naming.csv")
        found = shares(table)
        found.index = pd.MultiIndex.from_tuples(found.index)
        mean, spread = found.groupby(level=0).mean(), found.groupby(level=0).std()
        if not told:
            seeds, cells = len(found.loc[ASKED]), table["cells"].iloc[0]
            print(f"{machine()}; {len(chosen)} images, {cells:,} cells; mean of {seeds} seeds.\n")
            print("| seconds of a person | " + " | ".join(map(str, TIMES)) + " |\n|---" + "|---:" * len(TIMES) + "|")
            for method in METHODS[1:]:
                print(line(method, mean.loc[method]))
            told = True
        print(line(ASKED + ("" if count is None else f", {count} names"), mean.loc[ASKED]))
        if count is None or len(names) == 1:
            print(line("standard deviation over seeds", spread.loc[ASKED]))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), sys.argv[4], [int(one) for one in sys.argv[5:]])
