/** Facts about the cell under the pointer. */

import { $, h, percent } from "../ui/dom.js";
import { chip, clusterTitle } from "./clusters.js";

export class Facts {
  constructor(store) {
    this.store = store;
    store.on("hover hover-row selection state", () => this.refresh());
  }

  /** The cell under the pointer, else under the cell cursor. */
  refresh() {
    const { store } = this;
    const row = store.hoverRow ?? store.cursor;
    const box = $("#cell-facts");
    box.hidden = row === null;
    if (row === null) return;
    const { labels, cells } = store;
    const number = labels.of(row), cluster = labels.clusterAt(row);
    const label = number < 0
      ? h("span", { class: "muted" }, labels.isException(row) ? "left out" : "no name")
      : chip(labels.classes[number].name, labels.classes);
    const facts = [
      h("span", { class: "swatch", style: { background: cluster?.colour ?? "#98a2ae" } }),
      h("span", {}, cluster ? clusterTitle(cluster) : "Noise"),
      label,
      number >= 0 && labels.isException(row) ? h("span", { class: "muted" }, "by hand") : null,
      h("span", { class: "muted" }, `confidence ${percent(cells.confidence[row] / 255)}`),
    ];
    box.replaceChildren(...facts.filter(Boolean));
  }
}
