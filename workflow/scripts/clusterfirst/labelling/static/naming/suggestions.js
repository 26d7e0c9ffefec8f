/** What a model would call clusters: to be accepted one by one, or all that most of the model's views agree on. */

import { difference, nextColour } from "../ui/colour.js";
import { say } from "../ui/dialogs.js";
import { $, count, h, plural } from "../ui/dom.js";

/** Colours less different than this are taken for the same. */
const ALIKE = 0.05;

/** What is suggested for a cluster that nobody has named. */
export const suggestion = (cluster) =>
  (cluster?.proposal && cluster.name === null && !cluster.mixed ? cluster.proposal : null);

/** "3 of 3 views" */
export const support = ({ share, views }) => `${count(share * views)} of ${plural(views, "view")}`;

export class Suggestions {
  /** @param {() => void} accepted called when several clusters are being named at once */
  constructor(store, actions, naming, accepted) {
    Object.assign(this, { store, actions, naming, accepted });
    this.box = $("#suggestions");
    this.text = h("span", { class: "muted" });
    this.least = h("select", {
      id: "suggested-share",
      "aria-label": "Share of views that agree, at least",
      onchange: () => this.refresh(),
    });
    this.button = h("button", { id: "accept-all", onclick: () => this.acceptAll() });
    this.box.append(this.text, this.least, this.button);
    store.on("group state", () => this.refresh());
  }

  /** Clusters for which something is suggested that so many views agree on. */
  open(least = 0) {
    return this.store.clusters.filter((cluster) => suggestion(cluster)?.share >= least);
  }

  refresh() {
    const all = this.open();
    this.box.hidden = !all.length;
    // Of the named ones, too: once all at a share are named, the next click must not silently be for a lower one.
    const each = this.store.clusters.flatMap(({ proposal }) => proposal?.share ?? []);
    const shares = [...new Set(each)].sort((a, b) => b - a);
    const chosen = shares.find((share) => String(share) === this.least.value) ?? shares[0];
    const text = (share) => (share === 1 ? "All agree" : `≥ ${Math.round(100 * share)} %`);
    this.least.replaceChildren(...shares.map((share) => h("option", { value: share }, text(share))));
    this.least.value = String(chosen);
    this.text.textContent = `${count(all.length)} suggested`;
    const number = this.open(chosen).length;
    this.button.disabled = !number;
    this.button.textContent = `Accept ${count(number)}`;
    this.button.title = "Give all these clusters the names suggested for them";
  }

  /** Classes with those that are suggested; one that is there already may be written in other letters. */
  admit(proposals) {
    const classes = this.naming.latest, words = new Map();
    for (const { class: word, colour } of proposals) {
      let entry = classes.find(({ name }) => name.toLowerCase() === word.toLowerCase());
      if (!entry) {
        const free = classes.every((c) => difference(c.colour, colour) > ALIKE);
        classes.push((entry = { name: word, colour: free ? colour : nextColour(classes) }));
      }
      words.set(word, entry.name);
    }
    return { classes, words };
  }

  /** Give the selected cluster the name that is suggested for it. */
  accept() {
    const { target } = this.store;
    const proposal = suggestion(target?.cluster);
    if (!proposal) {
      return say(target?.kind === "cells" ? "Suggestions are for whole clusters." : "Nothing is suggested here.");
    }
    const { classes, words } = this.admit([proposal]);
    if (classes.length > this.naming.latest.length) this.naming.save(classes);
    const name = words.get(proposal.class);
    return this.naming.put(name, `is ${name}, as suggested`);
  }

  /** As one action, which one undo takes back. */
  async acceptAll() {
    const clusters = this.open(Number(this.least.value));
    const { classes, words } = this.admit(clusters.map(suggestion));
    const names = clusters.map(({ leaves, proposal }) => ({ class: words.get(proposal.class), leaves }));
    const source = `suggestions of ${clusters[0].proposal.model}`;
    const action = { do: "labels", source, classes, names, cells: [] };
    const sent = this.naming.keep(clusters.map((c) => c.key), this.actions.do(action));
    this.accepted();
    if (!(await sent)) return;
    const cells = clusters.reduce((sum, cluster) => sum + cluster.size, 0);
    const what = `${plural(clusters.length, "cluster")} (${plural(cells, "cell")})`;
    const have = clusters.length === 1 ? "has the name" : "have the names";
    say(`${what} ${have} suggested. Undo takes them back together.`);
  }
}
