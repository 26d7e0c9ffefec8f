/** Three steps, shown until they are done, as the labels tell, or somebody has had enough. */

import { $, h } from "./dom.js";

const SEEN = "clusterfirst:hint";
const STEPS = [
  ["Look", "The largest cluster is selected. Its cells stand out in the slide and on the UMAP."],
  ["Name", "Press the key of its class, 1 to 9. The next cluster without a name follows by itself."],
  ["Check", "R shows the cells it is least sure of. Correct some by key, accept the rest."],
];

export class Hint {
  constructor(store) {
    this.box = $("#hint");
    if (localStorage.getItem(SEEN)) return;
    this.box.append(
      h("ol", {}, STEPS.map(([title, text]) => h("li", {}, h("b", {}, title), h("span", {}, text)))),
      h("button", { id: "hint-done", onclick: () => this.done() }, "Got it"),
    );
    this.box.hidden = false;
    store.on("group state", () => this.tick(store.doc.progress));
  }

  /** Tick off what is done; once all is, the hint goes. */
  tick({ clusters_named: named, reviewed }) {
    const did = [named > 0, named > 0, reviewed > 0];
    this.box.querySelectorAll("li").forEach((item, i) => item.classList.toggle("did", did[i]));
    if (did.every(Boolean)) this.done();
  }

  done() {
    localStorage.setItem(SEEN, "1");
    this.box.hidden = true;
  }
}
