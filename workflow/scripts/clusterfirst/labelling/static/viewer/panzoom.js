/**
 * A canvas that is panned and zoomed: wheel, drag, pinch, double click, keys. What is on it is somebody else's idea.
 */

import { View, rectangle } from "./geometry.js";
import { calm, density, fit } from "../ui/dom.js";

const EASE_MS = 70;
const CLICK_PX = 4;

export class PanZoom {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {object} does `paint(ctx, view, ratio, moving)`; and, if wanted, `click(x, y, event)`, `hover(x, y)`,
   *   `leave()`, `tool(event)` ("move", "lasso" or "region"), `enclosed(flat polygon, event)`, `moved()`
   */
  constructor(canvas, does) {
    this.canvas = canvas;
    this.does = does;
    this.context = canvas.getContext("2d", { alpha: false });
    this.view = new View();
    this.goal = null;
    this.anchor = null;
    this.limits = [1e-6, 1e6];
    this.pointers = new Map();
    this.path = null;
    this.frames = [];
    this.dirty = false;
    new ResizeObserver(() => this.resize()).observe(canvas);
    this.listen();
  }

  resize() {
    fit(this.canvas);
    this.view.width = this.canvas.clientWidth;
    this.view.height = this.canvas.clientHeight;
    if (this.whole && this.untouched) this.fitAll(false);
    this.invalidate();
  }

  /** Set what there is to see; zoom is bounded by it. */
  setWhole(left, top, right, bottom, closest) {
    this.whole = [left, top, right, bottom];
    this.closest = closest;
  }

  /** Scale and middle at which everything is seen. */
  get fitted() {
    const [left, top, right, bottom] = this.whole;
    const scale = 0.94 * Math.min(this.view.width / (right - left), this.view.height / (bottom - top));
    return { x: (left + right) / 2, y: (top + bottom) / 2, scale };
  }

  fitAll(animated = true) {
    const { x, y, scale } = this.fitted;
    this.goTo(x, y, scale, animated);
    this.untouched = true;
  }

  bound(scale) {
    return Math.min(Math.max(scale, this.fitted.scale / 2), this.closest);
  }

  /** Move the middle to (x, y) at a scale. */
  goTo(x, y, scale = this.view.scale, animated = true) {
    this.untouched = false;
    this.anchor = null;
    this.goal = { x, y, scale: this.bound(scale) };
    if (!animated || calm()) this.arrive();
    this.invalidate();
  }

  arrive() {
    Object.assign(this.view, this.goal);
    this.goal = null;
  }

  /** Zoom by a factor about a point of the screen, the middle by default. */
  zoomBy(factor, sx = this.view.width / 2, sy = this.view.height / 2) {
    this.untouched = false;
    const scale = this.bound((this.goal?.scale ?? this.view.scale) * factor);
    if (this.goal && !this.anchor) this.arrive();
    const end = this.view.copy();
    end.zoomAbout(sx, sy, scale);
    this.anchor = [sx, sy];
    this.goal = { x: end.x, y: end.y, scale };
    if (calm()) this.arrive();
    this.invalidate();
  }

  /** Move by screen pixels. */
  panBy(dx, dy, animated = true) {
    this.untouched = false;
    const from = this.goal ?? this.view;
    this.goTo(from.x + dx / this.view.scale, from.y + dy / this.view.scale, from.scale, animated);
  }

  invalidate() {
    if (this.dirty) return;
    this.dirty = true;
    requestAnimationFrame((now) => this.frame(now));
  }

  frame(now) {
    this.dirty = false;
    if (!this.canvas.clientWidth) return;
    const moving = this.goal !== null || this.pointers.size > 0;
    if (this.goal) this.step(now);
    this.last = now;
    this.keepInside();
    this.frames.push(now);
    if (this.frames.length > 240) this.frames.splice(0, 120);
    const ratio = density();
    this.does.paint(this.context, this.view, ratio, moving);
    if (this.path) this.drawPath(ratio);
    this.does.moved?.();
    if (this.goal) this.invalidate();
    else if (moving) this.settle();
    this.wasMoving = moving;
  }

  /** Once things are still, paint once more, as sharply as it gets. */
  settle() {
    clearTimeout(this.settling);
    this.settling = setTimeout(() => this.invalidate(), 90);
  }

  step(now) {
    const elapsed = this.last && now - this.last < 100 ? now - this.last : 16;
    const part = 1 - Math.exp(-elapsed / EASE_MS);
    const { view, goal } = this;
    const scale = view.scale * (goal.scale / view.scale) ** part;
    if (this.anchor) view.zoomAbout(...this.anchor, scale);
    else {
      view.x += (goal.x - view.x) * part;
      view.y += (goal.y - view.y) * part;
      view.scale = scale;
    }
    const near = Math.abs(Math.log(goal.scale / view.scale)) < 0.002;
    const there = this.anchor || Math.hypot(goal.x - view.x, goal.y - view.y) * view.scale < 0.4;
    if (near && there) {
      if (this.anchor) view.zoomAbout(...this.anchor, goal.scale);
      else Object.assign(view, goal);
      this.goal = null;
    }
  }

  /** The middle of the screen never leaves what there is to see. */
  keepInside() {
    if (!this.whole) return;
    const [left, top, right, bottom] = this.whole;
    this.view.x = Math.min(Math.max(this.view.x, left), right);
    this.view.y = Math.min(Math.max(this.view.y, top), bottom);
  }

  /** Frames per second over the last second of drawing. */
  get fps() {
    const end = this.frames.at(-1) ?? 0;
    return this.frames.filter((t) => t > end - 1000).length;
  }

