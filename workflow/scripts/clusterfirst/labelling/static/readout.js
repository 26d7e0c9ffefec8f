/** Magnification and scale, and facts about the cell under the pointer. */

import { $, h, percent } from "./dom.js";
import { chip, clusterTitle } from "./clusters.js";
import { showScale } from "./scalebar.js";

/** µm to a screen pixel that microscopists call 40×. */
const UM_AT_40 = 0.25;

export class Readout {
  constructor(store, slideView) {
    Object.assign(this, { store, slideView });
    store.on("hover hover-row selection state", () => this.facts());
  }

  moved() {
    const { info, view } = this.slideView;
    if (!info || this.last === view.scale) return;
    this.last = view.scale;
    const um = info.mpp ? info.mpp / view.scale : null;
    showScale(um, 1 / view.scale);
    const times = um === null ? null : (40 * UM_AT_40) / um;
    $("#readout").textContent = um === null ? `${(100 * view.scale).toFixed(0)} %` : `${times >= 10 ? times.toFixed(0) : times.toFixed(1)}× · ${um < 1 ? um.toFixed(2) : um.toFixed(1)} µm/px`;
  }

  /** The cell under the pointer, else under the cell cursor. */
  facts() {
    const { store } = this;
    const row = store.hoverRow ?? store.cursor;
    const box = $("#cell-facts");
    box.hidden = row === null;
    if (row === null) return;
    const { labels, cells } = store;
    const number = labels.of(row), cluster = labels.clusterAt(row);
    const facts = [
      h("span", { class: "swatch", style: { background: cluster?.colour ?? "#98a2ae" } }),
      h("span", {}, cluster ? clusterTitle(cluster) : "Noise"),
      number < 0 ? h("span", { class: "muted" }, labels.isException(row) ? "left out" : "no name") : chip(labels.classes[number].name, labels.classes),
      number >= 0 && labels.isException(row) ? h("span", { class: "muted" }, "by hand") : null,
      h("span", { class: "muted" }, `confidence ${percent(cells.confidence[row] / 255)}`),
    ];
    box.replaceChildren(...facts.filter(Boolean));
  }
}
