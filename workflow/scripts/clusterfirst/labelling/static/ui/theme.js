/** Light and dark, chosen by a button and kept. */

import { $ } from "./dom.js";

const KEY = "clusterfirst:theme";
const dark = matchMedia("(prefers-color-scheme: dark)");

/** @param {() => void} retheme called whenever the colours of the page have changed */
export function bindTheme(retheme) {
  const set = (theme) => {
    document.documentElement.style.colorScheme = theme ?? "";
    retheme();
  };
  dark.addEventListener("change", retheme);
  $("#theme").addEventListener("click", () => {
    const now = localStorage.getItem(KEY) ?? (dark.matches ? "dark" : "light");
    localStorage.setItem(KEY, now === "dark" ? "light" : "dark");
    set(localStorage.getItem(KEY));
  });
  set(localStorage.getItem(KEY));
}
