"""Labels as files: what is exported can be read, what QuPath says comes back, and nothing is written over."""

import gzip
import json
import re
import shutil
from datetime import UTC, datetime, timedelta

import geopandas
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely

from clusterfirst.export import qupath
from clusterfirst.io import ClusterfirstError
from clusterfirst.labelling.cells.results import open_results
from clusterfirst.labelling.record.labels import current
from clusterfirst.labelling.server import exports, imports
from clusterfirst.labelling.server.app import create_app
from clusterfirst.labelling.server.security import Guard
from clusterfirst.labelling.server.workspace import Workspace
from clusterfirst.labels import by_cell_id, people
from clusterfirst.outlines import foreign, objects

from .. import defaults
from ..labelling_results import make
from ..made import slide_facts
from .test_labelling_app import CLASSES, Browser


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make(tmp_path_factory.mktemp("files"), slides={"a": 60, "b": 40}, group="cohort", edge=800, picture=False)


@pytest.fixture
def results(made, tmp_path):
    return shutil.copytree(made, tmp_path / "results")


@pytest.fixture
def app(results):
    workspace = Workspace(open_results(results))
    yield create_app(workspace, Guard("127.0.0.1"))
    workspace.close()


@pytest.fixture
def ada(app):
    """Somebody who has named the largest cluster, corrected three cells of it, and looked at one."""
    browser = Browser(app, "Ada", group="groups/cohort")
    browser.do(CLASSES)
    return browser


@pytest.fixture
def session(app, ada):
    return app._app.state.workspace.session("groups/cohort")


def cells_of(session, slide):
    return objects.read_objects(session.group.info.slides["ab".index(slide)].folder.cells)


def exported(results, slide):
    return sorted((results / slide / "labels").glob("*.json"))


def post(browser, what, content=None, **query):
    body = content if isinstance(content, bytes | str) else json.dumps(content or {})
    return browser.http.post(
        f"{browser.url}/{what}", content=body, params=query, headers={"Content-Type": "application/json"}
    )


def read(session, path, slide="a"):
    rows = {"a": slice(0, 60), "b": slice(60, 100)}[slide]
    group = session.group
    which = objects.fingerprint(group.x[rows], group.y[rows], group.cell_id[rows])
    return people.read(path, rows.stop - rows.start, cells_sha256=which)


def label_everything(ada, app, session):
    """Name, correct, confirm, by two people; return the rows of the largest cluster."""
    grace = Browser(app, "Grace", group="groups/cohort")
    largest = ada.state()["clusters"][0]
    rows = np.sort(session.group.leaves.rows(largest["leaves"])).tolist()
    ada.do({"do": "name", "leaves": largest["leaves"], "class": "tumour"})
    grace.state()
    grace.do({"do": "cells", "rows": str(rows[0]), "class": "stroma"})
    grace.do({"do": "cells", "rows": str(rows[1]), "class": ""})
    grace.do({"do": "cells", "rows": str(rows[2]), "class": "stroma"})
    grace.do({"do": "confirm", "rows": str(rows[3])})
    grace.do({"do": "cells", "rows": str(rows[2]), "class": None})
    grace.do({"do": "name", "leaves": ada.state()["clusters"][1]["leaves"], "class": "stroma"})
    grace.do({"do": "undo"})
    ada.state()
    return rows


def test_an_export_says_of_every_cell_what_it_is_how_that_came_about_and_who_said_so(ada, app, session, results):
    rows = label_everything(ada, app, session)
    answer = post(ada, "export")
    assert answer.status_code == 200, answer.text
    files = [results.parent / name for name in answer.json()["files"]]
    assert files == [*exported(results, "a"), *exported(results, "b")]
    found = [read(session, path, slide) for path, slide in zip(files, "ab", strict=True)]
    label, source, who = (np.concatenate([getattr(one, name) for one in found]) for name in ("label", "source", "who"))
    told = {row: (label[row], source[row], who[row]) for row in range(100)}
    assert {row for row, (_, how, _) in told.items() if how} == set(rows), "what was undone is not there"
    assert [told[row] for row in rows[:5]] == [
        ("stroma", "exception", "Grace"),
        (None, "exception", "Grace"),
        ("tumour", "cluster", "Ada"),
        ("tumour", "reviewed", "Ada"),
        ("tumour", "cluster", "Ada"),
    ]
    assert {told[row] for row in rows[4:]} == {("tumour", "cluster", "Ada")}
    assert found[0].classes == CLASSES["classes"]
    facts = found[0].facts
    assert (facts["slide"], facts["group"], facts["who"]) == ("a", "groups/cohort", "Ada")
    assert facts["clustering"] == session.group.fingerprint
    assert sum(sum(one.facts["counts"].values()) for one in found) == len(rows) - 1


