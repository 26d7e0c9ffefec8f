/** The picture of a slide: tiles asked for as they are needed, nearest first; coarser ones stand in meanwhile. */

const KEPT = 384;
/** Browsers open six connections; two are left for what people do. */
const AT_ONCE = 3;

export class Tiles {
  /** @param {object} info width, height, tile, overlap, levels @param {string} url @param {() => void} arrived */
  constructor(info, url, arrived) {
    Object.assign(this, info, { url, arrived });
    this.images = new Map();
    this.loading = new Map();
    this.failed = new Map();
    this.wanted = [];
  }

  /** Level-0 pixels to a pixel of a level. */
  step(level) {
    return 2 ** (this.levels - 1 - level);
  }

  /** The coarsest level that is still sharp on the screen. */
  levelFor(pixelsPerUnit) {
    const level = this.levels - 1 - Math.floor(Math.log2(1 / pixelsPerUnit) + 0.25);
    return Math.max(this.floor, Math.min(this.levels - 1, level));
  }

  /** The largest level that is one tile: always kept, and the last to stand in. */
  get floor() {
    const longest = Math.max(this.width, this.height);
    return Math.max(0, this.levels - 1 - Math.max(0, Math.ceil(Math.log2(longest / this.tile))));
  }

  draw(context, view, ratio) {
    const level = this.levelFor(view.scale * ratio);
    const need = this.visible(level, view.seen);
    const stand = new Map();
    const ready = [], missing = [];
    for (const tile of need) {
      const image = this.take(tile.key);
      if (image) ready.push([tile, image]);
      else {
        missing.push(tile);
        const other = this.standIn(tile);
        if (other) stand.set(other.key, other);
      }
    }
    this.paintSheet(context, view, ratio);
    const coarseFirst = [...stand.values()].sort((a, b) => a.level - b.level);
    for (const tile of coarseFirst) this.paint(context, view, ratio, tile, this.take(tile.key));
    for (const [tile, image] of ready) this.paint(context, view, ratio, tile, image);
    this.ask(missing, view);
  }

  /** Empty glass where no tile has arrived. */
  paintSheet(context, view, ratio) {
    const [left, top] = view.toScreen(0, 0);
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = "#eeeef1";
    context.fillRect(left * ratio, top * ratio, this.width * view.scale * ratio, this.height * view.scale * ratio);
  }

  visible(level, [left, top, right, bottom]) {
    const size = this.tile * this.step(level);
    const columns = Math.ceil(this.width / size), lines = Math.ceil(this.height / size);
    const found = [];
    for (let row = Math.max(0, Math.floor(top / size)); row <= Math.min(lines - 1, Math.floor(bottom / size)); row++) {
      const last = Math.min(columns - 1, Math.floor(right / size));
      for (let col = Math.max(0, Math.floor(left / size)); col <= last; col++) found.push(name(level, col, row));
    }
    return found;
  }

  standIn({ level, col, row }) {
    for (let up = 1; level - up >= this.floor; up++) {
      const tile = name(level - up, col >> up, row >> up);
      if (this.images.has(tile.key)) return tile;
    }
    return null;
  }

  /** An image if it is here, now the last to be let go. */
  take(key) {
    const image = this.images.get(key);
    if (image) {
      this.images.delete(key);
      this.images.set(key, image);
    }
    return image;
  }

  paint(context, view, ratio, { level, col, row }, image) {
    const step = this.step(level), size = this.tile * step;
    const shiftX = col ? this.overlap : 0, shiftY = row ? this.overlap : 0;
    const left = col * size, top = row * size;
    const right = Math.min(left + size, this.width), bottom = Math.min(top + size, this.height);
    const [x0, y0] = view.toScreen(left, top).map((v) => Math.round(v * ratio));
    const [x1, y1] = view.toScreen(right, bottom).map((v) => Math.round(v * ratio));
    const w = Math.min((right - left) / step, image.width - shiftX);
    const h = Math.min((bottom - top) / step, image.height - shiftY);
    context.drawImage(image, shiftX, shiftY, w, h, x0, y0, x1 - x0, y1 - y0);
  }

  ask(missing, view) {
    const middle = (tile) => {
      const size = this.tile * this.step(tile.level);
      return Math.hypot((tile.col + 0.5) * size - view.x, (tile.row + 0.5) * size - view.y);
    };
    const base = this.images.has(name(this.floor, 0, 0).key) ? [] : [name(this.floor, 0, 0)];
    this.wanted = [...base, ...missing.sort((a, b) => middle(a) - middle(b))];
    const keys = new Set(this.wanted.map((tile) => tile.key));
    for (const [key, stop] of this.loading) if (!keys.has(key)) stop.abort();
    this.next();
  }

  next() {
    for (const tile of this.wanted) {
      if (this.loading.size >= AT_ONCE) return;
      const tried = this.failed.get(tile.key);
      if (!this.images.has(tile.key) && !this.loading.has(tile.key) && !(tried > performance.now())) this.load(tile);
    }
  }

  async load(tile) {
    const stop = new AbortController();
    this.loading.set(tile.key, stop);
    try {
      const url = `${this.url}/tiles/${tile.level}/${tile.col}_${tile.row}.jpg`;
      const answer = await fetch(url, { signal: stop.signal });
      if (!answer.ok) throw new Error(`tile ${tile.key}: ${answer.status}`);
      this.keep(tile.key, await createImageBitmap(await answer.blob()));
      this.arrived();
    } catch (error) {
      if (error.name !== "AbortError") this.retryLater(tile.key);
    } finally {
      this.loading.delete(tile.key);
      this.next();
    }
  }

  /** A tile that failed is asked for again, but not at once. */
  retryLater(key) {
    this.failed.set(key, performance.now() + 3000);
    setTimeout(() => this.arrived(), 3100);
  }

  keep(key, image) {
    this.images.set(key, image);
    const last = name(this.floor, 0, 0).key;
    for (const [old, bitmap] of this.images) {
      if (this.images.size <= KEPT) return;
      if (old === last) continue;
      bitmap.close();
      this.images.delete(old);
    }
  }

  close() {
    this.wanted = [];
    for (const stop of this.loading.values()) stop.abort();
    for (const image of this.images.values()) image.close();
    this.images.clear();
  }
}

const name = (level, col, row) => ({ level, col, row, key: `${level}/${col}_${row}` });
