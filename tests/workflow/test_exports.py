"""Labelled cells in every format, read back with the tools that the formats are for: `snakemake exports`."""

import csv
import gzip
import json
import warnings

import geopandas
import matplotlib
import numpy as np
import pandas as pd
import pytest
import shapely
from PIL import Image

from clusterfirst.export import coco, paper, qupath, spatial
from clusterfirst.export.h5ad import MEASURES
from clusterfirst.io import read_json, read_metadata
from clusterfirst.slide.slide import Slide

from .conftest import copy_of, say

matplotlib.use("Agg")
FORMATS = ["cells", "qupath", "h5ad", "spatialdata", "csv", "coco", "paper"]
RULES = {"label_cells", "export_tiles", *(f"export_{name}" for name in FORMATS[1:])}
PLASMA, ODD = "plasma cell", 'β, "odd"'
CLASSES = [{"name": PLASMA, "colour": "#0000ff"}, {"name": ODD, "colour": "#ff8000"}]


@pytest.fixture(scope="module")
def exported(finished, tmp_path_factory):
    """The finished run, in which two clusters of slide a were named, with slide a in every format."""
    project = copy_of(finished, tmp_path_factory.mktemp("exported") / "copy")
    found = read_json(project.results("a") / "clusters.json")["clusters"]
    say(
        project,
        {"do": "classes", "classes": CLASSES},
        *({"do": "name", "leaves": found[at]["leaves"], "class": CLASSES[at]["name"]} for at in (0, 1)),
    )
    project.change({"tissues": {"ta": {"export": {"formats": FORMATS, "image": True}}}})
    assert project.jobs("exports") == {(rule, "a") for rule in RULES | {"annotate_labels"}}
    done = project.run("exports")
    assert done.returncode == 0, done.stdout
    assert project.jobs("exports") == set()
    return project


@pytest.fixture(scope="module")
def folder(exported):
    """Results of slide a."""
    return exported.results("a")


@pytest.fixture(scope="module")
def cells(folder):
    """What all formats must agree with."""
    frame = geopandas.read_parquet(folder / "cells.parquet")
    assert set(frame["label"].dropna()) == {PLASMA, ODD}
    assert frame["label"].isna().any()
    return frame


@pytest.fixture(scope="module")
def names(cells):
    """The class of each cell, or None."""
    return cells["label"].astype(object).where(cells["label"].notna(), None).tolist()


@pytest.fixture(scope="module")
def mpp(folder):
    return read_metadata(folder / "cells.parquet")["slide"]["mpp"]


def test_what_is_not_asked_for_is_not_made_and_nothing_at_all_is_an_error(exported, finished):
    assert not (exported.results("b") / "cells.parquet").exists()
    done = finished.run("exports", "--dry-run")
    assert done.returncode != 0
    assert "there is nothing to export: list what you want under `export:`" in done.stdout
    assert "spatialdata" in done.stdout


def test_geojson_keeps_to_the_rules_of_qupath(folder, cells, names):
    """As its reader has them: https://github.com/qupath/qupath, PathObjectTypeAdapters."""
    with gzip.open(folder / "cells.geojson.gz") as file:
        document = json.load(file, parse_constant=pytest.fail)
    assert document["type"] == "FeatureCollection"
    colours = {PLASMA: [0, 0, 255], ODD: [255, 128, 0]}
    for feature, name, row in zip(document["features"], names, cells.itertuples(), strict=True):
        assert feature["type"] == "Feature"
        own = feature["properties"]
        assert own["objectType"] == "detection"
        assert own.get("classification") == (name and {"name": name, "color": colours[name]})
        rings = feature["geometry"]["coordinates"]
        assert feature["geometry"]["type"] == "Polygon"
        assert all(ring[0] == ring[-1] and len(ring) >= 4 for ring in rings)
        assert shapely.Polygon(*rings).area == pytest.approx(row.geometry.area, rel=1e-2)
        known = own["measurements"]
        assert set(known) == set(qupath.MEASUREMENTS.values()) - {"Label confidence"}
        assert all(type(value) in (int, float) for value in known.values())
        assert known["Area µm^2"] == pytest.approx(row.area_um2, abs=1e-4)
        assert (known["Cell ID"], known["Cluster"]) == (row.cell_id, row.cluster_id)
    with gzip.open(folder / "cells.geojson.gz") as file:
        back = geopandas.read_file(file, engine="pyogrio")
    areas = shapely.area(back.geometry.to_numpy())
    assert areas.sum() == pytest.approx(cells.geometry.area.sum(), rel=1e-4)