def test_an_export_is_a_truth(ada, app, session, results):
    label_everything(ada, app, session)
    path, _ = exports.export_labels(session, "Ada")
    assert by_cell_id.holds_labels(path)
    assert by_cell_id.read(path, 60).tolist() == read(session, path).label.tolist()


def test_no_export_is_written_over_and_the_latest_is_the_latest_whatever_the_clock_says(
    ada, session, results, monkeypatch
):
    first, _ = exports.export_labels(session, "Ada")
    before = first.read_bytes()

    class Clock(datetime):
        @classmethod
        def now(cls, zone):
            return datetime.now(zone) - timedelta(days=400)

    monkeypatch.setattr(exports, "datetime", Clock)
    second, _ = exports.export_labels(session, "Ada")
    third, _ = exports.export_labels(session, "Ada")
    assert exported(results, "a") == [first, second, third]
    assert first.read_bytes() == before
    (results / "a/labels/zzz.json").write_text("{}")
    (results / "a/labels/2099-01-01T00-00-00.000Z.geojson.gz").touch()
    assert people.newest(results / "a/labels") == third
    assert people.newest(results / "c/labels") is None
    assert people.stem(datetime(2026, 1, 2, 3, 4, 5, 6999, UTC)) == "2026-01-02T03-04-05.006Z"


def test_nothing_said_nothing_written(app, results):
    ada = Browser(app, "Ada", group="groups/cohort")
    for format in ("labels", "qupath"):
        answer = post(ada, "export", {"format": format})
        assert (answer.status_code, "name a cluster first" in answer.json()["error"]) == (400, True)
    assert not (results / "a/labels").exists()
    assert post(Browser(app, None, group="groups/cohort"), "export").status_code == 403
    assert post(ada, "export", {"format": "exe"}).status_code == 400


@pytest.mark.parametrize(("format", "step"), [("labels", "_write"), ("qupath", "qupath.write")])
def test_a_group_is_exported_whole_or_not_at_all(ada, results, monkeypatch, format, step):
    ada.do({"do": "cells", "rows": "0-99", "class": "tumour"})
    owner, name = (exports.qupath, "write") if "." in step else (exports, step)
    real, calls = getattr(owner, name), []

    def full(path, *rest, **named):
        calls.append(path)
        if len(calls) == 2:  # the second slide
            path.write_bytes(b"half of it")
            raise OSError(28, "No space left on device")
        return real(path, *rest, **named)

    monkeypatch.setattr(owner, name, full)
    answer = post(ada, "export", {"format": format})
    assert answer.status_code == 400
    assert re.search(r"nothing was exported .*labels: No space left on device", answer.json()["error"])
    assert [path for slide in "ab" for path in (results / slide / "labels").glob("*")] == []
    monkeypatch.undo()
    assert len(post(ada, "export", {"format": format}).json()["files"]) == 2


def test_an_import_that_has_no_room_says_so(ada, session, monkeypatch):
    def full(**_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(imports.tempfile, "TemporaryDirectory", full)
    answer = post(ada, "import", "[]", slide="a")
    assert answer.status_code == 400
    assert re.search("no room for it .*No space left on device.*TMPDIR", answer.json()["error"])
    assert session.history.seq == 1


def test_a_folder_of_labels_that_leads_elsewhere_is_not_written_to(ada, session, results, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (results / "b/labels").symlink_to(tmp_path / "elsewhere")
    answer = post(ada, "export")
    assert (answer.status_code, "no folder of its own" in answer.json()["error"]) == (400, True)
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[:-20], "cannot be read as an export"),
        (lambda text: text.replace('"cells_sha256": "', '"cells_sha256": "0'), "of other cells.*segmented again"),
        (
            lambda text: text.replace('"source": "exception"', '"source": "oracle"'),
            "cannot be read.*'oracle' of cell 0",
        ),
        (lambda text: text.replace('"cells_sha256"', '"x"'), "cannot be read as an export.*cells_sha256"),
        (lambda text: text.replace('"cell_id": 7,', '"cell_id": 60,'), "1 of .* cell ids are none"),
        (lambda text: text.replace('"name": "tumour"', '"name": "other"'), "'tumour' of cell 0 has no colour"),
    ],
)
def test_exports_that_cannot_be_meant_are_errors(ada, session, change, message):
    ada.do({"do": "cells", "rows": "0-59", "class": "tumour"})
    path, _ = exports.export_labels(session, "Ada")
    path.write_text(change(path.read_text()))
    with pytest.raises(ClusterfirstError, match=message):
        read(session, path)


