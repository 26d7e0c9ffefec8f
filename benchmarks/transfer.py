"""What an atlas is worth on images that taught nothing, and whether what nobody taught is called novel.

    .venv/bin/python benchmarks/transfer.py FOLDER MPP WORK [HALF] | tee -a benchmarks/transfer.md

FOLDER, MPP and WORK as for `labelling.py`; outlines are those of people, settings those that we advise. Even images
teach and odd ones test, each half clustered apart. HALF ``even``: of the even images, every second one teaches, and the
others test: to choose settings by.
"""

import csv
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from labelling import OURS, images, preset, run
from machine import machine

from clusterfirst.clustering.clusters import NO_TYPICAL, cluster
from clusterfirst.evaluation.transfer import BOTH, NAMES, Known, Transfer
from clusterfirst.learning.apply import ask, decide
from clusterfirst.plan.layout import SlideFolder

_SAID = 200
_MOST = (0.9, 0.95, 0.99)
_NOVEL, _GROUPS, _APART = 0.95, 5, 1_000_000
_GROUPED = {"method": "kmeans", "fine": 60, "seed": 0, "assign_noise": False}
_CHANGES = {"clustering": {"scope": "tissue"}}


def sheet(sides: dict[str, list[Path]], mpp: str, path: Path) -> None:
    """Images as slides; those that teach are one tissue, and those that test another."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["slide", "path", "tissue", "mpp", "objects", "truth", "split"])
        for split, chosen in sides.items():
            for image in chosen:
                outlines = image.with_suffix(".geojson")
                rows.writerow([image.stem, image, split, mpp, outlines, outlines, split])


def told(work: Path) -> None:
    """The table of `snakemake evaluate_transfer`."""
    table = pd.read_csv(work / "results/evaluation/transfer.csv")
    ways = table.groupby(["method", "reviewed", "priors"], sort=False)
    print("| taught by | cells looked at | priors | right | macro F1 | right of the surest 80 % | calibration error |")
    print("|---|---:|---|---:|---:|---:|---:|")
    for (method, reviewed, priors), own in ways:
        mean = own.mean(numeric_only=True)
        spread = f" ± {own['right'].std():.3f}" if len(own) > 1 else ""
        sure = "|" if np.isnan(mean["ece"]) else f"{mean['right_at_coverage']:.3f} | {mean['ece']:.3f}"
        print(f"| {method} | {reviewed} | {priors} | {mean['right']:.3f}{spread} | {mean['macro_f1']:.3f} | {sure} |")


def left_out(known) -> None:
    """Teach without a class, its clusters without a name; how its cells come out, and all others."""
    from sklearn.metrics import roc_auc_score

    print("\n| class that nobody taught | AUROC of novelty |", *(f"others, its cells above {one} |" for one in _MOST))
    print("|---|---:|" + "---:|" * len(_MOST))
    teach, test, settings = known
    classes = sorted({word for one in teach for word in set(one.truth) - {None}})
    for name in [None, *classes]:
        masked = _without(teach, name)
        atlas, _ = Transfer(masked, test, threads=2, **settings).atlas(BOTH, _SAID, 0)
        asked, _ = _said(atlas, test)
        novelty, truth = (
            np.concatenate(parts) for parts in ([one.novelty for one in asked], [one.truth for one in test])
        )
        judged = truth != None  # noqa: E711 (element by element)
        novelty, new = novelty[judged], truth[judged] == name
        area = f"{roc_auc_score(new, novelty):.3f}" if new.any() else ""
        shares = [
            f"{(novelty[~new] > most).mean():.3f}, {(novelty[new] > most).mean():.3f}"
            if new.any()
            else f"{(novelty > most).mean():.3f}"
            for most in _MOST
        ]
        print(f"| {name or '(none)'} | {area} | " + " | ".join(shares) + " |", flush=True)


def grouped(known) -> None:
    """Teach names without a class; group what is novel then, name the groups, and learn anew from these names, too."""
    print(
        "\n| class that nobody taught | its share | novel cells | groups | of them named so | its cells in these | "
        "said to be it after learning anew | of these, right | of all cells right before | after |"
    )
    print("|---" + "|---:" * 9 + "|")
    teach, test, settings = known
    truth = np.concatenate([one.truth for one in test])
    for name in sorted({word for one in teach for word in set(one.truth) - {None}}):
        masked = _without(teach, name)
        before = Transfer(masked, test, threads=2, **settings)
        atlas, _ = before.atlas(NAMES, 0, 0)
        asked, said = _said(atlas, test)
        novel = np.flatnonzero(np.concatenate([one.novelty for one in asked]) > _NOVEL)
        own = np.concatenate([atlas.recipe.own(one.slide, slice(None)) for one in test])
        found = cluster(own[novel], {**_GROUPED, "groups": _GROUPS}, NO_TYPICAL).cluster_id
        group = np.full(len(own), -1)
        group[novel] = _APART + found
        ends = np.cumsum([len(one.truth) for one in test])[:-1]
        taught = [replace(one, cluster=part) for one, part in zip(test, np.split(group, ends), strict=True)]
        after = Transfer([*masked, *taught], test, threads=2, **settings)
        _, anew = _said(after.atlas(NAMES, 0, 0)[0], test)
        names = [truth[group == one] for one in np.unique(group[novel])]
        called = [one for one in names if name == max(set(one), key=list(one).count)]
        new, now = truth == name, after.classes[anew]
        hit = f"{(truth[now == name] == name).mean():.2f}" if (now == name).any() else ""
        print(
            f"| {name} | {new.mean():.3f} | {len(novel)} | {len(names)} | {len(called)} | "
            f"{sum((one == name).sum() for one in called) / new.sum():.2f} | {(now == name)[new].mean():.2f} | {hit} | "
            f"{(before.classes[said] == truth).mean():.3f} | {(now == truth).mean():.3f} |",
            flush=True,
        )


def _without(teach, name: str | None):
    """Slides that teach, of a class nothing: its cells have no cluster with a name."""
    own = [one.truth == name if name else np.zeros(len(one.truth), bool) for one in teach]
    return [
        replace(one, truth=np.where(mine, None, one.truth), cluster=np.where(mine, -1, one.cluster))
        for one, mine in zip(teach, own, strict=True)
    ]


def _said(atlas, test):
    """What it holds of the cells of all slides, and the class of each cell."""
    asked = [ask(atlas, one.slide, embedding=one.embedding, mpp=one.mpp, threads=2) for one in test]
    usual = {"min_probability": 0, "max_novelty": 1, "priors": "taught"}
    return asked, np.concatenate([decide(atlas, one, usual).label for one in asked])


def read(sides: dict[str, list[Path]], work: Path):
    """The slides as `transfer_labels` reads them, and the settings that it is told."""
    import json

    import pyarrow.parquet as pq
    import yaml

    from clusterfirst.clustering.document import Clustering
    from clusterfirst.plan.settings import resolve
    from clusterfirst.reduction import inputs
    from clusterfirst.slide.facts import SlideFacts

    def known(image: Path) -> Known:
        folder = SlideFolder(work / "results" / image.stem)
        files = {"embeddings": folder.embeddings, "columns": folder.embedding_columns, "cells": folder.cells}
        return Known(
            inputs.read(image.stem, **files),
            np.array(pq.read_table(folder.true_classes)["label"].to_pylist(), object),
            Clustering.read(folder.clusters).cluster_id,
            json.loads(folder.embedding_columns.read_text()),
            SlideFacts.of(folder.cells).mpp,
            image.stem,
        )

    schema = yaml.safe_load((Path(__file__).parent.parent / "workflow/schemas/config.schema.yaml").read_text())
    settings = resolve(yaml.safe_load((work / "own.yaml").read_text()), schema)
    chosen = {"reduction": settings.reduction, "learning": settings.learning}
    return [known(one) for one in sides["teach"]], [known(one) for one in sides["test"]], chosen


def main(folder: Path, mpp: str, work: Path, half: str | None) -> None:
    even = images(folder, "even")
    sides = {"teach": even[::2], "test": even[1::2]} if half else {"teach": even, "test": images(folder, "odd")}
    sheet(sides, mpp, work / "slides.csv")
    # Snakemake does not see that the library has changed.
    (work / "results/evaluation/transfer.csv").unlink(missing_ok=True)
    run(preset("recommended", OURS["true"], _CHANGES), work, "evaluate_transfer")
    which = "every second even image teaches, the other even ones test" if half else "even images teach, odd ones test"
    print(f"\n## `{folder.name}`: {which}\n\n{machine()}; {len(sides['teach'])} and {len(sides['test'])} images.\n")
    told(work)
    known = read(sides, work)
    left_out(known)
    grouped(known)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), (sys.argv[4:] or [None])[0])
