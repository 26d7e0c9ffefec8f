/** The app: opens a group, joins the views, and says what each key does. */

import { Actions, warnBeforeLeaving } from "../data/actions.js";
import { getBuffer, getJson, groupUrl, newId, outlinesUrl, post, setVersion, slideUrl } from "../data/api.js";
import { decodeCells } from "../data/cells.js";
import { NOISE_KEY, Store } from "../data/store.js";
import { ask, askText, complain, hush, say } from "../ui/dialogs.js";
import { $, h, plural } from "../ui/dom.js";
import { Hint } from "../ui/hint.js";
import { bindKeys, showHelp } from "../ui/keys.js";
import { Saved, Status, banner, unbanner } from "../ui/status.js";
import { bindTheme } from "../ui/theme.js";
import { keepPlace, readPlace } from "../ui/urlstate.js";
import { MiniMap } from "../viewer/minimap.js";
import { Readout } from "../viewer/readout.js";
import { Scatter } from "../viewer/scatter.js";
import { SlideView } from "../viewer/slideview.js";
import { ClusterList, clusterTitle } from "./clusters.js";
import { Detail } from "./detail.js";
import { Facts } from "./facts.js";
import { exportLabels, importLabels } from "./files.js";
import { Naming } from "./naming.js";
import { Review } from "./review.js";
import { Suggestions } from "./suggestions.js";
import { clustersOf, thing } from "./telling.js";
import { ViewBar } from "./viewbar.js";

const store = new Store();
const slideView = new SlideView($("#slide-view"), store, {
  clicked: (row) => store.point(row),
  // Only the cell is marked: were its whole cluster brought out, everything would flicker under a moving pointer.
  hovered: (row) => store.hoverOver(null, row),
  picked,
  moved,
});
const miniMap = new MiniMap($("#minimap"), store, slideView);
const readout = new Readout(slideView);
new Facts(store);
const scatter = new Scatter($("#umap"), store, {
  clicked: (row) => {
    if (row === null) return store.select(null);
    store.point(row);
    return goToCell(row, false);
  },
  hovered: (row) => store.hoverOver(row === null ? null : (store.labels.clusterAt(row)?.key ?? NOISE_KEY), row),
  picked,
});
const status = new Status(store);
const list = new ClusterList(store);
new Hint(store);
const saved = new Saved();
const actions = new Actions(store, {
  queued: (unsent) => saved.tell({ unsent }),
  waiting: (n, seconds, retry, why) => {
    const text = `${why}: ${plural(n, "action")} not saved yet. Trying again in ${seconds} s.`;
    banner(text, { text: "Try now", run: retry }, "unsent");
  },
  connected: () => unbanner("unsent"),
  refused: (error) => (error.status === 403 && !store.project.who ? nameMyself() : complain(error)),
  conflict: askConflict,
  reload: reloadState,
});
warnBeforeLeaving(actions);
const naming = new Naming(store, actions, followOn);
const review = new Review(store, actions, goToCell);
const suggestions = new Suggestions(store, actions, naming, goToUnnamed);
const viewBar = new ViewBar(store);
new Detail(store, {
  open: openCluster,
  merge: mergeTicked,
  accept: () => suggestions.accept(),
  review: () => review.start(),
  show: (row) => {
    store.point(row);
    goToCell(row);
  },
});

// ---- opening

async function begin() {
  try {
    store.project = await getJson("/api/project");
  } catch (error) {
    $("#cover-text").textContent = `The results cannot be opened: ${error.message}`;
    return;
  }
  const place = readPlace();
  const { groups } = store.project;
  fillSelect($("#group"), groups.map((group) => [group.id, group.name]));
  $("#group-pick").hidden = groups.length < 2;
  restoreDisplay(place);
  await openGroup(groups.find((group) => group.id === place.group) ?? groups[0], place);
  if (!store.project.who) nameMyself();
}

