/** The UMAP of all cells of a group, linked with list and slide. */

import { bounds, inPolygon } from "./geometry.js";
import { Layer } from "./layer.js";
import { PanZoom } from "./panzoom.js";
import { PointPicture } from "./points.js";

export class Scatter {
  /**
   * @param {HTMLCanvasElement} canvas @param {import("./slideview.js").Scene} scene
   * @param {object} does `clicked(row)` and `hovered(row)`, null where there is no cell; `picked(rows, how)`
   */
  constructor(canvas, scene, does) {
    this.scene = scene;
    this.pan = new PanZoom(canvas, {
      paint: (...args) => this.paint(...args),
      click: (x, y) => does.clicked(this.cellAt(x, y)),
      hover: (x, y) => scene.cells && does.hovered(this.cellAt(x, y)),
      leave: () => does.hovered(null),
      tool: (event) => (event.shiftKey ? "lasso" : event.altKey ? "region" : scene.tool),
      enclosed: (flat) => does.picked(this.cellsIn(flat), "lasso on the UMAP"),
    });
    this.points = new PointPicture();
    this.layer = new Layer((context, view, ratio) => {
      const { cells, palette } = scene;
      const size = Math.max(this.dot, Math.min(this.dot * Math.sqrt(view.scale / this.pan.fitted.scale), 7));
      this.points.paint(context, view, ratio, cells.map, palette, size * ratio);
    });
    scene.on("group", () => this.open());
    scene.on("state selection hover display", () => {
      this.layer.stale = true;
      this.pan.invalidate();
    });
    scene.on("hover-row", () => this.pan.invalidate());
  }

  open() {
    const { map, n } = this.scene.cells;
    const side = Math.max(map.right - map.left, map.bottom - map.top, 1e-3);
    this.dot = n > 100000 ? 1 : n > 20000 ? 2 : n > 3000 ? 3 : 4;
    this.pan.setWhole(map.left, map.top, map.right, map.bottom, (40 * this.pan.view.width) / side);
    this.pan.fitAll(false);
  }

  paint(context, view, ratio, moving) {
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = this.ground ??= getComputedStyle(this.pan.canvas).backgroundColor;
    context.fillRect(0, 0, context.canvas.width, context.canvas.height);
    if (!this.scene.cells) return;
    this.layer.draw(context, view, ratio, moving, 1);
    const { hoverRow, cursor } = this.scene;
    for (const row of new Set([hoverRow, cursor])) if (row !== null) this.ring(context, view, ratio, row);
  }

  ring(context, view, ratio, row) {
    const { u, v } = this.scene.cells;
    const [x, y] = view.toScreen(u[row], v[row]);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    for (const [colour, width] of [["#ffffff", 4], ["#0b1020", 2]]) {
      context.strokeStyle = colour;
      context.lineWidth = width;
      context.beginPath();
      context.arc(x, y, 6, 0, 2 * Math.PI);
      context.stroke();
    }
  }

  cellAt(x, y) {
    const { cells, palette } = this.scene;
    return cells.map.near(x, y, 7 / this.pan.view.scale, (row) => palette.of(row) >= 0)[0] ?? null;
  }

  cellsIn(flat) {
    const { cells, palette } = this.scene;
    return cells.map.within(bounds(flat), (x, y) => inPolygon(x, y, flat)).filter((row) => palette.of(row) >= 0);
  }

  retheme() {
    this.ground = null;
    this.pan.invalidate();
  }
}
