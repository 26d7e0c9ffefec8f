"""Blind evaluation: which cells are labelled, what is kept of it, what it is compared with, and that nothing leaks."""

import json
import shutil
import threading
import uuid

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from clusterfirst.evaluation import clusters, hungarian, truth
from clusterfirst.io import ClusterfirstError, read_json
from clusterfirst.labelling.blind import scores, tiles
from clusterfirst.labelling.blind import truth as truth_files
from clusterfirst.labelling.blind.sampling import deal
from clusterfirst.labelling.cells.group import load_group
from clusterfirst.labelling.cells.results import open_results
from clusterfirst.labelling.record import journal
from clusterfirst.labelling.record.journal import Ended
from clusterfirst.labelling.record.ranges import decode, encode
from clusterfirst.labelling.server.app import create_app
from clusterfirst.labelling.server.security import Guard
from clusterfirst.labelling.server.workspace import Workspace
from clusterfirst.outlines.objects import read_objects
from clusterfirst.slide.facts import SlideFacts

from .. import defaults
from ..labelling_results import again, make
from ..made import slide_facts

GIVEN = defaults.section("given")

SIZE = 100


# ---- sampling


@given(
    cells=st.lists(st.lists(st.integers(0, 300), max_size=12), min_size=1, max_size=6),
    size=st.integers(1, 400),
    seed=st.integers(0, 5),
)
def test_batches_are_a_partition_of_the_tiles_with_cells(cells, size, seed):
    cells = [np.array(own, int) for own in cells]
    batches = deal(cells, size=size, seed=seed)
    dealt = [tile for batch in batches for tile in batch]
    assert sorted(dealt) == [(s, t) for s, own in enumerate(cells) for t in range(len(own)) if own[t]]
    assert all(batches)
    assert batches == deal(cells, size=size, seed=seed)
    sums = [sum(cells[s][t] for s, t in batch) for batch in batches]
    # neither one tile less nor, of those that are followed by others, one tile more would be closer
    for batch, total, after in zip(batches, sums, [*batches, None][1:], strict=True):
        last = cells[batch[-1][0]][batch[-1][1]]
        assert len(batch) == 1 or abs(total - size) < abs(total - last - size)
        if after:
            assert abs(total + cells[after[0][0]][after[0][1]] - size) >= abs(total - size)


def test_slides_give_as_many_cells_however_large_they_are():
    rng = np.random.default_rng(1)
    cells = [rng.integers(1, 30, tiles) for tiles in (400, 40, 80)]
    given_ = np.zeros(3)
    for batch in deal(cells, size=150, seed=3):
        for slide, tile in batch:
            given_[slide] += cells[slide][tile]
        if given_.sum() > 1200:
            break
        assert np.ptp(given_) <= 30  # one tile apart at most


def test_another_seed_deals_otherwise():
    cells = [np.full(50, 10), np.full(50, 10)]
    assert deal(cells, size=100, seed=0) != deal(cells, size=100, seed=1)


# ---- scores


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make(tmp_path_factory.mktemp("blind"), slides={"a": 500, "b": 300}, group="both", edge=1500, noise=0.0)


@pytest.fixture
def results(made, tmp_path):
    shutil.copytree(made.parent, tmp_path, dirs_exist_ok=True)
    return tmp_path / "results"


@pytest.fixture(scope="module")
def cells(made):
    group = load_group(open_results(made).groups["groups/both"])
    return group, tiles.read(group, made.resolve())


def words(codes):
    return np.array([None if code < 0 else f"class {code}" for code in codes], object)


def test_labels_that_are_the_clusters_are_right_and_chance_is_the_baseline(cells):
    group, of = cells
    told = scores.score(group, of, words(scores.cluster_id(group)))
    assert told["cells"] == len(group)
    assert told["slides"] == 2
    assert told["agreement"]["value"] == 1.0
    assert told["agreement"]["shuffled"] < 0.7
    by_chance = pytest.approx(told["majority"], abs=0.02)
    assert told["efficiency"][-1] == {"names": None, "value": 1.0, "shuffled": by_chance}
    assert np.array(told["confusion"]["tile"]).trace() == len(group)
    sizes = np.bincount(scores.cluster_id(group))
    assert told["majority"] == sizes.max() / len(group)
    assert told["majority_class"] == f"class {sizes.argmax()}"


def test_labels_dealt_at_random_are_at_the_baseline(cells):
    group, of = cells
    told = scores.score(group, of, words(np.random.default_rng(0).permutation(scores.cluster_id(group))))
    assert told["agreement"]["value"] == pytest.approx(told["agreement"]["shuffled"], abs=0.03)
    assert told["agreement"]["value"] < 0.7


