/** All keys, once: what they do and how the help says it. */

import { $, h } from "./dom.js";
import { ask } from "./dialogs.js";

/** Keys that say or accept something: pressed for too long, one must not name the cluster that follows by itself. */
const ONCE = /^([1-9aAxX]|Enter|Backspace|Delete)$/;

/** Keys of the picture that has the focus stay, whatever the switch says. */
const OF_PICTURE = /^[-+=_0.,]$/;

const SWITCH = "clusterfirst:keys";
const single = () => localStorage.getItem(SWITCH) !== "off";

/** Shortcuts of one character can be switched off: who speaks to a computer sets them off with words (WCAG 2.1.4). */
function setSingle(on) {
  localStorage.setItem(SWITCH, on ? "on" : "off");
  document.body.dataset.keys = on ? "on" : "off";
}

/**
 * Bind the keys.
 * @param {[string, string, string, (event: KeyboardEvent) => void][]} table section, keys (as `event.key`, separated by
 *   blanks), what it does, how
 * @param {(event: KeyboardEvent) => boolean} first asked before all others; true: taken
 */
export function bindKeys(table, first) {
  const does = new Map();
  for (const [, keys, , run] of table) if (run) for (const key of keys.split(" ")) does.set(key, run);
  setSingle(single());
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || $("dialog[open]")) return;
    const typing = event.target.matches("input:not([type=range]), select, textarea");
    if (typing && event.key === "Escape") return event.target.blur();
    if (typing) return;
    if (event.repeat && ONCE.test(event.key)) return event.preventDefault();
    const plain = event.key.length === 1 && !event.ctrlKey && !event.metaKey;
    if (plain && !single() && !(event.target.matches("canvas") && OF_PICTURE.test(event.key))) return;
    if (first(event)) return event.preventDefault();
    if (event.target.matches("button, input, summary, a[href]") && (event.key === "Enter" || event.key === " ")) return;
    const run = does.get(name(event));
    if (!run) return;
    event.preventDefault();
    run(event);
  });
}

/** "Ctrl+z", "Ctrl+Shift+z", "n", "?" */
function name(event) {
  const held = (event.ctrlKey || event.metaKey ? "Ctrl+" : "") + (event.ctrlKey && event.shiftKey ? "Shift+" : "");
  if (event.altKey) return "";
  return held + (event.key.length === 1 ? event.key.toLowerCase() : event.key);
}

const SHOWN = {
  ",": "comma", ".": "full stop", Backspace: "⌫", Escape: "Esc",
  "Ctrl+z": "Ctrl Z", "Ctrl+Shift+z": "Ctrl Shift Z", "Ctrl+y": "Ctrl Y", "Shift+Tab": "Shift Tab",
  ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", PageUp: "Page ↑", PageDown: "Page ↓",
};
const shown = (key) => SHOWN[key] ?? (key.length === 1 ? key.toUpperCase() : key);

/** Show all keys. @param {string} text what stands above them */
export function showHelp(table, text) {
  const sections = new Map();
  for (const [section, keys, text] of table) {
    if (!sections.has(section)) sections.set(section, []);
    const list = keys.split(" ");
    const names = list.length > 4 ? [list[0], "…", list.at(-1)] : list;
    const signs = names.map((key) => (key === "…" ? "–" : h("kbd", {}, shown(key))));
    sections.get(section).push(h("div", {}, h("dt", {}, signs), h("dd", {}, text)));
  }
  const columns = [...sections].map(([title, rows]) => h("section", {}, h("h3", {}, title), h("dl", {}, rows)));
  const about = h("p", { class: "muted" }, text);
  const change = () => setSingle(box.checked);
  const box = h("input", { type: "checkbox", checked: single(), id: "single-keys", onchange: change });
  const without = "Shortcuts of a single character. Without them, everything is done with buttons, "
    + "and with the other keys.";
  const choice = h("label", { class: "check" }, box, h("span", {}, without));
  return ask("Help", [about, h("div", { class: "help" }, columns), choice], [["Close", true, "primary"]]);
}
