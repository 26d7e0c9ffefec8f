/** The classes, their keys, and what a key would name now. */

import { inkOn, nextColour } from "./colour.js";
import { clusterTitle } from "./clusters.js";
import { ask, say } from "./dialogs.js";
import { $, count, h, icon, percent, plural } from "./dom.js";
import { encodeRanges } from "./ranges.js";

export class Naming {
  /** @param {(target: object, name: string|null) => void} naming called as soon as something is being named: the next key is for what follows */
  constructor(store, actions, naming) {
    Object.assign(this, { store, actions, naming });
    this.editing = null;
    /** Clusters whose name is on its way, by key: promises. */
    this.underWay = new Map();
    this.list = $("#classes");
    $("#add-class").addEventListener("submit", (event) => {
      event.preventDefault();
      this.add($("#new-class").value.trim());
    });
    store.on("group state", () => this.refresh());
    store.on("group state selection", () => this.describe());
  }

  get classes() {
    return this.store.doc.classes;
  }

  /** Say what a key would name. */
  describe() {
    const { store } = this;
    const target = $("#target");
    const { kind, cluster, rows } = store.target ?? {};
    const parts =
      kind === "cluster" ? ["All of", clusterTitle(cluster), `${plural(cluster.size, "cell")} · ${percent(cluster.share)}`]
      : store.picked ? ["Picked by " + store.picked.how, plural(rows.length, "cell"), "exceptions; Esc lets them go"]
      : kind === "cells" ? ["Only this cell", this.ofCell(rows[0]), "Enter: its whole cluster"]
      : ["Nothing selected", "Choose a cluster or a cell", "N: largest without a name"];
    target.dataset.kind = store.picked ? "cells" : (kind ?? "none");
    target.replaceChildren(h("span", { class: "over" }, parts[0]), h("b", {}, parts[1]), h("span", { class: "under" }, parts[2]));
    for (const button of this.list.querySelectorAll(".class-name")) button.disabled = !kind;
  }

  ofCell(row) {
    const { labels } = this.store;
    const number = labels.of(row);
    const cluster = labels.clusterAt(row);
    const where = cluster ? `Cell of ${clusterTitle(cluster).toLowerCase()}` : "Cell without cluster";
    return number < 0 ? where : `${where}: ${labels.classes[number].name}`;
  }

  refresh() {
    const tally = this.store.labels.tally();
    this.list.replaceChildren(...this.classes.map((c, i) => (this.editing === i ? this.editor(c, i) : this.row(c, i, tally[i]))), this.last());
  }

  row({ name, colour }, i, cells) {
    const key = i < 9 ? String(i + 1) : "";
    return h("li", { class: "class" },
      h("button", { class: "class-name", title: key ? `Name it ${name} (${key})` : `Name it ${name}`, onclick: () => this.give(i) },
        h("kbd", { style: { background: colour, color: inkOn(colour) } }, key),
        h("span", { class: "word" }, name),
        h("span", { class: "tally" }, cells ? count(cells) : "")),
      h("button", { class: "quiet small", "aria-label": `Edit ${name}`, title: "Rename, recolour, move, delete", onclick: () => this.edit(i) }, icon("edit")));
  }

  /** What takes names away. */
  last() {
    return h("li", { class: "class none" },
      h("button", { class: "class-name", title: "Take the name away (Backspace)", onclick: () => this.take() },
        h("kbd", {}, "⌫"), h("span", { class: "word" }, "No name")),
      h("button", { class: "class-name", title: "Cells that should have no label: debris, folds, wrong outlines (X)", onclick: () => this.exclude() },
        h("kbd", {}, "X"), h("span", { class: "word" }, "Leave out")));
  }

  editor({ name, colour }, i) {
    const input = h("input", { value: name, maxlength: 80, "aria-label": "Name of the class" });
    const shade = h("input", { type: "color", value: colour, "aria-label": "Colour of the class" });
    const save = () => this.change(i, { name: input.value.trim() || name, colour: shade.value });
    const form = h("form", { class: "edit", onsubmit: (event) => (event.preventDefault(), save()), onkeydown: (event) => event.key === "Escape" && (event.stopPropagation(), this.edit(null)) },
      shade, input,
      h("button", { class: "quiet small", title: "Keep", "aria-label": "Keep" }, icon("check")),
      h("button", { type: "button", class: "quiet small", title: "Up", "aria-label": "Move up", disabled: i === 0, onclick: () => this.swap(i, i - 1) }, icon("up")),
      h("button", { type: "button", class: "quiet small", title: "Down", "aria-label": "Move down", disabled: i === this.classes.length - 1, onclick: () => this.swap(i, i + 1) }, icon("down")),
      h("button", { type: "button", class: "quiet small", title: "Delete", "aria-label": `Delete ${name}`, onclick: () => this.remove(i) }, icon("delete")),
    );
    queueMicrotask(() => input.focus());
    return h("li", { class: "class editing" }, form);
  }

