"""What every rule needs: seconds, memory and disk over the size of the slide, kept tiles, cells, threads and models.

    .venv/bin/python benchmarks/resources.py measure FOLDER [CASE …]    # adds to benchmarks/resources.csv
    .venv/bin/python benchmarks/resources.py table > benchmarks/resources.md

Each case is a run of the workflow on one slide, clustered as a cohort of one so that the rules that share out run too.
Figures are Snakemake's own (its `benchmarks/*.tsv`): a job and its worker processes together, import of libraries
included; `max_rss` is the largest sum of resident sets. Disk is what a rule's outputs take. Constants and slopes are
least squares without negative slopes, then raised until nothing that was measured lies above.

Large slides are mosaics of the demo slide, k × k copies in a pyramidal JPEG TIFF. Their nuclei are those of the demo,
repeated: what a network would have seen is written in its place (with `snakemake --touch`), and so are the 300 columns
of `morphology` and `instanseg` (the demo's rows, blurred), once `embed` has been measured with `morphology`. All else
is real. FOLDER is kept, and resumed from. The row `colon` is of `asking.py`, 13 images: simulated people need a truth.
"""

import csv
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import shapely
import tifffile
import yaml
from machine import machine
from scipy.optimize import nnls
from whole import REPO, SCHEMA

from clusterfirst import weights
from clusterfirst.fit import Fit
from clusterfirst.io import read_json, write_json
from clusterfirst.labelling.cells.results import open_results
from clusterfirst.labelling.server import exports
from clusterfirst.labelling.server.session import Session
from clusterfirst.outlines.objects import read_objects
from clusterfirst.plan import networks, resources
from clusterfirst.plan.settings import merge, resolve
from clusterfirst.plan.sizes import Size
from clusterfirst.plan.stages import NETWORK, STAGES
from clusterfirst.segmentation import backend, pipeline, shards
from clusterfirst.segmentation.views import aligned_views
from clusterfirst.slide.facts import SlideFacts
from clusterfirst.slide.slide import Slide

DATA = REPO / "benchmarks/resources.csv"
DEMO = "CMU-1-Small-Region.svs"
MPP = 0.499
EDGE = 624
"""Pixels of a tile as it is read."""
BLUR = 0.3
"""Of a column's standard deviation."""
SLIDE = "slide"
OUTPUTS = {
    "tile": ["tiles.parquet"],
    "filter_tiles": ["filtered.parquet", "filtered.png"],
    "export_tiles": ["tiles"],
    "outline-1-of-1": ["outlines"],
    "segment": ["masks.parquet", "failed_tiles.csv"],
    "embed": ["embeddings.npy", "embeddings.json"],
    "reduce": ["umap.npy", "umap2d.npy", "reduction.json"],
    "share_map": ["umap.npy", "umap2d.npy", "reduction.json"],
    "cluster": ["clusters.json", "clusters.png"],
    "share_clusters": ["clusters.json", "clusters.png"],
    "annotate": ["annotated"],
    "nuclei_mask": ["nuclei_mask.tiff", "nuclei_mask.png"],
    "label_cells": ["cells.parquet"],
    "export_qupath": ["cells.geojson.gz"],
    "export_h5ad": ["cells.h5ad"],
    "export_spatialdata": ["cells.zarr"],
    "export_csv": ["cells.csv"],
    "export_coco": ["cells.coco.json"],
    "export_paper": ["final_annotations.json"],
    "annotate_labels": ["annotated_by_label"],
    "representatives": [
        *("representatives/tiles", "representatives/gallery"),
        *("representatives/cells.csv", "representatives/summary.json"),
    ],
    "annotate_representatives": ["representatives/annotated"],
    "cluster_views": ["views"],
    "classify_clusters": ["classes.json"],
    "evaluate_slide_segmentation": ["evaluation/segmentation.json", "evaluation/segmentation.png"],
    "evaluate_slide_clusters": ["evaluation/clusters.json", "evaluation/truth.parquet"],
    "validate_clusters": ["evaluation/validity.json"],
}
"""What each rule writes, below the folder of its slide or group."""
OF_GROUP = {"reduce", "cluster", "cluster_views", "classify_clusters", "validate_clusters"}


@dataclass(frozen=True)
class Case:
    """One run: copies of the demo slide along an edge, threads, and what the configuration changes."""

    copies: int = 1
    threads: int = 2
    real: bool = True
    """Networks are run; otherwise their results are written."""
    until: str | None = None
    config: dict = field(default_factory=dict)


