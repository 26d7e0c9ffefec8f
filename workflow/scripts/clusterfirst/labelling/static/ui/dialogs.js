/** Questions and messages. */

import { $, h } from "./dom.js";

/**
 * Ask in a dialog of its own.
 * @param {string} title @param {(Node|string)[]} content
 * @param {[string, any, string?][]} buttons text, what it answers, class; Enter means the primary one, else the first
 * @returns {Promise<any>} null when it was closed
 */
export function ask(title, content, buttons) {
  return new Promise((answer) => {
    const dialog = h("dialog", { "aria-labelledby": "dialog-title" });
    let result = null;
    const choose = (value) => () => {
      result = typeof value === "function" ? value(dialog) : value;
      dialog.close();
    };
    dialog.append(
      h("h2", { id: "dialog-title" }, title),
      h("div", { class: "dialog-body" }, ...content),
      h("div", { class: "dialog-buttons" },
        ...buttons.map(([text, value, kind]) => h("button", { class: kind, onclick: choose(value) }, text))),
    );
    dialog.addEventListener("close", () => {
      dialog.remove();
      answer(result);
    });
    dialog.addEventListener("keydown", (event) => {
      event.stopPropagation();
      if (event.repeat && event.key === "Enter") event.preventDefault(); // of the key that opened it
    });
    document.body.append(dialog);
    dialog.showModal();
    const first =
      $("input:not([type=checkbox])", dialog)
      ?? $(".dialog-buttons .primary", dialog)
      ?? $(".dialog-buttons button", dialog);
    first.focus();
  });
}

/** Ask for a line of text. @returns {Promise<string|null>} */
export function askText(title, text, value = "") {
  const input = h("input", { value, maxlength: 80, "aria-label": title });
  const accept = (event) => {
    event.preventDefault();
    $("button.primary", event.target.closest("dialog")).click();
  };
  const form = h("form", { onsubmit: accept }, input);
  return ask(title, [h("p", {}, text), form], [["OK", () => input.value.trim() || null, "primary"]]);
}

/** Tell in passing: shown for a while, and read out. */
export function say(text, { kind = "note", lasts = 4200, action } = {}) {
  const toasts = $("#toasts");
  const toast = h("div", { class: `toast ${kind}` }, h("span", {}, text));
  if (action) toast.append(h("button", { class: "quiet", onclick: () => (toast.remove(), action.run()) }, action.text));
  const close = () => toast.remove();
  if (lasts > 8000) toast.append(h("button", { class: "quiet", "aria-label": "Close", onclick: close }, "×"));
  toasts.append(toast);
  while (toasts.children.length > 2) toasts.firstChild.remove();
  setTimeout(() => toast.remove(), lasts);
  $("#said").textContent = text;
}

/** Take away what was told of a page that is left; problems stay. */
export const hush = () => document.querySelectorAll("#toasts .note").forEach((toast) => toast.remove());

export const complain = (error) => say(error.message ?? String(error), { kind: "problem", lasts: 12000 });
