/** The slide: its picture, the cells over it, and what is done to cells there. */

import { slideUrl } from "./api.js";
import { bounds, inPolygon } from "./geometry.js";
import { Layer } from "./layer.js";
import { Outlines, outlinePath, paintOutlines, place } from "./outlines.js";
import { PanZoom } from "./panzoom.js";
import { PointPicture } from "./points.js";
import { Tiles } from "./tiles.js";

const NUCLEUS_UM = 8;
/** Nuclei at least this large on the screen get outlines. */
const NEAR_PX = 7;
/** Screen pixels to a pixel of the slide at the closest. */
const CLOSEST = 8;

export class SlideView {
  /**
   * @param {HTMLCanvasElement} canvas @param {import("./store.js").Store} store @param {() => void} moved
   * @param {(rows: number[], how: string) => void} picked
   */
  constructor(canvas, store, moved, picked) {
    this.store = store;
    this.pan = new PanZoom(canvas, {
      paint: (...args) => this.paint(...args),
      click: (x, y) => store.cells && store.point(this.cellAt(x, y)),
      hover: (x, y) => this.hover(x, y),
      leave: () => store.hoverOver(null),
      tool: (event) => (event.shiftKey ? "lasso" : event.altKey ? "region" : store.tool),
      enclosed: (flat, event) => picked(this.cellsIn(flat), event.altKey || store.tool === "region" ? "region" : "lasso"),
      moved,
    });
    this.points = new PointPicture();
    this.layer = new Layer((...args) => this.paintCells(...args));
    store.on("state selection hover display", () => this.repaint());
    store.on("hover-row", () => this.pan.invalidate());
  }

  get view() {
    return this.pan.view;
  }

  /** Show a slide of the group. @param {object} info as the server describes it */
  open(info, number) {
    this.tiles?.close();
    this.outlines?.close();
    this.info = info;
    this.number = number;
    this.nucleus = NUCLEUS_UM / (info.mpp || 0.5);
    const url = slideUrl(info.id), again = () => this.pan.invalidate();
    this.tiles = new Tiles(info, url, again);
    const [first, end] = this.store.cells.range(number);
    this.dot = end - first > 60000 ? 1 : end - first > 8000 ? 2 : 3;
    this.outlines = new Outlines(url, first, info.width, info.height, () => this.repaint());
    this.pan.setWhole(0, 0, info.width, info.height, CLOSEST);
    this.pan.fitAll(false);
    this.repaint();
  }

  /** Has everything on the screen arrived, and does nothing move? */
  get settled() {
    const { pan, tiles, outlines } = this;
    return !pan.goal && !pan.dirty && !this.layer.stale && !tiles.wanted.some((t) => !tiles.images.has(t.key)) && !outlines.loading.size;
  }

  repaint() {
    this.layer.stale = true;
    this.pan.invalidate();
  }

  paint(context, view, ratio, moving) {
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = this.ground ??= getComputedStyle(this.pan.canvas).backgroundColor;
    context.fillRect(0, 0, context.canvas.width, context.canvas.height);
    if (!this.tiles) return;
    this.tiles.draw(context, view, ratio);
    this.layer.draw(context, view, ratio, moving, this.store.display.opacity);
    this.paintMarks(context, view, ratio);
  }

  paintCells(context, view, ratio) {
    const { labels, palette, cells, display } = this.store;
    const near = this.nucleus * view.scale >= NEAR_PX;
    const found = near ? this.outlines.get(view.seen, view.x, view.y) : null;
    if (!near || found.missing) {
      const diameter = Math.max(this.dot * ratio, 0.62 * this.nucleus * view.scale * ratio);
      this.points.paint(context, view, ratio, cells.grid(this.number), labels, palette, diameter);
    }
    if (near) paintOutlines(context, view, ratio, found.ready, palette, display.filled);
  }

  /** The cell cursor and the cell under the pointer. */
  paintMarks(context, view, ratio) {
    const { cursor, hoverRow } = this.store;
    if (hoverRow !== null && hoverRow !== cursor) this.mark(context, view, ratio, hoverRow, 1.5);
    if (cursor !== null) this.mark(context, view, ratio, cursor, 2.5);
  }

  mark(context, view, ratio, row, width) {
    const { cells } = this.store;
    if (cells.slide[row] !== this.number) return;
    const x = cells.x[row], y = cells.y[row];
    const shape = this.nucleus * view.scale >= NEAR_PX && this.outlines.shape(row, x, y);
    const path = shape ? outlinePath(shape) : new Path2D();
    if (!shape) path.arc(0, 0, Math.max(this.nucleus * 0.7, 7 / view.scale), 0, 2 * Math.PI);
    place(context, view, ratio, shape ? shape.left : x, shape ? shape.top : y);
    for (const [colour, more] of [["#ffffff", 2.5], ["#0b1020", 0]]) {
      context.strokeStyle = colour;
      context.lineWidth = (width + more) / view.scale;
      context.stroke(path);
    }
  }

  /** Row of the cell at a point, null where there is none: by its outline where that is known, else by its middle. */
  cellAt(x, y) {
    const { cells, palette } = this.store;
    const reach = Math.max(2 * this.nucleus, 10 / this.view.scale);
    const found = cells.grid(this.number).near(x, y, reach, (row) => palette.of(row) >= 0);
    const inside = found.find((row) => this.outlines.contains(row, x, y, cells.x[row], cells.y[row]));
    if (inside !== undefined) return inside;
    const nearest = found[0];
    if (nearest === undefined) return null;
    const close = Math.hypot(cells.x[nearest] - x, cells.y[nearest] - y) <= Math.max(this.nucleus * 0.7, 6 / this.view.scale);
    return close ? nearest : null;
  }

  hover(x, y) {
    const { store } = this;
    if (!store.cells || !this.tiles) return;
    const row = this.nucleus * this.view.scale < 2 ? null : this.cellAt(x, y);
    // Only the cell is marked: were its whole cluster brought out, everything would flicker under a moving pointer.
    store.hoverOver(null, row);
  }

  /** Rows of the cells shown whose middle lies in a polygon. */
  cellsIn(flat) {
    const { cells, palette } = this.store;
    const rows = cells.grid(this.number).within(bounds(flat), (x, y) => inPolygon(x, y, flat));
    return rows.filter((row) => palette.of(row) >= 0);
  }

  /** Bring a cell into view, near enough to see it. */
  goToCell(row, closeUp = true) {
    const { cells } = this.store;
    const wanted = closeUp ? Math.max(this.view.scale, 36 / this.nucleus) : this.view.scale;
    const [sx, sy] = this.view.toScreen(cells.x[row], cells.y[row]);
    const edge = 60;
    const seen = sx > edge && sy > edge && sx < this.view.width - edge && sy < this.view.height - edge;
    if (!seen || wanted !== this.view.scale) this.pan.goTo(cells.x[row], cells.y[row], wanted);
  }

  /** The colours of the page changed. */
  retheme() {
    this.ground = null;
    this.pan.invalidate();
  }
}
