/** The cells of a group as the server sends them: one typed array per quantity, row by row. */

import { PointGrid } from "./grid.js";

const TYPES = { float32: Float32Array, uint32: Uint32Array, uint16: Uint16Array, uint8: Uint8Array };

/** Read `cells.bin`: a line of JSON that says where the arrays lie, then the arrays. @param {ArrayBuffer} buffer */
export function decodeCells(buffer) {
  const bytes = new Uint8Array(buffer);
  const line = bytes.indexOf(10);
  if (line < 0) throw new Error("cells.bin has no header line");
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(0, line)));
  const arrays = {};
  for (const { name, dtype, offset, length } of header.arrays) {
    if (!TYPES[dtype]) throw new Error(`cells.bin: unknown type ${dtype} of ${name}`);
    arrays[name] = new TYPES[dtype](buffer, offset, length);
  }
  return new Cells(header.n, arrays);
}

export class Cells {
  constructor(n, { x, y, u, v, leaf, slide, confidence }) {
    // Up on the map is up on the screen, as in the pictures of the workflow.
    Object.assign(this, { n, x, y, u, v: v.map((up) => -up), slide, confidence });
    const none = leaf instanceof Uint16Array ? 0xffff : 0xffffffff;
    let top = -1;
    for (let row = 0; row < n; row++) if (leaf[row] !== none && leaf[row] > top) top = leaf[row];
    /** Number of leaves; noise is given the number after the last leaf, so that tables by leaf have a place for it. */
    this.leaves = top + 1;
    this.leaf = new Uint32Array(n);
    for (let row = 0; row < n; row++) this.leaf[row] = leaf[row] === none ? this.leaves : leaf[row];
    this.grids = new Map();
  }

  get noise() {
    return this.leaves;
  }

  /** First row of a slide and the row after its last: the cells of a slide follow one another. */
  range(slide) {
    const first = lowerBound(this.slide, slide);
    return [first, lowerBound(this.slide, slide + 1)];
  }

  /** Where the cells of a slide lie. */
  grid(slide) {
    if (!this.grids.has(slide)) {
      const [from, to] = this.range(slide);
      this.grids.set(slide, new PointGrid(this.x.subarray(from, to), this.y.subarray(from, to), from));
    }
    return this.grids.get(slide);
  }

  /** Where all cells lie on the UMAP. */
  get map() {
    this.mapGrid ??= new PointGrid(this.u, this.v);
    return this.mapGrid;
  }
}

function lowerBound(sorted, value) {
  let low = 0, high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low;
}
