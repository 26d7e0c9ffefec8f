"""A model proposes names for clusters: `snakemake classify`, with a server on this machine."""

import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from clusterfirst.io import read_json
from clusterfirst.labelling.cells.group import load_group
from clusterfirst.labelling.cells.results import open_results
from clusterfirst.labelling.record.history import History
from clusterfirst.labelling.server.view import BrowserState
from clusterfirst.labels import model
from clusterfirst.proposing import views

from .. import chat_server as chat
from .. import forward_proxy
from .conftest import copy_of, say

KEY = "sk-proj-0123456789abcdefSECRET"
MINE = {
    "task": "The pictures are of tissue B.",
    "classes": [{"name": "one kind", "colour": "#112233"}, {"name": "another kind", "colour": "#445566"}],
}


@pytest.fixture(scope="module", autouse=True)
def key():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_API_KEY", KEY)
        yield


def with_server(finished, folder, url, **changes):
    """A copy of the finished run, in which slide b has a prompt of its own and clusters are to be classified."""
    project = copy_of(finished, folder)
    (project.folder / "mine.yaml").write_text(yaml.safe_dump(MINE))
    own = {"per_cluster": 2, "model": "seer-1", "base_url": url, "retries": 1, **changes}
    project.change({"classify": own, "tissues": {"tb": {"classify": {"prompt": "mine.yaml"}}}})
    return project


def assert_the_key_is_nowhere(project):
    for path in project.folder.rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes(), path


@pytest.fixture(scope="module")
def classified(finished, tmp_path_factory):
    """Both slides previewed, then classified; what the server heard, and what snakemake said."""
    with chat.running() as server, forward_proxy.running() as proxy, pytest.MonkeyPatch.context() as environment:
        for name, value in proxy.environment().items():
            environment.setenv(name, value)
        prices = {"price_in": 1.0, "price_out": 2.0}
        project = with_server(finished, tmp_path_factory.mktemp("classified") / "copy", server.url, **prices)
        assert project.jobs("classify") == {
            (rule, slide) for rule in ("cluster_views", "classify_clusters") for slide in "ab"
        }
        labels = {(rule, slide) for rule in ("label_cells", "annotate_labels", "export_qupath") for slide in "ab"}
        assert project.jobs() == project.jobs("classify") | labels, "pictures and all else stay as they are"
        with pytest.MonkeyPatch.context() as patch:
            patch.delenv("OPENAI_API_KEY")
            preview = project.run("classify_preview", "--quiet", "rules", "host", "progress")
        assert preview.returncode == 0, preview.stdout
        assert not server.asked, "the preview sends nothing"
        done = project.run()
        assert done.returncode == 0, done.stdout
        where = f"pictures of the clusters of 2 slides or groups go to a model at 127.0.0.1:{server.port}"
        assert where in done.stdout
        assert where not in preview.stdout
        assert not proxy.seen, "what the environment says of proxies is for others"
        yield project, server, preview.stdout, done.stdout


def test_nothing_is_sent_unless_it_is_switched_on(finished):
    assert finished.jobs() == set()
    done = finished.run("classify", "--dry-run")
    assert done.returncode != 0
    assert "classify.per_cluster is 0, so no model is asked" in done.stdout
    assert not (finished.folder / "results/classify").exists()
    assert not list((finished.folder / "results").glob("*/views"))


def test_every_cluster_has_votes_about_pictures_of_its_own_cells(classified):
    project, server, *_ = classified
    shown, named = 0, 0
    for slide in "ab":
        found = read_json(project.results(slide) / "clusters.json")
        told = model.read(project.results(slide) / "classes.json")
        cluster_id = np.array(found["cells"]["cluster_id"])
        assert told.are_of(cluster_id)
        assert set(told.clusters) == {entry["id"] for entry in found["clusters"]}
        for entry in found["clusters"]:
            one = told.clusters[entry["id"]]
            assert one.views == len(one.votes) == min(2, entry["size"])
            rows = [row for vote in one.votes for row in vote["cells"]]
            assert len(set(rows)) == len(rows)
            assert set(rows) <= set(entry["representatives"])
            assert (one.name, one.share) == model.verdict(one.votes, one.views)
            shown += one.views
        label, share = told.of_cells(cluster_id)
        assert np.isfinite(share[label != None]).all()  # noqa: E711 (element by element)
        named += np.count_nonzero(label != None)  # noqa: E711
    # The server answers by the pictures' bytes, which differ from machine to machine: of one slide it may never agree.
    assert named
    assert len(server.asked) == shown
    assert server.most_at_once <= 4


