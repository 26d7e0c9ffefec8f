/** A grid over points: which lie in a rectangle, which is nearest, without looking at all of them. */

export class PointGrid {
  /**
   * @param {Float32Array} x @param {Float32Array} y
   * @param {number} first row of the first point: `rows` count from it
   * @param {number} perBucket how many points a bucket has, on average
   */
  constructor(x, y, first = 0, perBucket = 24) {
    const n = x.length;
    let left = Infinity, top = Infinity, right = -Infinity, bottom = -Infinity;
    for (let i = 0; i < n; i++) {
      if (x[i] < left) left = x[i];
      if (x[i] > right) right = x[i];
      if (y[i] < top) top = y[i];
      if (y[i] > bottom) bottom = y[i];
    }
    if (!n) [left, top, right, bottom] = [0, 0, 1, 1];
    const area = Math.max((right - left) * (bottom - top), 1e-9);
    this.size = Math.max(Math.sqrt((area * perBucket) / Math.max(n, 1)), 1e-6);
    this.left = left;
    this.top = top;
    this.right = right;
    this.bottom = bottom;
    this.columns = Math.floor((right - left) / this.size) + 1;
    this.lines = Math.floor((bottom - top) / this.size) + 1;
    this.sort(x, y, first);
  }

  /** Counting sort into buckets, line by line: the points of neighbouring buckets lie side by side in memory. */
  sort(x, y, first) {
    const n = x.length;
    const bucket = new Uint32Array(n);
    const start = new Uint32Array(this.columns * this.lines + 1);
    for (let i = 0; i < n; i++) {
      const b = Math.floor((y[i] - this.top) / this.size) * this.columns + Math.floor((x[i] - this.left) / this.size);
      bucket[i] = b;
      start[b + 1]++;
    }
    for (let b = 1; b < start.length; b++) start[b] += start[b - 1];
    const next = start.slice(0, -1);
    this.start = start;
    this.rows = new Uint32Array(n);
    this.x = new Float32Array(n);
    this.y = new Float32Array(n);
    for (let i = 0; i < n; i++) {
      const at = next[bucket[i]]++;
      this.rows[at] = i + first;
      this.x[at] = x[i];
      this.y[at] = y[i];
    }
  }

  /** Call `visit(from, to)` for the runs of positions whose buckets meet a rectangle. */
  runs(left, top, right, bottom, visit) {
    const column = (v) => Math.floor((v - this.left) / this.size);
    const line = (v) => Math.floor((v - this.top) / this.size);
    const c0 = Math.max(0, column(left)), c1 = Math.min(this.columns - 1, column(right));
    const l0 = Math.max(0, line(top)), l1 = Math.min(this.lines - 1, line(bottom));
    if (c1 < c0) return;
    for (let l = l0; l <= l1; l++) {
      const from = this.start[l * this.columns + c0], to = this.start[l * this.columns + c1 + 1];
      if (to > from) visit(from, to);
    }
  }

  /** Rows within `radius` of a point, nearest first. @param {(row: number) => boolean} allowed */
  near(px, py, radius, allowed = () => true) {
    const found = [];
    this.runs(px - radius, py - radius, px + radius, py + radius, (from, to) => {
      for (let i = from; i < to; i++) {
        const d = (this.x[i] - px) ** 2 + (this.y[i] - py) ** 2;
        if (d <= radius * radius && allowed(this.rows[i])) found.push([d, this.rows[i]]);
      }
    });
    return found.sort((a, b) => a[0] - b[0]).map(([, row]) => row);
  }

  /** Rows in a polygon of flat coordinates. `inside(x, y)` decides, within its bounds. */
  within([left, top, right, bottom], inside) {
    const found = [];
    this.runs(left, top, right, bottom, (from, to) => {
      for (let i = from; i < to; i++) {
        const x = this.x[i], y = this.y[i];
        if (x >= left && x <= right && y >= top && y <= bottom && inside(x, y)) found.push(this.rows[i]);
      }
    });
    return found;
  }
}
