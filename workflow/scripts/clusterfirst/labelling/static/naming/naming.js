/** The classes, their keys, and what a key would name now. */

import { inkOn, nextColour } from "../ui/colour.js";
import { clusterTitle } from "./clusters.js";
import { ask, say } from "../ui/dialogs.js";
import { $, count, h, icon, percent, plural } from "../ui/dom.js";
import { findClass } from "../ui/finder.js";
import { encodeRanges } from "../data/ranges.js";

const NOTHING = "Select a cluster or a cell first. N goes to the largest cluster without a name.";

export class Naming {
  /**
   * @param {(target: object, name: string|null) => void} naming called as soon as something is being named: the next
   *   key is for what follows
   */
  constructor(store, actions, naming) {
    Object.assign(this, { store, actions, naming });
    /** The class whose editor is open. */
    this.editing = null;
    this.rows = new Map();
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
    const [over, title, under] =
      kind === "cluster"
        ? ["All of", clusterTitle(cluster), `${plural(cluster.size, "cell")} · ${percent(cluster.share)}`]
      : store.picked ? ["Picked by " + store.picked.how, plural(rows.length, "cell"), "Exceptions · Esc deselects them"]
      : kind === "cells" ? ["Only this cell", this.ofCell(rows[0]), "Enter selects its whole cluster"]
      : ["Nothing selected", "Choose a cluster or a cell", "N: largest without a name"];
    target.dataset.kind = store.picked ? "cells" : (kind ?? "none");
    target.replaceChildren(
      h("span", { class: "over" }, over),
      h("b", {}, title),
      h("span", { class: "under" }, under),
    );
    for (const button of this.list.querySelectorAll(".class-name")) button.disabled = !kind;
  }

  ofCell(row) {
    const { labels } = this.store;
    const number = labels.of(row);
    const cluster = labels.clusterAt(row);
    const where = cluster ? `Cell of ${clusterTitle(cluster).toLowerCase()}` : "Cell without cluster";
    return number < 0 ? where : `${where}: ${labels.classes[number].name}`;
  }

  /** The list as the server has it, or will have it once what is on its way has arrived. */
  get latest() {
    return (this.saving?.classes ?? this.classes).map(({ name, colour }) => ({ name, colour }));
  }

  /** Rows stay as long as nothing in them changes, and the editor as long as its class is there: no focus is lost. */
  refresh() {
    const tally = this.store.labels.tally();
    if (!this.classes.some((c) => c.name === this.editing)) this.editing = null;
    const rows = this.classes.map((c, i) => (this.editing === c.name ? this.editor(c, i) : this.row(c, i, tally[i])));
    const wanted = [...rows, (this.end ??= this.last())];
    for (const child of [...this.list.children]) if (!wanted.includes(child)) child.remove();
    let at = this.list.firstChild;
    for (const row of wanted) {
      if (row === at) at = at.nextSibling;
      else this.list.insertBefore(row, at);
    }
  }

  row({ name, colour }, i, cells) {
    const sign = `${i} ${colour}`;
    const kept = this.rows.get(name);
    const row = kept?.sign === sign ? kept.row : this.makeRow({ name, colour }, i);
    this.rows.set(name, { sign, row });
    $(".tally", row).textContent = cells ? count(cells) : "";
    return row;
  }

  makeRow({ name, colour }, i) {
    const key = i < 9 ? String(i + 1) : "";
    return h("li", { class: "class" },
      h("button", {
        class: "class-name",
        title: key ? `Name it ${name} (${key})` : `Name it ${name}`,
        onclick: () => this.give(i),
      },
        h("kbd", { style: { background: colour, color: inkOn(colour) } }, key),
        h("span", { class: "word" }, name),
        h("span", { class: "tally" })),
      h("button", {
        class: "quiet small",
        "aria-label": `Edit ${name}`,
        title: "Rename, recolour, move, delete",
        onclick: () => this.edit(name),
      }, icon("edit")));
  }

  /** What takes names away. */
  last() {
    return h("li", { class: "class none" },
      h("button", { class: "class-name", title: "Take the name away (Backspace)", onclick: () => this.take() },
        h("kbd", {}, "⌫"), h("span", { class: "word" }, "No name")),
      h("button", {
        class: "class-name",
        title: "Cells that should have no label: debris, folds, wrong outlines (X)",
        onclick: () => this.exclude(),
      },
        h("kbd", {}, "X"), h("span", { class: "word" }, "Leave out")));
  }

  editor({ name, colour }, i) {
    if (this.form?.name !== name) this.form = { name, ...this.makeEditor(name, colour) };
    const { row, up, down } = this.form;
    up.disabled = i === 0;
    down.disabled = i === this.classes.length - 1;
    return row;
  }

