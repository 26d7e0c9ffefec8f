/** The list of clusters. Only the rows that can be seen are in the page. */

import { cropUrl } from "../data/api.js";
import { $, count, h, oncePerFrame, percent } from "../ui/dom.js";
import { inkOn } from "../ui/colour.js";
import { NOISE_KEY } from "../data/store.js";
import { suggestion, support } from "./suggestions.js";

const ROW_PX = 54;
const SPARE = 4;

/** What a cluster is called, here as in the pictures and files of the workflow. */
export const clusterTitle = (cluster) => (cluster.key === NOISE_KEY ? "Noise" : `Cluster ${cluster.title}`);

/** Chip with the name of a class on its colour. */
export function chip(name, classes) {
  const colour = classes.find((c) => c.name === name)?.colour ?? "#6b7684";
  return h("span", { class: "chip", style: { background: colour, color: inkOn(colour) } }, name);
}

const ORDERS = {
  size: () => 0,
  unnamed: (a, b) => (a.name !== null) - (b.name !== null),
  unsure: (a, b) => a.mean_confidence - b.mean_confidence,
  class: (a, b) => (a.name ?? "\uffff").localeCompare(b.name ?? "\uffff"),
};

export class ClusterList {
  constructor(store) {
    this.store = store;
    this.box = $("#clusters");
    this.sheet = h("div", { class: "sheet", role: "presentation" });
    this.box.append(this.sheet);
    this.order = $("#order");
    this.order.addEventListener("change", () => this.refresh());
    this.paint = oncePerFrame(() => this.rows());
    this.box.addEventListener("scroll", this.paint);
    this.box.addEventListener("keydown", (event) => this.key(event));
    this.box.addEventListener("pointerleave", () => store.hoverOver(null));
    new ResizeObserver(this.paint).observe(this.box);
    store.on("group state", () => this.refresh());
    store.on("selection", () => this.reveal());
    store.on("hover", this.paint);
  }

  refresh() {
    const { store } = this;
    this.listed = [...store.clusters].sort(ORDERS[this.order.value]);
    const { noise } = store.doc;
    if (noise?.size) {
      const share = noise.size / store.cells.n;
      const none = { name: null, leaves: [], representatives: [], colour: "#98a2ae" };
      this.listed.push({ key: NOISE_KEY, size: noise.size, share, ...none });
    }
    this.most = Math.max(...this.listed.map((c) => c.share), 1e-9);
    this.sheet.style.height = `${this.listed.length * ROW_PX}px`;
    this.reveal();
  }

  /** Scroll so that the selected row is seen. */
  reveal() {
    const at = this.listed?.findIndex((c) => c.key === this.store.selected) ?? -1;
    if (at >= 0 && this.store.hover === null) {
      const top = at * ROW_PX, { scrollTop, clientHeight } = this.box;
      if (top < scrollTop) this.box.scrollTop = top;
      else if (top + ROW_PX > scrollTop + clientHeight) this.box.scrollTop = top + ROW_PX - clientHeight;
    }
    this.paint();
  }

  rows() {
    if (!this.listed) return;
    const first = Math.max(0, Math.floor(this.box.scrollTop / ROW_PX) - SPARE);
    const last = Math.min(this.listed.length, Math.ceil((this.box.scrollTop + this.box.clientHeight) / ROW_PX) + SPARE);
    this.sheet.replaceChildren(...this.listed.slice(first, last).map((c, i) => this.row(c, first + i)));
    const { selected } = this.store;
    const there = selected !== null && $(`#cluster-${selected}`, this.sheet);
    if (there) this.box.setAttribute("aria-activedescendant", there.id);
    else this.box.removeAttribute("aria-activedescendant");
  }