def test_anndata_has_measures_places_and_colours_and_scanpy_draws_them(folder, cells, names, tmp_path):
    import anndata
    import scanpy

    adata = anndata.read_h5ad(folder / "cells.h5ad")
    described = read_json(folder / "embeddings.json")
    assert adata.shape[0] == len(cells)
    np.testing.assert_allclose(adata[:, "area_um2"].X.ravel(), cells["area_um2"], rtol=1e-6)
    assert adata.var_names.is_unique
    assert set(MEASURES) < set(adata.var_names)
    embedded = np.load(folder / "embeddings.npy")
    np.testing.assert_array_equal(adata.obsm["X_embedding"], embedded)
    np.testing.assert_array_equal(
        adata[:, "h_mean"].X.ravel(),
        embedded[:, described["columns"].index("h_mean")],
        "named measures of the embedder",
    )
    assert list(adata.uns["embedding_columns"]) == described["columns"]
    np.testing.assert_array_equal(adata.obsm["X_reduced"], np.load(folder / "umap.npy"))
    np.testing.assert_array_equal(adata.obsm["X_umap"], np.load(folder / "umap2d.npy"))
    np.testing.assert_array_equal(adata.obsm["spatial"], cells[["x", "y"]])
    label = adata.obs["label"]
    assert label.astype(object).where(label.notna(), None).tolist() == names
    assert dict(zip(label.cat.categories, adata.uns["label_colors"], strict=True)) == {
        entry["name"]: entry["colour"] for entry in CLASSES
    }
    assert adata.obs["cluster"].astype(int).tolist() == cells["cluster_id"].tolist()
    colour = {str(entry["id"]): entry["colour"] for entry in read_json(folder / "clusters.json")["clusters"]}
    assert dict(zip(adata.obs["cluster"].cat.categories, adata.uns["cluster_colors"], strict=True)) == colour

    figure = scanpy.pl.embedding(adata, basis="umap", color=["cluster", "label"], show=False, return_fig=True)
    drawn = figure.axes[0].collections[0]
    assert len(drawn.get_offsets()) == len(cells)
    shades = {matplotlib.colors.to_hex(shade) for shade in drawn.get_facecolors()}
    assert shades == set(colour.values())
    figure.savefig(tmp_path / "umap.png")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scanpy would rather have us take squidpy
        (axes,) = scanpy.pl.spatial(adata, color="label", img_key=None, show=False)
    assert axes.collections


def test_spatialdata_links_the_table_to_outlines_in_micrometres_on_the_picture(exported, folder, cells, names, mpp):
    import spatialdata

    data = spatialdata.read_zarr(folder / "cells.zarr")
    data.validate_table_in_spatialdata(data[spatial.TABLE])
    outlines, table = spatialdata.join_spatialelement_table(
        sdata=data, spatial_element_names=spatial.CELLS, table_name=spatial.TABLE, how="inner", match_rows="left"
    )
    assert table.obs["cell_id"].tolist() == outlines[spatial.CELLS].index.tolist() == cells["cell_id"].tolist()
    assert shapely.equals_exact(data[spatial.CELLS].geometry.to_numpy(), cells.geometry.to_numpy(), 1e-9).all()
    assert table.obs["label"].astype(object).where(table.obs["label"].notna(), None).tolist() == names
    um = spatialdata.transform(data[spatial.CELLS], to_coordinate_system="global")
    np.testing.assert_allclose(um.geometry.area, cells["area_um2"])
    picture = data[spatial.IMAGE]["scale0"]["image"]
    with Slide(slide_of(exported), mpp=mpp) as slide:
        width, height = slide.size
        assert picture.shape == (3, height, width)
        np.testing.assert_array_equal(picture.transpose("y", "x", "c").to_numpy(), slide.read(0, 0, width, height))
    extent = spatialdata.get_extent(data[spatial.IMAGE], coordinate_system="global")
    assert extent["x"] == pytest.approx((0, width * mpp))


def slide_of(project):
    """The file of slide a."""
    with (project.folder / "slides.csv").open() as file:
        return next(csv.DictReader(file))["path"]