def test_each_tissue_is_asked_about_with_its_prompt(classified):
    project, server, *_ = classified
    for slide, classes, name in (("a", 9, "default"), ("b", 2, "mine")):
        told = model.read(project.results(slide) / "classes.json")
        assert len(told.classes) == classes
        assert told.facts["prompt"]["name"] == name
    tasks = {asked.body["messages"][0]["content"].split("\n")[0] for asked in server.asked}
    assert MINE["task"] in tasks
    assert len(tasks) == 2


def test_the_preview_and_the_log_say_what_goes_where(classified):
    project, server, preview, said = classified
    host = f"127.0.0.1:{server.port}"
    for slide in "ab":
        count = len(views.read(project.results(slide) / "views"))
        assert f"{slide}: {count} pictures to {host}, model seer-1" in preview
        log = (project.results(slide) / "logs/classify_clusters.log").read_text()
        assert re.search(rf"{count} pictures \(\d+\.\d MB\) for seer-1 at {host}", log)
        assert re.search(
            rf"{count} requests with a picture each \(\d+\.\d MB\) were sent to {host}, 0 answers were", log
        )
        assert f"{count * 1200} tokens in, {count * 80} out, at a price of {count * (1200 + 160) / 1e6:.4f}" in log
        assert f"{count} pictures" in said
    assert "cost: about" in preview
    assert "Nothing was sent" in preview


def test_a_proxy_that_receives_pictures_is_named_everywhere(finished, tmp_path, monkeypatch):
    with chat.running() as server, forward_proxy.running() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        project = with_server(finished, tmp_path / "copy", server.url, proxy="environment", per_cluster=1)
        done = project.run("classify_preview", "results/a/classes.json")
        assert done.returncode == 0, done.stdout
        where = f"127.0.0.1:{server.port} through the proxy http://127.0.0.1:{proxy.port} (http_proxy), which receives"
        assert f"of the clusters of 1 slides or groups go to a model at {where}" in done.stdout
        assert re.search(rf"a: \d+ pictures to {re.escape(where)}", done.stdout)
        log = (project.results("a") / "logs/classify_clusters.log").read_text(encoding="utf-8")
        assert log.count(where) == 2
        assert proxy.pictures == len(server.asked) > 0
        for path in project.folder.rglob("*"):
            assert not path.is_file() or forward_proxy.PASSWORD.encode() not in path.read_bytes(), path


def test_pictures_are_there_to_be_looked_at(classified):
    project, *_ = classified
    for view in views.read(project.results("a") / "views"):
        with Image.open(project.results("a") / "views" / view.file) as picture:
            pixels = np.asarray(picture)
        assert ((pixels[..., 1] > 200) & (pixels[..., [0, 2]] < 90).all(axis=-1)).any(), "an outline"
        assert (pixels[-20:, 10] < 50).all(axis=-1).any(), "a scale bar"


def test_the_key_is_in_no_file(classified):
    assert_the_key_is_nowhere(classified[0])


def test_a_rerun_does_nothing_and_lost_results_cost_nothing(classified, tmp_path):
    project, server, *_ = classified
    project = copy_of(project, tmp_path / "copy")
    asked = len(server.asked)
    assert project.jobs() == project.jobs("classify") == set()
    before = read_json(project.results("a") / "classes.json")
    (project.results("a") / "classes.json").unlink()
    done = project.run("classify")
    assert done.returncode == 0, done.stdout
    assert len(server.asked) == asked
    after = read_json(project.results("a") / "classes.json")
    assert after["cost"]["requests"] == 0
    assert [entry["class"] for entry in after["clusters"]] == [entry["class"] for entry in before["clusters"]]


def test_the_labelling_app_suggests(classified):
    project, *_ = classified
    results = open_results(project.folder / "results")
    assert not results.left_out
    group = load_group(results.groups["b"])
    told = model.read(project.results("b") / "classes.json")
    suggested = {
        entry["number"]: entry["proposal"] for entry in BrowserState(group).of(History(group.leaves))["clusters"]
    }
    assert {number: found and found["class"] for number, found in suggested.items()} == {
        number: found.name for number, found in told.clusters.items()
    }
    assert any(suggested.values())


def test_status_knows_of_it(classified):
    text = classified[0].run("status", "--quiet", "rules", "host", "progress").stdout
    assert "classify_clusters" in text, text
    assert "Everything is there" in text


