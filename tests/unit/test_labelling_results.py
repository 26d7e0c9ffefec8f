"""What is offered to be labelled, and how its cells, outlines and pixels are told."""

import json
import re
import shutil
import struct

import cv2
import geopandas
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely

from clusterfirst.clustering.numbering import fingerprint
from clusterfirst.io import ClusterfirstError, read_json, write_json
from clusterfirst.labelling.cells import outlines
from clusterfirst.labelling.cells.group import load_group
from clusterfirst.labelling.cells.packed import pack
from clusterfirst.labelling.cells.pyramid import Cache, Pyramids
from clusterfirst.labelling.cells.results import open_results
from clusterfirst.labelling.record.history import Entry, History
from clusterfirst.labelling.server.view import BrowserState
from clusterfirst.plan.layout import RESERVED

from ..labelling_results import make


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make(tmp_path_factory.mktemp("one"), slides={"a": 400}, edge=1600)


@pytest.fixture
def results(made, tmp_path):
    shutil.copytree(made.parent, tmp_path, dirs_exist_ok=True)
    return tmp_path / "results"


def arrays_of(data: bytes) -> dict:
    told = json.loads(data[: data.index(b"\n")])
    assert all(entry["offset"] % 8 == 0 for entry in told["arrays"])
    return {
        entry["name"]: np.frombuffer(data, np.dtype(entry["dtype"]).newbyteorder("<"), entry["length"], entry["offset"])
        for entry in told["arrays"]
    }


def test_a_slide_clustered_by_itself_is_a_group(made):
    results = open_results(made)
    (group,) = results.groups.values()
    assert (group.id, group.cells, [slide.id for slide in group.slides]) == ("a", 400, ["a"])
    cells = arrays_of(pack(load_group(group)))
    masks = geopandas.read_parquet(made / "a/masks.parquet")
    document = read_json(made / "a/clusters.json")["cells"]
    np.testing.assert_allclose(cells["x"], masks["x"], rtol=1e-6)
    np.testing.assert_allclose(cells["y"], masks["y"], rtol=1e-6)
    np.testing.assert_array_equal(cells["leaf"], np.array(document["leaf_id"]) % 65536)
    np.testing.assert_allclose(cells["confidence"] / 255, document["confidence"], atol=0.002)
    np.testing.assert_allclose(np.column_stack([cells["u"], cells["v"]]), np.load(made / "a/umap2d.npy"))


def test_clusters_have_the_numbers_and_colours_of_the_workflow(made):
    group = load_group(open_results(made).groups["a"])
    told = BrowserState(group).of(History(group.leaves))["clusters"]
    wanted = read_json(made / "a/clusters.json")["clusters"]
    facts = ("number", "leaves", "colour", "size")
    assert [tuple(entry[fact] for fact in facts) for entry in told] == [
        (entry["id"], entry["leaves"], entry["colour"], entry["size"]) for entry in wanted
    ]


def test_slides_clustered_together_are_one_group_and_none_by_themselves(tmp_path):
    results = open_results(make(tmp_path, slides={"a": 50, "b": 70}, group="cohort", edge=600))
    (group,) = results.groups.values()
    assert (group.id, group.name, group.starts) == ("groups/cohort", "cohort", [0, 50, 120])
    found = load_group(group)
    assert found.place(0)[0].id == "a"
    assert (found.place(50)[0].id, found.place(50)[1], found.place(119)[1]) == ("b", 0, 69)
    np.testing.assert_array_equal(found.slide, np.repeat([0, 1], [50, 70]))


def test_a_group_left_over_from_a_run_before_is_not_offered(tmp_path):
    results = make(tmp_path, slides={"a": 50, "b": 70}, group="cohort", edge=600)
    make(tmp_path / "alone", slides={"a": 50}, edge=600)
    shutil.rmtree(results / "a")
    shutil.copytree(tmp_path / "alone/results/a", results / "a")
    assert list(open_results(results).groups) == ["a"]