async function openGroup(group, place = {}) {
  $("#cover").hidden = false;
  $("#cover-text").textContent = `Opening ${group.name}: ${plural(group.cells, "cell")}…`;
  try {
    const url = groupUrl(group.id);
    const doc = await getJson(`${url}/state`);
    const [buffer, infos] = await Promise.all([
      getBuffer(`${url}/cells.bin?v=${doc.fingerprint}`),
      Promise.all(group.slides.map(async (slide) => ({ ...slide, ...(await getJson(slideUrl(slide.id))) }))),
    ]);
    store.infos = infos;
    setVersion(doc.fingerprint);
    store.open(group, decodeCells(buffer), doc);
  } catch (error) {
    $("#cover-text").textContent = `${group.name} cannot be opened: ${error.message}`;
    return;
  }
  $("#group").value = group.id;
  fillSelect($("#slide"), group.slides.map((slide, i) => [i, slide.id]));
  $("#slide-pick").hidden = group.slides.length < 2 && store.project.groups.length > 1;
  const slide = group.slides.findIndex((s) => s.id === place.slide);
  openSlide(Math.max(slide, 0));
  restorePlace(place);
  status.people(store.doc.holders ?? [], store.project.who);
  listen();
  actions.resume();
  offerOlder();
  warnOfOlder(store.doc);
  $("#cover").hidden = true;
  document.title = `${group.name} – clusterfirst`;
}

function openSlide(number) {
  store.slide = number;
  const info = store.infos[number];
  slideView.open(info, number, { slide: slideUrl(info.id), outlines: (block) => outlinesUrl(info.id, block) });
  miniMap.open(info);
  $("#slide").value = String(number);
  if (info.problem) say(info.problem, { kind: "problem", lasts: 15000 });
  store.emit("slide");
  tellSlideSoon();
}

function fillSelect(select, options) {
  select.replaceChildren(...options.map(([value, text]) => h("option", { value }, text)));
}

$("#group").addEventListener("change", (event) => {
  openGroup(store.project.groups.find((group) => group.id === event.target.value));
});
$("#slide").addEventListener("change", (event) => openSlide(Number(event.target.value)));

// ---- the place in the address

function place() {
  const { view } = slideView;
  return {
    group: store.group?.id,
    slide: store.group?.slides[store.slide].id,
    x: Math.round(view.x),
    y: Math.round(view.y),
    zoom: slideView.pan.untouched ? null : Number(view.scale.toPrecision(4)),
    cluster: store.selected === NOISE_KEY ? "noise" : (store.cluster?.title ?? null),
    by: store.chosenBy,
    filled: store.display.filled ? 1 : null,
    panel: store.panel,
  };
}

function restoreDisplay({ by, filled }) {
  if (by === "label" || by === "cluster") store.chosenBy = by;
  store.display.filled = Boolean(filled);
}

/** Labels of an earlier clustering of the same cells can be taken over, as long as there are none of this one. */
function offerOlder() {
  const older = store.doc.older?.find((one) => one.same_cells);
  if (!older || store.doc.seq > 0) return;
  banner("These cells were clustered anew since somebody labelled them.", {
    text: "Take the earlier labels over",
    run: async () => {
      unbanner("news");
      try {
        const asked = { id: newId(), fingerprint: older.fingerprint };
        const { seq, state } = await post(`${groupUrl(store.group.id)}/carry`, asked);
        store.apply({ ...state, seq });
        say("The earlier labels have been taken over. Undo takes them away.");
      } catch (error) {
        complain(error);
      }
    },
  });
}

/**
 * What is shown is no longer what the workflow made: until the server is started anew it goes on with the earlier
 * clusters.
 */
function warnOfOlder({ recomputed }) {
  if (!recomputed) return;
  const what = "The cells were clustered anew since the server started.";
  banner(`${what} End it and start it again, then reload this page.`);
}

function restorePlace({ x, y, zoom, cluster, panel }) {
  if (zoom) slideView.pan.goTo(Number(x), Number(y), Number(zoom), false);
  const key = cluster === "noise" ? NOISE_KEY : store.clusters.find((c) => c.title === cluster)?.key;
  if (key !== undefined) store.select(key);
  else goToUnnamed();
  if (panel === "review") review.start();
}

