/** Blind evaluation: choose a batch, label its cells without seeing clusters, then see how both compare. */

import { warnBeforeLeaving } from "../data/actions.js";
import { Refused, getJson, groupUrl, post, slideUrl } from "../data/api.js";
import { BlindActions } from "./actions.js";
import { Result } from "./result.js";
import { UNTOLD, Work } from "./work.js";
import { ask, askText, complain, hush, say } from "../ui/dialogs.js";
import { $, count, h, percent, plural } from "../ui/dom.js";
import { bindKeys, showHelp } from "../ui/keys.js";
import { Saved, banner, unbanner, watchServer } from "../ui/status.js";
import { bindTheme } from "../ui/theme.js";
import { keepPlace, readPlace } from "../ui/urlstate.js";

/** So many batches are listed that nobody has begun; the others follow. */
const LISTED = 8;

const workspace = {
  project: null,
  group: null,
  doc: { seq: 0 },
  infos: {},
  sample: { cells: 200, seed: 0 },
  page: "start",
  moved: () => (work.refresh(), keep()),
  progress: (done, all) => {
    $("#done").textContent = `${count(done)} of ${count(all)} cells`;
    $("#share-done").style.width = `${(100 * done) / Math.max(all, 1)}%`;
    $("#share").setAttribute("aria-label", `${percent(done / Math.max(all, 1))} of this batch answered`);
  },
  finished: () => openResult(work.key.number),
};

const saved = new Saved();
workspace.actions = new BlindActions(workspace, {
  queued: (unsent) => saved.tell({ unsent }),
  waiting: (n, seconds, retry, why) => {
    const text = `${why}: ${plural(n, "answer")} not saved yet. Trying again in ${seconds} s.`;
    banner(text, { text: "Try now", run: retry }, "unsent");
  },
  connected: () => (unbanner("unsent"), saved.lost && saved.tell({ lost: false })),
  refused,
}, (told, batch) => {
  const { key } = work;
  if (key && ["number", "cells", "seed"].every((name) => batch[name] === key[name])) work.take(told);
});

warnBeforeLeaving(workspace.actions);
watchServer((lost) => saved.tell({ lost }));

const work = new Work(workspace);
const result = new Result(workspace.infos);

// ---- opening

async function begin() {
  try {
    workspace.project = await getJson("/api/project");
  } catch (error) {
    $("#cover-text").textContent = `The results cannot be opened: ${error.message}`;
    return;
  }
  const place = readPlace();
  const { groups, who } = workspace.project;
  $("#group").replaceChildren(...groups.map(({ id, name }) => h("option", { value: id }, name)));
  $("#group-pick").hidden = groups.length < 2;
  if (Number(place.cells)) workspace.sample.cells = Number(place.cells);
  if (Number(place.seed)) workspace.sample.seed = Number(place.seed);
  await openGroup(groups.find((group) => group.id === place.group) ?? groups[0], place);
  if (!who) nameMyself();
}

async function openGroup(group, place = {}) {
  workspace.group = group;
  $("#group").value = group.id;
  $("#naming").href = `/#group=${encodeURIComponent(group.id)}`;
  try {
    const infos = await Promise.all(group.slides.map((slide) => getJson(slideUrl(slide.id))));
    group.slides.forEach((slide, i) => (workspace.infos[slide.id] = { ...slide, ...infos[i] }));
    const number = place.batch === undefined ? NaN : Number(place.batch);
    if (place.page === "work" && number >= 0) await openBatch(number, Number(place.tile ?? NaN));
    else if (place.page === "result") await openResult(number >= 0 ? number : null);
    else await openStart();
  } catch (error) {
    if (!(error instanceof Refused) || workspace.page === "start") return fail(error);
    await openStart().catch(fail);
  }
  workspace.actions.resume();
  $("#cover").hidden = true;
  return null;
}

function fail(error) {
  $("#cover").hidden = false;
  $("#cover-text").textContent = `Blind evaluation of ${workspace.group.name} cannot be opened: ${error.message}`;
}

function turnTo(page) {
  hush();
  workspace.page = page;
  for (const name of ["start", "work", "result"]) $(`#${name}`).hidden = name !== page;
  for (const id of ["#progress", "#undo", "#redo"]) $(id).hidden = page !== "work";
  $("#pause").hidden = page === "start";
  $("#pause").textContent = page === "work" ? "Pause" : "All batches";
  document.title = `${{ start: "Blind evaluation", work: "Blind labelling", result: "Result" }[page]} – clusterfirst`;
  keep();
}

const query = ({ cells, seed }) => `cells=${cells}&seed=${seed}`;
const blindUrl = (rest = "") => `${groupUrl(workspace.group.id)}/blind${rest}`;