def test_trials_of_sweeps_are_not_offered(results):
    shutil.copytree(results / "a", results / "sweep/eps-1/a")
    assert list(open_results(results).groups) == ["a"]


def test_folders_that_belong_to_no_slide_are_no_alarm(results):
    for name in RESERVED:
        (results / name).mkdir(exist_ok=True)
    (results / "unfinished").mkdir()
    assert list(open_results(results).left_out) == ["unfinished"]


@pytest.mark.parametrize("lost", ["clusters.json", "masks.parquet", "umap2d.npy"])
def test_nothing_finished_is_said(results, lost):
    (results / "a" / lost).unlink()
    with pytest.raises(ClusterfirstError, match=rf"(?s)run the workflow to its end first.*a: {lost} is missing"):
        open_results(results)


def test_no_folder_is_said(tmp_path):
    with pytest.raises(ClusterfirstError, match="no such folder"):
        open_results(tmp_path / "nowhere")


def test_a_slide_segmented_again_since_it_was_clustered_is_not_offered(results):
    make(results.parent / "more", slides={"a": 401}, edge=1600)
    shutil.copy(results.parent / "more/results/a/masks.parquet", results / "a/masks.parquet")
    with pytest.raises(ClusterfirstError, match="segmented again since"):
        open_results(results)


def test_damaged_clusters_are_an_error_that_names_the_file(results):
    document = read_json(results / "a/clusters.json")
    document["tree"]["merges"].pop()
    write_json(document, results / "a/clusters.json", indent=None)
    with pytest.raises(ClusterfirstError, match=r"clusters\.json.*do not fit together"):
        load_group(open_results(results).groups["a"])


@pytest.mark.parametrize(
    ("file", "content"), [("reduction.json", "{}"), ("clusters.json", "[1]"), ("clusters.json", "{")]
)
def test_damaged_files_of_one_slide_do_not_keep_the_others_from_being_labelled(results, file, content):
    shutil.copytree(results / "a", results / "b")
    (results / "b" / file).write_text(content)
    found = open_results(results)
    assert list(found.groups) == ["a"]
    assert re.search("run (the workflow|`cluster`) again", found.left_out["b"])


def test_links_out_of_the_folder_are_left_out(results, tmp_path_factory):
    outside = make(tmp_path_factory.mktemp("outside"), slides={"secret": 30}, edge=600)
    (results / "secret").symlink_to(outside / "secret")
    shutil.copytree(outside / "secret", results / "half")
    (results / "half/masks.parquet").unlink()
    (results / "half/masks.parquet").symlink_to(outside / "secret/masks.parquet")
    found = open_results(results)
    assert list(found.groups) == list(found.slides) == ["a"]
    assert "link out" in found.left_out["secret"]
    assert "link out" in found.left_out["half"]


def test_representatives_of_opened_clusters_are_their_own_cells(made):
    group = load_group(open_results(made).groups["a"])
    first = np.flatnonzero(group.leaves.start == group.leaves.start[0]).tolist()
    assert group.representatives(tuple(first)) == group.typical[first[0]]
    for part in group.leaves.split(first):
        chosen = group.representatives(tuple(part))
        assert 0 < len(chosen) <= 12
        assert set(group.leaves.of_cell[chosen].tolist()) <= set(part)


PROPOSED = ("lymphocyte", "lymphocyte", "stroma", None)
"""For the four clusters, by id."""


