/** Making elements. Styles are set through CSSOM, which the content policy allows; markup is never parsed from text. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * Make an element. Functions become listeners, `style` an object of properties, `data` the dataset, anything else an
 * attribute (false and null: none).
 */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(props)) set(element, key, value);
  element.append(...children.flat().filter((child) => child != null && child !== false));
  return element;
}

function set(element, key, value) {
  if (key === "style") for (const [name, v] of Object.entries(value)) element.style.setProperty(name, v);
  else if (key === "data") Object.assign(element.dataset, value);
  else if (typeof value === "function") element.addEventListener(key.slice(2).toLowerCase(), value);
  else if (key === "value" || key === "checked" || key === "disabled") element[key] = value;
  else if (value === true) element.setAttribute(key, "");
  else if (value !== false && value != null) element.setAttribute(key, value);
}

/** An icon from the sheet in index.html; never read out, its button has a name. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

export const $ = (selector, within = document) => within.querySelector(selector);

/** 12,345 */
export const count = (n) => Math.round(n).toLocaleString("en");

/** Share as per cent, with a decimal where it tells something. */
export function percent(share) {
  const p = 100 * share;
  return `${p >= 99.95 || p === 0 ? p.toFixed(0) : p < 0.1 ? "<0.1" : p.toFixed(1)} %`;
}

/** "1 cell", "2,000 cells" */
export const plural = (n, word) => `${count(n)} ${word}${n === 1 ? "" : "s"}`;

export const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

/** Run at most once per frame. */
export function oncePerFrame(run) {
  let waiting = false;
  return () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      run();
    });
  };
}

/** Canvas pixels to a CSS pixel: no more than 2, above that nobody sees the difference and everybody waits. */
export const density = () => Math.min(window.devicePixelRatio || 1, 2);

/** Make a canvas as large as its element. @returns true if that changed it */
export function fit(canvas) {
  const ratio = density();
  const width = Math.max(1, Math.round(canvas.clientWidth * ratio));
  const height = Math.max(1, Math.round(canvas.clientHeight * ratio));
  if (canvas.width === width && canvas.height === height) return false;
  canvas.width = width;
  canvas.height = height;
  return true;
}