function moved() {
  miniMap.paintSoon();
  readout.moved();
  keep();
}

const keep = () => store.group && keepPlace(place);
store.on("selection display slide panel", keep);

// ---- the others

let events, telling;

/** The others are told which slide we look at, once we stay on it. */
function tellSlideSoon() {
  clearTimeout(telling);
  if (events) telling = setTimeout(listen, 700);
}

function listen() {
  clearTimeout(telling);
  events?.close();
  const { group } = store;
  const slide = group.slides[store.slide].id;
  events = new EventSource(`${groupUrl(group.id)}/events?slide=${encodeURIComponent(slide)}`);
  events.onmessage = (event) => heard(JSON.parse(event.data));
  events.onopen = () => saved.lost && (saved.tell({ lost: false }), reloadState());
  events.onerror = () => {
    saved.tell({ lost: true });
    // A browser gives up at a refusal; the token of a server that was started again may come yet.
    if (events.readyState === EventSource.CLOSED) telling = setTimeout(listen, 3000);
  };
}

function heard({ seq, who, said, holders }) {
  if (holders) status.people(holders, store.project.who);
  if (seq === undefined || seq <= store.doc.seq) return;
  if (who !== store.project.who) say(`${who} ${said}.`);
  heardOf = seq;
  reloadSoon();
}

/** The last action that we were told of: by the time it is asked for, the answer to our own has mostly come. */
let heardOf = 0;

let reloading;
const reloadSoon = () => {
  clearTimeout(reloading);
  reloading = setTimeout(() => heardOf > store.doc.seq && reloadState(), 250);
};

async function reloadState() {
  const { group } = store;
  try {
    const doc = await getJson(`${groupUrl(group.id)}/state`);
    if (store.group !== group) return;
    if (doc.fingerprint !== store.doc.fingerprint) {
      // The cells in this page are of another clustering: its leaves must not be named.
      const what = "The cells were clustered anew. What you do in this page is not taken any more.";
      banner(what, { text: "Reload", run: () => location.reload() });
      return;
    }
    warnOfOlder(doc);
    // An answer to our own may have overtaken it.
    if (doc.seq >= store.doc.seq) store.apply(doc);
  } catch {
    saved.tell({ lost: true }); // the stream of events says when the server is back
  }
}

function askConflict({ who, time, said }, mine) {
  const rows = [
    ["Theirs", `${who} ${said} at ${new Date(time).toLocaleTimeString()}.`],
    ["Yours", `${sentence(thing(mine, store))}.`],
  ];
  return ask(
    "Somebody was faster",
    [
      h("p", {}, "It concerns the same cells. Nothing has been overwritten."),
      h("dl", { class: "pairs" },
        rows.map(([term, text]) => h("div", {}, h("dt", {}, term), h("dd", {}, text)))),
    ],
    [["Do mine all the same", true], ["Keep theirs", false, "primary"]],
  );
}

async function nameMyself() {
  const name = await askText("Who are you?", "Labels carry the name of who gave them.", store.project.who ?? "");
  if (!name) return;
  try {
    const found = await post("/api/who", { who: name });
    store.project.who = found.who ?? name;
    status.people(store.doc.holders ?? [], store.project.who);
    listen();
  } catch (error) {
    complain(error);
  }
}

$("#people").addEventListener("click", (event) => event.target.closest("#me") && nameMyself());

// ---- what can be done

/** Cells were picked by lasso or region. With none inside, the next key must not name what was selected before. */
function picked(rows, how) {
  store.pick(rows, how);
  if (rows.length) return say(`${plural(rows.length, "cell")} picked. Press the key of a class; Esc deselects them.`);
  store.select(null);
  say("No cells in there.");
}

function goToUnnamed() {
  const next = store.nextUnnamed(naming.underWay);
  if (next) store.select(next.key);
  else if (store.doc.clusters.length) {
    say("All clusters have names. R reviews the least certain cells of the selected one.");
  }
}

