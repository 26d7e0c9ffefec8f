/** Cells from afar: points painted straight into pixels, lighter where they are many, so that tissue shows through. */

/** Pixels of a disc about a pixel, as steps in a picture so wide. */
function offsets(diameter, width) {
  const steps = [], reach = (diameter - 1) / 2;
  for (let y = -Math.floor(reach); y <= Math.ceil(reach); y++) {
    for (let x = -Math.floor(reach); x <= Math.ceil(reach); x++) {
      const cx = x - (diameter % 2 ? 0 : 0.5), cy = y - (diameter % 2 ? 0 : 0.5);
      if (Math.hypot(cx, cy) <= diameter / 2 + 0.1) steps.push(y * width + x);
    }
  }
  return Int32Array.from(steps);
}

const MOST = 200;
/** A rim of white about what is brought out: a pink cluster would be lost on pink tissue. */
const RIM = (254 << 24) | 0xffffff;

/**
 * Paint the points of a grid.
 *
 * @param {Uint32Array} pixels of the picture, cleared
 * @param {import("./geometry.js").View} view at the picture's size
 * @param {object} palette see `Scene`
 * @param {number} diameter of a point in pixels of the picture
 */
export function paintPoints(pixels, width, height, view, ratio, grid, palette, diameter) {
  const size = Math.max(1, Math.min(9, Math.round(diameter)));
  const steps = offsets(size, width), large = size > 1 ? offsets(size + 1, width) : steps;
  // How opaque what is brought out is; nothing else is, by which it is known. Where cells are specks, tissue shows
  // through.
  const full = size > 1 ? 255 : 210;
  const rim = size > 1 ? offsets(size + 3, width) : [];
  const scale = view.scale * ratio;
  const shiftX = width / 2 - view.x * scale, shiftY = height / 2 - view.y * scale;
  const { x, y, rows } = grid, { packed } = palette;
  const first = size > 1 ? 200 : 120, more = 24;
  const [left, top, right, bottom] = view.seen;
  const edge = size + 3;
  grid.runs(left, top, right, bottom, (from, to) => {
    for (let i = from; i < to; i++) {
      const row = rows[i], colour = palette.of(row);
      if (colour < 0) continue;
      const px = (x[i] * scale + shiftX) | 0, py = (y[i] * scale + shiftY) | 0;
      if (px < edge || py < edge || px >= width - edge || py >= height - edge) continue;
      const rgb = packed[colour] & 0xffffff, at = py * width + px;
      if (palette.isBright(row)) {
        for (let s = 0; s < rim.length; s++) if (pixels[at + rim[s]] >>> 24 !== full) pixels[at + rim[s]] = RIM;
        for (let s = 0; s < large.length; s++) pixels[at + large[s]] = rgb | (full << 24);
      } else {
        const part = palette.isFaint(colour) ? 0.5 : 1;
        const low = (first * part) | 0, most = (MOST * part) | 0;
        for (let s = 0; s < steps.length; s++) {
          const p = at + steps[s], there = pixels[p] >>> 24;
          if (there >= Math.min(full, 254)) continue;
          pixels[p] = rgb | ((there === 0 ? low : Math.min(most, Math.max(there, low) + more)) << 24);
        }
      }
    }
  });
}

/** A canvas of points, ready to be drawn elsewhere; its pixels are kept from one painting to the next. */
export class PointPicture {
  paint(context, view, ratio, grid, palette, diameter) {
    const { width, height } = context.canvas;
    if (!width || !height) return;
    if (this.image?.width !== width || this.image?.height !== height) {
      this.image = new ImageData(width, height);
      this.pixels = new Uint32Array(this.image.data.buffer);
    } else this.pixels.fill(0);
    paintPoints(this.pixels, width, height, view, ratio, grid, palette, diameter);
    context.putImageData(this.image, 0, 0);
  }
}
