// Tables that are sorted by their heads, and a box that searches everything with a name. Without it, all is shown.
"use strict";

const key = (row, column) => {
  const cell = row.cells[column], text = (cell.dataset.sort ?? cell.textContent).trim();
  const number = Number(text.replaceAll(",", ""));
  return text === "" || text === "–" ? null : Number.isFinite(number) ? number : text;
};

// Numbers first, then words; what is unknown stays at the end either way.
const order = (a, b, sign) => {
  if (a === null || b === null) return (a === null) - (b === null);
  if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
  return sign * (typeof a === "number" ? a - b : a.localeCompare(b, "en", { numeric: true }));
};

function sort(table, head) {
  const column = head.cellIndex, body = table.tBodies[0], descending = head.ariaSort === "descending";
  const first = head.classList.contains("text") ? 1 : -1;
  const sign = head.ariaSort ? (descending ? 1 : -1) : first;
  const rows = [...body.rows].map((row) => [key(row, column), row]);
  rows.sort(([a], [b]) => order(a, b, sign));
  body.append(...rows.map(([, row]) => row));
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  head.ariaSort = sign > 0 ? "ascending" : "descending";
}

for (const table of document.querySelectorAll("table")) {
  if (table.tBodies[0].rows.length < 2) continue;
  for (const head of table.tHead.rows[0].cells) {
    if (!head.textContent || table.tBodies[0].rows[0].cells[head.cellIndex].querySelector(".bar, a")) continue;
    const button = document.createElement("button");
    button.className = "sort";
    button.append(...head.childNodes);
    button.addEventListener("click", () => sort(table, head));
    head.append(button);
  }
}

const box = document.querySelector(".search");
if (box) {
  const named = [...document.querySelectorAll("[data-name]")];
  const all = new Set(named.map((element) => element.dataset.name)).size;
  const input = box.querySelector("input"), told = box.querySelector("output");
  input.addEventListener("input", () => {
    const wanted = input.value.trim().toLocaleLowerCase(), left = new Set();
    for (const element of named) {
      element.hidden = !element.dataset.name.toLocaleLowerCase().includes(wanted);
      if (!element.hidden) left.add(element.dataset.name);
    }
    told.textContent = wanted ? `${left.size} of ${all}` : "";
  });
  box.hidden = false;
}