def test_without_a_key_nothing_begins(finished, tmp_path, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    project = with_server(finished, tmp_path / "copy", "http://127.0.0.1:9/v1", key_variable="SEER_KEY")
    done = project.run("classify")
    assert done.returncode != 0
    assert "set the environment variable SEER_KEY (classify.key_variable)" in done.stdout
    assert not (project.results("a") / "views").exists()
    assert project.run("classify", "--dry-run").returncode == 0, "only asking wants one"


def test_no_model_is_a_mistake_in_the_config_that_is_told_with_the_others(finished, tmp_path):
    project = copy_of(finished, tmp_path / "copy")
    project.change({"classify": {"per_cluster": 2}, "reduction": {"balance": {"resnet9": 2}}})
    for asked in ((), ("classify_preview",)):
        done = project.run(*asked, "--dry-run")
        assert done.returncode != 0
        assert "Set classify.model" in done.stdout
        assert "reduction.balance: resnet9" in done.stdout


def test_one_bad_group_fails_alone_and_a_small_budget_is_loud(finished, tmp_path):
    """The server will not hear of tissue B; of a there is only money for five pictures."""

    def behave(_, asked):
        refuses = MINE["task"] in asked.body["messages"][0]["content"]
        return chat.fail(401, "Incorrect API key provided: KEY") if refuses else chat.answer()

    with chat.running(behave) as server:
        project = with_server(finished, tmp_path / "copy", server.url, budget_requests=9, concurrency=1)
        project.run("results/a/views", "results/b/views")
        done = project.run("classify", "--jobs", "1", "--prioritize", "results/b/classes.json")
        assert done.returncode != 0
        why = f"127.0.0.1:{server.port} says 401: Incorrect API key provided: [key]"
        assert f"failed: b (classify_clusters): {why}" in done.stdout
        assert len(server.asked) == 9, "one of them for b, which was not tried again"
        assert not (project.results("b") / "classes.json").exists()
        told = model.read(project.results("a") / "classes.json")
        assert "classify.budget_requests is 9, and 9 are used up" in told.facts["stopped"]
        assert "STOPPED" in done.stdout
        assert [found.name for found in told.clusters.values()][:4] == ["stroma"] * 4
        assert_the_key_is_nowhere(project)
        own = yaml.safe_load((project.folder / "own.yaml").read_text())["classify"]
        project.change({"classify": own | {"budget_requests": None}, "tissues": {}})
        done = project.run("classify", "--quiet", "rules", "host", "progress")
        assert done.returncode == 0, done.stdout
        told = model.read(project.results("a") / "classes.json")
        assert told.facts["stopped"] is None
        assert told.facts["cost"]["cached"] == 8


def test_labels_ask_about_slides_that_people_have_labelled_only(finished, tmp_path, monkeypatch):
    project = with_server(finished, tmp_path / "copy", "http://127.0.0.1:9/v1")
    done = project.run("labels", "--dry-run")
    assert done.returncode != 0
    assert "nobody has exported labels" in done.stdout
    classes = [{"name": "plasma cell", "colour": "#0000ff"}]
    say(project, {"do": "classes", "classes": classes}, {"do": "name", "leaves": [0], "class": "plasma cell"})
    planned = project.jobs("labels")
    assert ("classify_clusters", "a") in planned
    assert {slide for _, slide in planned} == {"a"}
    monkeypatch.delenv("OPENAI_API_KEY")
    done = project.run("labels", "--touch")
    assert "no key" not in done.stdout, "nothing is asked"


def test_an_unknown_prompt_is_said_while_planning(finished, tmp_path):
    project = with_server(finished, tmp_path / "copy", "http://127.0.0.1:9/v1")
    project.change({"tissues": {"tb": {"classify": {"prompt": "spleen"}}}})
    done = project.run("classify", "--dry-run")
    assert done.returncode != 0
    assert "there is no prompt spleen. Known: breast, colon, default," in done.stdout


def test_slides_that_share_clusters_are_asked_about_together(finished, tmp_path):
    project = copy_of(finished, tmp_path / "copy")
    project.change({"clustering": {"scope": "cohort"}, "classify": {"per_cluster": 1, "model": "seer-1"}})
    jobs = project.jobs("classify")
    assert ("classify_clusters", "groups/cohort") in jobs
    assert not {("classify_clusters", "a"), ("classify_clusters", "b")} & jobs
    assert Path(project.folder, "results/groups/cohort").exists() is False
