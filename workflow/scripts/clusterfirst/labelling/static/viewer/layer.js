/** A picture that takes long to paint: painted larger than the screen, then moved along until it no longer fits. */

import { View } from "./geometry.js";

const MARGIN = 0.15;
const QUICK_MS = 6;
const PATIENCE_MS = 120;

export class Layer {
  /** @param {(ctx: CanvasRenderingContext2D, view: View, ratio: number) => void} paint */
  constructor(paint) {
    this.paint = paint;
    this.canvas = document.createElement("canvas");
    this.context = this.canvas.getContext("2d", { willReadFrequently: false });
    this.at = null;
    this.cost = 0;
    this.painted = 0;
    this.stale = true;
  }

  draw(target, view, ratio, moving, opacity) {
    if (this.due(view, ratio, moving)) this.repaint(view, ratio);
    if (!this.canvas.width || !this.canvas.height) return;
    const zoom = view.scale / this.at.scale;
    const [left, top] = view.toScreen(...this.at.toPlane(0, 0));
    target.setTransform(1, 0, 0, 1, 0, 0);
    target.globalAlpha = opacity;
    const { width, height } = this.canvas;
    if (zoom === 1) target.drawImage(this.canvas, Math.round(left * ratio), Math.round(top * ratio));
    else target.drawImage(this.canvas, left * ratio, top * ratio, width * zoom, height * zoom);
    target.globalAlpha = 1;
  }

  due(view, ratio, moving) {
    if (this.stale || !this.at || this.ratio !== ratio) return true;
    const zoom = view.scale / this.at.scale;
    const [left, top, right, bottom] = view.seen, [l, t, r, b] = this.at.seen;
    const fits = left >= l && top >= t && right <= r && bottom <= b;
    if (zoom === 1 && fits) return false;
    if (!moving || this.cost < QUICK_MS) return true;
    return (!fits || zoom > 1.7 || zoom < 0.6) && performance.now() - this.painted > PATIENCE_MS;
  }

  repaint(view, ratio) {
    const start = performance.now();
    const large = (length) => Math.round(length * (1 + 2 * MARGIN) * ratio);
    const width = large(view.width), height = large(view.height);
    this.at = new View(view.x, view.y, view.scale, width / ratio, height / ratio);
    this.ratio = ratio;
    if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height });
    this.context.setTransform(1, 0, 0, 1, 0, 0);
    this.context.clearRect(0, 0, width, height);
    this.stale = false;
    this.paint(this.context, this.at, ratio);
    this.painted = performance.now();
    this.cost = this.painted - start;
  }
}
