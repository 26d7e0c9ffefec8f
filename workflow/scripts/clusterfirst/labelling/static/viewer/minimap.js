/** The whole slide in a corner: where we are, where the selected cluster lies; click or drag to go there. */

import { fit, density, oncePerFrame } from "../ui/dom.js";

const LONGEST = 176;

export class MiniMap {
  /** @param {HTMLCanvasElement} canvas @param {import("./slideview.js").Scene} scene */
  constructor(canvas, scene, slideView) {
    Object.assign(this, { canvas, scene, slideView });
    this.paintSoon = oncePerFrame(() => this.paint());
    const go = (event) => {
      if (!(event.buttons & 1)) return;
      const [x, y] = [event.offsetX / this.scale, event.offsetY / this.scale];
      slideView.pan.goTo(x, y, slideView.view.scale, event.type === "pointerdown");
    };
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      go(event);
    });
    canvas.addEventListener("pointermove", go);
    scene.on("state selection hover display", () => this.repaint());
  }

  open(info) {
    this.info = info;
    this.scale = LONGEST / Math.max(info.width, info.height);
    this.canvas.style.width = `${Math.round(info.width * this.scale)}px`;
    this.canvas.style.height = `${Math.round(info.height * this.scale)}px`;
    this.picture = null;
    this.repaint();
  }

  repaint() {
    this.marks = null;
    this.paintSoon();
  }

  /** The slide's coarsest tile, as soon as the slide view has it. */
  get image() {
    const { tiles } = this.slideView;
    return tiles?.images.get(`${tiles.floor}/0_0`);
  }

  paint() {
    if (!this.info || !this.canvas.clientWidth) return;
    fit(this.canvas);
    const context = this.canvas.getContext("2d");
    const { width, height } = this.canvas;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = "#eeeef1";
    context.fillRect(0, 0, width, height);
    if (this.image) context.drawImage(this.image, 0, 0, width, height);
    this.marks ??= this.mark(width, height);
    if (this.marks) context.drawImage(this.marks, 0, 0);
    this.frame(context);
  }

  /** Where the cluster brought out lies, one pixel a cell. */
  mark(width, height) {
    const { palette, cells, display } = this.scene;
    if (!palette.dims && !display.alone) return null;
    const canvas = Object.assign(document.createElement("canvas"), { width, height });
    const context = canvas.getContext("2d");
    const image = context.createImageData(width, height), pixels = new Uint32Array(image.data.buffer);
    const [from, to] = cells.range(this.slideView.number);
    const sx = width / this.info.width, sy = height / this.info.height;
    const many = to - from > 50000;
    const dot = many ? 1 : 2 * density(), alpha = many ? 0x90ffffff : 0xffffffff;
    for (let row = from; row < to; row++) {
      if (!palette.isBright(row)) continue;
      const colour = palette.of(row);
      if (colour < 0) continue;
      const px = (cells.x[row] * sx) | 0, py = (cells.y[row] * sy) | 0;
      for (let y = py; y < Math.min(py + dot, height); y++) {
        for (let x = px; x < Math.min(px + dot, width); x++) pixels[y * width + x] = palette.packed[colour] & alpha;
      }
    }
    context.putImageData(image, 0, 0);
    return many ? canvas : rimmed(canvas);
  }

  frame(context) {
    const ratio = density(), k = this.scale * ratio;
    const [left, top, right, bottom] = this.slideView.view.seen;
    const x = left * k, y = top * k, w = Math.max((right - left) * k, 4), h = Math.max((bottom - top) * k, 4);
    for (const [colour, line] of [["#ffffff", 4], ["#d1003f", 2]]) {
      context.strokeStyle = colour;
      context.lineWidth = line * ratio * 0.75;
      context.strokeRect(x, y, w, h);
    }
  }
}

/** A picture with a rim of white about whatever is on it. */
function rimmed(canvas) {
  const copy = Object.assign(document.createElement("canvas"), { width: canvas.width, height: canvas.height });
  const context = copy.getContext("2d");
  for (const [dx, dy] of [[-1, 0], [1, 0], [0, -1], [0, 1]]) context.drawImage(canvas, dx, dy);
  context.globalCompositeOperation = "source-in";
  context.fillStyle = "#ffffff";
  context.fillRect(0, 0, copy.width, copy.height);
  context.globalCompositeOperation = "source-over";
  context.drawImage(canvas, 0, 0);
  return copy;
}