RANDOM = "cpsam.random"
SAMPLED = {"tiling": {"num_tiles": 120}}
CASES = {
    "demo": Case(),
    "demo, 8 threads": Case(threads=8),
    "1 copy": Case(real=False),
    "120 tiles": Case(copies=7, config=SAMPLED),
    "cellpose": Case(
        until="segment",
        config={"tiling": {"num_tiles": 3}, "segmentation": {"model": "cellpose", "weights": RANDOM}},
    ),
    "cellpose, 8 threads": Case(
        threads=8,
        until="segment",
        config={"tiling": {"num_tiles": 3}, "segmentation": {"model": "cellpose", "weights": RANDOM}},
    ),
    "resnet50": Case(until="embed", config={"embedding": {"models": ["resnet50"], "weights": {"resnet50": "augnet"}}}),
    "49 copies": Case(copies=7, real=False),
    "225 copies": Case(copies=15, real=False),
}


@dataclass(frozen=True)
class Project:
    """A working directory for one case."""

    folder: Path
    case: Case

    @property
    def results(self) -> Path:
        return self.folder / "results" / SLIDE

    @property
    def group(self) -> Path:
        return self.folder / "results/groups/cohort"

    def write(self, slide: Path, truth: Path | None, *, models_used=("morphology", "instanseg")) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "config").mkdir(exist_ok=True)
        (self.folder / "config/config.yaml").write_text((REPO / "config/config.yaml").read_text())
        (self.folder / "slides.csv").write_text(f"slide,path,mpp,truth\n{SLIDE},{slide},{MPP},{truth or ''}\n")
        own = {
            "slides": "slides.csv",
            "models_dir": str(REPO / "resources/models"),
            "segmentation": {"smoothing_px": 0.7},
            "filter": {"max_bright_ratio": 0.95},
            "tiling": {"export": self.case.copies < 10},
            "export": {"nuclei_mask": True, "formats": ["qupath", "h5ad", "spatialdata", "csv", "coco", "paper"]},
            "embedding": {"models": list(models_used)},
            "clustering": {"scope": "cohort"},
            "annotation": {"max_tiles": 500},
        }
        (self.folder / "own.yaml").write_text(yaml.safe_dump(merge(own, self.case.config)))

    def snakemake(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "snakemake", "--snakefile", REPO / "workflow/Snakefile"]
        command += ["--directory", self.folder, "--configfile", self.folder / "own.yaml"]
        # What is measured must be alone.
        command += ["--resources", "alone=1", "--default-resources", "alone=1", "--quiet", "all"]
        command += ["--workflow-profile", REPO / "profiles/default", "--cores", str(self.case.threads)]
        environment = os.environ | {"PYTHONPATH": str(REPO / "workflow/scripts")}
        subprocess.run([*command, *arguments], check=True, stdout=sys.stderr, env=environment)


