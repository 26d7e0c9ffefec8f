"""Side by side with others: what do outlines cost, how good are they, what happens at tile seams; and the naming side.

    CLUSTERFIRST_TEST_DATA=… .venv/bin/python benchmarks/peers.py | tee benchmarks/peers.md

Every tool runs in an environment of its own, which the script makes from the pinned lists in `benchmarks/peer/` (with
`uv`; kept). Parts can be measured in calls of their own (`--parts`, `--slides`, `--peers`, `--cells`); figures are kept
in WORK (`.snakemake/peers` unless said), and the table is made of all of them. `--parts ''` only prints it.

slides
    Whole processes, start-up included, from the slide's file to outlines on disk: wall seconds; MiB that the process
    and its children hold together at most (proportional set sizes). Libraries are imported once before, so that disks
    do not count. Ours is the workflow in a fresh folder, Snakemake and the search for tissue included.
seams
    Outlines of the same slide seen as one tile are the reference: of the tool itself; of LazySlide that of
    `instanseg-torch`, for the network is the same file. Of the reference's objects that a border of a tool's tiles
    crosses, how many have no partner of IoU 0.7 among its objects; and of those that none does.
accuracy
    F1 at IoU 0.5 on all images of `monuseg_train`, with the scorer of `accuracy.py`. Others get the same pixels as
    lossless TIFF that says its µm per pixel.
naming
    See `naming.py`.
"""

import argparse
import datetime
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import accuracy
import geopandas
import naming
import numpy as np
import pandas as pd
import shapely
import tifffile
import yaml
from environments import python_of, version
from machine import machine
from PIL import Image
from stages import synthetic
from watching import Cost, watch
from whole import REPO, SETTINGS, cores_mm2
from whole import weights as instanseg_file

from clusterfirst import weights
from clusterfirst.evaluation import segmentation, truth
from clusterfirst.evaluation.matching import match, overlaps, valid
from clusterfirst.io import read_json, write_json
from clusterfirst.outlines.objects import read_objects
from clusterfirst.slide.slide import Slide

HERE = Path(__file__).resolve().parent
PARTS = ("slides", "seams", "accuracy", "naming")
SLIDES = {"demo": 0.499, "large": 0.499, "crop": 0.499}
"""µm per pixel. `crop` is for trying this script."""
LARGE = 10_000
CROP = (600, 900, 1600, 1500)
MONUSEG_MPP = 0.25
SAME = 0.7
"""IoU from which on two outlines are the same."""


@dataclass(frozen=True)
class Peer:
    """A tool as it is run.

    Attributes
    ----------
    title
        What the table calls it.
    environment, program
        Names below `peer/`; None is ourselves.
    auto, single, image
        Its METHOD for a slide, for a slide as one tile, for a small image; None where another's is the same.
    dtype
        Of the network; None where there is none.
    """

    title: str
    environment: str | None = None
    program: str = ""
    auto: str = "auto"
    single: str | None = None
    image: str | None = "auto"
    dtype: str | None = None
    module: str = ""

    def command(self, python: Path, method: str, mpp: float, folder: Path, images: list[Path]) -> list:
        """Return its command line."""
        chosen = [mpp, method, os.cpu_count()] if self.dtype is None else [instanseg_file(), mpp, method, self.dtype]
        return [python, HERE / "peer" / self.program, *chosen, folder, *images]


def _peers() -> dict[str, Peer]:
    torch = f"instanseg-torch {version('instanseg', 'instanseg-torch')}"
    lazy = f"LazySlide {version('lazyslide', 'lazyslide')}"
    theirs = {"environment": "instanseg", "program": "run_instanseg.py", "module": "instanseg", "single": "small"}
    lazily = {"environment": "lazyslide", "program": "run_lazyslide.py", "module": "lazyslide", "image": "whole"}
    return {
        "ours": Peer("ours"),
        "instanseg": Peer(f"{torch}, float32", **theirs, dtype="float32"),
        "instanseg-bf16": Peer(f"{torch} within torch's bfloat16", **theirs, dtype="bfloat16"),
        "lazyslide": Peer(f"{lazy}, float32", **lazily, dtype="float32"),
        "lazyslide-bf16": Peer(f"{lazy}, bfloat16", **lazily, dtype="bfloat16"),
        "lazyslide-overlap": Peer(
            f"{lazy}, float32, overlapping tiles",
            **{**lazily, "image": None},
            auto="overlap",
            dtype="float32",
        ),
        "histomicstk": Peer(
            f"HistomicsTK {version('histomicstk', 'histomicstk')} (no network)",
            environment="histomicstk",
            program="run_histomicstk.py",
            module="histomicstk",
            single="whole",
        ),
    }


