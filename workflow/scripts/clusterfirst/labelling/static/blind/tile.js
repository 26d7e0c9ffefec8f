/** A tile of a blind evaluation: the slide in it, and outlines of its cells. */

import { inPolygon } from "../viewer/geometry.js";
import { place } from "../viewer/outlines.js";

const CASING = "#0b1020";
/** Of cells that have no answer: no colour at all, light on tissue, dark on glass. */
export const NEUTRAL = "#ffffff";

/** Make a cell's outline a path and find its middle. @param {{row: number, ring: number[]}} cell */
function shaped({ row, ring, ...rest }) {
  const path = new Path2D();
  let x = 0, y = 0, top = Infinity, right = -Infinity;
  for (let i = 0; i < ring.length; i += 2) {
    path.lineTo(ring[i], ring[i + 1]);
    x += ring[i];
    y += ring[i + 1];
    right = Math.max(right, ring[i]);
    top = Math.min(top, ring[i + 1]);
  }
  path.closePath();
  return { ...rest, row, ring, path, top, right, x: (2 * x) / ring.length, y: (2 * y) / ring.length };
}

/** A tile as the server tells it, with cells in reading order. */
export function readTile(tile) {
  const band = Math.max(1, tile.height / 10);
  const line = (cell) => Math.floor((cell.y - tile.y) / band);
  const cells = tile.cells.map(shaped).sort((a, b) => line(a) - line(b) || a.x - b.x);
  return { ...tile, cells };
}

export const cellAt = (tile, x, y) => tile.cells.find((cell) => inPolygon(x, y, cell.ring)) ?? null;

/** The nearest cell in a direction, as an arrow key means it. */
export function towards(cells, from, [dx, dy]) {
  let best = null, least = Infinity;
  for (const cell of cells) {
    const along = (cell.x - from.x) * dx + (cell.y - from.y) * dy;
    const aside = Math.abs((cell.x - from.x) * dy) + Math.abs((cell.y - from.y) * dx);
    if (cell === from || along <= 0 || aside > 2 * along) continue;
    if (along + 1.5 * aside < least) {
      best = cell;
      least = along + 1.5 * aside;
    }
  }
  return best;
}

/** Draw one outline, with a rim of another shade so that it is seen on any ground. */
export function outline(context, path, scale, { colour, width = 2, dash = [], casing = CASING }) {
  context.lineJoin = "round";
  context.setLineDash([]);
  context.strokeStyle = casing;
  context.globalAlpha = 0.7;
  context.lineWidth = (width + 2) / scale;
  context.stroke(path);
  context.globalAlpha = 1;
  context.setLineDash(dash.map((length) => length / scale));
  context.strokeStyle = colour;
  context.lineWidth = width / scale;
  context.stroke(path);
  context.setLineDash([]);
}

/** What lies around the tile recedes. */
export function dimAround(context, view, ratio, { x, y, width, height }) {
  place(context, view, ratio, 0, 0);
  const [left, top, right, bottom] = view.seen;
  const around = new Path2D();
  around.rect(left, top, right - left, bottom - top);
  around.rect(x, y, width, height);
  context.fillStyle = "rgb(11 16 32 / 0.55)";
  context.fill(around, "evenodd");
  context.strokeStyle = NEUTRAL;
  context.lineWidth = 1 / view.scale;
  context.strokeRect(x, y, width, height);
}