def feature(shape, name, colour=None):
    known = {"name": name} | ({"color": colour} if colour else {})
    properties = {"objectType": "annotation", "classification": known}
    return {"type": "Feature", "geometry": shapely.geometry.mapping(shape), "properties": properties}


def test_what_qupath_gets_comes_back_and_changes_only_what_was_changed_there(ada, app, session, results):
    rows = label_everything(ada, app, session)
    before = session.labels_now()[0]
    answer = post(ada, "export", {"format": "qupath"})
    files = [results.parent / name for name in answer.json()["files"]]
    assert [path.parent.parent.name for path in files] == ["a", "b"]
    with gzip.open(files[0]) as file:
        document = json.load(file)
    features = document["features"]
    assert len(features) == 60
    kinds = {json.dumps(one["properties"].get("classification")) for one in features}
    assert kinds >= {"null", '{"name": "tumour", "color": [213, 94, 0]}'}
    same = post(ada, "import", gzip.decompress(files[0].read_bytes()), slide="a").json()
    assert (same["cells"], same["missed"]) == (0, 0)
    assert session.history.entries[-1].action["do"] != "labels"

    mine = [row for row in rows if row < 60][4:6]
    features[mine[0]]["properties"]["classification"] = {"name": "stroma"}
    features[mine[1]]["properties"]["classification"] = {"name": "mitosis", "color": [1, 2, 255]}
    told = post(ada, "import", document, slide="a").json()
    assert told["cells"] == 2
    assert told["message"].startswith("2 cells have a new label.")
    state = ada.state()
    assert state["classes"][-1] == {"name": "mitosis", "colour": "#0102ff"}
    after, words = session.labels_now()
    assert [words[code] for code in after[mine]] == ["stroma", "mitosis"]
    assert np.flatnonzero(after != before).tolist() == mine
    ada.do({"do": "undo"})
    assert (session.labels_now()[0] == before).all(), "one import is one action"


def test_on_a_slide_of_which_a_part_was_scanned_qupath_and_the_app_count_from_its_corner(tmp_path):
    corner, bounds = np.array([100, 60]), (100, 60, 650, 700)
    results = make(tmp_path, slides={"a": 60}, group="cohort", edge=800, picture=False, bounds=bounds)
    workspace = Workspace(open_results(results))
    app = create_app(workspace, Guard("127.0.0.1"))
    ada = Browser(app, "Ada", group="groups/cohort")
    ada.do(CLASSES)
    session = app._app.state.workspace.session("groups/cohort")
    label_everything(ada, app, session)
    before = session.labels_now()[0]
    (name,) = post(ada, "export", {"format": "qupath"}).json()["files"]
    document = json.loads(gzip.decompress((results.parent / name).read_bytes()))
    assert document.pop("clusterfirst:origin") == corner.tolist()
    drawn = np.array([shapely.geometry.shape(one["geometry"]) for one in document["features"]])
    cells = cells_of(session, "a").geometry.to_numpy()
    assert shapely.hausdorff_distance(shapely.transform(drawn, lambda xy: xy + corner), cells).max() < 0.02

    there = "begin at (100, 60) of the slide, where the scanned part of the slide does, as in QuPath."
    same = post(ada, "import", document, slide="a").json()  # QuPath leaves the member out
    assert (same["cells"], same["missed"], same["message"].endswith(there)) == (0, 0, True)
    same = post(ada, "import", gzip.decompress((results.parent / name).read_bytes()), slide="a").json()
    assert (same["cells"], same["missed"], same["message"].endswith(there)) == (0, 0, True)

    whole = {"type": "FeatureCollection", "clusterfirst:origin": [0, 0], "features": [feature(cells[7], "x")]}
    told = post(ada, "import", whole, slide="a").json()
    assert (told["cells"], "begin at (0, 0) of the slide." in told["message"]) == (1, True)
    assert np.flatnonzero(session.labels_now()[0] != before).tolist() == [7]

    right = [feature(cell, "mitosis") for cell in cells[shapely.get_x(shapely.centroid(cells)) > 660]]
    answer = post(ada, "import", right, slide="a")
    assert answer.status_code == 400
    assert "would lie off the scanned part of the slide (x 100 to 750, y 60 to 760)" in answer.json()["error"]
    assert '"clusterfirst:origin": [0, 0]' in answer.json()["error"]
    workspace.close()


