/** The review queue: the least certain cells of a cluster side by side, to be accepted together or corrected singly. */

import { cropUrl, getJson, groupUrl } from "../data/api.js";
import { chip, clusterTitle } from "./clusters.js";
import { complain, say } from "../ui/dialogs.js";
import { $, h, icon, plural } from "../ui/dom.js";
import { encodeRanges } from "../data/ranges.js";

const COUNT = 24;

export class Review {
  /** @param {(row: number) => void} shows bring a cell into view */
  constructor(store, actions, shows) {
    Object.assign(this, { store, actions, shows });
    this.box = $("#review");
    this.rows = [];
    store.on("state", () => this.isOpen && this.paint());
    store.on("group", () => {
      this.pictures = null; // the same rows are other cells there
      this.close();
    });
  }

  get isOpen() {
    return !this.box.hidden;
  }

  async start(key = this.store.selected) {
    const cluster = this.store.byKey.get(key);
    if (!cluster) return say("Select a cluster to review.");
    if (cluster.name === null && !cluster.mixed) {
      return say("Name the cluster first; then its least certain cells can be reviewed.");
    }
    this.of = key;
    await this.fetch();
  }

  async fetch() {
    const asked = (this.asked = {});
    try {
      const found = await getJson(`${groupUrl(this.store.group.id)}/review?cluster=${this.of}&count=${COUNT}`);
      if (asked !== this.asked) return; // closed, or asked for another cluster meanwhile
      this.rows = found.rows;
    } catch (error) {
      return complain(error);
    }
    if (!this.rows.length) {
      this.close();
      return say("Every cell of this cluster has been reviewed.");
    }
    this.at = 0;
    this.box.hidden = false;
    this.store.panel = "review";
    this.store.emit("panel");
    this.paint();
    this.go(0);
  }

  close() {
    this.asked = null;
    if (this.box.hidden) return;
    this.box.hidden = true;
    this.box.replaceChildren();
    this.store.panel = null;
    this.store.emit("panel");
  }

  paint() {
    const { store } = this;
    const cluster = store.byKey.get(this.of);
    if (!cluster) return this.close();
    const left = this.rows.length - this.corrected;
    const hadFocus = this.box.contains(document.activeElement);
    this.box.replaceChildren(
      h("div", { class: "review-head" },
        h("h2", {}, "Review"),
        h("span", { class: "muted" }, `${clusterTitle(cluster)}, least sure`),
        cluster.name ? chip(cluster.name, store.doc.classes) : null,
        h("span", { class: "gap" }),
        h("span", { class: "muted keys-note" }, "Numbers correct, arrows move"),
        h("button", {
          class: "primary",
          id: "accept",
          onclick: () => this.accept(),
          title: "All others are right (Enter)",
        }, left === this.rows.length ? `Accept all ${left} (Enter)` : `Accept the other ${left} (Enter)`),
        h("button", {
          class: "quiet",
          "aria-label": "Close review",
          title: "Close (Esc)",
          onclick: () => this.close(),
        }, icon("close"))),
      h("div", { class: "review-grid", role: "group", "aria-label": "Cells to review" },
        this.rows.map((row, i) => this.cell(row, i))),
    );
    if (hadFocus) this.focus();
  }

  cell(row, i) {
    const { labels, group } = this.store;
    const number = labels.of(row), entry = labels.classes[number];
    const corrected = labels.isException(row);
    const name = entry?.name ?? "no label";
    const crop = { src: cropUrl(group.id, row), alt: "", width: 96, height: 96, draggable: "false" };
    const picture = (this.pictures ??= new Map()).get(row) ?? h("img", crop);
    this.pictures.set(row, picture);
    return h("button", {
      class: `crop${corrected ? " corrected" : ""}`,
      tabindex: i === this.at ? 0 : -1,
      "aria-current": i === this.at ? "true" : null,
      "aria-label": `Cell ${i + 1} of ${this.rows.length}: ${name}${corrected ? ", corrected" : ""}`,
      style: { "--own": entry?.colour ?? "#6b7684" },
      onclick: () => this.go(i),
    }, picture, corrected ? h("span", { class: "crop-name" }, name) : null);
  }

  focus() {
    this.box.querySelectorAll(".crop")[this.at]?.focus({ preventScroll: false });
  }

  go(i) {
    this.at = Math.max(0, Math.min(this.rows.length - 1, i));
    this.box.querySelectorAll(".crop").forEach((crop, j) => {
      crop.tabIndex = j === this.at ? 0 : -1;
      if (j === this.at) crop.setAttribute("aria-current", "true");
      else crop.removeAttribute("aria-current");
    });
    this.focus();
    this.store.point(this.rows[this.at]);
    this.shows(this.rows[this.at]);
  }

  /** How many of the queue have a label of their own: those that nobody had looked at have none. */
  get corrected() {
    return this.rows.filter((row) => this.store.labels.isException(row)).length;
  }

  /** A cell of the queue is given another label: on to the next. */
  naming(target) {
    const one = this.isOpen && target.kind === "cells" && target.rows.length === 1;
    const at = one ? this.rows.indexOf(target.rows[0]) : -1;
    if (at >= 0) this.go(at + 1);
  }

  async accept() {
    await this.actions.idle; // what was corrected a moment ago is not to be accepted
    const rows = this.rows.filter((row) => !this.store.labels.isException(row));
    if (rows.length && !(await this.actions.do({ do: "confirm", rows: encodeRanges(rows) }))) return;
    say(`${plural(rows.length, "cell")} accepted, ${this.corrected} corrected.`);
    await this.fetch();
  }

  /** Keys while the queue is open. @returns whether it was one of them */
  key(event) {
    if (!this.isOpen) return false;
    const inside = this.box.contains(document.activeElement);
    if (event.key === "Escape") this.close();
    else if (!inside) return false;
    else if (event.key === "Enter") {
      if (!document.activeElement.matches(".crop")) return false;
      this.accept();
    }
    else if (event.key === "ArrowRight") this.go(this.at + 1);
    else if (event.key === "ArrowLeft") this.go(this.at - 1);
    else if (event.key === "ArrowDown") this.go(this.at + this.columns);
    else if (event.key === "ArrowUp") this.go(this.at - this.columns);
    else return false;
    return true;
  }

  get columns() {
    const crops = [...this.box.querySelectorAll(".crop")];
    return crops.filter((crop) => crop.offsetTop === crops[0].offsetTop).length;
  }
}
