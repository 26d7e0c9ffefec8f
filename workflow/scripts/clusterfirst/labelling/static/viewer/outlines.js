/** Cells from near: their outlines, fetched in blocks of 1024 × 1024 pixels of the slide, drawn as paths by colour. */

import { inPolygon } from "./geometry.js";

export const BLOCK = 1024;
const KEPT = 160;
const AT_ONCE = 2;

/** Read a block: per cell its row in the slide, how many points, then the points in quarters of a pixel. */
export function decodeBlock(buffer, bx, by, firstRow) {
  const data = new DataView(buffer);
  const n = buffer.byteLength ? data.getUint32(0, true) : 0;
  const rows = new Uint32Array(n), start = new Uint32Array(n + 1), flat = [];
  let at = 4;
  for (let i = 0; i < n; i++) {
    rows[i] = data.getUint32(at, true) + firstRow;
    const points = data.getUint16(at + 4, true);
    at += 6;
    for (let p = 0; p < 2 * points; p++, at += 2) flat.push(data.getInt16(at, true) / 4);
    start[i + 1] = flat.length;
  }
  return { bx, by, n, rows, start, flat: Float32Array.from(flat) };
}

export class Outlines {
  /** @param {(block: string) => string} blockUrl @param {number} firstRow of the slide in its group */
  constructor(blockUrl, firstRow, width, height, arrived) {
    Object.assign(this, { blockUrl, firstRow, arrived });
    this.columns = Math.ceil(width / BLOCK);
    this.lines = Math.ceil(height / BLOCK);
    this.blocks = new Map();
    this.loading = new Map();
    this.wanted = [];
  }

  /** The blocks that a rectangle meets; those missing are asked for. @returns {{ready: object[], missing: number}} */
  get([left, top, right, bottom], x, y) {
    const ready = [], missing = [];
    const inside = (v, most) => Math.max(0, Math.min(most, Math.floor(v / BLOCK)));
    for (let by = inside(top, this.lines - 1); by <= inside(bottom, this.lines - 1); by++) {
      for (let bx = inside(left, this.columns - 1); bx <= inside(right, this.columns - 1); bx++) {
        const block = this.blocks.get(`${bx}_${by}`);
        if (block) ready.push(block);
        else missing.push([bx, by, Math.hypot((bx + 0.5) * BLOCK - x, (by + 0.5) * BLOCK - y)]);
      }
    }
    this.wanted = missing.sort((a, b) => a[2] - b[2]);
    this.next();
    return { ready, missing: missing.length };
  }

  next() {
    for (const [bx, by] of this.wanted) {
      if (this.loading.size >= AT_ONCE) return;
      const key = `${bx}_${by}`;
      if (!this.blocks.has(key) && !this.loading.has(key)) this.load(key, bx, by);
    }
  }

  async load(key, bx, by) {
    const stop = new AbortController();
    this.loading.set(key, stop);
    try {
      const answer = await fetch(this.blockUrl(key), { signal: stop.signal });
      if (!answer.ok) throw new Error(`outlines ${key}: ${answer.status}`);
      this.blocks.set(key, decodeBlock(await answer.arrayBuffer(), bx, by, this.firstRow));
      if (this.blocks.size > KEPT) this.blocks.delete(this.blocks.keys().next().value);
      this.loading.delete(key);
      this.arrived();
    } catch (error) {
      if (error.name === "AbortError") return;
      setTimeout(() => {
        this.loading.delete(key);
        this.next();
      }, 3000);
    }
    this.next();
  }

  close() {
    this.wanted = [];
    for (const stop of this.loading.values()) stop.abort();
  }

  /** Is a point in the outline of a cell? Null where its outline is not here. */
  contains(row, x, y, cellX, cellY) {
    const shape = this.shape(row, cellX, cellY);
    return shape && inPolygon(x - shape.left, y - shape.top, shape.block.flat, shape.start, shape.end);
  }

  /** Where the outline of a cell lies in its block, if that is here. */
  shape(row, cellX, cellY) {
    const block = this.blocks.get(`${Math.floor(cellX / BLOCK)}_${Math.floor(cellY / BLOCK)}`);
    if (!block) return null;
    block.where ??= new Map(Array.from(block.rows, (r, i) => [r, i]));
    const i = block.where.get(row);
    if (i === undefined) return null;
    return { block, start: block.start[i], end: block.start[i + 1], left: block.bx * BLOCK, top: block.by * BLOCK };
  }
}

function trace(path, flat, start, end) {
  path.moveTo(flat[start], flat[start + 1]);
  for (let i = start + 2; i < end; i += 2) path.lineTo(flat[i], flat[i + 1]);
  path.closePath();
}

/** One path for each colour (and for what is brought out) of a block; kept until the colours change. */
function paths(block, palette) {
  if (block.palette === palette) return block.paths;
  const found = new Map();
  for (let i = 0; i < block.n; i++) {
    const colour = palette.of(block.rows[i]);
    if (colour < 0) continue;
    const key = colour * 2 + palette.isBright(block.rows[i]);
    if (!found.has(key)) found.set(key, new Path2D());
    trace(found.get(key), block.flat, block.start[i], block.start[i + 1]);
  }
  block.palette = palette;
  block.paths = [...found].sort((a, b) => (a[0] & 1) - (b[0] & 1));
  return block.paths;
}

/** Draw blocks into a view. */
export function paintOutlines(context, view, ratio, blocks, palette, filled) {
  const thin = Math.min(2.4, Math.max(1, view.scale * 1.4));
  context.lineJoin = "round";
  for (const bright of [0, 1]) {
    for (const block of blocks) {
      place(context, view, ratio, block.bx * BLOCK, block.by * BLOCK);
      for (const [key, path] of paths(block, palette)) {
        if ((key & 1) !== bright) continue;
        const faint = !bright && palette.isFaint(key >> 1);
        context.strokeStyle = context.fillStyle = palette.hex[key >> 1];
        if (filled) paintWith(context, faint ? 0.22 : 0.42, () => context.fill(path));
        if (bright && palette.dims) stroke(context, path, "#ffffff", (thin + 2.4) / view.scale, 0.85);
        stroke(context, path, palette.hex[key >> 1], (bright ? thin + 0.6 : thin) / view.scale, faint ? 0.75 : 1);
      }
    }
  }
}

function stroke(context, path, colour, width, alpha) {
  context.strokeStyle = colour;
  context.lineWidth = width;
  paintWith(context, alpha, () => context.stroke(path));
}

function paintWith(context, alpha, draw) {
  context.globalAlpha = alpha;
  draw();
  context.globalAlpha = 1;
}

/** Let the context's unit be a pixel of the slide, its origin a corner on it. */
export function place(context, view, ratio, left, top) {
  const [x, y] = view.toScreen(left, top);
  const scale = view.scale * ratio;
  context.setTransform(scale, 0, 0, scale, x * ratio, y * ratio);
}

/** The outline of one cell, alone. */
export function outlinePath({ block, start, end }) {
  const path = new Path2D();
  trace(path, block.flat, start, end);
  return path;
}
