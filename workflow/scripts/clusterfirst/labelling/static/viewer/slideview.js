/** The slide: its picture, the cells over it, and what is done to cells there. */

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

/**
 * What views show. They know no labels: what cells there are, and in which colours, is handed to them.
 *
 * @typedef {object} Scene
 * @property {object|null} cells `x`, `y`, `slide`, `u`, `v` by row, `range(slide)`, and grids: `grid(slide)`, `map`
 * @property {object} palette `of(row)`, the number of a colour, or -1 for what is not drawn; by that number `hex`,
 *   `packed` and `isFaint(colour)`; `isBright(row)`, whether a cell is brought out; `dims`, whether others step back
 * @property {{filled: boolean, opacity: number, alone: boolean}} display
 * @property {"move"|"lasso"|"region"} tool
 * @property {number|null} cursor row of the cell under the cell cursor
 * @property {number|null} hoverRow row of the cell under the pointer
 * @property {(topics: string, listener: () => void) => void} on "group state selection hover hover-row display"
 */

export class SlideView {
  /**
   * @param {HTMLCanvasElement} canvas @param {Scene} scene
   * @param {object} does `clicked(row)` and `hovered(row)`, null where there is no cell; `picked(rows, how)`; `moved()`
   */
  constructor(canvas, scene, does) {
    this.scene = scene;
    this.does = does;
    this.pan = new PanZoom(canvas, {
      paint: (...args) => this.paint(...args),
      click: (x, y) => scene.cells && does.clicked(this.cellAt(x, y)),
      hover: (x, y) => this.hover(x, y),
      leave: () => does.hovered(null),
      tool: (event) => (event.shiftKey ? "lasso" : event.altKey ? "region" : scene.tool),
      enclosed: (flat, event) => {
        does.picked(this.cellsIn(flat), event.altKey || scene.tool === "region" ? "region" : "lasso");
      },
      moved: does.moved,
    });
    this.points = new PointPicture();
    this.layer = new Layer((...args) => this.paintCells(...args));
    scene.on("state selection hover display", () => this.repaint());
    scene.on("hover-row", () => this.pan.invalidate());
  }

  get view() {
    return this.pan.view;
  }

  /**
   * Show a slide of the group.
   * @param {object} info as the server describes it @param {number} number in the group
   * @param {{slide: string, outlines: (block: string) => string}} urls where its tiles and outlines are asked for
   */
  open(info, number, urls) {
    this.tiles?.close();
    this.outlines?.close();
    this.info = info;
    this.number = number;
    this.nucleus = NUCLEUS_UM / (info.mpp || 0.5);
    this.tiles = new Tiles(info, urls.slide, () => this.pan.invalidate());
    const [first, end] = this.scene.cells.range(number);
    this.dot = end - first > 60000 ? 1 : end - first > 8000 ? 2 : 3;
    this.outlines = new Outlines(urls.outlines, first, info.width, info.height, () => this.repaint());
    this.pan.setWhole(0, 0, info.width, info.height, CLOSEST);
    this.pan.fitAll(false);
    this.repaint();
  }

  /** Has everything on the screen arrived, and does nothing move? */
  get settled() {
    const { pan, tiles, outlines } = this;
    return !pan.goal && !pan.dirty && !this.layer.stale
      && !tiles.wanted.some((tile) => !tiles.images.has(tile.key)) && !outlines.loading.size;
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
    this.layer.draw(context, view, ratio, moving, this.scene.display.opacity);
    this.paintMarks(context, view, ratio);
  }

  paintCells(context, view, ratio) {
    const { palette, cells, display } = this.scene;
    const near = this.nucleus * view.scale >= NEAR_PX;
    const found = near ? this.outlines.get(view.seen, view.x, view.y) : null;
    if (!near || found.missing) {
      const diameter = Math.max(this.dot * ratio, 0.62 * this.nucleus * view.scale * ratio);
      this.points.paint(context, view, ratio, cells.grid(this.number), palette, diameter);
    }
    if (near) paintOutlines(context, view, ratio, found.ready, palette, display.filled);
  }

  /** The cell cursor and the cell under the pointer. */
  paintMarks(context, view, ratio) {
    const { cursor, hoverRow } = this.scene;
    if (hoverRow !== null && hoverRow !== cursor) this.mark(context, view, ratio, hoverRow, 1.5);
    if (cursor !== null) this.mark(context, view, ratio, cursor, 2.5);
  }

  mark(context, view, ratio, row, width) {
    const { cells } = this.scene;
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
    const { cells, palette } = this.scene;
    const reach = Math.max(2 * this.nucleus, 10 / this.view.scale);
    const found = cells.grid(this.number).near(x, y, reach, (row) => palette.of(row) >= 0);
    const inside = found.find((row) => this.outlines.contains(row, x, y, cells.x[row], cells.y[row]));
    if (inside !== undefined) return inside;
    const nearest = found[0];
    if (nearest === undefined) return null;
    const distance = Math.hypot(cells.x[nearest] - x, cells.y[nearest] - y);
    const close = distance <= Math.max(this.nucleus * 0.7, 6 / this.view.scale);
    return close ? nearest : null;
  }

  hover(x, y) {
    if (!this.scene.cells || !this.tiles) return;
    this.does.hovered(this.nucleus * this.view.scale < 2 ? null : this.cellAt(x, y));
  }

  /** Rows of the cells shown whose middle lies in a polygon. */
  cellsIn(flat) {
    const { cells, palette } = this.scene;
    const rows = cells.grid(this.number).within(bounds(flat), (x, y) => inPolygon(x, y, flat));
    return rows.filter((row) => palette.of(row) >= 0);
  }

  /** Bring a cell into view, near enough to see it. */
  goToCell(row, closeUp = true) {
    const { cells } = this.scene;
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