def test_points_and_outlines_of_the_second_slide_find_their_cells(ada, session):
    cells = cells_of(session, "b")
    drawn = [
        feature(shapely.Point(cells.x[3], cells.y[3]), "tumour"),
        feature(cells.geometry[5].buffer(0.5), "stroma"),
        feature(shapely.box(1, 1, 3, 3), "stroma"),
    ]
    told = post(ada, "import", drawn, slide="b").json()
    assert (told["cells"], told["same"], told["missed"]) == (2, 0, 1)
    code, words = session.labels_now()
    assert {row: words[code[row]] for row in np.flatnonzero(code > 0).tolist()} == {63: "tumour", 65: "stroma"}
    assert current(session.history).who[63] == "Ada"


def test_a_region_labels_all_cells_in_it_and_the_page_says_how_many(ada, session):
    cells = cells_of(session, "b")
    left, right = (shapely.box(x, -10, x + 400, 810) for x in (0, 400))
    hole = shapely.box(100, 100, 300, 700)
    inside = shapely.contains_xy(left.difference(hole), cells.x, cells.y)
    one = np.flatnonzero(inside)[0]
    drawn = [
        feature(left.difference(hole), "tumour", [1, 2, 255]),
        feature(right, None),
        feature(cells.geometry[one].buffer(0.5), "mitosis"),
    ]
    told = post(ada, "import", drawn, slide="b").json()
    count = int(inside.sum())
    assert (told["cells"], told["same"], told["missed"]) == (count, 0, 0)
    assert told["message"] == (
        f"{count} cells have a new label. 1 region labels {count - 1} cells, 1 outline labels 1 cell. "
        "Regions without a class, or of class Region*, which say nothing: 1."
    )
    assert told["tally"]["by_regions"] == count - 1
    code, words = session.labels_now()
    names = np.array([words[number] if number > 0 else None for number in code[60:]], object)
    assert names[one] == "mitosis"
    assert (names[inside & (np.arange(40) != one)] == "tumour").all()
    assert (names[~inside] == None).all()  # noqa: E711 (element by element)
    assert not (code[:60] > 0).any(), "the other slide has none of it"
    ada.do({"do": "undo"})
    assert not (session.labels_now()[0] > 0).any(), "one import is one action"


def test_regions_that_say_nothing_of_any_cell_are_refused_with_why(ada, session):
    twice = [feature(shapely.box(0, 0, 800, 800), name) for name in ("tumour", "stroma")]
    answer = post(ada, "import", twice, slide="a")
    assert answer.status_code == 400
    assert re.search("none of the 2 classified objects.*overlap there and neither lies in the other: 60", answer.text)
    answer = post(ada, "import", [feature(shapely.box(0, 0, 800, 800), "Region*")], slide="a")
    assert (answer.status_code, "of class Region*, which say nothing: 1" in answer.text) == (400, True)
    assert session.history.seq == 1


def test_an_export_can_be_imported_and_belongs_to_its_slide(ada, session, results):
    ada.do({"do": "cells", "rows": "3-5", "class": "tumour"})
    path, _ = exports.export_labels(session, "Ada")
    ada.do({"do": "undo"})
    assert post(ada, "import", path.read_bytes(), slide="a").json()["cells"] == 3
    answer = post(ada, "import", path.read_bytes(), slide="b")
    assert (answer.status_code, "labels of slide a, not of b" in answer.json()["error"]) == (400, True)