def mosaic(tissue: np.ndarray, copies: int, path: Path) -> None:
    """Write a pyramidal TIFF of copies × copies of an image, without ever holding it."""
    high, wide = tissue.shape[:2]
    size = (copies * high, copies * wide)

    def tiles(scale: int):
        for y in range(0, size[0] // scale, 256):
            for x in range(0, size[1] // scale, 256):
                rows, columns = ((np.arange(start, start + 256) * scale) for start in (y, x))
                yield tissue[rows % high][:, columns % wide]

    options = {"tile": (256, 256), "photometric": "rgb", "compression": "jpeg", "compressionargs": {"level": 85}}
    with tifffile.TiffWriter(path.with_suffix(".part"), bigtiff=True) as out:
        for level in range(6):
            shape = (size[0] // 2**level, size[1] // 2**level, 3)
            out.write(
                tiles(2**level), shape=shape, dtype=np.uint8, subfiletype=int(level > 0), metadata=None, **options
            )
    path.with_suffix(".part").rename(path)


def repeated(polygons: np.ndarray, size: tuple[int, int], copies: int) -> np.ndarray:
    """The polygons of an image of that size, in every copy of it."""
    return np.concatenate(
        [
            shapely.transform(polygons, lambda xy, shift=(x * size[0], y * size[1]): xy + shift)
            for y in range(copies)
            for x in range(copies)
        ]
    )


def write_outlines(project: Project, polygons: np.ndarray) -> None:
    """Write what a network would have seen, had it found these polygons: all that each tile shows."""
    tiles = pd.read_parquet(project.results / "filtered.parquet").query("kept")
    kind = backend("instanseg")
    views = aligned_views(tiles, slide_mpp=MPP, mpp=kind.mpp, stride=kind.stride)
    tree = shapely.STRtree(polygons)

    def seen():
        for view in views.itertuples():
            left, top = view.read_x, view.read_y
            box = shapely.box(left, top, left + view.read_width, top + view.read_height)
            own = polygons[tree.query(box, predicate="intersects")]
            cut = np.where(shapely.contains(box, own), own, shapely.intersection(box, own))
            cut = cut[shapely.get_type_id(cut) == shapely.GeometryType.POLYGON]
            yield pipeline.TileJob(
                view.Index,
                (view.x, view.y, view.width, view.height),
                (left, top, view.read_width, view.read_height),
                view.mpp,
                shapely.to_wkb(cut).tolist(),
                [0.5] * len(cut),
            )

    shards.write(seen(), project.results / "outlines/1-of-1.parquet", made_with={"settings": {}, "weights_sha256": ""})


def write_embeddings(project: Project, demo: Project) -> None:
    """Write as many rows as there are cells, like the demo's."""
    source = np.load(demo.results / "embeddings.npy")
    rng = np.random.default_rng(0)
    count = pq.read_metadata(project.results / "masks.parquet").num_rows
    spread = BLUR * source.std(axis=0)
    path = project.results / "embeddings.npy"
    out = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(count, source.shape[1]))
    for start in range(0, count, 100_000):
        rows = source[rng.integers(len(source), size=min(100_000, count - start))]
        out[start : start + len(rows)] = rows + spread * rng.normal(size=rows.shape)
    out.flush()
    write_json(read_json(demo.results / "embeddings.json"), project.results / "embeddings.json")


def write_random_network(path: Path) -> None:
    """Write Cellpose-SAM with random parameters: as large and slow as the trained one."""
    import torch
    from cellpose import vit

    torch.manual_seed(0)
    if not path.exists():
        vit.CPSAM().to(torch.bfloat16).save_model(path)


def write_truth(polygons: np.ndarray, path: Path) -> None:
    """Write polygons of three classes, as QuPath does or as GeoParquet."""
    names = np.array(["tumour", "lymphocyte", "stroma"])[np.arange(len(polygons)) % 3]
    if path.suffix == ".parquet":
        geopandas.GeoDataFrame({"class": names}, geometry=polygons, crs=None).to_parquet(path)
        return
    features = [
        {"type": "Feature", "geometry": json.loads(text), "properties": {"classification": {"name": name}}}
        for text, name in zip(shapely.to_geojson(polygons), names, strict=True)
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))


def label(project: Project) -> None:
    """Name all clusters, as a person does in the labelling app, and give the cells their labels."""
    session = Session(open_results(project.results.parent).groups["groups/cohort"])
    classes = [{"name": name, "colour": "#0072b2"} for name in ("tumour", "lymphocyte", "stroma")]
    actions = [{"do": "classes", "classes": classes}]
    for number, cluster in enumerate(session.state("benchmark")["clusters"]):
        actions.append({"do": "name", "leaves": cluster["leaves"], "class": classes[number % 3]["name"]})
    for number, action in enumerate(actions):
        session.act("benchmark", f"benchmark-{number}", action, base=session.history.seq)
    exports.export_labels(session, "benchmark")
    session.close()
    project.snakemake("labels", "--allowed-rules", "labels", "label_cells", "export_qupath", "annotate_labels")


def run(folder: Path, name: str) -> None:
    """Run one case and write down what every rule took."""
    case = CASES[name]
    project, demo = (Project(folder / one.replace(", ", "-").replace(" ", "-"), CASES[one]) for one in (name, "demo"))
    slide_file = weights.fetch(weights.SLIDES[DEMO], REPO / "resources/slides")
    with Slide(slide_file) as slide:
        tissue, size = slide.read(0, 0, *slide.size), slide.size
    path = Path(slide_file) if case.copies == 1 else folder / f"mosaic-{case.copies}.tiff"
    if not path.exists():
        mosaic(tissue, case.copies, path)
    if case.real:
        project.write(path, None)
        if case.config.get("segmentation", {}).get("weights") == RANDOM:
            write_random_network(project.folder / RANDOM)
        project.snakemake(*(["--until", case.until] if case.until else ["all"]))
        if not case.until:
            label(project)
        return record(name, project, path, None)
    polygons = repeated(read_objects(demo.results / "masks.parquet").geometry.to_numpy(), size, case.copies)
    truth = folder / f"truth-{case.copies}.{'parquet' if case.copies > 10 else 'geojson'}"
    if not truth.exists():
        write_truth(polygons, truth)
    project.write(path, truth, models_used=["morphology"])
    project.snakemake("--until", "filter_tiles")
    write_outlines(project, polygons)
    project.snakemake("--touch", "--until", "outline")
    project.snakemake("--until", "embed")
    record(name, project, path, truth, only={"tile", "filter_tiles", "export_tiles", "segment", "embed"}, columns=44)
    project.write(path, truth)
    write_embeddings(project, demo)
    project.snakemake("--touch", "--until", "embed")
    project.snakemake("all", "evaluate", "evaluate_segmentation", "representative_annotations")
    label(project)
    return record(name, project, path, truth, but={"tile", "filter_tiles", "segment", "embed", "outline-1-of-1"})


COLUMNS = [
    *("case", "rule", "threads", "models", "num_tiles", "slide_mb", "truth_mb", "mm2", "tiles", "kept", "cells"),
    *("columns", "s", "cpu_time", "max_rss", "out_mb"),
]


def megabytes(path: Path) -> float:
    files = [path] if path.is_file() else path.rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file()) / 1e6