  makeEditor(name, colour) {
    const input = h("input", { value: name, maxlength: 80, "aria-label": "Name of the class" });
    const shade = h("input", { type: "color", value: colour, "aria-label": "Colour of the class" });
    const button = (text, label, sign, run) => {
      const facts = { type: "button", class: "quiet small", title: text, "aria-label": label };
      return h("button", { ...facts, onclick: run }, icon(sign));
    };
    const up = button("Up", "Move up", "up", () => this.move(name, -1));
    const down = button("Down", "Move down", "down", () => this.move(name, 1));
    const remove = button("Delete", `Delete ${name}`, "delete", () => this.remove(name));
    const keep = h("button", { class: "quiet small", title: "Keep", "aria-label": "Keep" }, icon("check"));
    const save = () => this.change(name, { name: input.value.trim() || name, colour: shade.value });
    const form = h("form", {
      class: "edit",
      onsubmit: (event) => {
        event.preventDefault();
        save();
      },
      onkeydown: (event) => {
        if (event.key !== "Escape") return;
        event.stopPropagation();
        this.edit(null);
      },
    }, shade, input, keep, up, down, remove);
    queueMicrotask(() => input.focus());
    return { row: h("li", { class: "class editing" }, form), up, down };
  }

  /** Open the editor of a class. @param {string|null} name null closes it */
  edit(name) {
    this.editing = name;
    this.form = null;
    this.refresh();
    this.describe();
  }

  save(classes, how) {
    const saving = { classes, done: this.actions.do({ do: "classes", classes }, how) };
    this.saving = saving;
    saving.done.finally(() => this.saving === saving && (this.saving = null));
    return saving.done;
  }

  async add(name) {
    const box = $("#new-class");
    if (!name) return box.focus();
    const known = this.latest.some((c) => c.name === name);
    if (known) say(`There is a class “${name}” already.`, { kind: "problem" });
    if (!known && (await this.addClass(name))) box.value = "";
    else box.select(); // what was refused is there to be mended, or to be typed over
    return null;
  }

  addClass(name, colour = nextColour(this.latest)) {
    return this.save([...this.latest, { name, colour }]);
  }

  async change(name, to) {
    const classes = this.latest.map((c) => (c.name === name ? { ...to, ...(to.name !== name && { was: name }) } : c));
    if (await this.save(classes)) this.edit(null);
  }

  move(name, by) {
    const classes = this.latest, i = classes.findIndex((c) => c.name === name);
    [classes[i], classes[i + by]] = [classes[i + by], classes[i]];
    return this.save(classes);
  }

  /** Delete a class; what has its name loses it first, if that is meant. */
  async remove(name) {
    const { labels, cells } = this.store;
    const i = this.classes.findIndex((c) => c.name === name);
    const leaves = [...labels.classOf.keys()].filter((leaf) => labels.classOf[leaf] === i && leaf < cells.leaves);
    const rows = [];
    for (let row = 0; row < cells.n; row++) if (labels.exception[row] === i) rows.push(row);
    if (leaves.length || rows.length) {
      const cells = `${count(labels.tally()[i])} cells are called “${name}”.`;
      const used = `${cells} They lose that name. Undo brings it back step by step.`;
      const buttons = [["Delete", true, "danger"], ["Keep it", false, "primary"]];
      if (!(await ask(`Delete “${name}”?`, [h("p", {}, used)], buttons))) return;
    }
    this.editing = null;
    if (leaves.length) await this.actions.do({ do: "name", leaves, class: null });
    if (rows.length) await this.actions.do({ do: "cells", rows: encodeRanges(rows), class: null });
    await this.save(this.latest.filter((c) => c.name !== name));
  }

  /** Give what is selected the name of class i. */
  give(i) {
    const entry = this.classes[i];
    if (!entry) return say(`There is no class ${i + 1} yet: add one below the list.`);
    return this.put(entry.name, `is ${entry.name}`);
  }

  /** Ask for a class by part of its name; one that is not there is added. */
  async find() {
    const { target } = this.store;
    if (!target) return say(NOTHING);
    const what = target.kind === "cluster"
      ? `Name ${clusterTitle(target.cluster).toLowerCase()}`
      : `Label ${plural(target.rows.length, "cell")}`;
    const found = await findClass(what, this.latest);
    if (!found) return null;
    if (found.isNew) this.addClass(found.name);
    return this.put(found.name, `is ${found.name}`);
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
    if (!target) return say(NOTHING);
    const started = performance.now();
    const action =
      target.kind === "cluster"
        ? { do: "name", leaves: target.cluster.leaves, class: name }
        : { do: "cells", rows: encodeRanges(target.rows), class: name };
    if (name) this.sendOffered();
    const key = target.kind === "cluster" && name !== null ? target.cluster.key : null;
    const sent = this.keep(key === null ? [] : [key], this.actions.do(action));
    this.naming(target, name);
    if (!(await sent)) return;
    this.took = performance.now() - started;
    const what = target.kind === "cluster"
      ? `${clusterTitle(target.cluster)} (${plural(target.cluster.size, "cell")})`
      : plural(target.rows.length, "cell");
    const several = target.kind === "cells" && target.rows.length > 1;
    const done = several ? said.replace(/^is/, "are").replace(/^has/, "have") : said;
    const next = key !== null && store.justNamed === key ? " R reviews it." : "";
    say(`${what} ${done}.${next}`);
  }

  /** Remember that clusters are being named, until it is done. @returns {Promise} what was given */
  async keep(keys, sent) {
    for (const key of keys) this.underWay.set(key, sent);
    const done = await sent;
    for (const key of keys) if (this.underWay.get(key) === sent) this.underWay.delete(key);
    return done;
  }

  /** Until somebody names something, classes are offered only: the first name brings them along. */
  sendOffered() {
    if (this.store.classesAreOffered && !this.saving) this.save(this.classes, { yields: true });
  }
}