PEERS = _peers()
DEFAULT_PEERS = list(PEERS)


# --- what is kept between calls


class Kept:
    """Figures by key, each with the call of this script that measured it; written at once."""

    def __init__(self, path: Path, arguments: str):
        self.path = path
        self.figures, self.calls = {}, {}
        if path.exists():
            document = read_json(path)
            self.figures, self.calls = document["figures"], document["calls"]
        self.call = datetime.datetime.now().strftime("%Y-%m-%d %H:%M:%S")
        self.arguments = arguments

    def put(self, key: str, **figures) -> None:
        self.calls[self.call] = {"machine": machine(), "arguments": self.arguments}
        self.figures[key] = {**figures, "call": self.call}
        used = {one["call"] for one in self.figures.values()}
        self.calls = {call: said for call, said in self.calls.items() if call in used}
        write_json({"figures": self.figures, "calls": self.calls}, self.path)
        print(f"{key}: {json.dumps(figures, ensure_ascii=False)}", file=sys.stderr, flush=True)

    def drop(self, key: str) -> None:
        self.figures.pop(key, None)

    def get(self, key: str) -> dict | None:
        return self.figures.get(key)


# --- slides


def slide_file(name: str, work: Path) -> Path:
    """Return a slide's file, which is made if need be."""
    demo = weights.fetch(weights.SLIDES["CMU-1-Small-Region.svs"], REPO / "resources/slides")
    if name == "demo":
        return demo
    path = work / f"{name}.tiff"
    if path.exists():
        return path
    part = path.with_suffix(".part")
    with Slide(demo) as slide:
        if name == "large":
            synthetic(slide.read(0, 0, *slide.size), LARGE, part, mpp=SLIDES[name])
        else:
            plain_tiff(slide.read(*CROP), SLIDES[name], part)
    part.rename(path)
    return path


def plain_tiff(pixels: np.ndarray, mpp: float, path: Path) -> None:
    """Write a lossless tiled TIFF that knows its resolution."""
    per_cm = 1e4 / mpp
    tifffile.imwrite(
        path,
        np.ascontiguousarray(pixels[..., :3]),
        tile=(256, 256),
        photometric="rgb",
        compression="deflate",
        resolution=(per_cm, per_cm),
        resolutionunit="CENTIMETER",
        metadata=None,
    )