def test_csv_is_a_row_per_cell_for_a_spreadsheet(folder, cells, names):
    raw = (folder / "cells.csv").read_bytes()
    assert raw.startswith("\ufeff".encode())
    rows = list(csv.DictReader(raw.decode("utf-8-sig").splitlines()))
    assert [row["label"] or None for row in rows] == names
    assert [int(row["cell_id"]) for row in rows] == cells["cell_id"].tolist()
    back = pd.read_csv(folder / "cells.csv")
    assert back.columns[0] == "cell_id"
    for name in ("x", "y", "area_um2", "circularity", "confidence"):
        np.testing.assert_allclose(back[name], cells[name], atol=1e-4)
    assert back["truncated"].tolist() == cells["truncated"].tolist()


def test_coco_outlines_what_is_in_each_picture(folder, cells, names, mpp):
    from pycocotools.coco import COCO

    data = COCO(folder / "cells.coco.json")
    pictures = {path.name: Image.open(path).size for path in (folder / "tiles").glob("*.png")}
    assert {one["file_name"]: (one["width"], one["height"]) for one in data.imgs.values()} == pictures
    kinds = {one["id"]: one["name"] for one in data.cats.values()}
    assert list(kinds.values()) == [PLASMA, ODD, coco.UNLABELLED]
    tiles = pd.read_parquet(folder / "filtered.parquet").query("kept").set_index("tile_id")
    area, wrong = np.zeros(len(cells)), 0
    for image, entry in data.imgs.items():
        tile = tiles.loc[entry["file_name"].removesuffix(".png")]
        of_tile = data.loadAnns(data.getAnnIds(imgIds=[image]))
        frame = shapely.box(tile.x, tile.y, tile.x + tile.width, tile.y + tile.height)
        inside = shapely.area(shapely.intersection(cells.geometry.to_numpy(), frame))
        assert sorted(one["attributes"]["cell_id"] for one in of_tile) == np.flatnonzero(inside >= 1).tolist()
        for one in of_tile:
            cell = one["attributes"]["cell_id"]
            area[cell] += one["area"]
            assert kinds[one["category_id"]] == (names[cell] or coco.UNLABELLED)
            assert one["area"] == pytest.approx(inside[cell], abs=0.02)
            left, top, wide, high = one["bbox"]
            assert 0 <= left <= left + wide <= entry["width"] + 0.01
            assert 0 <= top <= top + high <= entry["height"] + 0.01
            # pycocotools rasterises roughly: half a pixel around.
            wrong += abs(data.annToMask(one).sum() - one["area"]) > shapely.length(cells.geometry[cell])
    assert wrong == 0
    assert (area > 0).mean() > 0.9
    assert len({one["id"] for one in data.anns.values()}) == len(data.anns)
    assert {one["iscrowd"] for one in data.anns.values()} == {0}


def test_the_papers_tools_get_tiles_with_cells(folder, cells, names, mpp):
    tiles = read_json(folder / "final_annotations.json")
    grid = pd.read_parquet(folder / "filtered.parquet").set_index("tile_id")
    assert [[one["x"], one["y"]] for one in tiles] == grid.query("kept")[["x", "y"]].to_numpy().tolist()
    seen = []
    for one in tiles:
        assert set(one) == {"tile_path", "magnification", "x", "y", "cells"}
        below = one["tile_path"].split("INPUT_prepped_tiles_path/")[1]
        assert (folder.parent / below).is_file(), "their tools find the picture in the results folder"
        assert [cell["label_id"] for cell in one["cells"]] == list(range(1, len(one["cells"]) + 1))
        for cell in one["cells"]:
            row = cells.iloc[cell["cell_id"] - 1]
            seen.append(cell["cell_id"])
            assert cell["pred_class"] == (names[row.cell_id] or paper.UNCLASSIFIED)
            assert (cell["cluster_id"], cell["cluster_confidence"]) == (
                row.cluster_id,
                pytest.approx(row.confidence, abs=1e-4),
            )
            # Theirs are counted between centres of pixels.
            polygon = shapely.transform(
                shapely.Polygon(cell["polygon"]), lambda xy, one=one: xy + 0.5 + (one["x"], one["y"])
            )
            assert shapely.equals_exact(polygon, row.geometry, 0.02)
            left, top, right, bottom = cell["bbox"]
            bounds = np.subtract(row.geometry.bounds, (one["x"], one["y"]) * 2)
            assert [left, top, right, bottom] == [*np.floor(bounds[:2]), *np.ceil(bounds[2:])]
            assert all(type(edge) is int for edge in cell["bbox"])
    assert sorted(seen) == list(range(1, len(cells) + 1))


def test_status_knows_of_exports(exported):
    text = exported.run("status", "--quiet", "rules", "host", "progress").stdout
    assert "export_spatialdata" in text, text
