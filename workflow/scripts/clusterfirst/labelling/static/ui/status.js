/** Progress, who is here, and whether the server answers. */

import { $, count, h, icon, percent, plural } from "./dom.js";

export class Status {
  constructor(store) {
    this.store = store;
    store.on("group state", () => this.progress());
  }

  progress() {
    const { doc, labels } = this.store;
    const { progress } = doc;
    const tally = labels.tally();
    const share = $("#share");
    share.replaceChildren(
      ...doc.classes.map((c, i) =>
        h("i", { style: { "flex-grow": tally[i], background: c.colour }, title: `${c.name}: ${count(tally[i])}` })),
      h("i", { class: "rest", style: { "flex-grow": tally.at(-1) } }),
    );
    const named = progress.labelled / Math.max(progress.cells, 1);
    share.setAttribute("aria-label", `${percent(named)} of ${count(progress.cells)} cells named`);
    $("#cells-named").textContent = percent(named);
    $("#clusters-named").textContent = `${progress.clusters_named} / ${progress.clusters}`;
    const { estimate } = progress;
    // The range, not its best guess: that says next to nothing while most named clusters have not been looked into.
    $("#efficiency").textContent =
      estimate ? `${Math.round(100 * estimate.low)}–${Math.round(100 * estimate.high)} %` : "–";
    $("#efficiency").title = estimate
      ? `${percent(estimate.low)} to ${percent(estimate.high)} (95 %), from ${estimate.cells} of the `
        + `${plural(progress.reviewed, "cell")} looked at, in ${estimate.clusters} of ${estimate.named} named `
        + "clusters. Only cells drawn at random count, every fourth of a review: the others are the least certain "
        + "ones, which say nothing of the rest. Review some cells of each named cluster to narrow it."
      : "Review some cells of named clusters, and this says how many cells will be right.";
    $("#undo").disabled = doc.can_undo === false;
    $("#redo").disabled = doc.can_redo === false;
  }

  /** @param {object[]} holders who, slide, since */
  people(holders, me) {
    const others = holders.filter((holder) => holder.who !== me);
    const initials = (who) => who.split(/\s+/).map((part) => part[0]).join("").slice(0, 2).toUpperCase();
    $("#people").replaceChildren(
      ...others.map(({ who, slide }) => {
        const where = `${who} is here${slide ? `, on ${slide}` : ""}`;
        return h("span", { class: "person other", title: where, role: "img", "aria-label": where }, initials(who));
      }),
      h("button", {
        class: "person me",
        id: "me",
        title: `You: ${me ?? "no name"}. Click to change`,
        "aria-label": `You are ${me ?? "without a name"}: change`,
      }, me ? initials(me) : icon("person")),
    );
  }
}

const LOST = "The server does not answer. What you do is kept, and sent as soon as it does.";

/** Is everything on disk, and is the server there? It is said beside who one is, all the time. */
export class Saved {
  constructor() {
    this.box = $("#saved");
    Object.assign(this, { unsent: 0, lost: false });
    this.paint();
  }

  /** @param {{unsent?: number, lost?: boolean}} facts actions that wait; whether the server does not answer */
  tell(facts) {
    const before = this.lost;
    Object.assign(this, facts);
    if (!this.lost) unbanner("lost");
    else if (!before && $("#banner").hidden) banner(LOST, null, "lost");
    clearTimeout(this.soon);
    // Most actions are saved before anybody could read that they are not.
    this.soon = setTimeout(() => this.paint(), this.unsent && !this.lost ? 400 : 0);
  }

  paint() {
    const { box, unsent, lost } = this;
    box.dataset.is = lost ? "lost" : unsent ? "saving" : "saved";
    box.textContent = lost ? (unsent ? `Offline · ${count(unsent)} unsent` : "Offline") : unsent ? "Saving…" : "Saved";
    box.title = lost ? LOST
      : unsent ? `${plural(unsent, "action")} on the way to the server` : "Everything you did is on disk";
  }
}

/**
 * Ask now and then whether the server is there, where no stream of events would tell.
 * @param {(lost: boolean) => void} tell
 */
export function watchServer(tell) {
  const look = () => fetch("/api/project", { cache: "no-store" }).then(() => tell(false), () => tell(true));
  setInterval(() => document.visibilityState === "visible" && look(), 10_000);
  for (const topic of ["online", "offline"]) addEventListener(topic, look);
}

/** A line across the page that stays until things are well again. @param {string} about by which it is taken away */
export function banner(text, action, about = "news") {
  const line = $("#banner");
  line.hidden = false;
  line.dataset.about = about;
  line.replaceChildren(h("span", {}, text), ...(action ? [h("button", { onclick: action.run }, action.text)] : []));
}

/** Take the line away, if it still is about that. */
export function unbanner(about) {
  const line = $("#banner");
  if (line.dataset.about === about) line.hidden = true;
}