def test_figures_are_those_of_the_workflow(results, tmp_path):
    """`snakemake evaluate` counts the file that is written here, and finds the same."""
    results = make(tmp_path / "alone", slides={"a": 300}, edge=1500)
    group = load_group(open_results(results).groups["a"])
    of = tiles.read(group, results.resolve())
    name = words(np.random.default_rng(2).integers(-1, 3, len(group)))
    told = scores.score(group, of, name)
    table = read_json(results / "a" / "clusters.json")
    where = json.loads(json.dumps({"cells": [{"cell_id": i, "class": n} for i, n in enumerate(name)]}))
    (tmp_path / "truth.json").write_text(json.dumps(where), encoding="utf-8")
    objects = read_objects(results / "a" / "masks.parquet")
    facts = SlideFacts.of(results / "a" / "masks.parquet")
    said = truth.read(tmp_path / "truth.json", objects["geometry"].to_numpy(), facts, given=GIVEN)
    counts = clusters.count(np.array(table["cells"]["cluster_id"]), said, objects["tile_id"].to_numpy())
    assert told["cells"] == counts.tiles.judged
    assert told["agreement"]["value"] == counts.tiles.clusters / counts.tiles.judged
    assert told["agreement"]["one_cluster"] == counts.tiles.one_cluster / counts.tiles.judged


def test_cells_are_called_right_as_often_as_the_assignment_counts():
    rng = np.random.default_rng(5)
    for _ in range(20):
        cluster, label, tile = (rng.integers(low, high, 200) for low, high in ((-1, 7), (0, 4), (0, 9)))
        called = hungarian.called(cluster, label, tile)
        assert (called == label).sum() == hungarian.per_tile(cluster, label, tile, seed=0).clusters
        assert (called[cluster == -1] == -1).all()


def test_kappa_of_two_people():
    one = np.array(["x"] * 25 + ["y"] * 25 + [None], object)
    other = np.array(["x"] * 20 + ["y"] * 5 + ["x"] * 10 + ["y"] * 15 + ["x"], object)
    # 35 of 50 alike; by chance 0.5 · 0.6 + 0.5 · 0.4 = 0.5
    assert scores.agreement(one, other) == {"cells": 50, "same": 35, "kappa": pytest.approx(0.4)}
    assert scores.agreement(one[:5], one[:5])["kappa"] is None


# ---- over HTTP


class Person:
    """Somebody who labels blind."""

    def __init__(self, app, who: str | None, group: str = "groups/both"):
        self.http = TestClient(app, base_url="http://localhost:8765")
        self.http.headers["X-Clusterfirst"] = "1"
        assert self.http.get("/", params={"token": app.token}).status_code == 200
        self.url = f"/api/groups/{group.replace('/', '%2F')}/blind"
        self.sample = {"cells": SIZE, "seed": 0}
        if who:
            self.http.post("/api/who", json={"who": who})

    def get(self, what: str = "", **query):
        return self.http.get(self.url + what, params=self.sample | query)

    def batch(self, number: int = 0) -> dict:
        return self.get(f"/{number}").json()

    def ask(self, action: dict, number: int = 0, *, id: str | None = None, study: str | None = None):
        study = study or self.get().json()["study"]
        asked = {"id": id or str(uuid.uuid4()), "study": study, "action": action, **self.sample}
        return self.http.post(f"{self.url}/{number}", json=asked)

    def do(self, action: dict, number: int = 0, **how) -> dict:
        answer = self.ask(action, number, **how)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def rows(self, number: int = 0) -> np.ndarray:
        return np.sort([cell["row"] for tile in self.batch(number)["tiles"] for cell in tile["cells"]])

    def label_all(self, number: int, word_of) -> None:
        rows = self.rows(number)
        said = np.array([word_of(row) for row in rows])
        for word in np.unique(said):
            self.do({"do": "label", "rows": encode(rows[said == word]), "class": str(word)}, number)


@pytest.fixture
def start(results):
    """Start a server on the results; the one before it ends as if it were killed."""
    workspaces = []

    def begin():
        if workspaces:
            for session in workspaces[-1]._sessions.values():
                session._held.release()
        workspaces.append(Workspace(open_results(results)))
        return create_app(workspaces[-1], Guard("127.0.0.1"))

    yield begin
    workspaces[-1].close()