/**
 * While a cluster takes its name, the largest without one follows: were it the target for a moment longer, a second key
 * would name it again. Cells stay picked: a second key corrects the first.
 */
function followOn(target, name) {
  if (target.kind === "cells") return review.naming(target);
  // The pointer may still rest on the row just named: slide and UMAP must show what the next key will name.
  store.hoverOver(null);
  if (name === null) return null;
  const next = store.nextUnnamed(naming.underWay);
  store.select(next?.key ?? null, target.cluster.key);
  return next || say("All clusters have names. R reviews the least certain cells of the last one.");
}

/** Undo or redo. What a name was taken back from is selected: the next key is for it. */
async function turnBack(what) {
  const done = await actions.do({ do: what });
  if (!done) return;
  const { turned } = done;
  hush();
  say(`${what === "undo" ? "Took back" : "Did again"}: ${thing(turned, store)}.`);
  const named = turned?.do === "name" && what === "undo" ? clustersOf(turned.leaves, store) : [];
  if (named.length === 1) store.select(named[0].key);
}

async function openCluster() {
  const { cluster } = store;
  if (!cluster) return say("Select a cluster to open.");
  if (!cluster.can_open) return say("This cluster is as fine as clusters get.");
  if (!(await actions.do({ do: "open", cluster: cluster.key }))) return;
  const children = store.clusters.filter((c) => c.leaves.every((leaf) => cluster.leaves.includes(leaf)));
  say(`${clusterTitle(cluster)} opened into ${children.map((c) => c.title).join(" and ")}.`);
  if (children.length) store.select(children[0].key);
}

async function mergeTicked() {
  const keys = [...store.ticked];
  if (keys.length < 2) return say("Tick two clusters or more (T), then merge them.");
  store.ticked.clear();
  if (!(await actions.do({ do: "merge", clusters: keys }))) return;
  const merged = store.clusters.find((c) => keys.every((key) => c.leaves.includes(key)));
  if (!merged) return;
  say(`${plural(keys.length, "cluster")} merged into ${clusterTitle(merged).toLowerCase()}.`);
  store.select(merged.key);
}

/** Review the selected cluster; if nobody selected one since the last was named, that one. */
async function startReview() {
  const { justNamed } = store;
  await naming.underWay.get(justNamed);
  await review.start(store.byKey.has(justNamed) ? justNamed : store.selected);
}

/** Show a cell, on its own slide. */
function goToCell(row, closeUp) {
  const number = store.cells.slide[row];
  if (number !== store.slide) openSlide(number);
  slideView.goToCell(row, closeUp);
}

/** Move the cell cursor through the selected cluster, from place to place over the slide. */
function stepCell(by) {
  const { cells, selected, labels } = store;
  if (selected === null) return say("Select a cluster first.");
  const leaves = new Set(selected === NOISE_KEY ? [cells.noise] : store.cluster.leaves);
  const rows = cells.grid(store.slide).rows.filter((row) => leaves.has(cells.leaf[row]));
  if (!rows.length) return say("The selected cluster has no cells on this slide.");
  const at = rows.indexOf(store.cursor);
  const row = rows[at < 0 ? (by > 0 ? 0 : rows.length - 1) : (at + by + rows.length) % rows.length];
  store.point(row);
  slideView.goToCell(row);
  return labels;
}

function deselect() {
  if (store.picked) store.pick([], "");
  else if (store.cursor !== null) store.select(store.selected);
  else if (store.selected !== null) store.select(null);
}

const turn = (by) => openSlide((store.slide + by + store.infos.length) % store.infos.length);

const sentence = (text) => text[0].toUpperCase() + text.slice(1);

/** The view that keys like + and the arrows are for. */
const focusedView = () => (document.activeElement === $("#umap") ? scatter.pan : slideView.pan);

