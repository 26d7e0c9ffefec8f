"""Exports of what workflow runs do not have: no cells, pieces at borders of tiles, numbers that JSON does not know."""

import gzip
import json

import anndata
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import shapely
import spatialdata

from clusterfirst.export import Source, coco, h5ad, jsontext, paper, qupath, spatial, table
from clusterfirst.io import write_json, write_table
from clusterfirst.labels import join
from clusterfirst.outlines import objects

from ..made import clustering, slide_facts

MPP = 0.5
GRID = pd.DataFrame(
    {
        "tile_id": ["x000000_y000000", "x000100_y000000"],
        "x": [0, 100],
        "y": [0, 0],
        "width": 100,
        "height": 100,
        # Its picture is half as large as the rectangle.
        "mpp": [MPP, 2 * MPP],
        "magnification": [1.0, 0.5],
        "kept": True,
    }
)


def written(folder, outlines, tile_id=GRID["tile_id"][0], label=None, source=None, classes=()):
    """Write what exports read, of some outlines, and say where it is."""
    count = len(outlines)
    frame = pd.DataFrame({"geometry": outlines, "tile_id": tile_id, "score": np.nan, "truncated": False})
    write_table(objects.table(frame, mpp=MPP), folder / "masks.parquet")
    beside = join.known(clustering(np.zeros(count, int)), np.zeros((count, 2), np.float32), [])
    for name, values in (("label", label), ("label_source", source)):
        if values is not None:
            beside = beside.set_column(beside.schema.get_field_index(name), name, pa.array(values, pa.string()))
    facts = {
        "slide": slide_facts(mpp=MPP).document(),
        "classes": [{"name": name, "colour": shade} for name, shade in classes],
    }
    join.write(folder / "masks.parquet", beside, folder / "cells.parquet", facts)
    for name, width in (("embeddings", 3), ("umap", 2)):
        np.save(folder / f"{name}.npy", np.ones((count, width), np.float32))
    described = {"columns": ["h_mean", "deep_0", "deep_1"], "models": [{"model": "morphology", "columns": [0, 1]}]}
    write_json(described, folder / "embeddings.json")
    GRID.to_parquet(folder / "filtered.parquet")
    files = {"tiles": "filtered.parquet", "embeddings": "embeddings.npy", "columns": "embeddings.json"}
    parts = {name: folder / file for name, file in (files | {"reduced": "umap.npy"}).items()}
    return Source("s", folder / "cells.parquet", parts)


def test_a_slide_without_cells_has_all_exports(tmp_path):
    source = written(tmp_path, np.empty(0, object))
    qupath.export(source, tmp_path / "cells.geojson.gz")
    with gzip.open(tmp_path / "cells.geojson.gz") as file:
        assert json.load(file)["features"] == []
    table.export(source, tmp_path / "cells.csv")
    assert pd.read_csv(tmp_path / "cells.csv").columns.tolist() == list(table.COLUMNS)
    coco.export(source, tmp_path / "coco.json")
    found = json.loads((tmp_path / "coco.json").read_text())
    assert (len(found["images"]), found["annotations"]) == (2, [])
    paper.export(source, tmp_path / "paper.json")
    assert [tile["cells"] for tile in json.loads((tmp_path / "paper.json").read_text())] == [[], []]
    adata = h5ad.table(source)
    adata.write_h5ad(tmp_path / "cells.h5ad")
    assert anndata.read_h5ad(tmp_path / "cells.h5ad").shape == (0, len(h5ad.MEASURES) + 1)
    spatial.export(source, tmp_path / "cells.zarr")
    assert len(spatialdata.read_zarr(tmp_path / "cells.zarr")[spatial.TABLE]) == 0


def test_coco_cuts_cells_at_borders_and_scales_them_with_their_picture(tmp_path):
    over = shapely.box(90, 10, 110, 30)
    # Two legs reach into the next tile, and what joins them does not.
    fork = shapely.union_all([shapely.box(80, 40, 95, 70), shapely.box(90, 40, 108, 46), shapely.box(90, 64, 108, 70)])
    touching = shapely.box(60, 80, 100, 90)
    sliver = shapely.box(70, 92, 101, 94)
    source = written(tmp_path, np.array([over, fork, touching, sliver]))
    coco.export(source, tmp_path / "coco.json")
    found = json.loads((tmp_path / "coco.json").read_text())
    assert [(one["width"], one["height"]) for one in found["images"]] == [(100, 100), (50, 50)]
    assert found["categories"] == [{"id": 1, "name": "nucleus", "supercategory": "nucleus"}]
    told = {(one["attributes"]["cell_id"], one["image_id"]): one for one in found["annotations"]}
    assert set(told) == {(0, 1), (0, 2), (1, 1), (1, 2), (2, 1), (3, 1)}, "a sliver of half a pixel is left out"
    assert told[0, 1]["bbox"] == [90, 10, 10, 20]
    assert (told[0, 2]["bbox"], told[0, 2]["area"]) == ([0, 5, 5, 10], 50)
    legs = told[1, 2]
    assert len(legs["segmentation"]) == 2
    assert (legs["bbox"], legs["area"]) == ([0, 20, 4, 15], 2 * 4 * 3)
    assert all(len(ring) == 8 for ring in legs["segmentation"]), "the last vertex is not the first once more"