  /** Rows are kept as long as nothing in them changes: their pictures must not flicker. */
  row(cluster, at) {
    const { store } = this;
    const selected = store.selected === cluster.key, lit = store.hover === cluster.key;
    const ticked = store.ticked.has(cluster.key);
    const colour = store.doc.classes.find((c) => c.name === cluster.name)?.colour;
    const sign = JSON.stringify([
      cluster.key, cluster.title, cluster.size, cluster.name, colour, cluster.mixed, suggestion(cluster)?.class,
      at, selected, ticked, lit, this.listed.length, this.most,
    ]);
    this.kept ??= new Map();
    const kept = this.kept.get(cluster.key);
    if (kept?.sign === sign && kept.group === store.group) return kept.element;
    const element = this.make(cluster, at, { selected, ticked, lit });
    const pictures = kept?.group === store.group && kept.element.querySelector(".thumbs");
    const samePictures = pictures && kept.rows === String(cluster.representatives);
    if (samePictures) element.querySelector(".thumbs").replaceWith(pictures);
    this.kept.set(cluster.key, { sign, element, group: store.group, rows: String(cluster.representatives) });
    return element;
  }

  make(cluster, at, { selected, ticked, lit }) {
    const { store } = this;
    const noise = cluster.key === NOISE_KEY;
    const sure = noise ? "" : `confidence ${percent(cluster.mean_confidence)}`;
    const proposal = suggestion(cluster);
    const unnamed = proposal ? `no name, suggested ${proposal.class}, ${support(proposal)}` : "no name";
    const name = cluster.mixed ? "several names" : (cluster.name ?? unnamed);
    const size = `${count(cluster.size)} cells, ${percent(cluster.share)}`;
    const isTick = (event) => event.target.closest(".tick") || event.ctrlKey || event.metaKey;
    const option = h("div", {
      class: `cluster${lit ? " lit" : ""}`,
      id: `cluster-${cluster.key}`,
      role: "option",
      style: { top: `${at * ROW_PX}px` },
      "aria-selected": String(selected),
      "aria-checked": noise ? null : String(ticked),
      "aria-posinset": at + 1,
      "aria-setsize": this.listed.length,
      "aria-label": `${clusterTitle(cluster)}, ${name}, ${size}, ${sure}${ticked ? ", ticked" : ""}`,
      onclick: (event) => (isTick(event) ? this.tick(cluster.key) : store.select(cluster.key)),
      onpointerenter: () => store.hoverOver(cluster.key),
    });
    option.append(
      h("span", {
        class: `tick${noise ? " none" : ""}`,
        title: noise ? null : "Tick for merging (T)",
        "aria-hidden": "true",
      }),
      h("span", { class: "swatch", style: { background: cluster.colour } }),
      h("span", { class: "thumbs" }, cluster.representatives.slice(0, 3).map((row) => this.thumb(row))),
      h("span", { class: "what" },
        h("span", { class: "title" },
          cluster.name
            ? chip(cluster.name, store.doc.classes)
            : h("b", { title: clusterTitle(cluster) }, clusterTitle(cluster)),
          cluster.mixed ? h("span", { class: "mixed" }, "mixed") : null),
        h("span", { class: "size" },
          cluster.name
            ? `${clusterTitle(cluster)} · ${count(cluster.size)}`
            : `${count(cluster.size)} · ${proposal ? `${proposal.class}?` : percent(cluster.share)}`)),
      noise
        ? h("span")
        : h("span", { class: "sure", title: sure },
          h("i", { style: { width: `${Math.round(100 * cluster.mean_confidence)}%` } })),
    );
    return option;
  }

  thumb(row) {
    const src = cropUrl(this.store.group.id, row);
    const facts = { alt: "", width: 40, height: 40, loading: "lazy", decoding: "async", draggable: "false" };
    return h("img", { src, ...facts });
  }

  tick(key) {
    if (key === NOISE_KEY || key === null) return;
    const { ticked } = this.store;
    if (!ticked.delete(key)) ticked.add(key);
    this.store.emit("selection");
  }

  /** Select the row so many below. */
  step(by) {
    if (!this.listed?.length) return;
    const at = this.listed.findIndex((c) => c.key === this.store.selected);
    const last = this.listed.length - 1;
    const next = at < 0 ? (by > 0 ? 0 : last) : Math.max(0, Math.min(last, at + by));
    this.store.select(this.listed[next].key);
  }

  key(event) {
    const page = Math.max(1, Math.floor(this.box.clientHeight / ROW_PX) - 1);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    if (event.key in steps) this.step(steps[event.key]);
    else if (event.key === " ") this.tick(this.store.selected);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}