def record(name: str, project: Project, slide: Path, truth: Path | None, *, only=None, but=(), columns=None) -> None:
    """Write what the rules of a run took into the table of data; what stood there of them is replaced."""
    results, settings = project.results, yaml.safe_load((project.folder / "own.yaml").read_text())
    facts = SlideFacts.of(results / "tiles.parquet")
    segmentation = settings["segmentation"].get("model", "instanseg")
    known = {
        "case": name,
        "threads": project.case.threads,
        "slide_mb": round(megabytes(slide), 2),
        "num_tiles": settings["tiling"].get("num_tiles", ""),
        "truth_mb": round(megabytes(truth), 2) if truth else 0,
        "mm2": round(facts.width * facts.height * facts.mpp**2 / 1e6, 2),
        "tiles": pq.read_metadata(results / "tiles.parquet").num_rows,
        "kept": int(pd.read_parquet(results / "filtered.parquet")["kept"].sum()),
        "cells": pq.read_metadata(results / "masks.parquet").num_rows,
        "columns": columns
        or (
            np.load(results / "embeddings.npy", mmap_mode="r").shape[1] if (results / "embeddings.npy").exists() else 0
        ),
    }
    rows = []
    for rule, outputs in OUTPUTS.items():
        folder = project.group if rule in OF_GROUP else results
        tsv = folder / "benchmarks" / f"{rule}.tsv"
        if not tsv.is_file() or not tsv.stat().st_size or rule in but or (only and rule not in only):
            continue
        with tsv.open() as file:
            took = next(csv.DictReader(file, delimiter="\t"))
        used = {"outline-1-of-1": segmentation, "embed": "+".join(settings["embedding"]["models"])}
        out = sum(megabytes(folder / output) for output in outputs)
        rows.append(
            known
            | {"rule": rule.removesuffix("-1-of-1"), "models": used.get(rule, ""), "out_mb": round(out, 3)}
            | {key: float(took[key]) for key in ("s", "cpu_time", "max_rss")}
        )
    kept = pd.read_csv(DATA, keep_default_na=False) if DATA.exists() else pd.DataFrame(columns=COLUMNS)
    replaced = (kept["case"] == name) & kept["rule"].isin([row["rule"] for row in rows])
    table = pd.concat([frame for frame in (kept[~replaced], pd.DataFrame(rows)) if len(frame)])
    table[COLUMNS].to_csv(DATA, index=False)


def counts(row: pd.Series) -> dict[str, float]:
    """What the needs of a measured job grow with (see `resources.units`)."""
    size = Size(
        slides=1,
        slide_mb=row.slide_mb,
        mm2=row.mm2,
        tiles=row.kept,
        mpx=row.kept * EDGE**2 / 1e6,
        seen_mm2=row.kept * (EDGE * MPP / 1000) ** 2,
        cells=row.cells,
    )
    return resources.units(size, resolve(changed(row), SCHEMA), threads=row.threads, given_mb=row.truth_mb)


def changed(row: pd.Series) -> dict:
    """What the row's case configures that its needs depend on."""
    change = {"tiling": {"num_tiles": int(float(row.num_tiles or 0)) or None}}
    if row.rule == "outline":
        change["segmentation"] = {"model": row.models}
    if row.rule == "embed":
        change["embedding"] = {"models": row.models.split("+")}
    return change