def workflow(folder: Path, image: Path, mpp: float, target: str, over: dict | None = None) -> list:
    """Return the command that makes a file of slide `s` with the demo's settings; `folder` is made anew."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "config").mkdir(parents=True)
    shutil.copy(REPO / "config/config.yaml", folder / "config/config.yaml")
    (folder / "slides.csv").write_text(f"slide,path,mpp\ns,{image},{mpp}\n", encoding="utf-8")
    demo = yaml.safe_load((REPO / "config/demo.yaml").read_text(encoding="utf-8"))
    own = {**demo, "slides": "slides.csv", "models_dir": str(REPO / "resources/models")}
    for section, values in (over or {}).items():
        own[section] = {**own.get(section, {}), **values}
    (folder / "own.yaml").write_text(yaml.safe_dump(own), encoding="utf-8")
    command = [sys.executable, "-m", "snakemake", f"results/s/{target}", "--snakefile", REPO / "workflow/Snakefile"]
    command += ["--directory", folder, "--configfile", folder / "own.yaml"]
    return [*command, "--workflow-profile", REPO / "profiles/default", "--quiet", "all"]


def outline(key: str, method: str, image: Path, mpp: float, folder: Path, options) -> Cost:
    """Outline one slide with one tool; its files are in `folder`."""
    peer = PEERS[key]
    if peer.environment is None:
        over = {"tiling": {"tile_px": 4096}, "filter": {"max_bright_ratio": 1.0}} if method == "single" else None
        command = workflow(folder, image, mpp, "masks.parquet", over)
        python, module = sys.executable, "snakemake, torch, geopandas"
    else:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        python, module = python_of(peer.environment, options.environments), peer.module
        command = peer.command(python, getattr(peer, method), mpp, folder, [image])
    subprocess.run([python, "-c", f"import {module}"], check=True, stdout=subprocess.DEVNULL, stderr=sys.stderr)
    return watch(command, folder.parent / f"{folder.name}.log", timeout=options.timeout)


def tissue(name: str, work: Path, kept: Kept) -> None:
    """Find the area of the tiles that our filter keeps: what seconds are divided by, for all alike."""
    image, mpp, folder = slide_file(name, work), SLIDES[name], work / "tissue" / name
    subprocess.run([str(part) for part in workflow(folder, image, mpp, "filtered.parquet")], check=True)
    tiles = kept_tiles(folder)
    area = cores_mm2(tiles, mpp=mpp)
    with Slide(image, mpp=mpp) as slide:
        wide, high = slide.size
    kept.put(f"tissue/{name}", mm2=area, tiles=len(tiles), wide=wide, high=high)


def kept_tiles(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder / "results/s/filtered.parquet").query("kept")


def read(key: str, folder: Path, stem: str) -> np.ndarray:
    """Read the outlines that a tool wrote, in pixels of the image."""
    environment = PEERS[key].environment
    if environment is None:
        return read_objects(folder / f"results/{stem}/masks.parquet")["geometry"].to_numpy()
    if environment == "lazyslide":
        return polygons(geopandas.read_parquet(folder / f"{stem}.parquet").geometry.to_numpy())
    if environment == "instanseg":
        document = read_json(folder / f"{stem}_instanseg_prediction.geojson")
        features = document["features"] if isinstance(document, dict) else document
        return polygons(shapely.from_geojson([json.dumps(feature["geometry"]) for feature in features]))
    elements = read_json(folder / f"{stem}.anot")["elements"]
    return polygons([shapely.Polygon(np.asarray(one["points"])[:, :2]) for one in elements if len(one["points"]) > 2])


def polygons(shapes) -> np.ndarray:
    """Repair shapes; of those in several pieces keep the largest, drop those without an area."""
    whole = valid(np.asarray(shapes, dtype=object))
    largest = [max(shapely.get_parts(one), key=shapely.area, default=one) for one in whole]
    found = np.asarray(largest, dtype=object)
    return found[(shapely.get_type_id(found) == shapely.GeometryType.POLYGON) & (shapely.area(found) > 0)]


def stages_of(folder: Path) -> dict[str, float]:
    """Seconds of our jobs, as Snakemake says."""
    files = sorted((folder / "results/s/benchmarks").glob("*.tsv"))
    return {file.stem: float(pd.read_csv(file, sep="\t")["s"].iloc[0]) for file in files}


def slides(options, kept: Kept) -> None:
    for name in options.slides:
        tissue(name, options.work, kept)
        for key in options.peers:
            folder = options.work / "slides" / name / key
            cost = outline(key, "auto", slide_file(name, options.work), SLIDES[name], folder, options)
            figures = asdict(cost)
            if not cost.ended:
                found = read(key, folder, stem_of(key, name, options.work))
                figures |= {"cells": len(found), "doubled": segmentation.doubled(found)}
            if key == "ours" and not cost.ended:
                figures["jobs"] = stages_of(folder)
            kept.drop(f"seams/{name}/{key}")  # those were of the outlines before
            kept.put(f"slides/{name}/{key}", **figures)


def stem_of(key: str, slide: str, work: Path) -> str:
    return "s" if PEERS[key].environment is None else slide_file(slide, work).stem


# --- seams


def tiles_of(key: str, folder: Path) -> np.ndarray:
    """Rectangles of the tiles that a tool used, as boxes in pixels of the image."""
    if PEERS[key].environment is None:
        tiles = kept_tiles(folder)
        return shapely.box(tiles.x, tiles.y, tiles.x + tiles.width, tiles.y + tiles.height)
    return shapely.box(*np.asarray(read_json(folder / "tiles.json"), dtype=float).T)


def at_seams(found: np.ndarray, reference: np.ndarray, tiles: np.ndarray) -> dict[str, int]:
    """Count the reference's objects on borders between tiles and elsewhere, and those that were not found.

    Objects at the rim, which are not covered by all tiles together, count in neither.
    """
    area, borders = shapely.union_all(tiles), shapely.union_all(shapely.boundary(tiles))
    shapely.prepare([area, borders])
    within, crossed = shapely.covers(area, reference), shapely.intersects(borders, reference)
    pairs = overlaps(found, reference)
    whole = np.zeros(len(reference), bool)
    whole[pairs.j[match(pairs.i, pairs.j, pairs.iou, SAME)]] = True
    at, off = within & crossed, within & ~crossed
    return {
        "on": int(at.sum()),
        "on_lost": int((at & ~whole).sum()),
        "off": int(off.sum()),
        "off_lost": int((off & ~whole).sum()),
    }


def seams(options, kept: Kept) -> None:
    """On slides that fit into one tile."""
    for name in [one for one in options.slides if one != "large"]:
        references: dict[str, tuple[np.ndarray | None, str]] = {}
        for key in options.peers:
            folder = options.work / "slides" / name / key
            measured = kept.get(f"slides/{name}/{key}")
            if measured is None or measured["ended"]:
                print(f"seams of {key} on {name}: measure `slides` first", file=sys.stderr)
                continue
            whose = "instanseg" if PEERS[key].environment in {"instanseg", "lazyslide"} else key
            if whose not in references:
                at = options.work / "slides" / name / f"{whose}-one-tile"
                cost = outline(whose, "single", slide_file(name, options.work), SLIDES[name], at, options)
                whole = None if cost.ended else read(whose, at, stem_of(whose, name, options.work))
                references[whose] = whole, cost.ended
            reference, ended = references[whose]
            if reference is None:
                kept.put(f"seams/{name}/{key}", ended=f"one tile: {ended}")
                continue
            found = read(key, folder, stem_of(key, name, options.work))
            kept.put(f"seams/{name}/{key}", ended="", **at_seams(found, reference, tiles_of(key, folder)))


# --- accuracy


def images(options) -> list[Path]:
    """The images of `monuseg_train`, with the true outlines beside them, as links in a folder of their own."""
    source, folder = options.data / "monuseg_train", options.work / "accuracy/monuseg_train"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for image in sorted(source.glob("*.png"))[: options.images]:
        for file in (image, image.with_suffix(".geojson")):
            (folder / file.name).symlink_to(file.resolve())
    return sorted(folder.glob("*.png"))


def scores(found: np.ndarray, image: Path) -> segmentation.Scores:
    with Slide(image, mpp=MONUSEG_MPP) as slide:
        facts = slide.facts
    true = truth.read_outlines(image.with_suffix(".geojson"), found, facts, given=SETTINGS.given)
    return segmentation.score(found, true)


def accuracies(options, kept: Kept) -> None:
    if options.data is None:
        raise SystemExit("CLUSTERFIRST_TEST_DATA names no folder: needed for `monuseg_train`, see CONTRIBUTING.md")
    pictures, folder = images(options), options.work / "accuracy"
    copies = [folder / "tiff" / f"{image.stem}.tiff" for image in pictures]
    for image, copy in zip(pictures, copies, strict=True):
        copy.parent.mkdir(exist_ok=True)
        plain_tiff(np.asarray(Image.open(image).convert("RGB")), MONUSEG_MPP, copy)
    for key in [one for one in options.peers if PEERS[one].image]:
        peer, own = PEERS[key], folder / key
        shutil.rmtree(own, ignore_errors=True)
        own.mkdir()
        if peer.environment is None:
            accuracy.run(folder / "monuseg_train", str(MONUSEG_MPP), own)
        else:
            python = python_of(peer.environment, options.environments)
            command = peer.command(python, peer.image, MONUSEG_MPP, own, copies)
            cost = watch(command, folder / f"{key}.log", timeout=options.timeout)
            if cost.ended:
                kept.put(f"accuracy/{key}", ended=cost.ended)
                continue
        micro, _ = segmentation.pool(scores(read(key, own, image.stem), image) for image in pictures)
        figures = {name: micro.figures()[name] for name in ("precision", "recall", "f1")}
        kept.put(f"accuracy/{key}", ended="", images=len(pictures), found=micro.found, truth=micro.truth, **figures)


# --- the table


def cell(figures: dict | None, text: Callable[[dict], str]) -> str:
    """A cell: empty where nothing was measured, the reason where it went wrong."""
    if figures is None:
        return ""
    return figures["ended"] if figures.get("ended") else text(figures)


def row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def head(*names: str) -> str:
    return row(*names) + "\n|" + "---|" + "---:|" * (len(names) - 1)


def share(part: int, of: int) -> str:
    return f"{part / of:.1%}" if of else "–"


def slide_table(name: str, kept: Kept) -> list[str]:
    area = kept.get(f"tissue/{name}")
    measured = {key: kept.get(f"slides/{name}/{key}") for key in PEERS}
    if area is None or not any(measured.values()):
        return []
    lines = [f"## {name}: {area['wide']:,} × {area['high']:,} px, {area['mm2']:.2f} mm² of tissue\n"]
    names = ["", "seconds", "s/mm²", "peak MiB", "cells", "pairs outlined twice"]
    with_seams = any(kept.get(f"seams/{name}/{key}") for key in PEERS)
    lines.append(head(*names, *(["on seams", "of them cut or lost", "elsewhere"] if with_seams else [])))
    for key, figures in measured.items():
        if figures is None:
            continue
        cells = [
            cell(figures, lambda one: f"{one['seconds']:,.1f}"),
            "" if figures["ended"] else f"{figures['seconds'] / area['mm2']:,.1f}",
            f"{figures['mb']:,.0f}",
            "" if figures["ended"] else f"{figures['cells']:,}",
            "" if figures["ended"] else f"{figures['doubled']:,}",
        ]
        if with_seams:
            cells += seam_cells(kept.get(f"seams/{name}/{key}"))
        lines.append(row(PEERS[key].title, *cells))
    ours = measured["ours"]
    if ours and not ours["ended"]:
        jobs = ", ".join(f"{job} {seconds:,.1f}" for job, seconds in ours["jobs"].items())
        rest = ours["seconds"] - sum(ours["jobs"].values())
        lines.append(f"\nOurs, seconds of the jobs: {jobs}; the rest, {rest:,.1f}, is Snakemake's.")
    return [*lines, *behind(measured, {"seconds": "seconds", "mb": "memory"}), ""]


def seam_cells(counted: dict | None) -> list[str]:
    if counted is None:
        return ["", "", ""]
    if counted.get("ended"):
        return [counted["ended"], "", ""]
    lost = f"{counted['on_lost']:,} ({share(counted['on_lost'], counted['on'])})"
    return [f"{counted['on']:,}", lost, share(counted["off_lost"], counted["off"])]


def behind(measured: dict[str, dict | None], less_is_better: dict[str, str]) -> list[str]:
    """Say where others need less than we do."""
    ours = measured["ours"]
    if ours is None or ours["ended"]:
        return []
    lines = []
    for figure, title in less_is_better.items():
        better = [
            f"{PEERS[key].title} ({one[figure] / ours[figure]:.2f} of ours)"
            for key, one in measured.items()
            if one and not one["ended"] and one[figure] < ours[figure]
        ]
        said = "; ".join(better) if better else "nobody"
        lines.append(f"\n{'Fewer' if title == 'seconds' else 'Less'} {title} than ours: {said}.")
    return lines


def accuracy_table(kept: Kept) -> list[str]:
    measured = {key: one for key in PEERS if (one := kept.get(f"accuracy/{key}"))}
    if not measured:
        return []
    counts = sorted({one["images"] for one in measured.values() if not one["ended"]})
    lines = [
        f"## Outlines of people: {' or '.join(map(str, counts))} images of `monuseg_train`\n",
        f"All of them (no half was kept aside), at {MONUSEG_MPP} µm/px, F1 at IoU 0.5 over all objects.\n",
        head("", "found", "true", "precision", "recall", "F1"),
    ]
    for key, one in measured.items():
        figures = [f"{one[name]:.3f}" for name in ("precision", "recall", "f1")] if not one["ended"] else [""] * 3
        counted = [one["ended"], ""] if one["ended"] else [f"{one['found']:,}", f"{one['truth']:,}"]
        lines.append(row(PEERS[key].title, *counted, *figures))
    ours = measured.get("ours")
    if ours and not ours["ended"]:
        better = [
            PEERS[key].title for key, one in measured.items() if not one["ended"] and one["f1"] > ours["f1"] + 5e-4
        ]
        lines.append(f"\nBetter F1 than ours: {'; '.join(better) or 'nobody'}.")
    return [*lines, ""]


def preamble(kept: Kept) -> list[str]:
    """Where and when; and whether all was measured in one call."""
    lines = ["# Side by side\n"]
    if len(kept.calls) == 1:
        lines.append(f"{next(iter(kept.calls.values()))['machine']}; all in one call. One run each.\n")
    else:
        lines.append(f"Measured in {len(kept.calls)} calls, one run each:\n")
        for call, said in sorted(kept.calls.items()):
            keys = sorted(key for key, one in kept.figures.items() if one["call"] == call)
            lines.append(f"- {call}: {said['machine']}: {', '.join(keys)}")
        lines.append("")
    lines += [
        "Wall seconds of the whole process, start-up included, from the slide's file to outlines on disk; seconds per "
        "mm² of the tiles that our filter keeps, the same mm² for all; the most memory that a tool's processes held "
        "together. Ours has the demo's settings and computes in bfloat16 where the processor gains by it; all with a "
        "network have the same file.\n",
        f"`on seams`: objects of the slide seen as one tile that a border of the tool's tiles crosses; `cut or lost`: "
        f"those without a partner of IoU {SAME} when tiled; `elsewhere`: the same share of those that no border "
        "crosses, which is what other reasons do (LazySlide scales every tile by its own pixels, HistomicsTK by pixels "
        "drawn anew in each run). Where a tool lays no tiles, nothing is counted. `pairs outlined twice` share 30 % of "
        "the smaller one or more. More in the head of `peers.py`.\n",
    ]
    return lines


def table(kept: Kept) -> str:
    lines = preamble(kept)
    for name in SLIDES:
        lines += slide_table(name, kept)
    return "\n".join([*lines, *accuracy_table(kept), *naming.table(kept)])


# --- the command line


def listed(known) -> Callable[[str], list[str]]:
    def read_list(text: str) -> list[str]:
        names = [name for name in text.split(",") if name]
        unknown = [name for name in names if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; known are {', '.join(known)}")
        return names

    return read_list


def options_of(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", nargs="?", type=Path, default=REPO / ".snakemake/peers", help="what is kept")
    parser.add_argument("--environments", type=Path, help="where environments are made (WORK/environments)")
    parser.add_argument("--parts", type=listed(PARTS), default=list(PARTS))
    parser.add_argument("--slides", type=listed(SLIDES), default=["demo", "large"])
    parser.add_argument("--peers", type=listed(PEERS), default=DEFAULT_PEERS)
    parser.add_argument(
        "--cells", type=lambda text: [int(one) for one in text.split(",") if one], default=[*naming.CELLS]
    )
    parser.add_argument("--images", type=int, default=None, help="only so many images of monuseg_train")
    parser.add_argument("--timeout", type=float, default=7200, help="seconds after which a run is ended")
    options = parser.parse_args(arguments)
    options.work = options.work.resolve()
    options.environments = (options.environments or options.work / "environments").resolve()
    data = os.environ.get("CLUSTERFIRST_TEST_DATA")
    options.data = Path(data) if data else None
    return options


def main(arguments: list[str]) -> None:
    options = options_of(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what is being watched is ended, too
    options.work.mkdir(parents=True, exist_ok=True)
    kept = Kept(options.work / "peers.json", " ".join(arguments))
    measure = {"slides": slides, "seams": seams, "accuracy": accuracies, "naming": naming.measure}
    for part in PARTS:
        if part in options.parts:
            measure[part](options, kept)
    print(table(kept))


if __name__ == "__main__":
    main(sys.argv[1:])
