/** Colours as numbers: what ImageData wants, and what stays legible on top of what. */

/** Noise and cells without a label: quiet, but visible on tissue and on glass. */
export const UNNAMED = "#6b7684";
export const NOISE = "#98a2ae";
/** What is to be named next, where colours mean classes: no class, and with its white rim plain on any ground. */
export const CHOSEN = "#111827";

/** "#rrggbb" to its three parts. @returns {[number, number, number]} */
export function parts(hex) {
  const value = parseInt(hex.slice(1), 16);
  return [(value >> 16) & 255, (value >> 8) & 255, value & 255];
}

/** "#rrggbb" to 0xAABBGGRR, opaque: one pixel of ImageData seen as Uint32 on a little-endian machine. */
export function packed(hex) {
  const [r, g, b] = parts(hex);
  return ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
}

/** Relative luminance, WCAG 2. */
export function luminance(hex) {
  const [r, g, b] = linear(hex);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

/** Black or white, whichever stands out more on a colour (always at least 4.5 : 1). */
export function inkOn(hex) {
  const l = luminance(hex);
  return 1.05 / (l + 0.05) > (l + 0.05) / 0.05 ? "#ffffff" : "#000000";
}

/** Colours offered to new classes: none so pale, or so close to the pink of H&E, that outlines get lost on tissue. */
export const CLASS_COLOURS = [
  "#0077bb", "#ee7733", "#117733", "#cc3311", "#ddcc00", "#33bbee", "#332288", "#663333", "#999933", "#44aa99",
  "#882255", "#225555", "#00cc66", "#aa4499", "#0044aa", "#bbcc33", "#5b2c83", "#7f4f24", "#00e5ff", "#ee3377",
];

/**
 * What the common kinds of colour blindness leave of linear RGB: none, protanopia, deuteranopia (Machado et al. 2009).
 */
const EYES = [
  [1, 0, 0, 0, 1, 0, 0, 0, 1],
  [0.152286, 1.052583, -0.204868, 0.114503, 0.786281, 0.099216, -0.003882, -0.048116, 1.051998],
  [0.367322, 0.860646, -0.227968, 0.280085, 0.672501, 0.047413, -0.01182, 0.04294, 0.968881],
];

const linear = (hex) =>
  parts(hex).map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));

/** Linear RGB to OKLab, in which distances are about as large as they look. */
function oklab([r, g, b]) {
  const l = Math.cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b);
  const m = Math.cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b);
  const s = Math.cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b);
  return [
    0.2104542553 * l + 0.793617785 * m - 0.0040720468 * s,
    1.9779984951 * l - 2.428592205 * m + 0.4505937099 * s,
    0.0259040371 * l + 0.7827717662 * m - 0.808675766 * s,
  ];
}

/** How different two colours look to those who tell them apart worst. */
export function difference(one, other) {
  const seen = (hex, m) => {
    const [r, g, b] = linear(hex);
    return oklab([m[0] * r + m[1] * g + m[2] * b, m[3] * r + m[4] * g + m[5] * b, m[6] * r + m[7] * g + m[8] * b]);
  };
  return Math.min(...EYES.map((eye) => {
    const a = seen(one, eye), b = seen(other, eye);
    return Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]);
  }));
}

/** Cells without a class, and what is to be named next, are drawn in these: no class should look like them. */
const TAKEN = [UNNAMED, CHOSEN];

/** Of the colours offered, the one that differs most from those that classes have. */
export function nextColour(classes) {
  const taken = [...TAKEN, ...classes.map((c) => c.colour)];
  const least = (colour) => Math.min(...taken.map((other) => difference(colour, other)));
  return CLASS_COLOURS.reduce((best, colour) => (least(colour) > least(best) ? colour : best));
}
