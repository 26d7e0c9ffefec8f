/** Plane geometry of the views: no canvas, no state. */

/** Is a point in a polygon of flat coordinates [x0, y0, x1, y1, …]? Even-odd rule. */
export function inPolygon(x, y, flat, start = 0, end = flat.length) {
  let inside = false;
  for (let i = start, j = end - 2; i < end; j = i, i += 2) {
    const yi = flat[i + 1], yj = flat[j + 1];
    if (yi > y !== yj > y && x < ((flat[j] - flat[i]) * (y - yi)) / (yj - yi) + flat[i]) inside = !inside;
  }
  return inside;
}

/** Bounds of flat coordinates. @returns {[number, number, number, number]} left, top, right, bottom */
export function bounds(flat) {
  let left = Infinity, top = Infinity, right = -Infinity, bottom = -Infinity;
  for (let i = 0; i < flat.length; i += 2) {
    left = Math.min(left, flat[i]);
    right = Math.max(right, flat[i]);
    top = Math.min(top, flat[i + 1]);
    bottom = Math.max(bottom, flat[i + 1]);
  }
  return [left, top, right, bottom];
}

/** The rectangle between two corners as a polygon. */
export const rectangle = (x0, y0, x1, y1) => [x0, y0, x1, y0, x1, y1, x0, y1];

/** The longest of 1, 2, 5 × 10ⁿ that fits. */
export function roundLength(longest) {
  const power = 10 ** Math.floor(Math.log10(longest));
  const step = longest / power;
  return (step >= 5 ? 5 : step >= 2 ? 2 : 1) * power;
}

/** Where a screen sees the plane: `scale` screen pixels to a unit, (x, y) in the middle. */
export class View {
  constructor(x = 0, y = 0, scale = 1, width = 1, height = 1) {
    Object.assign(this, { x, y, scale, width, height });
  }
  copy() {
    return new View(this.x, this.y, this.scale, this.width, this.height);
  }
  toScreen(x, y) {
    return [(x - this.x) * this.scale + this.width / 2, (y - this.y) * this.scale + this.height / 2];
  }
  toPlane(sx, sy) {
    return [(sx - this.width / 2) / this.scale + this.x, (sy - this.height / 2) / this.scale + this.y];
  }
  /** Left, top, right, bottom of what is seen, in the plane. */
  get seen() {
    const w = this.width / 2 / this.scale, h = this.height / 2 / this.scale;
    return [this.x - w, this.y - h, this.x + w, this.y + h];
  }
  /** Change the scale while the point under (sx, sy) stays where it is. */
  zoomAbout(sx, sy, scale) {
    const [x, y] = this.toPlane(sx, sy);
    this.scale = scale;
    this.x = x - (sx - this.width / 2) / scale;
    this.y = y - (sy - this.height / 2) / scale;
  }
}
