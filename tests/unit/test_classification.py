"""A model is asked what clusters are: what is sent, what comes of every answer, and what it may cost."""

import json
import logging
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from clusterfirst.io import ClusterfirstError, write_json
from clusterfirst.labels import model
from clusterfirst.proposing import answers, asking, plan, prompts, server, views
from clusterfirst.proposing.budget import Budget, Spent
from clusterfirst.proposing.cache import Cache

from .. import chat_server as chat
from ..made import clustering

KEY = "sk-proj-9f8e7d6c5b4a3210secret"
MODEL = "seer-1"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Waits between attempts are a hundredth as long."""
    monkeypatch.setattr(asking, "_FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(asking, "_LONGEST_WAIT_S", 0.1)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("AZURE_OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("AZURE_OPENAI_ENDPOINT", raising=False)


@pytest.fixture(autouse=True)
def all_that_is_said(caplog):
    """Logs of everybody, as detailed as they come: the key must be in none."""
    caplog.set_level(logging.DEBUG)
    yield
    assert KEY not in caplog.text


@pytest.fixture(scope="module")
def prompt(repo):
    return prompts.read(repo / "resources/prompts/default.yaml")


@pytest.fixture
def shown(tmp_path):
    """Two views of each of three clusters, in a folder with pictures."""
    folder = tmp_path / "views"
    folder.mkdir()
    found = []
    rng = np.random.default_rng(0)
    for cluster in range(3):
        for number in range(2):
            file = f"cluster{cluster:03d}_view{number + 1}.png"
            Image.fromarray(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(folder / file)
            cells = [10 * cluster + number]
            found.append(views.Montage(cluster, file, cells, 40 - cluster, 0.25, 30.5, 40.0, 40, [0.499]))
    return found


CLUSTERS = clustering([0, 0, 1, 1, 2, 2])


class Run:
    """Asks about all views, as often as it is told to, with one ledger and one cache."""

    def __init__(self, folder, shown, prompt, settings, url):
        self.folder, self.shown, self.prompt = folder, shown, prompt
        self.settings = settings["classify"] | {"model": MODEL, "base_url": url, "concurrency": 1, "retries": 2}

    def __call__(self, **changes):
        settings = self.settings | changes
        limits = {name: settings[name] for name in ("budget_requests", "budget_tokens")}
        asked = server.Server(settings)
        try:
            with Budget(self.folder / "ledger.jsonl", **limits) as budget:
                asker = asking.Asker(self.prompt, settings, asked, Cache(self.folder / "answers"), budget)
                try:
                    votes, stopped = asker.ask(self.shown, self.folder / "views")
                finally:
                    self.spent, self.tokens, self.cost = budget.requests, budget.tokens, asker.cost
        finally:
            asked.close()
        how = {"prompt": self.prompt, "model": MODEL, "host": asked.host, "cost": asker.cost}
        document = asking.document(CLUSTERS, self.shown, votes, **how) | {"stopped": stopped}
        write_json(document, self.folder / "classes.json")
        return model.read(self.folder / "classes.json")


@pytest.fixture
def run_with(tmp_path, shown, prompt, settings):
    """Start a server that behaves as told; return it, and what asks it. Afterwards the key must be in no file."""
    from contextlib import ExitStack

    with ExitStack() as opened:

        def start(behave=None):
            state = opened.enter_context(chat.running(behave))
            return state, Run(tmp_path, shown, prompt, settings, state.url)

        yield start
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or KEY.encode() not in path.read_bytes(), path


def votes_of(found):
    return [vote for cluster in found.clusters.values() for vote in cluster.votes]


def in_turn(*behaviours):
    """The first requests are answered so; all others as they should be."""
    return lambda number, asked: behaviours[number] if number < len(behaviours) else chat.answer()


def test_pictures_are_asked_about_and_names_counted(run_with, shown, prompt):
    state, run = run_with(lambda number, asked: chat.answer("stroma", 0.5 + number / 10))
    found = run()
    assert [(one.name, one.share, one.views) for one in found.clusters.values()] == [("stroma", 1, 2)] * 3
    assert [vote["cells"] for vote in votes_of(found)] == [view.cells for view in shown]
    assert found.clusters[0].rationale == "slender nuclei"
    assert found.facts["server"] == f"127.0.0.1:{state.port}"
    cost = {"requests": 6, "prompt_tokens": 6 * 1200, "completion_tokens": 6 * 80, "cached": 0}
    assert found.facts["cost"] == cost
    assert found.facts["prompt"] == {"name": "default", "sha256": prompt.sha256}
    assert found.are_of(CLUSTERS.cluster_id)
    label, share = found.of_cells(np.array([2, -1, 0]))
    assert label.tolist() == ["stroma", None, "stroma"]
    np.testing.assert_array_equal(share, [1, np.nan, 1])
    assert run.cost.bytes > sum(len(json.dumps(asked.body)) for asked in state.asked) * 0.99


def test_a_request_has_picture_facts_classes_and_a_strict_form(run_with, shown, tmp_path):
    import base64

    state, run = run_with()
    run(parameters={"temperature": 0, "top_k": 3})
    first = state.asked[0]
    assert first.path == "/v1/chat/completions"
    assert first.headers["authorization"] == f"Bearer {KEY}"
    kind, data = first.picture.split(",")
    assert kind == "data:image/png;base64"
    assert base64.b64decode(data) == (tmp_path / "views" / shown[0].file).read_bytes()
    system, user = first.body["messages"]
    assert "- plasma cell: Round nucleus" in system["content"]
    assert "unsure" in system["content"]
    text = user["content"][0]["text"]
    facts = ("1 of the 40 cells", "25.0%", "30 µm² (of all cells here: 40 µm²)", "40 µm wide", "0.499 µm per pixel")
    assert all(fact in text for fact in facts), text
    form = first.body["response_format"]["json_schema"]
    assert form["strict"] is True
    assert form["schema"]["properties"]["class"]["enum"][-2:] == ["debris", "unsure"]
    assert form["schema"]["additionalProperties"] is False
    assert (first.body["temperature"], first.body["top_k"], first.body["max_tokens"]) == (0, 3, 1000)
    assert first.body["model"] == MODEL


@pytest.mark.parametrize(
    ("changes", "sent", "not_sent"),
    [
        ({"structured": "json"}, {"response_format": {"type": "json_object"}}, "max_completion_tokens"),
        ({"structured": "text"}, {"max_tokens": 1000}, "response_format"),
        ({"parameters": {"max_completion_tokens": 50}}, {"max_completion_tokens": 50}, "max_tokens"),
    ],
)
def test_servers_that_know_less_are_told_less(run_with, changes, sent, not_sent):
    text = 'Well: ```json\n{"class": " Stroma", "confidence": 1, "rationale": ""}\n```'
    state, run = run_with(lambda number, asked: chat.say(text))
    found = run(**changes)
    assert found.clusters[0].name == "stroma"
    assert all(state.asked[0].body[name] == value for name, value in sent.items())
    assert not_sent not in state.asked[0].body


def test_a_rerun_asks_nothing_twice(run_with):
    state, run = run_with()
    first = run()
    again = run()
    assert len(state.asked) == 6
    assert again.facts["cost"] == {"requests": 0, "prompt_tokens": 0, "completion_tokens": 0, "cached": 6}
    for one, other in zip(votes_of(first), votes_of(again), strict=True):
        assert other == one | {"cached": True}
    assert not any(vote["cached"] for vote in votes_of(first))
    run(concurrency=8, timeout_s=5, retries=9, price_in=1, price_out=2)
    assert len(state.asked) == 6, "what does not change answers is not asked about again"


@pytest.mark.parametrize(
    "changes", [{"model": "seer-2"}, {"max_tokens": 999}, {"structured": "json"}, {"parameters": {"seed": 1}}]
)
def test_what_may_change_answers_is_asked_anew(run_with, changes):
    state, run = run_with(lambda number, asked: chat.answer())
    run()
    run(**changes)
    assert len(state.asked) == 12


def test_another_picture_prompt_or_server_is_asked_anew(run_with, shown, repo, tmp_path):
    state, run = run_with()
    run()
    Image.new("RGB", (32, 32)).save(tmp_path / "views" / shown[0].file)
    run()
    assert len(state.asked) == 7
    run.prompt = prompts.read(repo / "resources/prompts/colon.yaml")
    run()
    assert len(state.asked) == 13
    other, _ = run_with()
    run(base_url=other.url)
    assert (len(state.asked), len(other.asked)) == (13, 6)


@pytest.mark.parametrize("asks", ["retry_after", "retry_after_ms"])
def test_a_busy_server_is_asked_again_when_it_wishes(run_with, asks):
    wait = {"retry_after": "1", "retry_after_ms": "1000"}[asks]
    state, run = run_with(in_turn(chat.fail(429, "slow down", **{asks: wait})))
    found = run()
    assert len(state.asked) == 7
    assert 1 <= state.asked[1].time - state.asked[0].time < 3
    assert found.facts["cost"]["requests"] == 7
    assert found.clusters[0].name == "stroma"


def test_a_date_to_wait_for_is_understood():
    from email.utils import formatdate

    assert 58 < server._asked_to_wait({"retry-after": formatdate(time.time() + 60, usegmt=True)}) <= 60
    assert server._asked_to_wait({"retry-after": formatdate(time.time() - 60, usegmt=True)}) == 0
    assert server._asked_to_wait({"retry-after": "soon"}) is None
    assert server._asked_to_wait({}) is None


TROUBLE = {
    "429": chat.fail(429),
    "500": chat.fail(500),
    "503": chat.fail(503),
    "time-out": chat.hang(1.0),
    "half a document": chat.half,
    "half a stream": chat.half_of_a_stream,
    "a page": chat.page,
    "no choices": lambda handler: chat.reply(handler, 200, {"object": "chat.completion", "choices": []}),
}


@pytest.mark.parametrize("what", TROUBLE)
def test_trouble_that_passes_is_got_over(run_with, what, caplog):
    state, run = run_with(in_turn(TROUBLE[what], TROUBLE[what]))
    found = run(timeout_s=0.3)
    assert [one.name for one in found.clusters.values()] == ["stroma"] * 3
    assert len(state.asked) == 8
    assert "attempt 3 of 3" in caplog.text


@pytest.mark.parametrize("what", TROUBLE)
def test_trouble_that_does_not_pass_ends_it_and_answers_are_kept(run_with, what):
    state, run = run_with(lambda number, asked: chat.answer() if number < 4 else TROUBLE[what])
    with pytest.raises(ClusterfirstError, match=r"Given up after 3 attempts; what was answered is kept"):
        run(timeout_s=0.3)
    assert len(state.asked) == 4 + 3
    state.behave = lambda number, asked: chat.answer()
    found = run()
    assert len(state.asked) == 4 + 3 + 2
    assert found.facts["cost"]["cached"] == 4


def test_waits_grow_up_to_a_limit(run_with, monkeypatch):
    state, run = run_with(in_turn(*[chat.fail(503)] * 5))
    monkeypatch.setattr(asking, "_FIRST_WAIT_S", 0.04)
    monkeypatch.setattr(asking, "_LONGEST_WAIT_S", 0.3)
    run(retries=5)
    waits = np.diff([asked.time for asked in state.asked[:6]])
    for attempt, wait in enumerate(waits):
        longest = min(0.3, 0.04 * 2**attempt)
        assert longest / 2 <= wait < longest + 0.5, waits


def test_a_server_that_is_away_for_hours_is_not_waited_for(run_with):
    state, run = run_with(lambda number, asked: chat.fail(429, "come back tomorrow", retry_after="86400"))
    begun = time.monotonic()
    with pytest.raises(ClusterfirstError, match="come back tomorrow, and asks to wait 86400 s"):
        run()
    assert time.monotonic() - begun < 5
    assert len(state.asked) == 1


def test_nobody_there_is_said(run_with):
    state, run = run_with()
    with pytest.raises(ClusterfirstError, match=r"the connection to 127\.0\.0\.1:9 failed"):
        run(base_url="http://127.0.0.1:9/v1")
    assert not state.asked


HINTS = {
    401: "is the key right",
    403: "may this key use",
    404: "base_url and classify.model",
    400: "classify.structured",
}


@pytest.mark.parametrize(("status", "concurrency"), [(401, 1), (401, 4), (403, 1), (404, 4), (400, 1)])
def test_what_will_not_change_is_an_error_at_once(run_with, status, concurrency):
    state, run = run_with(lambda number, asked: chat.fail(status, "Incorrect API key: KEY (also sk-pr***cret)"))
    said = rf"127\.0\.0\.1:\d+ says {status}: Incorrect API key: \[key\] \(also \[key\]\)"
    with pytest.raises(ClusterfirstError, match=said) as caught:
        run(concurrency=concurrency)
    assert HINTS[status] in str(caught.value)
    assert "sk-" not in str(caught.value)
    assert len(state.asked) <= concurrency, "not one of them was sent twice"
    assert run.tokens == 0
    chain = caught.value
    while chain:
        assert KEY not in repr(chain)
        chain = None if chain.__suppress_context__ else chain.__context__


def test_money_that_has_run_out_is_not_waited_for(run_with):
    state, run = run_with(lambda number, asked: chat.fail(429, "You exceeded your quota", code="insufficient_quota"))
    with pytest.raises(ClusterfirstError, match="You exceeded your quota"):
        run()
    assert len(state.asked) == 1


def test_pictures_do_not_follow_a_redirect(run_with):
    other, _ = run_with()
    state, run = run_with(lambda number, asked: chat.fail(307, "moved", location=f"{other.url}/chat/completions"))
    with pytest.raises(ClusterfirstError, match="says 307"):
        run()
    assert (len(state.asked), len(other.asked)) == (1, 0)


BAD = {
    "no JSON": ("The cells look like stroma.", "it is not valid JSON"),
    "half": ('{"class": "stroma", "confid', "it is not valid JSON"),
    "a list": ("[1]", "it is not valid JSON"),
    "another class": ('{"class": "spleen", "confidence": 1, "rationale": ""}', 'class "spleen" is not one of epith'),
    "of ten": ('{"class": "stroma", "confidence": 8, "rationale": ""}', "confidence is not a number from 0 to 1"),
    "true": ('{"class": "stroma", "confidence": true, "rationale": ""}', "confidence is not a number from 0 to 1"),
    "no reasons": ('{"class": "stroma", "confidence": 0.5}', "rationale is missing"),
    "nothing": ("", "it is not valid JSON"),
    "half a character": ('{"class": "\\ud83d", "confidence": 1, "rationale": ""}', 'class "\\ud83d" is not one'),
    "no text": ('{"class": ["stroma"], "confidence": 1, "rationale": ""}', "class that is no text is not one of epith"),
    "endless": (f'{{"class": {"[" * 5000}{"]" * 5000}}}', "it is not valid JSON"),
    "huge": (
        f'{{"class": "stroma", "confidence": 1{"0" * 400}, "rationale": ""}}',
        "confidence is not a number from 0 to 1",
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_an_answer_that_cannot_be_used_is_asked_for_once_more_with_the_reason(run_with, what):
    text, why = BAD[what]
    state, run = run_with(in_turn(chat.say(text)))
    found = run()
    assert len(state.asked) == 7
    assert found.clusters[0].name == "stroma"
    first, second = state.asked[0].body["messages"], state.asked[1].body["messages"]
    assert second[:2] == first
    assert second[2] == {"role": "assistant", "content": text or "…"}
    assert why in second[3]["content"]
    run()
    assert len(state.asked) == 7, "both answers were kept"


@pytest.mark.parametrize("what", BAD)
def test_then_the_view_counts_as_unsure_and_says_why(run_with, what):
    text, why = BAD[what]
    state, run = run_with(in_turn(chat.say(text), chat.say(text)))
    found = run()
    assert len(state.asked) == 7
    assert found.clusters[0].name is None, "one of two is no majority"
    bad, good = found.clusters[0].votes
    assert (bad["class"], bad["confidence"], good["class"]) == ("unsure", 0, "stroma")
    assert bad["rationale"].startswith(f"no usable answer, also when asked again: {why}"[:70])
    assert [one.name for one in found.clusters.values()][1:] == ["stroma"] * 2


@pytest.mark.parametrize("half", ["\\ud83d", "\ud83d"], ids=["written out", "in the document"])
def test_half_a_character_spoils_no_answer(run_with, half):
    """JSON can hold what no file can."""
    text = f'{{"class": "stroma", "confidence": 0.5, "rationale": "slender {half}"}}'
    state, run = run_with(lambda *_: chat.say(text))
    assert run().clusters[0].rationale == "slender ?"
    run()
    assert len(state.asked) == 6


def test_a_model_and_a_server_give_no_orders_to_terminals(run_with, caplog):
    rude = "\x1b[2J\u202elook"
    _, run = run_with(in_turn(chat.answer(rationale=rude), chat.say("", refusal=rude), chat.fail(401, rude)))
    with pytest.raises(ClusterfirstError, match=r"\?\[2J\?look"):
        run()
    _, run = run_with(in_turn(chat.answer(rationale=rude), chat.say("", refusal=rude)))
    assert {vote["rationale"].removeprefix("the model refused: ") for vote in votes_of(run())[:2]} == {"?[2J?look"}
    said = "".join(record.getMessage() for record in caplog.records if record.name == "clusterfirst")
    assert "?[2J?look" in said
    assert not {"\x1b", "\u202e"} & set(said)


def test_an_answer_cut_off_is_asked_for_once_more(run_with):
    state, run = run_with(in_turn(chat.answer(finish="length")))
    assert run().clusters[0].name == "stroma"
    assert "cut off" in state.asked[1].body["messages"][3]["content"]


@pytest.mark.parametrize("how", [{"refusal": "I cannot judge people"}, {"finish": "content_filter"}])
def test_a_refusal_is_unsure_and_not_asked_again(run_with, how):
    state, run = run_with(in_turn(chat.say("", **how)))
    found = run()
    assert len(state.asked) == 6
    assert found.clusters[0].votes[0]["class"] == "unsure"
    assert "the model refused" in found.clusters[0].votes[0]["rationale"]


def test_unsure_is_an_answer(run_with):
    _, run = run_with(lambda number, asked: chat.answer("unsure", 0.9) if number in (0, 1, 2) else chat.answer())
    assert [one.name for one in run().clusters.values()] == [None, None, "stroma"]


def test_no_more_requests_than_allowed_and_a_raised_budget_asks_only_the_rest(run_with):
    state, run = run_with()
    found = run(budget_requests=4)
    assert len(state.asked) == 4
    assert "classify.budget_requests is 4, and 4 are used up" in found.facts["stopped"]
    assert [len(one.votes) for one in found.clusters.values()] == [2, 2, 0]
    assert [one.views for one in found.clusters.values()] == [2, 2, 2]
    assert found.clusters[2].name is None
    assert len(votes_of(run(budget_requests=4))) == 4
    assert len(state.asked) == 4, "the ledger remembers"
    found = run(budget_requests=6)
    assert len(state.asked) == 6
    assert found.facts["stopped"] is None
    assert found.facts["cost"]["cached"] == 4


def test_retries_count(run_with):
    state, run = run_with(in_turn(chat.fail(500), chat.fail(500)))
    found = run(budget_requests=3)
    assert len(state.asked) == 3
    assert len(votes_of(found)) == 1
    assert run.spent == 3


def test_a_budget_that_ends_between_an_answer_and_asking_again_loses_nothing(run_with):
    state, run = run_with(in_turn(chat.say("what?")))
    found = run(budget_requests=1)
    assert (len(state.asked), votes_of(found)) == (1, [])
    assert run(budget_requests=7).clusters[0].name == "stroma"
    assert len(state.asked) == 7


@pytest.mark.parametrize("concurrency", [1, 5])
def test_tokens_are_reserved_before_they_are_spent(run_with, concurrency):
    state, run = run_with(lambda number, asked: chat.answer(slow=0.05))
    changes = {"image_tokens": 1000, "max_tokens": 500, "concurrency": concurrency}
    limit = 3 * (chat.PROMPT_TOKENS + chat.COMPLETION_TOKENS) + 2000
    found = run(budget_tokens=limit, **changes)
    assert run.tokens == len(state.asked) * (chat.PROMPT_TOKENS + chat.COMPLETION_TOKENS) <= limit
    assert 1 <= len(state.asked) <= 4
    assert "classify.budget_tokens" in found.facts["stopped"]
    assert len(votes_of(run(**changes))) == 6
    assert len(state.asked) == 6


def test_what_nobody_counted_is_spent_by_the_upper_estimate(run_with):
    state, run = run_with(lambda number, asked: chat.answer(usage=False))
    run()
    request = asking.request_of(state.asked[0].body["messages"], run.prompt, run.settings)
    each = asking.prompt_tokens(request, run.settings) + run.settings["max_tokens"]
    assert run.tokens == pytest.approx(6 * each, abs=12)


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": -(10**6), "completion_tokens": 10},
        {"prompt_tokens": "1200", "completion_tokens": 80},
        {"prompt_tokens": 1200},
        {},
        [],
    ],
    ids=str,
)
def test_nonsense_of_a_server_that_counts_frees_no_budget(run_with, usage):
    def send(handler):
        text = '{"class": "stroma", "confidence": 0.5, "rationale": "slender"}'
        chat.reply(handler, 200, chat.document(text) | {"usage": usage})

    state, run = run_with(lambda *_: send)
    assert [one.name for one in run().clusters.values()] == ["stroma"] * 3
    assert len(state.asked) == 6
    assert run.tokens > 6 * (run.settings["image_tokens"] + run.settings["max_tokens"])


@pytest.mark.parametrize("what", [chat.hang(1), chat.fail(504)], ids=["nothing", "a gateway's 504"])
def test_time_outs_count_as_spent_and_refusals_of_the_server_do_not(run_with, what):
    _, run = run_with(in_turn(what, chat.fail(503)))
    run(timeout_s=0.3)
    charged = run.tokens - 6 * (chat.PROMPT_TOKENS + chat.COMPLETION_TOKENS)
    assert 3500 < charged < 6000


@pytest.mark.parametrize("concurrency", [1, 6])
def test_pictures_dearer_than_reckoned_are_said_and_reckoned_with(run_with, caplog, concurrency):
    state, run = run_with(lambda *_: chat.answer(slow=0.05))
    found = run(image_tokens=1, max_tokens=90, concurrency=concurrency, budget_tokens=6600)
    assert "raise classify.image_tokens" in caplog.text
    assert caplog.text.count("more than was reckoned") == 1, "from then on it is"
    assert (len(state.asked), len(votes_of(found))) == (5, 5), "six at the first estimate"
    assert run.tokens <= 6600
    assert len(votes_of(run(image_tokens=1, max_tokens=90, concurrency=concurrency, budget_tokens=7600))) == 5
    assert len(state.asked) == 5, "known answers say what a picture takes"


def test_a_ledger_survives_a_torn_line_and_counts_what_was_under_way(tmp_path):
    path = tmp_path / "ledger.jsonl"
    with Budget(path, budget_requests=10, budget_tokens=1000) as budget:
        budget.settle(budget.reserve(400), 100)
        budget.reserve(300)
    with path.open("a") as file:
        file.write('{"request": 2, "tok')
    with Budget(path, budget_requests=10, budget_tokens=1000) as budget:
        assert (budget.requests, budget.tokens) == (2, 400)
        assert budget.reserve(600) == 3
        with pytest.raises(Spent, match="budget_tokens is 1,000, and 1,000 are used up"):
            budget.reserve(1)
    with Budget(path, budget_requests=3, budget_tokens=None) as budget:
        assert budget.requests == 3
        with pytest.raises(Spent, match="budget_requests is 3"):
            budget.reserve(1)


def test_one_group_is_asked_about_at_a_time(tmp_path):
    """Another process holds the ledger for a while."""
    path = tmp_path / "ledger.jsonl"
    code = (
        "import sys, time; from clusterfirst.proposing.budget import Budget\n"
        "with Budget(sys.argv[1], budget_requests=None, budget_tokens=None): print('mine', flush=True); time.sleep(1)"
    )
    with subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "mine\n"
        begun = time.monotonic()
        with Budget(path, budget_requests=None, budget_tokens=None):
            assert time.monotonic() - begun > 0.5


@pytest.mark.parametrize("limit", [1, 3])
def test_no_more_requests_at_once_than_allowed(run_with, limit):
    state, run = run_with(lambda number, asked: chat.answer(slow=0.1))
    run(concurrency=limit)
    assert state.most_at_once == limit


JOB = """
import json, sys
from pathlib import Path
from clusterfirst.proposing import asking, prompts, server, views
from clusterfirst.proposing.budget import Budget
from clusterfirst.proposing.cache import Cache