def keys_and_words(document) -> set[str]:
    if isinstance(document, dict):
        return set(document) | set().union(*map(keys_and_words, document.values()))
    if isinstance(document, list):
        return set().union(*map(keys_and_words, document))
    return {document} if isinstance(document, str) else set()


def test_nothing_is_told_of_clusters_before_a_batch_is_finished(start, results):
    ada, ben = Person(app := start(), "Ada"), Person(app, "Ben")
    session = app._app.state.workspace.session("groups/both")
    # somebody has named clusters already, and somebody else has finished this batch
    named = {"do": "classes", "classes": [{"name": "tumour", "colour": "#010203"}]}
    session.act("Cy", str(uuid.uuid4()), named, base=0)
    session.act("Cy", str(uuid.uuid4()), {"do": "name", "leaves": [0], "class": "tumour"}, base=1)
    ben.label_all(0, lambda row: "tumour")
    ben.do({"do": "finish"})
    said = [ada.get().json(), ada.batch(), ada.do({"do": "label", "rows": str(ada.rows()[0]), "class": "tumour"})]
    before = [ada.batch(number)["tiles"] for number in range(3)]
    allowed = {"study", "sample", "cells", "seed", "tiles", "begun", "batches", "number", "slides", "answered"}
    allowed |= {"finished", "others", "slide", "x", "y", "width", "height", "row", "ring", "classes", "labels"}
    allowed |= {"can_undo", "can_redo", "name", "colour", "0", "tumour", "#010203", "a", "b", said[0]["study"]}
    allowed |= {encode(ada.rows()[:1])}
    assert keys_and_words(said) <= allowed
    text = json.dumps(said)
    document = read_json(results / "groups/both/clusters.json")
    assert not any(entry["colour"] in text for entry in document["clusters"])
    for query in ({"batch": 0}, {}):
        refused = ada.get("/score", **query)
        assert refused.status_code == 409
        assert set(refused.json()) == {"error"}

    # the same cells in other clusters: cells and their order are the same
    again(results, "groups/both", seed=9)
    ada = Person(start(), "Ada")
    assert [ada.batch(number)["tiles"] for number in range(3)] == before


def test_a_batch_is_labelled_undone_and_finished(start):
    ada = Person(start(), "Ada")
    told = ada.get().json()
    assert sum(one["cells"] for one in told["batches"]) == told["cells"] == 800
    assert all(one["slides"] == 2 for one in told["batches"][:3])
    rows = ada.rows()
    batch = ada.batch()
    assert len(rows) == told["batches"][0]["cells"]
    assert {tile["slide"] for tile in batch["tiles"]} == {"a", "b"}
    ring = np.array(batch["tiles"][0]["cells"][0]["ring"]).reshape(-1, 2)
    corner = np.array([batch["tiles"][0]["x"], batch["tiles"][0]["y"]])
    assert ((ring.mean(axis=0) >= corner) & (ring.mean(axis=0) <= corner + 500)).all()

    first = encode(rows[:3])
    assert ada.do({"do": "label", "rows": first, "class": "tumour"})["labels"] == {"0": first}
    assert ada.do({"do": "label", "rows": str(rows[1]), "class": ""})["labels"]["-1"] == str(rows[1])
    assert ada.do({"do": "undo"})["labels"] == {"0": first}
    assert ada.do({"do": "redo"})["labels"]["-1"] == str(rows[1])
    assert ada.do({"do": "label", "rows": str(rows[1]), "class": None})["labels"] == {"0": encode(rows[[0, 2]])}
    left = ada.ask({"do": "finish"})
    assert left.status_code == 400
    assert f"{len(rows) - 2} cells" in left.json()["error"]

    added = ada.do({"do": "class", "name": "mast cell", "colour": "#AABBCC"})["classes"]
    assert added[-1] == {"name": "mast cell", "colour": "#aabbcc"}
    ada.do({"do": "label", "rows": encode(rows), "class": "mast cell"})
    assert ada.get().json()["batches"][0] | {"answered": 0} == told["batches"][0]
    assert ada.do({"do": "finish"})["finished"]
    for late in ({"do": "label", "rows": first, "class": "tumour"}, {"do": "undo"}):
        assert "stays as it is" in ada.ask(late).json()["error"]


def test_what_was_answered_outlasts_the_server_and_the_clusters(start, results):
    ada = Person(start(), "Ada")
    ada.label_all(2, lambda row: "stroma" if row % 2 else "tumour")
    ada.do({"do": "undo"}, 2)
    before = ada.batch(2)
    again(results, "groups/both", seed=4)
    ada = Person(start(), "Ada")
    assert ada.batch(2) == before
    assert ada.get().json()["begun"] == [{"cells": SIZE, "seed": 0}]
    ada.do({"do": "redo"}, 2)
    files = [*(results / "groups/both/labels").glob("blind-*-ada-*.jsonl")]
    assert len(files) == 1
    assert [entry.action["do"] for entry in journal.read(files[0])[1]] == ["label", "label", "undo", "redo"]