def propose(folder, *, cluster_id=None):
    """Write proposals for the clusters of a group."""
    found = read_json(folder / "clusters.json")
    votes = [
        [
            {
                "class": word or "unsure",
                "confidence": sure,
                "rationale": f"{word} {sure}",
                "cells": [0],
                "cached": False,
            }
            for sure in (0.4, 0.9)
        ]
        for word in PROPOSED
    ]
    document = {
        "clusterfirst": "classes",
        "version": 1,
        "model": "seer-1",
        "server": "localhost",
        "clustering_sha256": fingerprint(cluster_id or found["cells"]["cluster_id"]),
        "classes": [
            {"name": "lymphocyte", "colour": "#0072b2", "description": "small"},
            {"name": "stroma", "colour": "#009e73", "description": "slender"},
        ],
        "clusters": [
            {"id": number, "class": word, "share": (number + 1) / 4 if word else 0, "views": 4, "votes": votes[number]}
            for number, word in enumerate(PROPOSED)
        ],
        "stopped": None,
    }
    write_json(document, folder / "classes.json")


def told_clusters(history, group):
    return {entry["key"]: entry for entry in BrowserState(group).of(history)["clusters"]}


def keys_by_id(group):
    return {number: key for key, number in group.ids.items()}


def test_browsers_are_told_what_a_model_proposes(results):
    propose(results / "a")
    group = load_group(open_results(results).groups["a"])
    told = told_clusters(History(group.leaves), group)
    by_id = {entry["number"]: entry["proposal"] for entry in told.values()}
    assert [by_id[number] and by_id[number]["class"] for number in range(4)] == list(PROPOSED)
    assert by_id[2] == {
        "class": "stroma",
        "colour": "#009e73",
        "share": 0.75,
        "views": 4,
        "rationale": "stroma 0.9",
        "model": "seer-1",
    }


def test_parts_of_a_cluster_inherit_its_proposal_and_equal_ones_survive_a_merge(results):
    propose(results / "a")
    group = load_group(open_results(results).groups["a"])
    key = keys_by_id(group)
    history = History(group.leaves)

    def act(action):
        number = len(history.entries) + 1
        history.add(Entry(number, "2026-11-21T12:00:00Z", "Ada", f"request-{number}", action))
        return told_clusters(history, group)

    parent = told_clusters(history, group)[key[0]]
    opened = act({"do": "open", "cluster": key[0]})
    parts = [entry for entry in opened.values() if set(entry["leaves"]) < set(parent["leaves"])]
    assert len(parts) == 2
    assert all(part["proposal"] == parent["proposal"] for part in parts)
    merged = act({"do": "merge", "clusters": [parts[0]["key"], key[1]]})[min(parts[0]["key"], key[1])]
    assert (merged["proposal"]["class"], merged["proposal"]["share"]) == ("lymphocyte", 0.25), "the least of the shares"
    for other in (2, 3):
        now = act({"do": "merge", "clusters": [merged["key"], key[other]]})[min(merged["key"], key[other])]
        assert now["proposal"] is None
        act({"do": "undo"})


def test_without_usable_proposals_people_label_all_the_same(results, caplog):
    group = load_group(open_results(results).groups["a"])
    assert {entry["proposal"] for entry in told_clusters(History(group.leaves), group).values()} == {None}

    propose(results / "a", cluster_id=[0] * len(group))
    assert load_group(group.info).proposals is None
    assert "is of other clusters" in caplog.text

    (results / "a/classes.json").write_text("{")
    assert load_group(group.info).proposals is None
    assert "snakemake classify" in caplog.text

    propose(results / "a")
    (results / "a/classes.json").rename(results.parent / "elsewhere.json")
    (results / "a/classes.json").symlink_to(results.parent / "elsewhere.json")
    assert load_group(group.info).proposals is None


def test_the_folder_of_answers_is_no_slide(results):
    (results / "classify").mkdir()
    (results / "classify/ledger.jsonl").touch()
    found = open_results(results)
    assert list(found.groups) == ["a"]
    assert not found.left_out