  edit(i) {
    this.editing = i;
    this.refresh();
    this.describe();
  }

  save(classes) {
    return this.actions.do({ do: "classes", classes });
  }

  add(name) {
    if (!name) return $("#new-class").focus();
    if (this.classes.some((c) => c.name === name)) return say(`There is a class “${name}” already.`, { kind: "problem" });
    $("#new-class").value = "";
    return this.save([...this.classes, { name, colour: nextColour(this.classes) }]);
  }

  change(i, to) {
    this.editing = null;
    const classes = this.classes.map((c, j) => (j === i ? { ...to, ...(to.name !== c.name && { was: c.name }) } : c));
    return this.save(classes);
  }

  swap(i, j) {
    const classes = [...this.classes];
    [classes[i], classes[j]] = [classes[j], classes[i]];
    this.editing = j;
    return this.save(classes);
  }

  /** Delete a class; what has its name loses it first, if that is meant. */
  async remove(i) {
    const { name } = this.classes[i];
    const { labels, cells } = this.store;
    const leaves = [...labels.classOf.keys()].filter((leaf) => labels.classOf[leaf] === i && leaf < cells.leaves);
    const rows = [];
    for (let row = 0; row < cells.n; row++) if (labels.exception[row] === i) rows.push(row);
    if (leaves.length || rows.length) {
      const used = `${count(labels.tally()[i])} cells are called “${name}”. They lose that name. Undo brings it back step by step.`;
      if (!(await ask(`Delete “${name}”?`, [h("p", {}, used)], [["Delete", true, "danger"], ["Keep it", false, "primary"]]))) return;
    }
    this.editing = null;
    if (leaves.length) await this.actions.do({ do: "name", leaves, class: null });
    if (rows.length) await this.actions.do({ do: "cells", rows: encodeRanges(rows), class: null });
    await this.save(this.classes.filter((c) => c.name !== name).map(({ name, colour }) => ({ name, colour })));
  }

  /** Give what is selected the name of class i. */
  give(i) {
    const entry = this.classes[i];
    if (entry) return this.put(entry.name, `is ${entry.name}`);
    return say(`There is no class ${i + 1} yet: add one below the list.`);
  }

  take() {
    return this.put(null, "has no name now");
  }

  /** Cells only: a cluster that should have no label simply gets no name. */
  exclude() {
    const { target } = this.store;
    if (target?.kind === "cluster") return say("Leaving out is for single cells: click one, or pick some by lasso.");
    return this.put("", "is left out");
  }

  async put(name, said) {
    const { store } = this, { target } = store;
    if (!target) return say("Select a cluster or a cell first. N goes to the largest cluster without a name.");
    const started = performance.now();
    const action =
      target.kind === "cluster" ? { do: "name", leaves: target.cluster.leaves, class: name } : { do: "cells", rows: encodeRanges(target.rows), class: name };
    if (name) this.sendOffered();
    const key = target.kind === "cluster" && name !== null ? target.cluster.key : null;
    const sent = this.actions.do(action);
    if (key !== null) this.underWay.set(key, sent);
    this.naming(target, name);
    const done = await sent;
    if (this.underWay.get(key) === sent) this.underWay.delete(key);
    if (!done) return;
    this.took = performance.now() - started;
    const what = target.kind === "cluster" ? `${clusterTitle(target.cluster)} (${plural(target.cluster.size, "cell")})` : plural(target.rows.length, "cell");
    say(`${what} ${target.kind === "cells" && target.rows.length > 1 ? said.replace(/^is/, "are").replace(/^has/, "have") : said}.${key !== null && store.justNamed === key ? " R reviews it." : ""}`);
  }

  /** Until somebody names something, classes are offered only: the first name brings them along. */
  sendOffered() {
    if (!this.store.classesAreOffered || this.offered) return;
    this.offered = this.actions.do({ do: "classes", classes: this.classes }, { yields: true }).finally(() => (this.offered = null));
  }
}