def test_a_request_sent_twice_is_done_once(start):
    ada, id = Person(start(), "Ada"), str(uuid.uuid4())
    rows = ada.rows()
    ada.do({"do": "label", "rows": str(rows[0]), "class": "tumour"})
    ada.do({"do": "label", "rows": str(rows[1]), "class": "tumour"}, id=id)
    assert ada.do({"do": "label", "rows": str(rows[1]), "class": "tumour"}, id=id)["can_undo"]
    ada.do({"do": "undo"})
    assert ada.batch()["labels"] == {"0": str(rows[0])}


@pytest.mark.parametrize(
    "action",
    [
        {"do": "label", "rows": "0-99999999", "class": "tumour"},
        {"do": "label", "rows": "", "class": "tumour"},
        {"do": "label", "rows": "x", "class": "tumour"},
        {"do": "label", "rows": "0", "class": "no such class"},
        {"do": "undo"},
        {"do": "redo"},
        {"do": "class", "name": " ", "colour": "#aabbcc"},
        {"do": "class", "name": "tumour", "colour": "#aabbcc"},
        {"do": "class", "name": "new", "colour": "red"},
        {"do": "score"},
        {},
    ],
)
def test_actions_without_sense_are_refused_and_leave_no_trace(start, results, action):
    answer = Person(start(), "Ada").ask(action)
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert not [*(results / "groups/both/labels").glob("blind-*")]


def test_nobody_labels_without_a_name_or_for_other_cells(start):
    app = start()
    assert Person(app, None).ask({"do": "undo"}).status_code == 403
    assert Person(app, "Ada").ask({"do": "undo"}, study="0" * 12).status_code == 412
    for sample in ({"cells": 0}, {"cells": 10**9}, {"seed": -1}):
        assert Person(app, "Ada").get(**sample).status_code == 400
    assert Person(app, "Ada").get("/999").status_code == 400


def test_two_people_are_compared_and_files_are_written_for_the_workflow(start, results):
    ada, ben = Person(app := start(), "Ada"), Person(app, "Ben Ö.")
    group = app._app.state.workspace.session("groups/both").group
    cluster = scores.cluster_id(group)
    names = ["tumour", "lymphocyte", "stroma", "epithelium"]
    for number in (0, 1):
        ada.label_all(number, lambda row: names[cluster[row]])
        ada.do({"do": "finish"}, number)
    rows = ada.rows()
    ben.label_all(0, lambda row: "" if row == rows[0] else "stroma" if row == rows[1] else names[cluster[row]])
    assert ada.get("/score", batch=0).json()["others"] == []  # not before Ben has finished
    ben.do({"do": "finish"})

    told = ada.get("/score", batch=0).json()
    assert told["agreement"]["value"] == 1.0
    assert told["untold"] == 0
    assert told["batches"] == [0]
    other = told["others"][0]
    changed = int(cluster[rows[1]] != 2)
    assert (other["who"], other["cells"], other["same"]) == ("Ben Ö.", len(rows) - 1, len(rows) - 1 - changed)
    assert other["kappa"] == 1.0 if not changed else 0 < other["kappa"] < 1
    marked = [cell for tile in told["tiles"] for cell in tile["cells"]]
    assert all(cell["label"] == cell["called"] >= 0 for cell in marked)
    assert ada.get("/score").json()["batches"] == [0, 1]
    assert ben.get("/score", batch=0).json()["untold"] == 1

    files = ada.http.post(f"{ada.url}/truth", json=ada.sample).json()["files"]
    assert [name.split("/")[:3] for name in files] == [["results", "a", "labels"], ["results", "b", "labels"]]
    said = {}
    for place, name in enumerate(files):
        objects = read_objects(results / name.split("/")[1] / "masks.parquet")
        cells = objects["geometry"].to_numpy()
        found = truth.read(results.parent / name, cells, slide_facts(width=1500, height=1500), given=GIVEN)
        assert found.kind == "labels"
        start_row = group.info.starts[place]
        said |= {start_row + row: word for row, word in enumerate(found.name) if word is not None}
    expected = {int(row): names[cluster[row]] for number in (0, 1) for row in ada.rows(number)}
    assert said == expected
    assert "finish a batch" in Person(app, "Cy").http.post(f"{ada.url}/truth", json=ada.sample).json()["error"].lower()


