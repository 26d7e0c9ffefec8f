/**
 * What the app knows and shows, in one place. Views listen to topics and draw from here; nothing is kept in the page.
 *
 * Topics: group (other cells), slide, state (what people did), selection, hover, hover-row, display, tool, panel.
 */

import { Labels } from "./labels.js";
import { Palette } from "./palette.js";

/** Key of what belongs to no cluster. */
export const NOISE_KEY = -1;

/** Topics after which cells may have another colour. */
const RECOLOUR = new Set(["group", "state", "selection", "hover", "display"]);

export class Store {
  constructor() {
    this.listeners = new Map();
    this.project = null;
    this.group = null;
    this.cells = null;
    this.labels = null;
    this.doc = null;
    /** Number of the slide in its group. */
    this.slide = 0;
    /** Key of the selected cluster. */
    this.selected = null;
    /** Keys ticked for merging. */
    this.ticked = new Set();
    /** Rows picked by lasso or region. */
    this.picked = null;
    /** Key of the cluster named last, as long as nobody has selected anything since. */
    this.justNamed = null;
    /** Row of the cell under the cell cursor. */
    this.cursor = null;
    /** Key of the cluster, and row of the cell, that the pointer is on. */
    this.hover = null;
    this.hoverRow = null;
    this.tool = "move";
    this.panel = null;
    /** "cluster" or "label", if somebody has chosen; else cells take the colours of classes with the first name. */
    this.chosenBy = null;
    this.display = { by: "cluster", filled: false, opacity: 0.8, alone: false, hideNoise: false, hideNamed: false };
  }

  /** Call `listener` whenever one of the topics changes. @param {string} topics separated by blanks */
  on(topics, listener) {
    for (const topic of topics.split(" ")) {
      if (!this.listeners.has(topic)) this.listeners.set(topic, new Set());
      this.listeners.get(topic).add(listener);
    }
  }

  emit(...topics) {
    if (topics.some((topic) => RECOLOUR.has(topic))) this.drawnWith = null;
    const told = new Set(topics.flatMap((topic) => [...(this.listeners.get(topic) ?? [])]));
    for (const listener of told) listener();
  }

  /** Take another group: its cells and its whole state. */
  open(group, cells, doc) {
    Object.assign(this, { group, cells, doc: null, slide: 0 });
    Object.assign(this, { selected: null, picked: null, cursor: null, justNamed: null, hover: null });
    this.ticked.clear();
    this.labels = new Labels(cells);
    this.merge(doc);
    this.followNames();
    this.emit("group", "slide", "state", "selection", "display");
  }

  /** Lay what changed over the state, as the server sent it. */
  apply(changed) {
    this.merge(changed);
    this.emit("state", "selection", ...(this.followNames() ? ["display"] : []));
  }

  /** Colour by label as soon as there are labels, unless somebody has chosen. @returns whether that changed */
  followNames() {
    const by = this.chosenBy ?? (this.doc.progress.labelled ? "label" : "cluster");
    const changed = by !== this.display.by;
    this.display.by = by;
    return changed;
  }

  /** @param {"cluster"|"label"} by */
  colourBy(by) {
    this.chosenBy = by;
    this.show({ by });
  }

  merge(changed) {
    this.doc = { ...this.doc, ...changed };
    // Until somebody names something there are no classes: those offered are shown, and sent before the first name.
    this.classesAreOffered = !this.doc.classes.length;
    if (this.classesAreOffered) this.doc.classes = this.project.classes_default;
    this.labels.update(this.doc, new Set(Object.keys(changed)));
    this.byKey = new Map(this.doc.clusters.map((cluster) => [cluster.key, cluster]));
    if (this.selected !== null && this.selected !== NOISE_KEY && !this.byKey.has(this.selected)) this.selected = null;
    for (const key of this.ticked) if (!this.byKey.has(key)) this.ticked.delete(key);
  }

  /**
   * Select a cluster; the cell cursor and what was picked are let go.
   * @param {number|null} key @param {number|null} justNamed it follows that one by itself
   */
  select(key, justNamed = null) {
    Object.assign(this, { selected: key, picked: null, cursor: null, justNamed });
    this.emit("selection");
  }

  /** Put the cell cursor on a cell; its cluster is selected with it. */
  point(row) {
    const cluster = row === null ? null : this.labels.clusterAt(row);
    if (row !== null) this.selected = cluster ? cluster.key : NOISE_KEY;
    // A click that missed the next cell: a key must not name the whole cluster of the last one.
    else if (this.cursor !== null) this.selected = null;
    Object.assign(this, { cursor: row, picked: null, justNamed: null });
    this.emit("selection");
  }

  /** Pick cells. @param {number[]} rows @param {string} how "lasso" … */
  pick(rows, how) {
    const mask = new Uint8Array(this.cells.n);
    for (const row of rows) mask[row] = 1;
    this.picked = rows.length ? { rows, how, mask } : null;
    this.cursor = this.justNamed = null;
    this.emit("selection");
  }

  hoverOver(key, row = null) {
    if (this.hover === key && this.hoverRow === row) return;
    const moved = this.hover !== key;
    this.hover = key;
    this.hoverRow = row;
    this.emit(moved ? "hover" : "hover-row");
  }

  show(changes) {
    Object.assign(this.display, changes);
    this.emit("display");
  }

  get cluster() {
    return this.byKey?.get(this.selected) ?? null;
  }

  /** What a key would name now. */
  get target() {
    if (this.picked) return { kind: "cells", rows: this.picked.rows };
    if (this.cursor !== null) return { kind: "cells", rows: [this.cursor] };
    if (this.cluster) return { kind: "cluster", cluster: this.cluster };
    return null;
  }

  /** Colours of everything as shown now. */
  get palette() {
    this.drawnWith ??= new Palette(this.labels, this.display, this.emphasis, this.picked?.mask);
    return this.drawnWith;
  }

  /** Leaves to bring out: those under the pointer, else those selected. */
  get emphasis() {
    const key = this.display.alone ? this.selected : (this.hover ?? this.selected);
    if (key === null) return null;
    if (key === NOISE_KEY) return new Set([this.cells.noise]);
    return this.byKey.has(key) ? new Set(this.byKey.get(key).leaves) : null;
  }

  /** Clusters, largest first, as the server lists them. */
  get clusters() {
    return this.doc.clusters;
  }

  /** The largest cluster without a name. @param {{has(key: number): boolean}} except those that are being named */
  nextUnnamed(except) {
    return this.clusters.find((c) => !except.has(c.key) && c.name === null && !c.mixed) ?? null;
  }
}
