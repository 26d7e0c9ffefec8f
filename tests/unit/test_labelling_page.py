"""What the page does with actions until the server has them: run by the node that comes with Playwright."""

import shutil
import subprocess
from pathlib import Path

import playwright
import pytest

from clusterfirst.labelling.server.pages import STATIC

NODE = Path(playwright.__file__).parent / "driver/node"

SCENE = """
import assert from "node:assert/strict";
import { newId } from "./api.js";
import { Actions, warnBeforeLeaving } from "./actions.js";

const kept = new Map();
let full = false;
globalThis.sessionStorage = {
  getItem: (key) => kept.get(key) ?? null,
  setItem: (key, value) => { if (full) throw new Error("QuotaExceededError"); kept.set(key, value); },
};
const asked = [];
let answer = () => [200, { seq: ++store.next, state: {} }];
globalThis.fetch = async (url, { body }) => {
  asked.push({ url, ...JSON.parse(body) });
  const [status, told] = await answer(asked.at(-1));
  return { ok: status === 200, status, statusText: "", json: async () => told, text: async () => JSON.stringify(told) };
};
const store = {
  next: 0, group: { id: "a" }, doc: { seq: 0, fingerprint: "f" },
  apply(changed) { this.doc = { ...this.doc, ...changed }; },
};
const refused = [], reasons = [];
const tells = {
  connected() {}, reload: async () => {}, conflict: async () => true,
  refused: (error) => refused.push(error.status),
  waiting: (n, seconds, retry, why) => { reasons.push(why); setTimeout(retry); },
};
const actions = new Actions(store, tells);
"""

ACTS = {
    "an action says which clustering it means": """
await actions.do({ do: "undo" });
assert.equal(asked[0].fingerprint, "f");
""",
    "what is under way when another group is opened is not mistaken for an action there": """
let go;
answer = () => new Promise((done) => (go = () => done([200, { seq: 1, state: {} }])));
const first = actions.do({ do: "name", leaves: [1] });
const second = actions.do({ do: "name", leaves: [2] });
store.group = { id: "b" };
store.doc = { seq: 0, fingerprint: "g" };
actions.resume();
const third = actions.do({ do: "name", leaves: [3] });
assert.deepEqual(JSON.parse(kept.get("clusterfirst:unsent:a")).map((item) => item.action.leaves), [[1], [2]]);
for (const one of [first, second, third]) {
  await new Promise(setTimeout);
  go();
  assert.ok(await one);
}
const sent = asked.map((one) => [one.url.split("/")[3], one.action.leaves[0], one.fingerprint]);
assert.deepEqual(sent, [["a", 1, "f"], ["a", 2, "f"], ["b", 3, "g"]]);
assert.deepEqual([...kept.values()], ["[]", "[]"]);
assert.ok(await (go = null, answer = () => [200, { seq: 2, state: {} }], actions.do({ do: "undo" })));
""",
    "what a reload left is sent once": """
kept.set("clusterfirst:unsent:a", JSON.stringify([{ group: "a", id: "left-over", base: 0, action: { do: "undo" } }]));
actions.resume();
actions.resume();
await actions.do({ do: "redo" });
assert.deepEqual(asked.map((one) => one.action.do), ["undo", "redo"]);
""",
    "no room in the browser is no reason not to send": """
full = true;
assert.ok(await actions.do({ do: "undo" }));
""",
    "an answer does not bring back what is older than what is shown": """
store.doc = { seq: 7, fingerprint: "f", clusters: "new" };
answer = () => [200, { seq: 5, state: { clusters: "old" } }];
await actions.do({ do: "undo" });
assert.deepEqual([store.doc.seq, store.doc.clusters], [7, "new"]);
""",
    "without a token, and while another server holds the labels, it waits": """
const refusals = [[401, { error: "A token is needed" }], [423, { error: "held" }], [400, { error: "no" }]];
answer = () => refusals.shift();
assert.equal(await actions.do({ do: "undo" }), false);
assert.deepEqual([reasons, refused], [["A token is needed", "held"], [400]]);
""",
    "who overrules somebody overrules what was shown, and no more": """
const newer = [5, 8];
const done = [200, { seq: 9, state: {} }];
answer = ({ overrules }) => (newer.length && overrules < newer[0] ? [409, { conflict: { seq: newer.shift() } }] : done);
assert.ok(await actions.do({ do: "name", leaves: [1] }));
assert.deepEqual(asked.map((one) => one.overrules), [0, 5, 8]);
assert.equal(new Set(asked.map((one) => one.id)).size, 3);
""",
    "what waits keeps the page from being closed unasked": """
const listeners = [];
globalThis.addEventListener = (name, listener) => name === "beforeunload" && listeners.push(listener);
warnBeforeLeaving(actions);
const leave = () => {
  let asks = false;
  for (const listener of listeners) listener({ preventDefault: () => (asks = true) });
  return asks;
};
const sent = actions.do({ do: "undo" });
assert.equal(leave(), true);
await sent;
assert.equal(leave(), false);
""",
    "there are ids without https, too": """
Object.defineProperty(globalThis.crypto, "randomUUID", { value: undefined });
assert.match(newId(), /^[0-9a-f]{32}$/);
assert.notEqual(newId(), newId());
""",
}


@pytest.mark.parametrize("act", ACTS, ids=lambda name: name.replace(" ", "-"))
def test_the_queue_of_actions(tmp_path, act):
    for name in ("actions.js", "api.js"):
        shutil.copy(STATIC / "data" / name, tmp_path)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "scene.js").write_text(SCENE + ACTS[act] + 'console.log("played to the end");\n')
    played = subprocess.run(
        [str(NODE), "scene.js"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert (played.returncode, played.stdout) == (0, "played to the end\n"), played.stderr
