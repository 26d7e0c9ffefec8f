/** The selected cluster: facts, what can be done with it, its gallery. */

import { cropUrl } from "../data/api.js";
import { chip, clusterTitle } from "./clusters.js";
import { $, count, h, percent, plural } from "../ui/dom.js";
import { NOISE_KEY } from "../data/store.js";
import { suggestion, support } from "./suggestions.js";

export class Detail {
  /** @param {object} does `open()`, `merge()`, `accept()`, `review()`, `show(row)` */
  constructor(store, does) {
    Object.assign(this, { store, does });
    this.box = $("#detail");
    store.on("group state selection", () => this.refresh());
  }

  refresh() {
    const { store } = this;
    const { cluster } = store;
    this.box.hidden = !store.doc;
    if (cluster) this.fill(cluster);
    else if (store.selected === NOISE_KEY) {
      const cells = plural(store.doc.noise.size, "cell");
      this.empty("Noise", `${cells} that belong to no cluster. Pick some by lasso to label them.`);
    } else {
      const how = "Choose one in the list, in the slide or on the UMAP. N goes to the largest without a name.";
      this.empty("No cluster selected", how);
    }
  }

  empty(title, text) {
    this.shown = null;
    this.box.replaceChildren(h("h3", {}, title), h("p", { class: "muted" }, text));
  }

  fill(cluster) {
    const { store, does } = this;
    const ticked = store.ticked.size;
    const facts = h("div", { class: "detail-head" },
      h("h3", {}, h("span", { class: "swatch", style: { background: cluster.colour } }), clusterTitle(cluster)),
      cluster.name
        ? chip(cluster.name, store.doc.classes)
        : h("span", { class: "muted" }, cluster.mixed ? "several names" : "no name yet"),
    );
    const numbers = h("p", { class: "muted" },
      `${plural(cluster.size, "cell")} · confidence ${percent(cluster.mean_confidence)} · `
      + plural(cluster.leaves.length, "part"));
    const unnamed = cluster.name === null && !cluster.mixed;
    const buttons = h("div", { class: "buttons" },
      h("button", {
        id: "open-cluster",
        disabled: !cluster.can_open,
        title: "Open into its two children (O)",
        onclick: does.open,
      }, "Open"),
      h("button", {
        id: "merge-clusters",
        disabled: ticked < 2,
        title: "Merge the ticked clusters (M); tick with T",
        onclick: does.merge,
      }, ticked > 1 ? `Merge ${count(ticked)}` : "Merge"),
      h("button", {
        id: "review-cluster",
        disabled: unnamed,
        title: unnamed
          ? "Name it first; then its least certain cells can be reviewed"
          : "Look at its least certain cells (R)",
        onclick: does.review,
      }, "Review"),
    );
    const sign = `${store.group.id} ${cluster.representatives}`;
    if (this.shown !== sign) this.gallery = this.pictures(cluster);
    this.shown = sign;
    const focused = document.activeElement?.id;
    this.box.replaceChildren(...[facts, numbers, this.suggested(cluster), buttons, this.gallery].filter(Boolean));
    if (focused && this.box.contains(document.getElementById(focused))) document.getElementById(focused).focus();
  }

  /** What a model would call it; why, for who asks. */
  suggested(cluster) {
    const proposal = suggestion(cluster);
    if (!proposal) return null;
    const { classes } = this.store.doc;
    const colour = classes.find((c) => c.name === proposal.class)?.colour ?? proposal.colour;
    const why = h("details", { open: this.why, ontoggle: (event) => (this.why = event.target.open) },
      h("summary", { id: "suggestion-why" }, "Why?"),
      h("p", { class: "muted" }, `“${proposal.rationale}” (${proposal.model})`));
    const label = `Suggested: ${proposal.class}, ${support(proposal)}`;
    return h("div", { class: "suggestion", role: "group", "aria-label": label },
      h("span", { class: "swatch", style: { background: colour } }),
      h("span", { class: "suggested-word" },
        h("b", {}, proposal.class),
        h("span", { class: "muted" }, `Suggested · ${support(proposal)}`)),
      h("button", {
        id: "accept-suggestion",
        title: "Give it this name (A)",
        "aria-label": `Accept ${proposal.class}`,
        onclick: this.does.accept,
      }, "Accept", h("kbd", {}, "A")),
      proposal.rationale ? why : null);
  }

  pictures(cluster) {
    const { store, does } = this;
    return h("div", { class: "gallery", role: "group", "aria-label": "Representative cells, most typical first" },
      cluster.representatives.map((row, i) =>
        h("button", {
          class: "crop",
          "aria-label": `Representative ${i + 1}: show in the slide`,
          title: "Show in the slide",
          onclick: () => does.show(row),
        },
          h("img", {
            src: cropUrl(store.group.id, row), alt: "", width: 96, height: 96, decoding: "async", draggable: "false",
          }))));
  }
}
