"""cells.parquet: who has the last word on a cell's label, and how the table is written and read."""

from dataclasses import replace

import geopandas
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import shapely

from clusterfirst.clustering import palette
from clusterfirst.io import ClusterfirstError, read_metadata, write_json, write_table
from clusterfirst.labels import SOURCES, Labels, join, model
from clusterfirst.outlines import objects

from ..made import clustering, slide_facts

COUNT = 25_000
CLUSTER = np.arange(COUNT) % 4 - 1
PLANE = np.random.default_rng(0).normal(size=(COUNT, 2)).astype(np.float32)
CLUSTERS = clustering(CLUSTER, np.linspace(0, 1, COUNT), leaf_id=CLUSTER * 3)


def exported(**said):
    """What people said of some rows: class and source."""
    label, source, who = (np.full(COUNT, None) for _ in range(3))
    for row, (name, how) in said.items():
        at = int(row.removeprefix("row"))
        label[at], source[at], who[at] = name, how, "Ada"
    return Labels(label, source, who, np.full(COUNT, np.nan, np.float32), [{"name": "tumour", "colour": "#ff0000"}], {})


PROPOSED_CLASSES = [{"name": "tumour", "colour": "#00ff00"}, {"name": "stroma", "colour": "#0000ff"}]


@pytest.fixture(scope="module")
def proposed(tmp_path_factory) -> Labels:
    """What a model calls clusters 0 and 2, of which it is not so sure; of cluster 1 it has no word."""
    verdicts = {0: ("stroma", 0.67), 1: (None, 0.0), 2: ("tumour", 1.0)}
    document = {
        "clusterfirst": model.KIND,
        "version": model.VERSION,
        "model": "model-1",
        "server": "nowhere",
        "stopped": None,
        "clustering_sha256": CLUSTERS.fingerprint,
        "classes": PROPOSED_CLASSES,
        "clusters": [
            {"id": number, "class": name, "share": share, "views": 3, "votes": []}
            for number, (name, share) in verdicts.items()
        ],
    }
    path = tmp_path_factory.mktemp("proposed") / "classes.json"
    write_json(document, path)
    source = SOURCES[-1]
    return source.read(path, "nowhere", CLUSTERS)


@pytest.fixture(scope="module")
def masks(tmp_path_factory):
    """A masks.parquet of many small cells, in one row group."""
    rng = np.random.default_rng(1)
    outlines = shapely.buffer(shapely.points(rng.uniform(10, 9000, (COUNT, 2))), 4, quad_segs=2)
    frame = pd.DataFrame({"geometry": outlines, "tile_id": "x000000_y000000", "score": np.nan, "truncated": False})
    path = tmp_path_factory.mktemp("masks") / "masks.parquet"
    write_table(objects.table(frame, mpp=0.5), path, {"slide": slide_facts().document()})
    return path


def test_people_have_the_last_word_and_what_nobody_said_is_proposed(proposed):
    labels = exported(row1=("tumour", "cluster"), row5=(None, "exception"))
    table = join.known(CLUSTERS, PLANE, [labels, proposed]).to_pandas()
    columns = ["label", "label_source", "labelled_by"]
    # Rows 1 and 5 are of cluster 0, and so is 9; 0 is noise, 2 of a cluster that got no verdict.
    assert table.loc[[0, 1, 2, 3, 9], columns].to_numpy(object, na_value=None).tolist() == [
        [None, None, None],
        ["tumour", "cluster", "Ada"],
        [None, None, None],
        ["tumour", "proposed", "model-1"],
        ["stroma", "proposed", "model-1"],
    ]
    assert table.loc[5, columns].to_numpy(object, na_value=None).tolist() == [None, "exception", "Ada"]
    shares = table["label_confidence"]
    assert shares[[3, 9]].tolist() == pytest.approx([1, 0.67])
    assert shares.notna().equals(table["label_source"] == "proposed")


def test_without_labels_and_proposals_the_columns_are_there_and_empty():
    table = join.known(CLUSTERS, PLANE, [])
    assert [table[name].null_count for name in ("label", "label_source", "labelled_by", "label_confidence")] == [
        COUNT
    ] * 4
    assert {str(table[name].type) for name in ("label", "label_source", "labelled_by")} == {"string"}


def test_classes_are_those_of_people_then_those_that_only_the_model_knows(proposed):
    assert join.classes([exported(), proposed]) == [
        {"name": "tumour", "colour": "#ff0000"},
        {"name": "stroma", "colour": "#0000ff"},
    ]
    assert join.classes([proposed]) == PROPOSED_CLASSES
    assert join.classes([]) == []


def test_a_proposed_class_that_looks_like_another_gets_a_colour_of_its_own(proposed):
    people = [{"name": "epithelium", "colour": "#e69f00"}, {"name": "stroma", "colour": "#cc79a7"}]
    others = [
        {"name": "keratinocyte", "colour": "#e69f00"},
        {"name": "Stroma", "colour": "#000000"},
        {"name": "endothelium", "colour": "#ca78a6"},
        {"name": "lymphocyte", "colour": "#0072b2"},
    ]
    found = join.classes([replace(exported(), classes=people), replace(proposed, classes=others)])
    assert found[:2] == people
    assert found[4] == others[3]
    shades = palette.seen([palette.rgb(entry["colour"]) for entry in found])
    apart = palette.distance(shades, shades)
    assert apart[~np.eye(5, dtype=bool)].min() > 0.1
    assert found == join.classes([replace(exported(), classes=people), replace(proposed, classes=others)])


def test_a_class_is_written_as_people_write_it(proposed):
    shouted = replace(exported(), classes=[{"name": "Tumour", "colour": "#ff0000"}])
    table = join.known(CLUSTERS, PLANE, [shouted, proposed])
    assert table["label"].unique().to_pylist() == [None, "stroma", "Tumour"]
    assert [entry["name"] for entry in join.classes([shouted, proposed])] == ["Tumour", "stroma"]


def test_the_table_is_written_in_parts_and_is_geoparquet(masks, proposed, tmp_path):
    beside = join.known(CLUSTERS, PLANE, [proposed])
    path = tmp_path / "cells.parquet"
    join.write(masks, beside, path, {"classes": PROPOSED_CLASSES})
    assert pq.read_metadata(path).num_row_groups == 3
    back, before = geopandas.read_parquet(path), geopandas.read_parquet(masks)
    assert back[before.columns].equals(before)
    assert back["cluster_id"].tolist() == CLUSTER.tolist()
    np.testing.assert_array_equal(back[["umap_x", "umap_y"]], PLANE)
    assert read_metadata(path) == {"classes": PROPOSED_CLASSES}
    near = geopandas.read_parquet(path, bbox=(0, 0, 500, 500))
    assert 0 < len(near) < COUNT / 100
    batches = list(join.read(path, ["cell_id", "label"], rows=4000))
    assert [len(batch) for batch in batches] == [4000] * 6 + [1000]
    assert np.concatenate([batch["cell_id"] for batch in batches]).tolist() == list(range(COUNT))


def test_parts_of_different_runs_are_not_joined(masks, tmp_path):
    with pytest.raises(ClusterfirstError, match=r"umap2d.npy is of 24,999 cells, but there are 25,000"):
        join.known(CLUSTERS, PLANE[1:], [])
    shorter = clustering(CLUSTER[1:])
    with pytest.raises(ClusterfirstError, match=r"clusters.json is of 24,999 cells, but there are 25,000"):
        join.write(masks, join.known(shorter, PLANE[1:], []), tmp_path / "cells.parquet", {})
    assert not list(tmp_path.iterdir())
