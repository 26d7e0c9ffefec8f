/** What stands above the slide: tools, colours, outlines, and what is shown. */

import { $ } from "../ui/dom.js";

/** Buttons that are on or off, and what they show. */
const TOGGLES = [["#alone", "alone"], ["#hide-noise", "hideNoise"], ["#hide-named", "hideNamed"]];

export class ViewBar {
  constructor(store) {
    this.store = store;
    this.segment("#tools", "tool", ({ tool }) => this.setTool(tool), ({ tool }) => tool === store.tool);
    this.segment("#colour-by", "display", ({ by }) => store.colourBy(by), ({ by }) => by === store.display.by);
    this.segment(
      "#fill", "display",
      ({ filled }) => store.show({ filled: Boolean(filled) }),
      ({ filled }) => Boolean(filled) === store.display.filled,
    );
    for (const [id, name] of TOGGLES) $(id).addEventListener("click", () => this.toggle(name));
    $("#opacity").addEventListener("input", (event) => store.show({ opacity: event.target.value / 100 }));
    store.on("display", () => this.refresh());
  }

  refresh() {
    const { display } = this.store;
    $("#opacity").value = Math.round(100 * display.opacity);
    for (const [id, name] of TOGGLES) $(id).setAttribute("aria-pressed", String(display[name]));
  }

  /** @param {"move"|"lasso"|"region"} tool */
  setTool(tool) {
    this.store.tool = tool;
    for (const canvas of [$("#slide-view"), $("#umap")]) canvas.classList.toggle("crosshair", tool !== "move");
    this.store.emit("tool");
  }

  toggle(name) {
    this.store.show({ [name]: !this.store.display[name] });
  }

  /** Make cells stronger, or fainter. */
  fade(by) {
    this.store.show({ opacity: Math.min(1, Math.max(0, this.store.display.opacity + by)) });
  }

  /** One of several buttons is on; arrow keys go from one to the next. */
  segment(id, topics, choose, chosen) {
    const buttons = [...$(id).children];
    const refresh = () =>
      buttons.forEach((button) => {
        const on = chosen(button.dataset);
        button.setAttribute("aria-checked", String(on));
        button.tabIndex = on ? 0 : -1;
      });
    buttons.forEach((button, i) => {
      button.addEventListener("click", () => choose(button.dataset));
      button.addEventListener("keydown", (event) => {
        const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
        if (!by) return;
        event.preventDefault();
        const next = buttons[(i + by + buttons.length) % buttons.length];
        choose(next.dataset);
        next.focus();
      });
    });
    this.store.on(topics, refresh);
    refresh();
  }
}