const keep = () => keepPlace(() => ({
  group: workspace.group.id,
  ...workspace.sample,
  page: workspace.page === "start" ? null : workspace.page,
  batch: workspace.page === "work" ? work.key.number : workspace.page === "result" ? workspace.shown : null,
  tile: workspace.page === "work" ? work.at : null,
}));

// ---- all batches

async function openStart() {
  workspace.overview = await getJson(`${blindUrl()}?${query(workspace.sample)}`);
  turnTo("start");
  const { batches, cells, tiles, begun } = workspace.overview;
  const { sample } = workspace;
  $("#sample-facts").textContent = batches.length
    ? `${count(cells)} cells on ${plural(tiles, "tile")} of ${plural(workspace.group.slides.length, "slide")}, `
      + `dealt into ${count(batches.length)} ${batches.length === 1 ? "batch" : "batches"} of whole tiles: `
      + `about ${count(sample.cells)} cells each, ${span(batches.map((batch) => batch.cells))} as tiles have them `
      + `(seed ${sample.seed}).`
    : "There are no cells to label.";
  $("#sample-cells").value = sample.cells;
  $("#sample-seed").value = sample.seed;
  const touched = batches.filter((batch) => batch.answered);
  const fresh = batches.filter((batch) => !batch.answered);
  const rows = [...touched, ...fresh.slice(0, LISTED)].sort((a, b) => a.number - b.number);
  const first = rows.find((batch) => batch.answered && !batch.finished) ?? fresh[0];
  $("#batches").replaceChildren(...rows.map((batch) => batchRow(batch, batch === first)));
  const more = fresh.length - LISTED;
  $("#more-batches").textContent = more > 0 ? `And ${count(more)} more, once these are begun.` : "";
  const finished = batches.filter((batch) => batch.finished).length;
  for (const id of ["#all-results", "#write-truth"]) $(id).disabled = !finished;
  const others = begun.filter((one) => one.cells !== sample.cells || one.seed !== sample.seed);
  $("#other-samples").replaceChildren(...others.map((one) =>
    h("button", { onclick: () => choose(one) }, `About ${one.cells} cells, seed ${one.seed}`)));
  $("#other-samples-row").hidden = !others.length;
}

/** "124 to 350", "40" */
function span(numbers) {
  const least = Math.min(...numbers), most = Math.max(...numbers);
  return least === most ? count(least) : `${count(least)} to ${count(most)}`;
}

function batchRow(batch, first) {
  const { number, cells, tiles, slides, answered, finished, others } = batch;
  const state = finished ? "✓ Finished" : answered ? `${count(answered)} of ${count(cells)}` : "Not begun";
  const name = `Batch ${number + 1}`;
  const button = finished
    ? h("button", { "aria-label": `${name}: result`, onclick: () => openResult(number).catch(complain) }, "Result")
    : h("button", {
      class: first ? "primary" : "",
      "aria-label": `${name}: ${answered ? "go on" : "begin"}`,
      onclick: () => openBatch(number).catch(complain),
    }, answered ? "Go on" : "Begin");
  return h("tr", {},
    h("th", { scope: "row" }, name),
    ...[cells, tiles, slides].map((number) => h("td", {}, count(number))),
    h("td", { class: "words" }, state),
    h("td", {}, others ? count(others) : "–"),
    h("td", {}, button));
}

function choose(sample) {
  workspace.sample = { cells: sample.cells, seed: sample.seed };
  return openStart().catch(complain);
}

async function openBatch(number, tile = null) {
  const study = workspace.overview?.study ?? (await getJson(`${blindUrl()}?${query(workspace.sample)}`)).study;
  const told = await getJson(`${blindUrl(`/${number}`)}?${query(workspace.sample)}`);
  if (told.finished) return openResult(number);
  $("#work").hidden = false; // so that the canvas has a size
  work.at = undefined;
  work.open({ ...workspace.sample, number, study }, told, tile);
  $("#batch-title").textContent = `Batch ${number + 1}`;
  turnTo("work");
  $("#tile-view").focus({ preventScroll: true });
  return null;
}

/** @param {number|null} number null: all finished batches */
async function openResult(number) {
  const batch = number === null ? "" : `&batch=${number}`;
  const told = await getJson(`${blindUrl("/score")}?${query(workspace.sample)}${batch}`);
  workspace.shown = number;
  turnTo("result");
  result.open(told);
  $("#result-title").focus({ preventScroll: true });
}

async function writeTruth() {
  try {
    const { files } = await post(blindUrl("/truth"), workspace.sample);
    const text = "Name each file in column “truth” of the slide sheet, then run snakemake evaluate: "
      + "it scores the clusters by your answers.";
    const list = h("ul", { class: "files" }, files.map((file) => h("li", {}, h("code", {}, file))));
    ask("Answers written", [h("p", {}, text), list], [["Done", true, "primary"]]);
  } catch (error) {
    complain(error);
  }
}

