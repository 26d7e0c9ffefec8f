"""Made-up results that can be labelled: a folder as the workflow leaves it, any number of cells, in seconds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import shapely
from PIL import Image

from clusterfirst.clustering import palette
from clusterfirst.clustering.clusters import NO_TYPICAL
from clusterfirst.clustering.document import Clustering, Counts, Entry
from clusterfirst.clustering.numbering import by_size, members
from clusterfirst.clustering.tree import grow
from clusterfirst.io import write_array, write_json, write_table
from clusterfirst.plan.layout import SlideFolder

from .made import slide_facts

MPP = 0.5
TILE_PX = 500


def make(
    folder: Path,
    *,
    slides: dict[str, int],
    group: str | None = None,
    edge: int = 2000,
    leaves: int = 12,
    groups: int = 4,
    noise: float = 0.05,
    seed: int = 0,
    picture: bool = True,
    bounds: tuple[int, int, int, int] | None = None,
) -> Path:
    """Make a results folder with one group of slides, each `edge` × `edge` px with a number of cells.

    `group` is the name of their folder below ``groups``; without it there is one slide. With `picture`, each slide is a
    PNG beside the results. With `bounds`, all cells lie in that part of each, and slides say that it was scanned.
    Returns the results folder.
    """
    rng = np.random.default_rng(seed)
    results = folder / "results"
    for slide, cells in slides.items():
        if picture:
            (folder / "slides").mkdir(exist_ok=True, parents=True)
            shade = rng.integers(120, 255, (edge // 50, edge // 50, 3), dtype=np.uint8)
            Image.fromarray(shade).resize((edge, edge)).save(folder / f"slides/{slide}.png", compress_level=1)
        x, y, width, height = bounds or (0, 0, edge, edge)
        centres = rng.uniform((x + 20, y + 20), (x + width - 20, y + height - 20), (cells, 2))
        write_masks(results / slide, slide, centres, edge, rng, bounds)
    own = [f"groups/{group}"] if group else list(slides)
    write_clusters(results / own[0], slides, leaves=leaves, groups=groups, noise=noise, rng=rng, scope="slide")
    if group:
        write_clusters(results / own[0], slides, leaves=leaves, groups=groups, noise=noise, rng=rng, scope="cohort")
        for slide in slides:
            head = {"settings": {"scope": "cohort"}, "counts": Counts(0, 0, 0, 0.0).document()}
            write_json(head, results / slide / "clusters.json", indent=None)
    return results


def write_masks(folder: Path, slide: str, centres: np.ndarray, edge: int, rng, bounds=None) -> None:
    """Write ``masks.parquet`` of octagons of 5 to 9 px."""
    angle = np.arange(9) * (2 * np.pi / 8)
    ring = np.column_stack([np.cos(angle), np.sin(angle)])
    radius = rng.uniform(5, 9, len(centres))
    points = centres[:, None] + radius[:, None, None] * ring
    points[:, -1] = points[:, 0]
    shapes = shapely.polygons(points)
    table = pa.table(
        {
            "cell_id": np.arange(len(centres), dtype=np.int64),
            "geometry": pa.array(shapely.to_wkb(shapes), pa.binary()),
            "x": centres[:, 0],
            "y": centres[:, 1],
            "area_um2": shapely.area(shapes) * MPP**2,
        }
    )
    geo = {"encoding": "WKB", "geometry_types": ["Polygon"], "crs": None}
    geo = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": geo}}
    table = table.replace_schema_metadata({b"geo": json.dumps(geo).encode()})
    table = table.append_column("tile_id", pa.array(write_tiles(folder, centres, edge)))
    facts = slide_facts(path=f"slides/{slide}.png", width=edge, height=edge, mpp=MPP, bounds=bounds)
    write_table(table, folder / "masks.parquet", {"slide": facts.document()})


def write_tiles(folder: Path, centres: np.ndarray, edge: int) -> list[str]:
    """Write ``filtered.parquet`` of all tiles, those without cells not kept; return each cell's tile."""
    name = "x{:06d}_y{:06d}".format
    corners = [(x, y) for y in range(0, edge, TILE_PX) for x in range(0, edge, TILE_PX)]
    tiles = [name(*corner) for corner in (centres // TILE_PX * TILE_PX).astype(int).tolist()]
    with_cells = set(tiles)
    columns = {
        "tile_id": [name(*corner) for corner in corners],
        "x": [x for x, _ in corners],
        "y": [y for _, y in corners],
        "width": [min(TILE_PX, edge - x) for x, _ in corners],
        "height": [min(TILE_PX, edge - y) for _, y in corners],
        "kept": [name(*corner) in with_cells for corner in corners],
    }
    write_table(pa.table(columns), folder / "filtered.parquet")
    return tiles


def write_clusters(folder: Path, slides: dict[str, int], *, leaves, groups, noise, rng, scope="slide") -> None:
    """Write ``clusters.json`` and what it was made of: leaves are blobs of unequal size."""
    cells = sum(slides.values())
    weight = 1 / np.arange(1, leaves + 1) ** 0.7
    leaf = rng.choice(leaves, cells, p=weight / weight.sum())
    leaf[: min(leaves, cells)] = np.arange(min(leaves, cells))  # none is empty
    leaf[leaves:][rng.random(max(cells - leaves, 0)) < noise] = -1
    leaf = by_size(leaf)
    centres = rng.normal(size=(leaves, 5)) * 5
    values = (np.vstack([centres, np.zeros(5)])[leaf] + rng.normal(size=(cells, 5))).astype(np.float32)
    tree = grow(centres, np.bincount(leaf[leaf >= 0], minlength=leaves))
    of_leaf = tree.cut(groups)
    cluster = np.append(of_leaf, -1)[leaf]
    sure = rng.random(cells).round(4)
    clusters = Clustering(
        settings={"scope": scope, "method": "kmeans", "representatives": NO_TYPICAL},
        counts=Counts.of(cluster, groups, 0),
        entries=[
            Entry(
                id=number,
                size=len(rows),
                colour=palette.colour(number),
                mean_confidence=round(float(sure[rows].mean()), 4),
                leaves=np.flatnonzero(of_leaf == number).tolist(),
                representatives=rows[:12].tolist(),
            )
            for number, rows in enumerate(members(cluster))
        ],
        tree=tree,
        groups=groups,
        cell_id=np.arange(cells),
        cluster_id=cluster,
        leaf_id=leaf,
        confidence=sure,
    )
    clusters.write(SlideFolder(folder).clusters)
    write_json({"slides": slides}, folder / "reduction.json")
    write_array(values, folder / "umap.npy")
    write_array(values[:, :2], folder / "umap2d.npy")


def again(results: Path, group: str, *, seed: int, leaves: int = 12, groups: int = 4) -> None:
    """Cluster the same cells anew."""
    slides = json.loads((results / group / "reduction.json").read_text(encoding="utf-8"))["slides"]
    rng = np.random.default_rng(seed)
    write_clusters(results / group, slides, leaves=leaves, groups=groups, noise=0.0, rng=rng)