const KEYS = [
  ["Name", "1 2 3 4 5 6 7 8 9", "Name the selected cluster, cell or lasso", (e) => naming.give(Number(e.key) - 1)],
  ["Name", "Backspace Delete", "Take the name away", () => naming.take()],
  ["Name", "x", "Leave the cell out", () => naming.exclude()],
  ["Name", "/ Enter", "Find a class by its name, or add one", () => naming.find()],
  ["Name", "a", "Accept what is suggested", () => suggestions.accept()],
  ["Name", "n", "Largest cluster without a name", goToUnnamed],
  ["Name", "Ctrl+z", "Undo", () => turnBack("undo")],
  ["Name", "Ctrl+Shift+z Ctrl+y", "Redo", () => turnBack("redo")],
  ["Clusters", "j k", "Next, previous cluster", (e) => list.step(e.key.toLowerCase() === "j" ? 1 : -1)],
  ["Clusters", "o", "Open into its children", openCluster],
  ["Clusters", "t", "Tick for merging", () => list.tick(store.selected)],
  ["Clusters", "m", "Merge the ticked", mergeTicked],
  ["Clusters", "r", "Review its least certain cells", startReview],
  ["Clusters", "s", "Show it alone", () => viewBar.toggle("alone")],
  ["Cells", ". ,", "Next, previous cell of the cluster", (e) => stepCell(e.key === "." ? 1 : -1)],
  ["Cells", "Enter", "From the cell to its whole cluster",
    () => (store.cursor === null ? naming.find() : store.select(store.selected))],
  ["Cells", "v l b", "Move, lasso, region",
    (e) => viewBar.setTool({ v: "move", l: "lasso", b: "region" }[e.key.toLowerCase()])],
  ["Cells", "Escape", "Deselect", deselect],
  ["View", "c", "Colour by cluster or label",
    () => store.colourBy(store.display.by === "cluster" ? "label" : "cluster")],
  ["View", "f", "Filled or outline", () => viewBar.toggle("filled")],
  ["View", "[ ]", "Cells fainter, stronger", (e) => viewBar.fade(e.key === "]" ? 0.1 : -0.1)],
  ["View", "h g", "Hide noise, hide named",
    (e) => viewBar.toggle(e.key.toLowerCase() === "h" ? "hideNoise" : "hideNamed")],
  ["View", "+ - 0", "Closer, farther, whole slide", null],
  ["View", "PageUp PageDown", "Previous, next slide", (e) => turn(e.key === "PageDown" ? 1 : -1)],
  ["View", "?", "This help", () => help()],
];

const ABOUT = "Name a cluster, and all its cells take the name. A cell that was given a label of its own keeps it, "
  + "whatever its cluster is called later. Everything is saved at once.";
const help = () => showHelp(KEYS, ABOUT);

bindKeys(KEYS, (event) => {
  const held = event.ctrlKey || event.metaKey || event.altKey;
  return review.key(event) || (!held && focusedView().key(event));
});

// ---- buttons

const click = (id, run) => $(id).addEventListener("click", run);
click("#undo", () => turnBack("undo"));
click("#redo", () => turnBack("redo"));
click("#export", () => exportLabels(store));
click("#import", () => $("#import-file").click());
$("#import-file").addEventListener("change", (event) => {
  importLabels(store, event.target.files[0], reloadState);
  event.target.value = "";
});
click("#help", help);
click("#blind", () => location.assign(`/static/blind.html#group=${encodeURIComponent(store.group.id)}`));
click("#zoom-in", () => slideView.pan.zoomBy(1.8));
click("#zoom-out", () => slideView.pan.zoomBy(1 / 1.8));
click("#zoom-all", () => slideView.pan.fitAll());
click("#map-all", () => scatter.pan.fitAll());
click("#find-class", () => naming.find());

// ---- light and dark

bindTheme(() => [slideView, scatter].forEach((view) => view.retheme()));

/** What tests in a browser look at. */
window.clusterfirst = {
  store,
  viewer: { goTo: (x, y, zoom) => slideView.pan.goTo(x, y, zoom, false), pan: slideView.pan, view: slideView },
  scatter,
  actions,
  naming,
  get fps() {
    return slideView.pan.fps;
  },
};

begin().then(() => (document.body.dataset.ready = "true"));
