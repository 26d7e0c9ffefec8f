"""The naming side of peers.py: scanpy's neighbours, UMAP and Leiden against `reduce` and `cluster`.

Cells are those of `scale.py`: rows of a real table, drawn with replacement and blurred. The table has the 44 measures
of the cells in the odd images of `consep_train` (true outlines), whose types people gave; a drawn cell is of the type
of the cell it was drawn from. Neighbouring cells are left out of both, for the positions are made up. Right after 25
names: of all cells, those that are of the commonest type of their cluster, if it is among the 25 largest.
"""

import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import labelling
import numpy as np
import scale
from environments import python_of, version
from watching import watch
from whole import SETTINGS

from clusterfirst.evaluation import partitions, truth
from clusterfirst.io import read_json
from clusterfirst.outlines.objects import read_objects
from clusterfirst.slide.facts import SlideFacts

CELLS = (10_000, 100_000, 1_000_000)
FEW = 2_000
NAMES = 25
MPP = "0.25"
STEPS = ("reduce", "cluster")
SCANPY = Path(__file__).resolve().parent / "peer/run_scanpy.py"


def features(data: Path, work: Path) -> tuple[Path, np.ndarray]:
    """Return the table of measures and the type of each row; made once."""
    values, types = work / "features.npy", work / "types.npy"
    if not (values.exists() and types.exists()):
        chosen = labelling.images(data / "consep_train", "odd")
        labelling.sheet(chosen, MPP, work / "slides.csv")
        config = labelling.preset("recommended", labelling.OURS["true"], {"embedding": {"models": ["morphology"]}})
        labelling.run(config, work, "--until", "embed")
        rows, names = zip(
            *(typed(work / "results" / one.stem, one.with_suffix(".geojson")) for one in chosen), strict=True
        )
        np.save(types, np.concatenate(names))
        np.save(values, np.concatenate(rows))
    return values, np.load(types)


def typed(results: Path, said: Path) -> tuple[np.ndarray, np.ndarray]:
    """Measures and types of the cells of one image that have a type."""
    cells = results / "masks.parquet"
    outlines = read_objects(cells)["geometry"].to_numpy()
    names = truth.read(said, outlines, SlideFacts.of(cells), given=SETTINGS.given).name
    known = np.asarray([name is not None for name in names])
    return np.load(results / "embeddings.npy")[known], names[known].astype(str)


def agreement(groups: np.ndarray, types: np.ndarray) -> dict:
    """Count groups, and how well they tell types."""
    counts = np.zeros((groups.max() + 1, types.max() + 1), np.int64)
    named = groups >= 0
    np.add.at(counts, (groups[named], types[named]), 1)
    largest = counts[np.argsort(-counts.sum(axis=1), kind="stable")[:NAMES]]
    return {
        "groups": len(counts),
        "right": float(largest.max(axis=1).sum() / len(types)),
        "ari": partitions.ari(counts),
    }


def measure(options, kept) -> None:
    """Run both on as many cells as asked for."""
    if not options.cells:
        return
    if options.data is None:
        raise SystemExit("CLUSTERFIRST_TEST_DATA names no folder: needed for `consep_train`, see CONTRIBUTING.md")
    work = options.work / "naming"
    values, names = features(options.data, work)
    _, types = np.unique(names, return_inverse=True)
    python = python_of("scanpy", options.environments)
    warm(values, python, work)
    for count in options.cells:
        with tempfile.TemporaryDirectory(dir=work) as temporary:
            folder = Path(temporary)
            scale.write_cells(values, count, folder)
            drawn = types[np.load(folder / "drawn.npy")]
            kept.put(f"naming/{count}/ours", **ours(folder, drawn, work / f"ours-{count}.log", options.timeout))
            kept.put(f"naming/{count}/scanpy", **scanpy(python, folder, drawn, work / f"scanpy-{count}.log", options))


def warm(values: Path, python: Path, work: Path) -> None:
    """Run both once on few cells: what numba compiles for a machine, it keeps."""
    with tempfile.TemporaryDirectory(dir=work) as temporary:
        folder = Path(temporary)
        scale.write_cells(values, FEW, folder)
        nothing = np.zeros(FEW, np.int64)
        ours(folder, nothing, work / "ours-warm.log", np.inf)
        subprocess.run([python, SCANPY, folder, folder / "steps.json"], check=True, stdout=sys.stderr)


def ours(folder: Path, types: np.ndarray, log: Path, timeout: float) -> dict:
    """Our two steps, each in a process of its own, as in `scale.py`."""
    costs = {}
    for step in STEPS:
        command = [sys.executable, scale.__file__, "--step", step, folder]
        costs[step] = watch(command, log.with_name(f"{log.stem}-{step}.log"), timeout=timeout)
        if costs[step].ended:
            return {"ended": f"{step}: {costs[step].ended}", "mb": costs[step].mb}
    seconds = {step: cost.seconds for step, cost in costs.items()}
    figures = {"ended": "", "seconds": sum(seconds.values()), "mb": max(cost.mb for cost in costs.values())}
    return figures | {"steps": seconds} | agreement(np.load(folder / "cluster.npy"), types)


def scanpy(python: Path, folder: Path, types: np.ndarray, log: Path, options) -> dict:
    """Scanpy in one process."""
    cost = watch([python, SCANPY, folder, folder / "steps.json"], log, timeout=options.timeout)
    steps = read_json(folder / "steps.json") if (folder / "steps.json").exists() else {}
    figures = asdict(cost) | {"steps": steps}
    return figures if cost.ended else figures | agreement(np.load(folder / "leiden.npy"), types)


def table(kept) -> list[str]:
    """Lines of the table."""
    counts = sorted({int(key.split("/")[1]) for key in kept.figures if key.startswith("naming/")})
    if not counts:
        return []
    title = f"scanpy {version('scanpy', 'scanpy')}: neighbours, UMAP, Leiden"
    titles = {"ours": "ours: `reduce`, `cluster`", "scanpy": title}
    lines = [
        "## Naming\n",
        "Cells with the measures of `consep_train`'s odd images (drawn with replacement, blurred), four types. Seconds "
        f"and memory of whole processes. Right: share of all cells after naming the {NAMES} largest groups, each by "
        "its commonest type; ARI against the types. Ours also lays the cells out in 10 dimensions, and lays out at "
        "most 200,000: the rest are placed among them.\n",
        "| cells | | seconds | steps | peak MiB | groups | right | ARI |",
        "|---:|---|---:|---|---:|---:|---:|---:|",
    ]
    for count in counts:
        for key, name in titles.items():
            one = kept.figures.get(f"naming/{count}/{key}")
            if one is not None:
                lines.append(f"| {count:,} | {name} | {' | '.join(_cells(one))} |")
    return [*lines, ""]


def _cells(one: dict) -> list[str]:
    steps = ", ".join(f"{step} {seconds:,.0f}" for step, seconds in one.get("steps", {}).items())
    if one["ended"]:
        return [one["ended"], steps, f"{one['mb']:,.0f}", "", "", ""]
    return [
        f"{one['seconds']:,.0f}",
        steps,
        f"{one['mb']:,.0f}",
        *(f"{one['groups']:,}", f"{one['right']:.3f}", f"{one['ari']:.3f}"),
    ]
