"""The labelling app over HTTP: what people do, two at a time, across restarts and new clusterings."""

import asyncio
import contextlib
import json
import shutil
import threading
import time
import uuid

import numpy as np
import pytest
from starlette.requests import Request
from starlette.testclient import TestClient

from clusterfirst.clustering.numbering import fingerprint
from clusterfirst.io import read_json, write_json
from clusterfirst.labelling.cells.results import open_results
from clusterfirst.labelling.record.journal import Ended, Held
from clusterfirst.labelling.record.ranges import decode
from clusterfirst.labelling.server.app import create_app
from clusterfirst.labelling.server.events import stream
from clusterfirst.labelling.server.pages import STATIC
from clusterfirst.labelling.server.security import Guard
from clusterfirst.labelling.server.session import Session
from clusterfirst.labelling.server.workspace import Workspace

from ..labelling_results import again, make

CLASSES = {
    "do": "classes",
    "classes": [{"name": "tumour", "colour": "#d55e00"}, {"name": "stroma", "colour": "#009e73"}],
}


class Browser:
    """One person's."""

    def __init__(self, app, who: str | None, group: str = "a"):
        self.http = TestClient(app, base_url="http://localhost:8765")
        self.http.headers["X-Clusterfirst"] = "1"
        assert self.http.get("/", params={"token": app.token}).status_code == 200
        self.url, self.base = f"/api/groups/{group.replace('/', '%2F')}", 0
        if who:
            assert self.http.post("/api/who", json={"who": who}).json() == {"who": who}

    def get(self, what: str, **query):
        return self.http.get(f"{self.url}/{what}", params=query)

    def state(self) -> dict:
        told = self.get("state").json()
        self.base = told["seq"]
        return told

    def ask(self, action: dict, *, id: str | None = None, base: int | None = None, overrules: int = 0):
        asked = {
            "base": self.base if base is None else base,
            "id": id or str(uuid.uuid4()),
            "action": action,
            "overrules": overrules,
        }
        return self.http.post(f"{self.url}/actions", json=asked)

    def do(self, action: dict, **how) -> dict:
        answer = self.ask(action, **how)
        assert answer.status_code == 200, answer.text
        self.base = answer.json()["seq"]
        return answer.json()["state"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make(tmp_path_factory.mktemp("one"), slides={"a": 400}, edge=1600)


@pytest.fixture
def results(made, tmp_path):
    shutil.copytree(made.parent, tmp_path, dirs_exist_ok=True)
    return tmp_path / "results"


@pytest.fixture
def start(results):
    """Start a server on the results; the one before it ends without a word, as if it were killed."""
    workspaces = []

    def begin(**options):
        if workspaces:
            # What the system does with a process that is killed: locks and files go, nothing else is done.
            for session in workspaces[-1]._sessions.values():
                session._held.release()
        workspaces.append(Workspace(open_results(results), **options))
        return create_app(workspaces[-1], Guard("127.0.0.1"))

    yield begin
    workspaces[-1].close()


def labels(state: dict, browser: Browser) -> dict[int, str]:
    """The label of every cell, put together as a browser does."""
    data = browser.get("cells.bin").content
    told = {entry["name"]: entry for entry in json.loads(data[: data.index(b"\n")])["arrays"]}
    leaf = np.frombuffer(data, told["leaf"]["dtype"], told["leaf"]["length"], told["leaf"]["offset"])
    name = {
        number: entry["names"][place] if entry["mixed"] else entry["name"]
        for entry in state["clusters"]
        for place, number in enumerate(entry["leaves"])
    }
    found = {row: name.get(number) for row, number in enumerate(leaf.tolist())}
    for number, rows in state["exceptions"].items():
        word = None if number == "-1" else state["classes"][int(number)]["name"]
        found |= dict.fromkeys(decode(rows, len(leaf)).tolist(), word)
    return {row: word for row, word in found.items() if word}


def test_the_page_and_the_project(start):
    ada = Browser(start(), None)
    told = ada.http.get("/api/project").json()
    assert told["who"] is None
    assert [(group["id"], group["cells"], group["clusters"]) for group in told["groups"]] == [("a", 400, 4)]
    assert told["groups"][0]["slides"] == [
        {"id": "a", "width": 1600, "height": 1600, "mpp": 0.5, "start": 0, "cells": 400}
    ]
    for name in ("docs", "redoc", "openapi.json", "static/", "static", "results", "api/groups/b/state", "api/slides/b"):
        answer = ada.http.get(f"/{name}", follow_redirects=False)
        assert answer.status_code in (404, 307), name
        assert "error" in answer.json() if answer.status_code == 404 else True


def test_files_of_the_page_are_served(start, monkeypatch, tmp_path):
    ada = Browser(start(), None)
    folder = tmp_path / "static"
    (folder / "viewer").mkdir(parents=True)
    (folder / "index.html").write_text("<p>cells</p>")
    (folder / "viewer/tiles.js").write_text("export {}")
    (folder / "viewer/notes.py").write_text("secret")
    monkeypatch.setattr("clusterfirst.labelling.server.pages.STATIC", folder)
    assert ada.http.get("/").text == "<p>cells</p>"
    assert ada.http.get("/static/viewer/tiles.js").headers["content-type"].startswith("text/javascript")
    for name in ("viewer/notes.py", "viewer", "viewer/", "viewer//tiles.js", "tiles.js", "viewer/%2e%2e/index.html"):
        assert ada.http.get(f"/static/{name}").status_code == 404, name
    assert STATIC.is_dir()


def test_cells_are_kept_by_browsers_until_clustered_anew(start):
    ada = Browser(start(), None)
    first = ada.get("cells.bin", v="x")
    assert "immutable" in first.headers["cache-control"]
    answer = ada.http.get(f"{ada.url}/cells.bin", headers={"If-None-Match": first.headers["etag"]})
    assert (answer.status_code, answer.content) == (304, b"")
    assert first.headers["etag"] == f'"{ada.state()["fingerprint"]}"'


def test_pictures_and_outlines(start):
    ada = Browser(start(), None)
    facts = ada.http.get("/api/slides/a").json()
    assert (facts["levels"], facts["tile"], facts["block"], facts["problem"]) == (3, 512, 1024, None)
    for url in ("slides/a/tiles/0/0_0.jpg", "groups/a/crops/399.jpg?um=40"):
        answer = ada.http.get(f"/api/{url}")
        assert (answer.headers["content-type"], answer.content[:2]) == ("image/jpeg", b"\xff\xd8")
    assert len(ada.http.get("/api/slides/a/outlines/0_0.bin").content) > 1000
    assert ada.http.get("/api/slides/a/outlines/9_9.bin").content == bytes(4)
    for url in ("slides/a/tiles/0/1_0.jpg", "groups/a/crops/400.jpg", "slides/b/tiles/0/0_0.jpg"):
        assert ada.http.get(f"/api/{url}").status_code == 404, url
    assert ada.http.get("/api/groups/a/crops/1.jpg?um=0").status_code == 400


def test_pictures_by_row_are_kept_by_browsers_for_these_cells_only(start, results):
    ada = Browser(start(), None)
    for url in ("groups/a/crops/3.jpg", "slides/a/outlines/0_0.bin"):
        assert ada.http.get(f"/api/{url}").headers["cache-control"] == "no-cache"
        assert "max-age" in ada.http.get(f"/api/{url}?v=0123").headers["cache-control"]
    shutil.rmtree(results.parent / "slides")
    blank = Browser(start(), None).http.get("/api/groups/a/crops/3.jpg?v=0123")
    assert (blank.status_code, blank.headers["cache-control"]) == (200, "no-store"), "the slide may come back"


def test_naming_a_cluster_names_its_cells_and_is_told_in_what_changed(start):
    ada = Browser(start(), "Ada")
    before = ada.state()
    assert before["classes"] == []
    ada.do(CLASSES)
    largest = before["clusters"][0]
    changed = ada.do({"do": "name", "leaves": largest["leaves"], "class": "tumour"})
    assert set(changed) == {"seq", "clusters", "progress", "can_undo", "can_redo", "holders"}
    assert changed["clusters"][0]["name"] == "tumour"
    assert changed["progress"]["labelled"] == largest["size"]
    assert changed["progress"]["clusters_named"] == 1
    state = ada.state()
    assert len(labels(state, ada)) == largest["size"]
    assert state["clusters"][0]["name"] == "tumour"
    assert state["noise"]["size"] + sum(entry["size"] for entry in state["clusters"]) == 400


def test_exceptions_opening_merging_undoing(start):
    ada = Browser(start(), "Ada")
    clusters = ada.state()["clusters"]
    assert [(entry["number"], entry["title"]) for entry in clusters] == [(0, "0"), (1, "1"), (2, "2"), (3, "3")]
    ada.do(CLASSES)
    ada.do({"do": "name", "leaves": clusters[0]["leaves"], "class": "tumour"})
    ada.do({"do": "cells", "rows": "0-9", "class": "stroma"})
    ada.do({"do": "cells", "rows": "5", "class": ""})
    state = ada.state()
    assert state["exceptions"] == {"1": "0-4,6-9", "-1": "5"}
    told = labels(state, ada)
    assert state["progress"]["labelled"] == len(told)
    assert [told.get(row) for row in (4, 5, 6)] == ["stroma", None, "stroma"]
    opened = ada.do({"do": "open", "cluster": clusters[0]["key"]})["clusters"]
    assert len(opened) == len(clusters) + 1
    assert len({entry["colour"] for entry in opened}) == len(opened)
    keys = [entry["key"] for entry in opened if set(entry["leaves"]) <= set(clusters[0]["leaves"])]
    assert [entry["name"] for entry in opened if entry["key"] in keys] == ["tumour", "tumour"]
    assert {(entry["number"], entry["title"]) for entry in opened if entry["key"] in keys} == {
        (None, "0a"),
        (None, "0b"),
    }
    merged = ada.do({"do": "merge", "clusters": keys})["clusters"]
    assert merged == ada.get("state").json()["clusters"]
    assert [entry["leaves"] for entry in merged] == [entry["leaves"] for entry in clusters]
    for _ in range(6):
        assert ada.ask({"do": "undo"}).status_code == 200
    assert ada.ask({"do": "undo"}).json() == {"error": "there is nothing of yours to undo"}
    state = ada.state()
    assert (state["classes"], state["exceptions"], labels(state, ada)) == ([], {}, {})
    assert state["clusters"] == clusters
    assert (state["can_undo"], state["can_redo"]) == (False, True)


def test_everything_is_there_after_the_server_was_killed(start, results):
    ada = Browser(start(), "Ada")
    clusters = ada.state()["clusters"]
    ada.do(CLASSES)
    ada.do({"do": "name", "leaves": clusters[1]["leaves"], "class": "stroma"})
    ada.do({"do": "open", "cluster": clusters[0]["key"]})
    ada.do({"do": "undo"})
    before = ada.state()
    after = Browser(start(), "Ada").state()
    assert after == before
    assert after["can_redo"]


def test_looking_only_writes_nothing(start, results):
    Browser(start(), "Ada").state()
    assert [path.name for path in (results / "a/labels").iterdir()] == [".lock"]


def test_a_request_sent_twice_is_done_once_also_after_a_restart(start):
    ada = Browser(start(), "Ada")
    first = ada.ask(CLASSES, id="one-request")
    assert ada.ask(CLASSES, id="one-request").json() == first.json()
    ada = Browser(start(), "Ada")
    again = ada.ask(CLASSES, id="one-request").json()
    assert again["seq"] == 1
    assert again["state"]["classes"] == CLASSES["classes"]
    assert ada.state()["seq"] == 1


def test_two_people_conflicts_are_told_and_nothing_is_overwritten(start):
    app = start()
    ada, grace = Browser(app, "Ada"), Browser(app, "Grace")
    clusters = ada.state()["clusters"]
    ada.do(CLASSES)
    grace.state()
    ada.do({"do": "name", "leaves": clusters[0]["leaves"], "class": "tumour"})
    hers = {"do": "name", "leaves": clusters[0]["leaves"], "class": "stroma"}
    refused = grace.ask(hers)
    assert refused.status_code == 409
    conflict = refused.json()["conflict"]
    assert (conflict["who"], conflict["action"]["class"]) == ("Ada", "tumour")
    assert conflict["said"] == f"named cluster 0 ({clusters[0]['size']} cells) tumour"
    assert refused.json()["error"].startswith(f"Ada {conflict['said']} meanwhile: look at it")
    assert conflict["time"].endswith("Z")
    assert ada.state()["clusters"][0]["name"] == "tumour"
    other = grace.do({"do": "name", "leaves": clusters[1]["leaves"], "class": "stroma"})
    assert other["clusters"][0]["name"] == "tumour", "who was behind is told what others did"
    ada.do({"do": "name", "leaves": clusters[0]["leaves"], "class": None})
    newer = grace.ask(hers, base=1, overrules=conflict["seq"])
    assert newer.status_code == 409, "what came after the conflict that was shown is not overruled"
    conflict = newer.json()["conflict"]
    assert conflict["action"]["class"] is None
    assert grace.ask(hers, base=1, overrules=conflict["seq"]).status_code == 200
    assert ada.state()["clusters"][0]["name"] == "stroma"
    ada.do({"do": "undo"})
    assert [entry["name"] for entry in ada.state()["clusters"][:2]] == ["stroma", "stroma"], "undo is one's own"


def test_many_at_once_are_one_after_the_other(start):
    app = start()
    Browser(app, "Ada").do(CLASSES)
    answers = []

    def work(who: str) -> None:
        browser = Browser(app, who)
        action = {"do": "cells", "rows": "3", "class": "stroma"}
        answers.extend(browser.ask(action, overrules=10**6).json()["seq"] for _ in range(10))

    threads = [threading.Thread(target=work, args=(f"person {number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == list(range(2, 42))


def test_the_review_queue_brings_the_least_sure_and_some_at_random(start):
    ada = Browser(start(), "Ada")
    largest = ada.state()["clusters"][0]
    ada.do(CLASSES)
    ada.do({"do": "name", "leaves": largest["leaves"], "class": "tumour"})
    confidence = np.array(read_json(ada_results(ada) / "a/clusters.json")["cells"]["confidence"])
    seen: set[int] = set()
    while (queue := ada.get("review", cluster=largest["key"], count=24).json())["rows"]:
        rows = queue["rows"]
        assert queue["left"] == largest["size"] - len(seen)
        assert not seen & set(rows)
        assert (np.diff(confidence[rows]) >= 0).all()
        if not seen:
            own = [row for row, name in labels(ada.state(), ada).items() if name]
            assert len(set(rows) & set(sorted(own, key=lambda row: confidence[row])[:18])) >= 18
        ada.do({"do": "confirm", "rows": ",".join(map(str, sorted(rows)))})
        seen |= set(rows)
    assert len(seen) == largest["size"]
    progress = ada.state()["progress"]
    assert (progress["reviewed"], progress["right"]) == (len(seen), len(seen))
    assert progress["estimated_efficiency"] == pytest.approx(len(seen) / 400, abs=1e-4)
    assert progress["estimate"]["cells"] == len(seen)
    assert ada.get("review", cluster=9999).status_code == 400


def ada_results(browser: Browser):
    return browser.http.app._app.state.workspace.results.folder


def test_labels_of_an_older_clustering_are_kept_and_carried_over(start, results):
    ada = Browser(start(), "Ada")
    clusters = ada.state()["clusters"]
    ada.do(CLASSES)
    ada.do({"do": "name", "leaves": clusters[0]["leaves"], "class": "tumour"})
    ada.do({"do": "name", "leaves": clusters[1]["leaves"], "class": "stroma"})
    ada.do({"do": "cells", "rows": "0-9", "class": "stroma"})
    ada.do({"do": "cells", "rows": "20", "class": ""})
    before = labels(ada.state(), ada)
    assert not ada.state()["recomputed"]
    again(results, "a", seed=5)
    assert ada.state()["recomputed"], "a server that runs on is told to be started again"
    ada = Browser(start(), "Ada")
    state = ada.state()
    assert (state["seq"], labels(state, ada)) == (0, {})
    (older,) = state["older"]
    assert (older["actions"], older["who"], older["same_cells"]) == (5, ["Ada"], True)
    asked = {"id": str(uuid.uuid4()), "fingerprint": older["fingerprint"]}
    answer = ada.http.post(f"{ada.url}/carry", json=asked)
    assert answer.status_code == 200, answer.text
    assert ada.http.post(f"{ada.url}/carry", json=asked).json() == answer.json()
    state = ada.state()
    after = labels(state, ada)
    assert {row: after.get(row) for row in before} == before, "cell by cell"
    assert 20 not in after
    assert len(list((results / "a/labels").glob("journal-*.jsonl"))) == 2
    ada.do({"do": "undo"})
    assert labels(ada.state(), ada) == {}


def test_what_a_model_proposes_meanwhile_is_told_to_who_loads_the_page(start, results):
    ada = Browser(start(), "Ada")

    def proposed() -> dict:
        return {entry["number"]: (entry["proposal"] or {}).get("class") for entry in ada.state()["clusters"]}

    assert set(proposed().values()) == {None}
    first = {"id": 0, "share": 1, "views": 1, "votes": []}
    document = {
        "clusterfirst": "classes",
        "version": 1,
        "model": "seer-1",
        "server": "localhost",
        "clustering_sha256": fingerprint(read_json(results / "a/clusters.json")["cells"]["cluster_id"]),
        "classes": [{"name": "tumour", "colour": "#d55e00"}, {"name": "mast cell", "colour": "#009e73"}],
        "stopped": None,
    }
    for word in ("tumour", "mast cell"):
        write_json(document | {"clusters": [first | {"class": word}]}, results / "a/classes.json")
        assert proposed() == dict.fromkeys(proposed()) | {0: word}
    ada.do(CLASSES)
    (results / "a/classes.json").unlink()
    assert set(proposed().values()) == {None}


def test_a_page_that_shows_an_older_clustering_does_no_harm(start, results):
    ada = Browser(start(), "Ada")
    fingerprint = ada.state()["fingerprint"]
    ada.do(CLASSES)
    again(results, "a", seed=5)
    app = start()
    page = Browser(app, "Ada")
    assert page.ask(CLASSES, base=1).status_code == 412, "it knows of an action that this clustering has not seen"
    asked = {"base": 0, "id": "12345678", "action": CLASSES, "fingerprint": fingerprint}
    answer = page.http.post(f"{page.url}/actions", json=asked)
    assert (answer.status_code, "Reload" in answer.json()["error"]) == (412, True)
    state = page.state()
    assert state["seq"] == 0
    assert page.http.post(f"{page.url}/actions", json={**asked, "fingerprint": state["fingerprint"]}).status_code == 200


def test_labels_of_other_cells_are_not_carried_over(start, results):
    ada = Browser(start(), "Ada")
    ada.state()
    ada.do(CLASSES)
    ada.do({"do": "cells", "rows": "0-9", "class": "stroma"})
    make(results.parent / "other", slides={"a": 400}, edge=1600, seed=9)
    shutil.copy(results.parent / "other/results/a/masks.parquet", results / "a/masks.parquet")
    ada = Browser(start(), "Ada")
    (older,) = ada.state()["older"]
    assert not older["same_cells"]
    asked = {"id": str(uuid.uuid4()), "fingerprint": older["fingerprint"]}
    answer = ada.http.post(f"{ada.url}/carry", json=asked)
    assert (answer.status_code, "segmented anew" in answer.json()["error"]) == (400, True)
    assert ada.http.post(f"{ada.url}/carry", json={**asked, "fingerprint": "0" * 64}).status_code == 400


def test_a_group_of_slides_has_its_id_encoded(tmp_path):
    folder = make(tmp_path, slides={"a": 50, "b": 70}, group="cohort", edge=600)
    workspace = Workspace(open_results(folder))
    ada = Browser(create_app(workspace, Guard("127.0.0.1")), "Ada", group="groups/cohort")
    assert ada.state()["progress"]["cells"] == 120
    assert ada.get("crops/119.jpg").status_code == 200
    ada.do(CLASSES)
    assert list((folder / "groups/cohort/labels").glob("journal-*.jsonl"))
    workspace.close()


def test_a_second_server_is_refused(start, results):
    Browser(start(), "Ada").state()
    with pytest.raises(Held, match="held by another server"):
        Session(open_results(results).groups["a"])


def test_a_name_is_needed_and_may_come_from_the_command_line(start):
    nobody = Browser(start(), None)
    assert nobody.ask(CLASSES).status_code == 403
    for bad in ("", " ", "x" * 61, "a\nb"):
        assert nobody.http.post("/api/who", json={"who": bad}).status_code == 400
    zoe = Browser(start(name="Zoë Ω; x=1"), None)
    assert zoe.http.get("/api/project").json()["who"] == "Zoë Ω; x=1"
    assert zoe.ask(CLASSES).status_code == 200
    renamed = Browser(start(name="Zoë"), "Åsa; path=/")
    assert renamed.http.get("/api/project").json()["who"] == "Åsa; path=/"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'{"base": -1, "id": "12345678", "action": {}}',
        b'{"base": 0, "id": "../../..", "action": {}}',
        b'{"base": 0, "id": "12345678", "action": 3}',
        b'{"base": 0, "id": "12345678", "action": {"do": "_fold"}}',
        b'{"base": 0, "id": "12345678", "action": {"do": "open", "cluster": 1e400}}',
        b"[" * 100_000,
        b"\xff\xfe",
    ],
)
def test_malformed_requests_are_refused_in_words(start, body):
    ada = Browser(start(), "Ada")
    answer = ada.http.post(f"{ada.url}/actions", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_events_tell_others_who_is_there_and_what_happens(start):
    app = start()
    ada = Browser(app, "Ada")
    ada.state()
    session = app._app.state.workspace.session("a")
    told: list[dict] = []
    session.presence.join(told.append, "token", "Grace", "a")
    ada.do(CLASSES)
    assert ada.state()["holders"][0].items() >= {"who": "Grace", "slide": "a"}.items()
    session.presence.leave(told.append, "token")
    assert told[0]["holders"][0]["who"] == "Grace"
    assert (told[1]["seq"], told[1]["who"], told[1]["action"]["do"]) == (1, "Ada", "classes")
    assert ada.state()["holders"] == []


def test_the_others_are_told_in_words_what_happened_to_which_cluster(start):
    app = start()
    ada = Browser(app, "Ada")
    first, second = ada.state()["clusters"][:2]
    told: list[dict] = []
    app._app.state.workspace.session("a").presence.join(told.append, "token", "Grace", "a")
    both = sorted(first["leaves"] + second["leaves"])
    for action in (
        CLASSES,
        {"do": "name", "leaves": first["leaves"], "class": "tumour"},
        {"do": "open", "cluster": first["key"]},
        {"do": "undo"},
        {"do": "redo"},
        {"do": "undo"},
        {"do": "merge", "clusters": [first["key"], second["key"]]},
        {"do": "name", "leaves": both, "class": None},
        {"do": "cells", "rows": "0-9", "class": "stroma"},
        {"do": "cells", "rows": "3", "class": ""},
        {"do": "cells", "rows": "3,5", "class": None},
        {"do": "confirm", "rows": "7"},
    ):
        ada.do(action)
    one, whole = f"0 ({first['size']} cells)", f"0 + 1 ({first['size'] + second['size']} cells)"
    assert [event["said"] for event in told[1:]] == [
        "changed the classes",
        f"named cluster {one} tumour",
        f"opened cluster {one}",
        f"took back: opened cluster {one}",
        f"did again: opened cluster {one}",
        f"took back: opened cluster {one}",
        f"merged clusters {whole}",
        f"took the name of cluster {whole} away",
        "labelled 10 cells stroma",
        "unlabelled 1 cell",
        "took the labels of 2 cells away",
        "accepted 1 cell",
    ]


@contextlib.contextmanager
def at_work(session):
    """Somebody does something that takes a while: nobody else gets at the session."""
    begun, ended = threading.Event(), threading.Event()

    def work() -> None:
        with session._mutex:
            begun.set()
            ended.wait(20)

    thread = threading.Thread(target=work)
    thread.start()
    begun.wait()
    yield
    ended.set()
    thread.join()


@pytest.mark.parametrize("there", [False, True], ids=["while coming", "once there"])
def test_who_goes_is_gone_and_nobody_waits_for_it(start, there):
    app = start()
    session = app._app.state.workspace.session("a")
    request = Request({"type": "http", "headers": [(b"cookie", b"clusterfirst_who=Grace")], "app": app._app})
    went = []
    leave = session.presence.leave
    session.presence.leave = lambda *who: (leave(*who), went.append(who))

    async def scene() -> float:
        events = stream(request, session, "a")
        if there:
            assert "Grace" in await anext(events)
        with at_work(session):
            listening = asyncio.create_task(anext(events))
            await asyncio.sleep(0.1)
            start = time.monotonic()
            listening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await listening
            took = time.monotonic() - start
        while not went and time.monotonic() < start + 10:
            await asyncio.sleep(0.01)
        return took

    assert asyncio.run(scene()) < 1, "the loop, and with it everybody, waited"
    assert len(went) == 1
    assert session.presence.holders() == []


def test_after_the_end_nothing_is_taken_and_another_server_may_begin(start, results):
    ada = Browser(app := start(), "Ada")
    ada.do(CLASSES)
    workspace, (path,) = app._app.state.workspace, (results / "a/labels").glob("journal-*.jsonl")
    before = path.read_bytes()
    session = workspace.session("a")
    workspace.close()
    workspace.close()
    with pytest.raises(Ended):
        session.act("Ada", "late-one", {"do": "undo"}, base=1)
    assert ada.ask(CLASSES).status_code == 503, "the page keeps what is refused so, and sends it again"
    for opens in (workspace.session, workspace.study):
        with pytest.raises(Ended):
            opens("a")
    other = Session(open_results(results).groups["a"])
    assert path.read_bytes() == before
    other.close()
    # One that had written nothing does not begin then.
    path.unlink()
    fresh = Session(open_results(results).groups["a"])
    fresh.close()
    with pytest.raises(Ended):
        fresh.act("Ada", "late-one", CLASSES, base=0)
    assert not path.exists()