def fitted(rows: pd.DataFrame, costs: dict[str, float], values: pd.Series) -> dict[str, float]:
    """A constant and slopes over those units of a need that differ between the rows."""
    known = pd.DataFrame([counts(row) for row in rows.itertuples()]).astype(float)
    names = ["job", *(unit for unit in costs if unit != "job" and known[unit].nunique() > 1)]
    scale = known[names].max()
    slopes, _ = nnls((known[names] / scale).to_numpy(), values.to_numpy())
    found = dict(zip(names, slopes / scale, strict=True))
    found["job"] += max(0, (values.to_numpy() - known[names].to_numpy() @ np.array(list(found.values()))).max())
    return found


def told(costs: dict[str, float]) -> str:
    return " + ".join(f"{cost:.3g}{'' if unit == 'job' else f' {unit}'}" for unit, cost in costs.items() if cost) or "0"


def asked(row: pd.Series, resource: str) -> int:
    return resources.needed(STAGES[row.rule].fit, resource, counts(row), beside=of_backends(row), threads=row.threads)


def of_backends(row: pd.Series) -> list[Fit]:
    """What the row's networks add to what its stage needs anyhow."""
    stage = STAGES[row.rule]
    used = networks.backends(stage.section, resolve(changed(row), SCHEMA)) if stage.gpu == NETWORK else []
    return [backend.fit for backend in used if backend.fit]


def without_backends(row: pd.Series) -> float:
    """Its memory, less that of its networks."""
    return row.max_rss - max((fit.memory.get("job", 0) for fit in of_backends(row)), default=0)


def table() -> None:
    """Print the data, the fits, and what is asked for."""
    data = pd.read_csv(DATA, keep_default_na=False)
    for name in ("cpu_time", "out_mb"):  # not in the rows that were taken over from memory.md
        data[name] = pd.to_numeric(data[name], errors="coerce")
    print("# What jobs need\n")
    print(f"{machine()}; busy with other work, so seconds are upper estimates.\n")
    print("## Fits\n")
    print(
        "MB of memory (less that of networks) and of what is written, by "
        "[unit](../workflow/scripts/clusterfirst/plan/resources.py); `needs` is what is"
    )
    print(f"used, before its margin of {resources.MARGIN} and {resources.SNAKEMAKE_MB} MB for Snakemake itself.\n")
    print("| rule | memory, fitted | memory, `needs` | written, fitted | disk, `needs` |")
    print("|---" * 5 + "|")
    for rule, fit in ((row.name, row.fit) for row in STAGES.values()):
        rows = data[data["rule"] == rule].reset_index(drop=True)
        if rows.empty:
            continue
        written = rows[rows["out_mb"].notna()].reset_index(drop=True)
        memory, disk = (
            fitted(rows, fit.memory, rows.apply(without_backends, axis=1)),
            fitted(written, fit.disk, written["out_mb"]),
        )
        print(f"| `{rule}` | {told(memory)} | {told(fit.memory)} | {told(disk)} | {told(fit.disk)} |")
    print("\n## Data\n")
    print("*Cells alone*: the library, without Snakemake, on a million cells of the demo slide, repeated.\n")
    heads = ["case", "rule", "threads", "models", "slide, MB", "mm²", "tiles kept", "cells", "columns"]
    heads += ["s", "CPU s", "asked, min", "MB", "asked, MB", "written, MB", "asked, MB"]
    print("| " + " | ".join(heads) + " |")
    print("|---" * len(heads) + "|")
    for row in data.itertuples():
        facts = [row.case, f"`{row.rule}`", row.threads, row.models, f"{row.slide_mb:,.0f}", f"{row.mm2:,.0f}"]
        facts += [f"{row.kept:,}", f"{row.cells:,}", row.columns, f"{row.s:,.0f}", f"{row.cpu_time:,.0f}"]
        facts += [asked(row, "runtime"), f"{row.max_rss:,.0f}", f"{asked(row, 'mem_mb'):,}"]
        facts += [f"{row.out_mb:,.1f}", f"{asked(row, 'disk_mb'):,}"]
        print("| " + " | ".join(map(str, facts)).replace("nan", "") + " |")


if __name__ == "__main__":
    if sys.argv[1] == "table":
        table()
    else:
        place = Path(sys.argv[2]).resolve()
        place.mkdir(parents=True, exist_ok=True)
        for wanted in sys.argv[3:] or list(CASES):
            print(f"case {wanted}", file=sys.stderr, flush=True)
            run(place, wanted)
