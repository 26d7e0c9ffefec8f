/** Colours as numbers: what ImageData wants, and what stays legible on top of what. */

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
  const [r, g, b] = parts(hex).map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

/** Black or white, whichever stands out more on a colour (always at least 4.5 : 1). */
export function inkOn(hex) {
  const l = luminance(hex);
  return 1.05 / (l + 0.05) > (l + 0.05) / 0.05 ? "#ffffff" : "#000000";
}

/** Colours offered to new classes in turn: told apart by most people, and on both stains of H&E. */
export const CLASS_COLOURS = [
  "#1f77b4", "#e6550d", "#2ca02c", "#d62ad0", "#e7ba00", "#17becf", "#8c4fd6", "#d62728", "#7f4f24", "#00695c",
];

/** The first colour offered that none of the classes has. */
export function nextColour(classes) {
  const taken = new Set(classes.map((c) => c.colour.toLowerCase()));
  return CLASS_COLOURS.find((c) => !taken.has(c)) ?? CLASS_COLOURS[classes.length % CLASS_COLOURS.length];
}