  listen() {
    const { canvas } = this;
    canvas.addEventListener("wheel", (e) => this.wheel(e), { passive: false });
    canvas.addEventListener("pointerdown", (e) => this.down(e));
    canvas.addEventListener("pointermove", (e) => this.move(e));
    canvas.addEventListener("pointerup", (e) => this.up(e));
    canvas.addEventListener("pointercancel", (e) => this.up(e));
    canvas.addEventListener("pointerleave", () => this.does.leave?.());
    canvas.addEventListener("dblclick", (e) => this.zoomBy(e.shiftKey ? 0.4 : 2.5, e.offsetX, e.offsetY));
  }

  wheel(event) {
    event.preventDefault();
    const unit = event.deltaMode === 1 ? 16 : 1;
    const notch = Math.max(-240, Math.min(240, event.deltaY * unit));
    this.zoomBy(Math.exp(-notch * (event.ctrlKey ? 0.01 : 0.0022)), event.offsetX, event.offsetY);
  }

  down(event) {
    if (event.button !== 0) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, [event.offsetX, event.offsetY]);
    this.start = [event.offsetX, event.offsetY];
    this.dragged = false;
    this.speed = [0, 0];
    if (this.goal) this.goal = null;
    const tool = this.does.tool?.(event) ?? "move";
    if (tool !== "move" && this.pointers.size === 1) this.path = { tool, points: [event.offsetX, event.offsetY] };
    if (this.pointers.size === 2) this.path = null;
  }

  move(event) {
    const before = this.pointers.get(event.pointerId);
    const at = [event.offsetX, event.offsetY];
    if (!before) return this.does.hover?.(...this.view.toPlane(...at));
    if (Math.hypot(at[0] - this.start[0], at[1] - this.start[1]) > CLICK_PX) this.dragged = true;
    if (this.path) this.extend(at);
    else if (this.pointers.size === 2) this.pinch(event.pointerId, before, at);
    else if (this.dragged) this.drag(before, at, event.timeStamp);
    if (this.dragged || this.path) this.pointers.set(event.pointerId, at);
    this.invalidate();
  }

  drag(before, at, now) {
    this.untouched = false;
    const dx = at[0] - before[0], dy = at[1] - before[1];
    this.view.x -= dx / this.view.scale;
    this.view.y -= dy / this.view.scale;
    const dt = Math.max(now - (this.draggedAt ?? now), 1);
    this.speed = [0.7 * this.speed[0] + (0.3 * dx) / dt, 0.7 * this.speed[1] + (0.3 * dy) / dt];
    this.draggedAt = now;
    this.canvas.classList.add("dragging");
  }

  pinch(id, before, at) {
    this.untouched = false;
    const other = [...this.pointers].find(([key]) => key !== id)[1];
    const was = Math.hypot(before[0] - other[0], before[1] - other[1]);
    const is = Math.hypot(at[0] - other[0], at[1] - other[1]);
    const middle = [(at[0] + other[0]) / 2, (at[1] + other[1]) / 2];
    this.view.x -= (at[0] - before[0]) / 2 / this.view.scale;
    this.view.y -= (at[1] - before[1]) / 2 / this.view.scale;
    if (was > 0) this.view.zoomAbout(...middle, this.bound((this.view.scale * is) / was));
    this.dragged = true;
  }

  extend(at) {
    const { tool, points } = this.path;
    if (tool === "region") this.path.points = rectangle(points[0], points[1], ...at);
    else if (Math.hypot(at[0] - points.at(-2), at[1] - points.at(-1)) > 2) points.push(...at);
  }

  up(event) {
    if (!this.pointers.delete(event.pointerId)) return;
    this.canvas.classList.remove("dragging");
    const path = this.path;
    this.path = null;
    if (path && this.dragged && path.points.length >= 6) this.enclose(path, event);
    else if (!this.dragged && event.type === "pointerup") this.does.click?.(...this.view.toPlane(...this.start), event);
    else if (!path && this.dragged && !this.pointers.size) this.coast(event.timeStamp);
    this.invalidate();
    this.settle();
  }

  enclose({ points }, event) {
    const flat = [];
    for (let i = 0; i < points.length; i += 2) flat.push(...this.view.toPlane(points[i], points[i + 1]));
    this.does.enclosed?.(flat, event);
  }

  /** Glide on a little after a quick drag. */
  coast(now) {
    const [vx, vy] = this.speed;
    if (calm() || now - this.draggedAt > 60 || Math.hypot(vx, vy) < 0.15) return;
    this.panBy(-vx * 140, -vy * 140);
  }

  drawPath(ratio) {
    const { context, path } = this;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.beginPath();
    for (let i = 0; i < path.points.length; i += 2) context.lineTo(path.points[i], path.points[i + 1]);
    context.closePath();
    context.fillStyle = "rgba(255, 255, 255, 0.18)";
    context.fill();
    for (const [colour, width, dash] of [["#ffffff", 3, []], ["#111827", 1.5, [5, 4]]]) {
      context.strokeStyle = colour;
      context.lineWidth = width;
      context.setLineDash(dash);
      context.stroke();
    }
    context.setLineDash([]);
  }

  /** Keys while the canvas has the focus. @returns true if the key was one of these */
  key(event) {
    const step = event.shiftKey ? 320 : 96;
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    if (moves[event.key]) this.panBy(...moves[event.key]);
    else if (event.key === "+" || event.key === "=") this.zoomBy(1.6);
    else if (event.key === "-" || event.key === "_") this.zoomBy(1 / 1.6);
    else if (event.key === "0" || event.key === "Home") this.fitAll();
    else return false;
    return true;
  }
}