folder, prompt = Path(sys.argv[1]), prompts.read(sys.argv[2])
job = json.loads((folder / "job.json").read_text())
settings = job["settings"]
with Budget(folder / "ledger.jsonl", budget_requests=99, budget_tokens=None) as budget:
    asker = asking.Asker(prompt, settings, server.Server(settings), Cache(folder / "answers"), budget)
    asker.ask([views.Montage(**view) for view in job["views"]], folder / "views")
"""


def test_answers_are_kept_at_once_also_if_the_job_is_killed(run_with, tmp_path, repo):
    """The first three are answered, the others never."""
    state, run = run_with(lambda number, asked: chat.answer() if number < 3 else chat.hang(30))
    write_json({"settings": run.settings, "views": [vars(view) for view in run.shown]}, tmp_path / "job.json")
    command = [sys.executable, "-c", JOB, tmp_path, repo / "resources/prompts/default.yaml"]
    with subprocess.Popen(command) as job:
        deadline = time.monotonic() + 60
        while len(state.asked) < 4 and time.monotonic() < deadline:
            time.sleep(0.02)
        job.send_signal(signal.SIGKILL)
    state.behave = lambda number, asked: chat.answer()
    found = run()
    assert found.facts["cost"]["cached"] == 3
    assert len(state.asked) == 4 + 3
    assert run.spent == 7, "who was killed had sent four"


def test_the_key_is_in_no_answer_even_if_the_server_says_it(run_with):
    _, run = run_with(lambda number, asked: chat.answer(rationale=f"your key is {KEY}", finish=KEY))
    found = run()
    assert votes_of(found)[0]["rationale"] == "your key is [key]"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, "set the environment variable OPENAI_API_KEY"),
        ({"key_variable": "MY_KEY"}, "set the environment variable MY_KEY"),
        ({"azure_api_version": "2024-10-21"}, "AZURE_OPENAI_API_KEY"),
        ({"model": None}, "Set classify.model"),
        ({"base_url": "http://me:hunter2@host/v1"}, "without name, password, or query"),
        ({"azure_api_version": "2024-10-21", "base_url": None}, "AZURE_OPENAI_ENDPOINT"),
    ],
)
def test_what_is_missing_is_said_before_anything(settings, changes, why):
    own = settings["classify"] | {"model": MODEL, "base_url": "https://x/v1"} | changes
    with pytest.raises(ClusterfirstError, match=why) as caught:
        server.Server(own, {})
    assert "hunter2" not in str(caught.value)


def test_a_server_of_ones_own_needs_no_key(run_with):
    state, run = run_with()
    run(key_variable=None)
    assert KEY not in state.asked[0].headers["authorization"]


def test_openai_is_asked_only_if_no_other_server_is_named_and_the_environment_changes_nothing(settings, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", "https://elsewhere.example/v1")
    made = server.Server(settings["classify"] | {"model": MODEL})
    assert made.host == "api.openai.com"
    assert str(made._client.base_url).startswith("https://api.openai.com/")
    made.close()


def test_azure_is_asked_its_own_way(run_with, monkeypatch):
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", KEY)
    state, run = run_with()
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", f"http://127.0.0.1:{state.port}")
    found = run(azure_api_version="2024-10-21", base_url=None)
    first = state.asked[0]
    assert first.path == "/openai/deployments/seer-1/chat/completions?api-version=2024-10-21"
    assert first.headers["api-key"] == KEY
    assert "max_completion_tokens" in first.body
    assert len(votes_of(found)) == 6


def test_a_key_on_an_open_line_is_warned_of(settings, caplog):
    own = settings["classify"] | {"model": MODEL}
    server.Server(own | {"base_url": "http://gpu07:8000/v1"}).close()
    assert "is not encrypted" in caplog.text
    caplog.clear()
    server.Server(own | {"base_url": "http://localhost:8000/v1"}).close()
    assert not caplog.text


def test_the_plan_says_what_would_be_sent_and_sends_nothing(run_with, shown, prompt, tmp_path):
    state, run = run_with()
    own = run.settings | {"price_in": 2.0, "price_out": 8.0}
    cache = Cache(tmp_path / "answers")

    def reckoned():
        return plan.reckon(shown, tmp_path / "views", prompt, own, address=state.url, cache=cache)

    found = reckoned()
    assert not state.asked
    sizes = sum((tmp_path / "views" / view.file).stat().st_size for view in shown)
    assert (found.views, found.known, found.bytes, found.pixels) == (6, 0, sizes, (32, 32))
    assert 6 * 2500 < found.prompt_tokens < 6 * 5000
    text = plan.told("a", found, own, receivers="127.0.0.1", prompt=prompt, folder="results/a/views")
    usual = (found.prompt_tokens * 2 + 6 * 120 * 8) / 1e6
    most = 2 * (found.prompt_tokens * 2 + 6 * 1000 * 8) / 1e6
    assert "a: 6 pictures to 127.0.0.1, model seer-1, prompt default; they lie in results/a/views" in text
    assert f"cost: about {usual:.2f}, at most about {most:.2f}" in text
    assert "price_in" in plan.told("a", found, run.settings, receivers="h", prompt=prompt, folder="f")
    run(budget_requests=4)
    assert (reckoned().known, reckoned().views) == (4, 6)


def test_answers_are_read_with_words_around_them():
    words = ["plasma cell", "unsure"]
    text = 'I think {"class": "Plasma Cell", "confidence": 1, "rationale": "clock\\n face"} is right'
    assert answers.parse(text, words) == {"class": "plasma cell", "confidence": 1, "rationale": "clock face"}


def test_prompts_that_come_with_the_workflow_can_be_used(repo):
    files = sorted((repo / "resources/prompts").glob("*.yaml"))
    assert {"default", "breast", "colon", "pancreas"} <= {path.stem for path in files}
    for path in files:
        prompt = prompts.read(path)
        assert len({entry["colour"] for entry in prompt.classes}) == len(prompt.classes), path
        assert all(len(entry["description"]) > 20 for entry in prompt.classes), path
        assert re.search(r"hematoxylin and eosin", prompt.task)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("task: x\nclasses: [{name: a, colour: '#000000'}]", "too short"),
        ("task: x\nclasses: [{name: a, colour: red}, {name: b, colour: '#000000'}]", "classes.0.colour"),
        ("task: x\nclasses: [{name: a, colour: '#000000'}, {name: A, colour: '#000000'}]", "'a' stands there twice"),
        ("task: x\nclasses: [{name: Unsure, colour: '#000000'}, {name: b, colour: '#000000'}]", "no class can be"),
        ('task: x\nclasses: [{name: "a\\tb", colour: "#000000"}, {name: b, colour: "#000000"}]', "cannot be seen"),
        ("classes: []", "task"),
        ("a: [", "expected"),
    ],
)
def test_a_prompt_that_cannot_be_used_is_an_error_that_says_why(tmp_path, text, why):
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(ClusterfirstError, match=why) as caught:
        prompts.read(tmp_path / "mine.yaml")
    assert "mine.yaml" in str(caught.value)
    with pytest.raises(ClusterfirstError, match="No such file"):
        prompts.read(tmp_path / "other.yaml")