def test_labels_of_cells_that_were_segmented_again_are_found_by_their_places(ada, session, results):
    ada.do({"do": "cells", "rows": "3-5,60", "class": "tumour"})
    path, _ = exports.export_labels(session, "Ada")
    masks = pq.read_table(results / "a/masks.parquet")
    # One cell is not found any more; the others have other ids, and lie a little elsewhere.
    order = list(range(60))[::-1]
    order[order.index(4)] = 0
    moved = masks.take(order)
    shapes = shapely.transform(shapely.from_wkb(moved["geometry"].to_numpy()), lambda points: points + 0.4)
    for name, values in (
        ("cell_id", pa.array(range(60), pa.int64())),
        ("geometry", pa.array(shapely.to_wkb(shapes), pa.binary())),
        ("x", pa.array(moved["x"].to_numpy() + 0.4)),
    ):
        moved = moved.set_column(moved.column_names.index(name), name, values)
    pq.write_table(moved, results / "a/masks.parquet")
    workspace = Workspace(
        open_results(shutil.copytree(results, results.parent / "again", ignore=lambda *_: ["labels"]))
    )
    try:
        browser = Browser(create_app(workspace, Guard("127.0.0.1")), "Ada", group="groups/cohort")
        told = post(browser, "import", path.read_bytes(), slide="a").json()
        assert (told["cells"], told["missed"]) == (2, 1), told
        code, words = workspace.session("groups/cohort").labels_now()
        assert {row: words[code[row]] for row in np.flatnonzero(code > 0).tolist()} == {56: "tumour", 54: "tumour"}
        assert browser.state()["classes"] == CLASSES["classes"][:1]
    finally:
        workspace.close()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[{", "not JSON"),
        (b"\xff\xfe", "UTF-8"),
        (b"[" * 200_000, "nested too deeply|not JSON"),
        (b'{"cells": 5}', "cannot be read as an export"),
        (json.dumps([feature(shapely.box(1, 1, 3, 3), "x")]), "none of the 1 classified objects.*lasso"),
        (json.dumps([feature(shapely.box(1, 1, 3, 3), None)]), "none of 1 has a class"),
        ("[]", "nothing in the file has a class"),
    ],
)
def test_files_that_say_nothing_of_these_cells_are_refused_and_change_nothing(ada, session, content, message):
    answer = post(ada, "import", content, slide="a")
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert re.search(message, error), error
    assert "/" not in error.replace("Polygon or MultiPolygon", ""), "no path of the server is told"
    assert session.history.seq == 1


def test_class_names_that_cannot_be_are_refused(ada, session):
    cell = cells_of(session, "a").geometry[0]
    answer = post(ada, "import", [feature(cell, "x" * 81)], slide="a")
    assert (answer.status_code, "1 to 80 characters" in answer.json()["error"]) == (400, True)


def test_slides_that_are_not_of_the_group_and_people_without_a_name_are_refused(app, ada):
    assert post(ada, "import", "[]", slide="c").status_code == 404
    assert post(ada, "import", "[]").status_code == 400
    assert post(Browser(app, None, group="groups/cohort"), "import", "[]", slide="a").status_code == 403


def test_cells_that_were_segmented_again_meanwhile_are_not_mixed_up(ada, session, results, tmp_path):
    other = make(tmp_path / "other", slides={"a": 60}, edge=800, picture=False, seed=7)
    shutil.copy(other / "a/masks.parquet", results / "a/masks.parquet")
    for what in ({"format": "qupath"}, None):
        answer = post(ada, "export", what) if what else post(ada, "import", "[]", slide="a")
        assert (answer.status_code, "segmented again" in answer.json()["error"]) == (412, True)


def test_geojson_for_qupath_is_read_back_whole_and_is_the_same_twice(tmp_path):
    shapes = shapely.points(np.random.default_rng(0).uniform(10, 90_000, (12_000, 2)))
    cells = shapely.buffer(shapes, 5.123456, quad_segs=2)
    names = np.array(["a b", None, 'ü"'], object)[np.arange(len(cells)) % 3]
    known = {"cell_id": np.arange(len(cells)), "confidence": np.linspace(0, 1, len(cells))}
    table = pa.table({"geometry": shapely.to_wkb(cells), "label": pa.array(names, pa.string()), **known})
    for name, threads in (("one.geojson.gz", 1), ("two.geojson.gz", 2)):
        colours = {"a b": "#ff0080", 'ü"': "#000001"}
        qupath.write(tmp_path / name, table.to_batches(1000), colours, origin=(0, 0), threads=threads)
    assert (tmp_path / "one.geojson.gz").read_bytes() == (tmp_path / "two.geojson.gz").read_bytes()
    with gzip.open(tmp_path / "one.geojson.gz") as file:
        back = geopandas.read_file(file, engine="pyogrio")
    assert len(back) == len(cells)
    assert set(back["objectType"]) == {"detection"}
    assert shapely.hausdorff_distance(back.geometry.to_numpy(), cells).max() < 0.01
    given = defaults.section("given", min_median_um2=0)
    again = foreign.read(tmp_path / "one.geojson.gz", slide_facts(width=100_000, height=100_000), given=given)
    assert again["name"].tolist() == names.tolist()
    assert foreign.class_colours(tmp_path / "one.geojson.gz") == {"a b": "#ff0080", 'ü"': "#000001"}


def test_geojson_of_no_cells_is_geojson(tmp_path):
    qupath.write(tmp_path / "none.geojson.gz", [], {}, origin=(0, 0))
    with gzip.open(tmp_path / "none.geojson.gz") as file:
        assert json.load(file) == {"type": "FeatureCollection", "features": []}
