/** Three steps, shown until somebody has done them or has had enough. */

import { $, h } from "./dom.js";

const SEEN = "clusterfirst:hint";
const STEPS = [
  ["Look", "The largest cluster is selected. Its cells stand out in the slide and on the UMAP."],
  ["Name", "Press the key of its class, 1 to 9. The next cluster without a name follows by itself."],
  ["Check", "R shows the cells it is least sure of. Correct some by key, accept the rest."],
];

export class Hint {
  constructor() {
    this.box = $("#hint");
    if (localStorage.getItem(SEEN)) return;
    this.box.append(
      h("ol", {}, STEPS.map(([title, text]) => h("li", {}, h("b", {}, title), h("span", {}, text)))),
      h("button", { id: "hint-done", onclick: () => this.done() }, "Got it"),
    );
    this.box.hidden = false;
  }

  /** Tick a step off; after the last one the hint goes. */
  did(step) {
    const item = this.box.querySelectorAll("li")[step];
    if (!item) return;
    item.classList.add("did");
    if (this.box.querySelectorAll("li.did").length === STEPS.length) this.done();
  }

  done() {
    localStorage.setItem(SEEN, "1");
    this.box.hidden = true;
  }
}