def test_names_given_in_the_app_are_compared_too(start):
    ada = Person(app := start(), "Ada")
    session = app._app.state.workspace.session("groups/both")
    offered = {"do": "classes", "classes": [{"name": "tumour", "colour": "#d55e00"}]}
    session.act("Ada", str(uuid.uuid4()), offered, base=0)
    session.act("Ada", str(uuid.uuid4()), {"do": "name", "leaves": [0], "class": "tumour"}, base=1)
    ada.label_all(0, lambda row: "tumour")
    ada.do({"do": "finish"})
    rows = ada.rows()
    named = int((session.group.leaves.of_cell[rows] == 0).sum())
    assert ada.get("/score", batch=0).json()["named"] == {"cells": len(rows), "named": named, "right": named}


def test_tiles_that_do_not_belong_to_the_cells_are_an_error(results, start):
    (results / "a" / "filtered.parquet").unlink()
    answer = Person(start(), "Ada").get()
    assert answer.status_code == 400
    assert "filtered.parquet" in answer.json()["error"]


def test_a_damaged_journal_is_an_error_that_says_where(results, start):
    ada = Person(start(), "Ada")
    ada.do({"do": "label", "rows": str(ada.rows()[0]), "class": "tumour"})
    path = next((results / "groups/both/labels").glob("blind-*"))
    path.write_bytes(path.read_bytes().replace(b"tumour", b"stroma"))
    told = Person(start(), "Ada").get().json()["error"]
    assert f"{path.name}, line 2" in told


def test_rows_of_a_batch_only():
    from clusterfirst.labelling.blind.answers import places

    rows = np.array([3, 4, 9])
    assert places("3,9", rows).tolist() == [0, 2]
    with pytest.raises(ClusterfirstError, match="not in this batch"):
        places("3-5", rows)
    assert decode("3,9", 10).tolist() == [3, 9]


def test_nobody_waits_while_outlines_are_read_for_another(start):
    ada, ben = Person(app := start(), "Ada"), Person(app, "Ben")
    ada.label_all(0, lambda row: "tumour")
    ada.do({"do": "finish"})
    rows = ben.rows()
    shelf, asked, go = app._app.state.workspace.outlines, threading.Event(), threading.Event()
    real = shelf.of

    def slow(slide):
        asked.set()
        assert go.wait(20)
        return real(slide)

    shelf.of = slow
    for url in ("/0", "/score"):
        asked.clear()
        go.clear()
        answers = []
        reading = threading.Thread(target=lambda url=url, answers=answers: answers.append(ada.get(url)))
        reading.start()
        assert asked.wait(10)
        acting = threading.Thread(target=ben.do, args=({"do": "label", "rows": str(rows[0]), "class": "stroma"},))
        acting.start()
        acting.join(5)
        waited = acting.is_alive()
        go.set()
        reading.join()
        acting.join()
        assert not waited, url
        assert answers[0].status_code == 200


def test_after_the_end_no_answer_is_taken(start, results):
    ada = Person(app := start(), "Ada")
    row = str(ada.rows()[0])
    ada.do({"do": "label", "rows": row, "class": "tumour"})
    workspace, (path,) = app._app.state.workspace, (results / "groups/both/labels").glob("blind-*")
    study, before = workspace.study("groups/both"), path.read_bytes()
    workspace.close()
    for who in ("Ada", "Ben"):
        with pytest.raises(Ended):
            study.act(who, str(uuid.uuid4()), study.cells[:12], (SIZE, 0, 0), {"do": "label", "rows": row, "class": ""})
    assert [*(results / "groups/both/labels").glob("blind-*")] == [path]
    assert path.read_bytes() == before


def test_answers_of_a_group_are_written_whole_or_not_at_all(start, results, monkeypatch):
    ada = Person(start(), "Ada")
    ada.label_all(0, lambda row: "tumour")
    ada.do({"do": "finish"})
    real, calls = truth_files.write_json, []

    def full(document, path):
        calls.append(path)
        if len(calls) == 2:  # the second slide
            raise OSError(28, "No space left on device")
        real(document, path)

    monkeypatch.setattr(truth_files, "write_json", full)
    answer = ada.http.post(f"{ada.url}/truth", json=ada.sample)
    assert (answer.status_code, "no answers were written" in answer.json()["error"]) == (400, True)
    assert len(calls) == 2
    assert [path for slide in "ab" for path in (results / slide / "labels/blind").glob("*")] == []