async function nameMyself() {
  const name = await askText("Who are you?", "Answers carry the name of who gave them.", workspace.project.who ?? "");
  if (!name) return;
  try {
    workspace.project.who = (await post("/api/who", { who: name })).who;
    if (workspace.page === "start") openStart().catch(complain);
  } catch (error) {
    complain(error);
  }
}

/** The server does not take an answer: what it has counts. */
async function refused(error) {
  if (error.status === 403 && !workspace.project.who) nameMyself();
  else complain(error);
  if (workspace.page === "work") work.take(await getJson(work.url));
}

// ---- keys

const inWork = (run) => (event) => workspace.page === "work" && run(event);
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

const KEYS = [
  ["Answer", "1 2 3 4 5 6 7 8 9", "Class of the cell; on to the next",
    inWork((e) => work.giveNumber(Number(e.key) - 1))],
  ["Answer", "/", "Find a class by its name, or add one", inWork(() => work.find())],
  ["Answer", "x", "It cannot be told, or is no cell", inWork(() => work.give(UNTOLD))],
  ["Answer", "a", "All that are left in the tile: then the key of their class", inWork(() => work.arm(!work.all))],
  ["Answer", "Backspace Delete", "Take the answer away", inWork(() => work.give(null))],
  ["Answer", "Ctrl+z", "Undo", inWork(() => work.turnBack("undo"))],
  ["Answer", "Ctrl+Shift+z Ctrl+y", "Redo", inWork(() => work.turnBack("redo"))],
  ["Move", "ArrowLeft ArrowRight ArrowUp ArrowDown", "Nearest cell in that direction", null],
  ["Move", "Tab Shift+Tab", "Next, previous cell of the tile", null],
  ["Move", "n", "Next cell without an answer", inWork(() => work.stepOpen())],
  ["Move", "Enter", "Next tile", inWork(() => work.nextTile())],
  ["Move", "PageUp PageDown", "Previous, next tile", inWork((e) => work.turn(e.key === "PageDown" ? 1 : -1))],
  ["Move", "Escape", "Deselect the cell; Tab then leaves the picture",
    inWork(() => (work.all ? work.arm(false) : work.point(null)))],
  ["Look", "h", "Hide the outlines", inWork(() => work.hide(!work.bare))],
  ["Look", "+ - 0", "Closer, farther, whole tile", null],
  ["Look", "f", "Finish the batch", inWork(() => work.finish())],
  ["Look", "?", "This help", () => help()],
];

const ABOUT = "Say of every cell what it is, as you see it in the slide. Clusters are shown only once you have "
  + "finished a batch. Everything is saved at once: pause whenever you like.";
const help = () => showHelp(KEYS, ABOUT);

bindKeys(KEYS, (event) => {
  if (workspace.page !== "work" || event.ctrlKey || event.metaKey || event.altKey) return false;
  if (event.key === "Tab") return stepByTab(event);
  if (ARROWS[event.key]) return work.arrow(ARROWS[event.key]), work.tellCell(), true;
  return ["+", "=", "-", "_", "0"].includes(event.key) && work.pan.key(event);
});

/** Tab goes from cell to cell as long as one is chosen; at the last it leaves the picture. */
function stepByTab(event) {
  if (document.activeElement !== $("#tile-view") || !work.cursor) return false;
  const moved = work.step(event.shiftKey ? -1 : 1);
  if (moved) work.tellCell();
  return moved;
}

// ---- buttons

const click = (id, run) => $(id).addEventListener("click", run);
click("#undo", () => work.turnBack("undo"));
click("#redo", () => work.turnBack("redo"));
click("#help", help);
click("#pause", () => {
  result.close();
  openStart().catch(complain);
});
click("#find-class", () => work.find());
click("#all-left", () => work.arm(!work.all));
click("#hide", () => work.hide(!work.bare));
click("#next-tile", () => work.nextTile());
click("#finish", () => work.finish());
click("#zoom-in", () => work.pan.zoomBy(1.8));
click("#zoom-out", () => work.pan.zoomBy(1 / 1.8));
click("#zoom-all", () => work.pan.fitAll());
click("#all-results", () => openResult(null).catch(complain));
click("#write-truth", writeTruth);
$("#group").addEventListener("change", (event) => {
  openGroup(workspace.project.groups.find((group) => group.id === event.target.value));
});
$("#sample").addEventListener("submit", (event) => {
  event.preventDefault();
  choose({ cells: Number($("#sample-cells").value), seed: Number($("#sample-seed").value) });
});

bindTheme(() => {
  work.retheme();
  result.retheme();
});

/** What tests in a browser look at. */
window.clusterfirst = { workspace, work, result, say };

begin().then(() => (document.body.dataset.ready = "true"));
