/** A class by part of its name: for those that have no key, and for those who do not want to look for it. */

import { inkOn } from "./colour.js";
import { ask } from "./dialogs.js";
import { $, h } from "./dom.js";

/** Classes that a text finds, those that begin with it first. */
function matching(classes, text) {
  const wanted = text.toLowerCase();
  const rank = ({ name }) => {
    const at = name.toLowerCase().indexOf(wanted);
    return at < 0 ? 3 : at === 0 ? 0 : /\W/.test(name[at - 1]) ? 1 : 2;
  };
  return classes.map((entry, i) => ({ ...entry, key: i < 9 ? String(i + 1) : "", rank: rank(entry) }))
    .filter((entry) => entry.rank < 3)
    .sort((a, b) => a.rank - b.rank);
}

/**
 * Ask for a class; typing narrows the list down.
 * @param {string} title @param {{name: string, colour: string}[]} classes
 * @returns {Promise<{name: string, isNew?: boolean}|null>}
 */
export function findClass(title, classes) {
  let found = [], at = 0;
  const input = h("input", {
    maxlength: 80, placeholder: "Part of its name, or a new one", autocomplete: "off", role: "combobox",
    "aria-label": title, "aria-expanded": "true", "aria-controls": "found", "aria-autocomplete": "list",
  });
  const list = h("div", { class: "found", id: "found", role: "listbox", "aria-label": "Classes" });
  const form = h("form", { onsubmit: (event) => (event.preventDefault(), take()) }, input, list);
  const take = () => $("button.primary", form.closest("dialog")).click();

  function paint() {
    list.replaceChildren(...found.map((entry, i) =>
      h("div", {
        class: "option",
        id: `found-${i}`,
        role: "option",
        "aria-selected": String(i === at),
        onclick: () => ((at = i), take()),
      },
        h("kbd", entry.isNew ? {} : { style: { background: entry.colour, color: inkOn(entry.colour) } },
          entry.isNew ? "+" : entry.key),
        h("span", { class: "word" }, entry.isNew ? `Add “${entry.name}”` : entry.name))));
    if (found.length) input.setAttribute("aria-activedescendant", `found-${at}`);
    else input.removeAttribute("aria-activedescendant");
    list.children[at]?.scrollIntoView({ block: "nearest" });
  }

  function refresh() {
    const text = input.value.trim();
    found = matching(classes, text);
    const isThere = classes.some(({ name }) => name.toLowerCase() === text.toLowerCase());
    if (text && !isThere) found.push({ name: text, isNew: true });
    at = 0;
    paint();
  }

  input.addEventListener("input", refresh);
  input.addEventListener("keydown", (event) => {
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!by || !found.length) return;
    event.preventDefault();
    at = (at + by + found.length) % found.length;
    paint();
  });
  refresh();
  return ask(title, [form], [["Cancel", null], ["Give the name", () => found[at] ?? null, "primary"]]);
}