def blocks_of(found: outlines.Outlines, edge: int) -> dict[int, np.ndarray]:
    """Unpack all blocks as a browser does."""
    cells = {}
    for row in range(edge // outlines.BLOCK_PX + 1):
        for column in range(edge // outlines.BLOCK_PX + 1):
            data = found.pack(column, row)
            (count,), at = struct.unpack_from("<I", data), 4
            for _ in range(count):
                cell, points = struct.unpack_from("<IH", data, at)
                ring = np.frombuffer(data, "<i2", 2 * points, at + 6).reshape(-1, 2)
                assert cell not in cells
                cells[cell] = ring / 4 + np.array([column, row]) * outlines.BLOCK_PX
                at += 6 + 4 * points
            assert at == len(data)
    return cells


def test_blocks_hold_every_outline_once(made):
    results = open_results(made)
    cells = blocks_of(outlines.read(results.slides["a"]), 1600)
    shapes = geopandas.read_parquet(made / "a/masks.parquet").geometry
    assert len(cells) == len(shapes)
    for cell, ring in cells.items():
        np.testing.assert_allclose(ring, np.array(shapes[cell].exterior.coords)[:-1], atol=0.126)


def with_shapes(results, shapes) -> outlines.Outlines:
    path = results / "a/masks.parquet"
    table = pq.read_table(path)
    at = table.schema.get_field_index("geometry")
    table = table.set_column(at, "geometry", pa.array(shapes, pa.binary()))
    pq.write_table(table, path)
    return outlines.read(open_results(results).slides["a"])


def test_unusual_geometries_are_read_too(results):
    shapes = geopandas.read_parquet(results / "a/masks.parquet").geometry.to_numpy()
    plain = outlines.read(open_results(results).slides["a"])
    unusual = shapely.to_wkb(shapes)
    hole = shapely.Polygon(shapes[0].exterior, [shapes[0].buffer(-2).exterior])
    far = shapely.box(0, 0, 1, 1)
    unusual[0] = shapely.to_wkb(hole)
    unusual[1] = shapely.to_wkb(shapely.MultiPolygon([shapes[1], far]))
    unusual[2] = shapely.to_wkb(shapes[2], byte_order=0)
    found = with_shapes(results, unusual)
    np.testing.assert_array_equal(found.points, plain.points)
    np.testing.assert_array_equal(found.offsets, plain.offsets)


def test_outlines_of_many_slides_do_not_pile_up(tmp_path):
    slides = open_results(make(tmp_path, slides={"a": 50, "b": 70}, group="cohort", edge=600)).slides
    shelf = outlines.Shelf(most_points=600)
    first = shelf.of(slides["a"])
    assert shelf.of(slides["a"]) is first
    assert shelf.of(slides["b"]) is shelf.of(slides["b"])
    assert shelf.of(slides["a"]) is not first


def test_outlines_of_other_cells_are_not_shown(results):
    slide = open_results(results).slides["a"]
    pq.write_table(pq.read_table(slide.folder.cells).slice(1), slide.folder.cells)
    with pytest.raises(ClusterfirstError, match="segmented again meanwhile"):
        outlines.read(slide)


def test_tiles_are_the_slide(made):
    results = open_results(made)
    pixels = Pyramids(results.slides, [made.parent])
    facts = pixels.facts("a")
    assert (facts["levels"], facts["tile"], facts["problem"]) == (3, 512, None)
    whole = cv2.imread(str(made.parent / "slides/a.png"))
    last = cv2.imdecode(np.frombuffer(pixels.tile("a", 2, 3, 3), np.uint8), cv2.IMREAD_COLOR)
    assert last.shape == (64, 64, 3), "the remainder of 1600"
    assert np.abs(last.astype(int) - whole[1536:, 1536:]).mean() < 4
    top = cv2.imdecode(np.frombuffer(pixels.tile("a", 0, 0, 0), np.uint8), cv2.IMREAD_COLOR)
    assert top.shape == (400, 400, 3)
    assert np.abs(top.astype(int) - cv2.resize(whole, (400, 400), interpolation=cv2.INTER_AREA)).mean() < 4
    for missing in [(3, 0, 0), (-1, 0, 0), (2, 4, 0), (2, 0, 4), (2, -1, 0), (0, 1, 0)]:
        assert pixels.tile("a", *missing) is None
    pixels.close()


@pytest.mark.parametrize(
    ("x", "y", "box"),
    [(800, 800, (20, 60, 20, 60)), (15, 1590, (40, 79, 10, 50))],
    ids=["in its middle", "at the edge of the slide"],
)
def test_a_crop_shows_the_cell_and_its_outline(made, x, y, box):
    results = open_results(made)
    pixels = Pyramids(results.slides, [made.parent])
    ring = np.array([[x - 10.0, y - 10], [x + 10, y - 10], [x + 10, y + 10], [x - 10, y + 10]])
    picture = cv2.imdecode(
        np.frombuffer(pixels.crop("a", x, y, ring, um=20, px=80), np.uint8), cv2.IMREAD_COLOR
    ).astype(int)
    assert picture.shape == (80, 80, 3)
    left, top = min(max(x - 20, 0), 1560), min(max(y - 20, 0), 1560)
    whole = cv2.imread(str(made.parent / "slides/a.png"))[top : top + 40, left : left + 40].astype(np.uint8)
    changed = np.abs(picture - cv2.resize(whole, (80, 80))).max(axis=-1) > 60
    rows, columns = np.nonzero(changed)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == pytest.approx(box, abs=3)
    assert changed.mean() < 0.1, "all but the outline is the slide"


def test_a_slide_that_is_gone_is_white_and_said_so(results):
    shutil.rmtree(results.parent / "slides")
    pixels = Pyramids(open_results(results).slides, [results.parent])
    assert "not where it was" in pixels.facts("a")["problem"]
    assert pixels.tile("a", 0, 0, 0) is None
    ring = np.array([[790.0, 790], [810, 790], [810, 810]])
    picture = cv2.imdecode(np.frombuffer(pixels.crop("a", 800, 800, ring, um=20, px=80), np.uint8), cv2.IMREAD_COLOR)
    assert picture[:10].min() > 250


def test_a_slide_that_moved_is_found_and_another_one_is_not_taken_for_it(results, tmp_path_factory):
    moved = tmp_path_factory.mktemp("moved")
    shutil.move(results.parent / "slides/a.png", moved / "a.png")
    slides = open_results(results).slides
    assert Pyramids(slides, [results.parent, moved]).facts("a")["problem"] is None
    cv2.imwrite(str(moved / "a.png"), np.zeros((30, 40, 3), np.uint8))
    assert "another slide" in Pyramids(slides, [moved]).facts("a")["problem"]
    (moved / "a.png").write_bytes(b"no picture")
    assert "cannot be opened" in Pyramids(slides, [moved]).facts("a")["problem"]


def test_what_was_not_asked_for_longest_is_forgotten():
    cache, made = Cache(limit=30), []

    def get(key):
        return cache.get((key,), lambda: made.append(key) or bytes(10))

    for key in (1, 2, 3, 1, 4, 1, 2):
        get(key)
    assert made == [1, 2, 3, 4, 2]


def test_the_folder_of_one_slide_is_no_results_folder_and_what_to_type_is_said(tmp_path, monkeypatch):
    alone = make(tmp_path / "my run", slides={"a": 30}, edge=400, picture=False)
    make(tmp_path, slides={"a": 30, "b": 30}, group="cohort", edge=400, picture=False)
    monkeypatch.chdir(tmp_path)
    for folder, what, type_this in (
        ("my run/results/a", "one slide", "clusterfirst-label 'my run/results'"),
        (alone / "a", "one slide", f"clusterfirst-label '{alone}'"),
        ("results/b/", "one slide", "clusterfirst-label results"),
        ("results/groups/cohort", "one group", "clusterfirst-label results"),
    ):
        with pytest.raises(ClusterfirstError, match=f"is the folder of {what}") as error:
            open_results(folder)
        assert str(error.value).endswith(f"\n  {type_this}")