def test_anndata_has_no_classes_without_cells_and_scanpy_compares_the_others(tmp_path):
    import scanpy

    outlines = np.array([shapely.box(x, 0, x + 3 + x % 4, 5) for x in range(0, 90, 10)])
    classes = [("tumour", "#ff0000"), ("unused", "#00ff00"), ("stroma", "#0000ff")]
    label = ["tumour", "tumour", None, "stroma", "stroma", "stroma", None, None, "tumour"]
    adata = h5ad.table(written(tmp_path, outlines, label=label, classes=classes))
    assert adata.obs["label"].cat.categories.tolist() == ["tumour", "stroma"]
    assert list(adata.uns["label_colors"]) == ["#ff0000", "#0000ff"]
    scanpy.tl.rank_genes_groups(adata, "label")


def test_coco_has_each_category_once_whatever_classes_are_called(tmp_path):
    outlines = np.array([shapely.box(x, 0, x + 9, 9) for x in (0, 20, 40)])
    classes = [(coco.UNLABELLED, "#ff0000"), ("tumour", "#00ff00")]
    source = written(tmp_path, outlines, label=[None, coco.UNLABELLED, "tumour"], classes=classes)
    coco.export(source, tmp_path / "coco.json")
    found = json.loads((tmp_path / "coco.json").read_text())
    assert [one["name"] for one in found["categories"]] == [coco.UNLABELLED, "tumour"]
    assert [one["category_id"] for one in found["annotations"]] == [1, 1, 2]


def test_cells_that_no_tile_shows_are_counted_in_the_log_of_coco(tmp_path, caplog):
    caplog.set_level("INFO")
    source = written(tmp_path, np.array([shapely.box(x, 10, x + 9, 19) for x in (5, 195, 199.5, 230)]))
    coco.export(source, tmp_path / "coco.json")
    found = json.loads((tmp_path / "coco.json").read_text())["annotations"]
    assert [one["attributes"]["cell_id"] for one in found] == [0, 1, 2]
    assert "no tile that is kept shows a pixel of them: 1" in caplog.text
    caplog.clear()
    coco.export(written(tmp_path, np.array([shapely.box(5, 5, 9, 9)])), tmp_path / "coco.json")
    assert "left out" not in caplog.text


def test_what_a_model_proposed_is_told_from_what_people_said(tmp_path):
    outlines = np.array([shapely.box(x, 0, x + 9, 9) for x in (0, 20, 40)])
    names, sources = ["tumour", "tumour", None], ["proposed", "reviewed", None]
    source = written(tmp_path, outlines, label=names, source=sources, classes=[("tumour", "#00ff00")])
    qupath.export(source, tmp_path / "cells.geojson.gz")
    with gzip.open(tmp_path / "cells.geojson.gz") as file:
        found = [one["properties"].get("metadata") for one in json.load(file)["features"]]
    assert found == [{qupath.SOURCE: "proposed"}, {qupath.SOURCE: "reviewed"}, None]
    paper.export(source, tmp_path / "paper.json")
    (tile, _) = json.loads((tmp_path / "paper.json").read_text())
    assert [one.get("label_source") for one in tile["cells"]] == sources


def test_numbers_that_json_does_not_know_are_left_out():
    members = {"a": pa.array([1.23456, np.nan, np.inf]), "b": pa.array([None, 2, 3])}
    texts = jsontext.objects({name: jsontext.numbers(values) for name, values in members.items()})
    assert [json.loads(text) for text in texts.to_pylist()] == [{"a": 1.2346}, {"b": 2}, {"b": 3}]
    assert jsontext.strings(pa.array(['ü "x"', None]), "null").to_pylist() == ['"ü \\"x\\""', "null"]


def test_outlines_with_holes_keep_them_and_rings_are_closed():
    ring = shapely.Polygon([(0, 0), (9, 0), (9, 9), (0, 9)], [[(2, 2), (2, 4), (4, 4.126)]])
    (text, other) = jsontext.rings(np.array([ring, shapely.box(1, 1, 2, 2)])).to_pylist()
    back = shapely.Polygon(*(lambda shell, *holes: (shell, holes))(*json.loads(text)))
    assert back.area == pytest.approx(ring.area, abs=0.05)
    assert json.loads(other)[0][0] == json.loads(other)[0][-1]


def test_embeddings_of_other_cells_are_refused(tmp_path):
    source = written(tmp_path, np.array([shapely.box(1, 1, 9, 9)]))
    np.save(tmp_path / "umap.npy", np.ones((2, 2), np.float32))
    with pytest.raises(join.ClusterfirstError, match=r"umap.npy is of 2 cells, but there are 1"):
        h5ad.table(source)
