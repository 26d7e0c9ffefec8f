/** Labelling a batch: one tile at a time, cell by cell, without a word about clusters. */

import { groupUrl, slideUrl } from "../data/api.js";
import { dimAround, cellAt, NEUTRAL, outline, readTile, towards } from "./tile.js";
import { inkOn, nextColour } from "../ui/colour.js";
import { ask, hush, say } from "../ui/dialogs.js";
import { findClass } from "../ui/finder.js";
import { $, count, h, plural } from "../ui/dom.js";
import { place } from "../viewer/outlines.js";
import { PanZoom } from "../viewer/panzoom.js";
import { decodeRanges, encodeRanges } from "../data/ranges.js";
import { showScale } from "../viewer/scalebar.js";
import { Tiles } from "../viewer/tiles.js";

/** The answer of a cell that cannot be told. */
export const UNTOLD = "";
const UNTOLD_COLOUR = "#98a2ae";
const CLOSEST = 8;
/** Nuclei narrower than this on the screen get no digit beside them. */
const DIGIT_PX = 14;
const NUCLEUS_UM = 8;

export class Work {
  /** @param {object} workspace `actions`, `infos` (facts of slides by id), `moved()`, `finished()` */
  constructor(workspace) {
    this.workspace = workspace;
    this.cursor = null;
    this.all = false;
    this.bare = false;
    this.pan = new PanZoom($("#tile-view"), {
      paint: (...args) => this.paint(...args),
      click: (x, y) => this.batch && this.point(cellAt(this.tile, x, y)),
      moved: () => this.scaleBar(),
    });
    $("#add-class").addEventListener("submit", (event) => {
      event.preventDefault();
      this.addClass($("#new-class").value.trim());
    });
  }

  /** Take up a batch. @param {object} key cells, seed, number, study @param {object} told by the server */
  open(key, told, tile = null) {
    this.key = key;
    this.batch = { ...told, tiles: told.tiles.map(readTile) };
    this.take(told);
    const open = this.batch.tiles.findIndex((one) => this.left(one).length);
    this.show(this.batch.tiles[tile] ? tile : Math.max(open, 0));
  }

  /** What the server says of the answers. */
  take({ labels, classes, can_undo, can_redo, finished }) {
    Object.assign(this.batch, { classes, can_undo, can_redo, finished });
    this.answers = new Map();
    for (const [number, rows] of Object.entries(labels)) {
      const word = number === "-1" ? UNTOLD : classes[number].name;
      for (const row of decodeRanges(rows)) this.answers.set(row, word);
    }
    this.refresh();
  }

  get tile() {
    return this.batch.tiles[this.at];
  }

  /** Cells of a tile without an answer. */
  left(tile) {
    return tile.cells.filter((cell) => !this.answers.has(cell.row));
  }

  get cells() {
    return this.batch.tiles.reduce((sum, tile) => sum + tile.cells.length, 0);
  }

  // ---- where one is

  show(at) {
    hush();
    this.at = at;
    const { tile } = this;
    const info = this.workspace.infos[tile.slide];
    this.tiles?.close();
    this.tiles = new Tiles(info, slideUrl(tile.slide), () => this.pan.invalidate());
    this.um = info.mpp;
    const margin = 0.05 * Math.max(tile.width, tile.height);
    const { x, y, width, height } = tile;
    this.pan.setWhole(x - margin, y - margin, x + width + margin, y + height + margin, CLOSEST);
    this.pan.fitAll(false);
    if (info.problem) say(info.problem, { kind: "problem", lasts: 15000 });
    this.arm(false);
    this.point(this.left(tile)[0] ?? null);
    this.workspace.moved();
  }

  turn(by) {
    const { length } = this.batch.tiles;
    this.show((this.at + by + length) % length);
  }

  /** The next tile that has cells without an answer, else the next one. */
  nextTile() {
    const { tiles } = this.batch;
    for (let step = 1; step <= tiles.length; step++) {
      const at = (this.at + step) % tiles.length;
      if (this.left(tiles[at]).length) return this.show(at);
    }
    return this.isComplete ? this.finish() : this.turn(1);
  }

  get isComplete() {
    return this.answers.size === this.cells;
  }

  point(cell) {
    this.cursor = cell;
    this.keepInView(cell);
    this.describe();
    this.pan.invalidate();
  }

  keepInView(cell) {
    const { view } = this.pan;
    if (!cell || this.pan.untouched) return;
    const [sx, sy] = view.toScreen(cell.x, cell.y);
    const edge = 40;
    if (sx < edge || sy < edge || sx > view.width - edge || sy > view.height - edge) this.pan.goTo(cell.x, cell.y);
  }

  /** To the next cell in reading order. @returns whether there was one */
  step(by) {
    const { cells } = this.tile;
    const at = this.cursor ? cells.indexOf(this.cursor) + by : by > 0 ? 0 : cells.length - 1;
    if (!cells[at]) return false;
    this.point(cells[at]);
    return true;
  }

  /** To the next cell without an answer. */
  stepOpen() {
    const { cells } = this.tile;
    const from = this.cursor ? cells.indexOf(this.cursor) + 1 : 0;
    const next = [...cells.slice(from), ...cells.slice(0, from)].find((cell) => !this.answers.has(cell.row));
    if (next) this.point(next);
    else this.tellDone();
    return Boolean(next);
  }

  tellDone() {
    this.describe();
    say(this.isComplete
      ? "Every cell of the batch has an answer. F finishes it."
      : "This tile is done. Enter goes to the next.");
  }

  arrow(direction) {
    if (!this.cursor) return this.step(1);
    const cell = towards(this.tile.cells, this.cursor, direction);
    if (cell) this.point(cell);
    return true;
  }

  // ---- answers

  /** Answer for the cell under the cursor, or for all that are left. @param {string|null} word null takes it away */
  give(word) {
    if (this.batch.finished) return say("This batch is finished: it stays as it is.");
    const cells = this.all ? this.left(this.tile) : this.cursor ? [this.cursor] : [];
    const choose = "Choose a cell first: Tab, the arrows, or a click.";
    if (!cells.length) return say(this.all ? "No cell of this tile is left." : choose);
    for (const cell of cells) word === null ? this.answers.delete(cell.row) : this.answers.set(cell.row, word);
    this.act({ do: "label", rows: encodeRanges(cells.map((cell) => cell.row)), class: word });
    this.batch.can_undo = true;
    this.arm(false);
    if (word !== null) this.stepOpen();
    return this.refresh();
  }

  giveNumber(i) {
    const entry = this.batch.classes[i];
    return entry ? this.give(entry.name) : say(`There is no class ${i + 1} yet: add one below the list.`);
  }

  act(action) {
    const { study, cells, seed, number } = this.key;
    return this.workspace.actions.do({ batch: { study, cells, seed, number }, ...action });
  }

  /** "All that are left" is on: the next answer is for them. */
  arm(on) {
    this.all = on && this.left(this.tile).length > 0;
    if (on && !this.all) say("No cell of this tile is left.");
    $("#all-left").setAttribute("aria-pressed", String(this.all));
    this.describe();
    this.pan.invalidate();
  }

  turnBack(what) {
    if (this.batch[`can_${what}`]) this.act({ do: what });
    else say(`There is nothing to ${what} in this batch.`);
  }

  async addClass(name) {
    if (!name) return $("#new-class").focus();
    if (this.batch.classes.some((entry) => entry.name === name)) {
      say(`There is a class “${name}” already.`, { kind: "problem" });
    } else if (await this.sendClass(name)) {
      $("#new-class").value = "";
      return $("#tile-view").focus();
    }
    return $("#new-class").select(); // what was refused is there to be mended, or to be typed over
  }

  sendClass(name) {
    return this.act({ do: "class", name, colour: nextColour(this.batch.classes) });
  }

  /** Ask for a class by part of its name; one that is not there is added. */
  async find() {
    if (this.batch.finished || (!this.all && !this.cursor)) return this.give(null); // which says why not
    const found = await findClass(this.all ? "All that are left are" : "The cell is", this.batch.classes);
    if (!found) return null;
    if (found.isNew) this.sendClass(found.name);
    return this.give(found.name);
  }

  async finish() {
    const left = this.cells - this.answers.size;
    if (this.batch.finished) return this.workspace.finished();
    if (left) {
      const have = left === 1 ? "has" : "have";
      return say(`${plural(left, "cell")} of this batch ${have} no answer yet. X is for those you cannot tell.`);
    }
    const text = "You will see how clusters compare with your answers. After that, the answers of this batch can no "
      + "longer be changed.";
    const buttons = [["Not yet", false], ["Finish and show the result", true, "primary"]];
    if (!(await ask(`Finish batch ${this.key.number + 1}?`, [h("p", {}, text)], buttons))) return null;
    return (await this.act({ do: "finish" })) && this.workspace.finished();
  }

  // ---- what is shown

  refresh() {
    if (this.at === undefined) return;
    const { classes, tiles } = this.batch;
    const tally = new Map();
    for (const word of this.answers.values()) tally.set(word, (tally.get(word) ?? 0) + 1);
    const button = (key, word, name, background, title) =>
      h("li", { class: "class" },
        h("button", { class: "class-name", title, data: { word: word ?? "" }, onclick: () => this.give(word) },
          h("kbd", background ? { style: { background, color: inkOn(background) } } : {}, key),
          h("span", { class: "word" }, name),
          h("span", { class: "tally" }, tally.get(word) ? count(tally.get(word)) : "")));
    $("#classes").replaceChildren(
      ...classes.map(({ name, colour }, i) => button(i < 9 ? String(i + 1) : "", name, name, colour, `It is ${name}`)),
      button("X", UNTOLD, "Cannot be told", null, "Neither you nor anybody could say, or it is no cell (X)"),
      button("⌫", null, "No answer", null, "Take the answer away (Backspace)"),
    );
    $("#tile-list").replaceChildren(...tiles.map((tile, i) => {
      const done = tile.cells.length - this.left(tile).length;
      const all = tile.cells.length;
      return h("li", {}, h("button", {
        class: "tile-chip",
        "aria-current": i === this.at ? "true" : null,
        "aria-label": `Tile ${i + 1}, ${tile.slide}: ${done} of ${plural(all, "cell")} answered`,
        onclick: () => this.show(i),
      },
        h("b", {}, `${i + 1}`),
        h("span", { class: "tile-slide" }, tile.slide),
        h("span", { class: "tally" }, done === all ? `✓ ${done}` : `${done} / ${all}`)));
    }));
    $("#undo").disabled = !this.batch.can_undo;
    $("#redo").disabled = !this.batch.can_redo;
    $("#finish").classList.toggle("primary", this.isComplete);
    $("#finish").textContent = this.batch.finished ? "Show the result" : "Finish the batch";
    this.workspace.progress(this.answers.size, this.cells);
    this.describe();
    this.pan.invalidate();
  }

  /** Say what the next answer is for. */
  describe() {
    const { cells } = this.tile;
    const left = this.left(this.tile).length;
    const word = this.cursor && this.answers.get(this.cursor.row);
    const said = word === undefined ? "no answer yet" : word === UNTOLD ? "cannot be told" : word;
    const open = `${count(left)} without an answer in this tile`;
    const [over, title, under] =
      this.all ? ["All that are left in this tile", plural(left, "cell"), "Press the key of their class; Esc: only one"]
      : this.cursor
        ? [`Cell ${cells.indexOf(this.cursor) + 1} of ${cells.length}`, said, left ? open : "Enter: next tile"]
      : left ? ["No cell chosen", "Tab, arrows or a click", open]
      : this.isComplete ? ["This tile is done", "The batch is complete", "F finishes it"]
      : ["This tile is done", "Enter: next tile", `${plural(cells.length, "cell")} answered`];
    const target = $("#target");
    target.dataset.kind = this.all ? "cells" : this.cursor ? "cluster" : "none";
    target.replaceChildren(h("span", { class: "over" }, over), h("b", {}, title), h("span", { class: "under" }, under));
    $("#tile-title").textContent = `Tile ${this.at + 1} of ${this.batch.tiles.length}`;
    $("#tile-place").textContent = this.tile.slide;
  }

  colourOf(word) {
    if (word === undefined) return NEUTRAL;
    return this.batch.classes.find((entry) => entry.name === word)?.colour ?? UNTOLD_COLOUR;
  }

  paint(context, view, ratio) {
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = this.ground ??= getComputedStyle(this.pan.canvas).backgroundColor;
    context.fillRect(0, 0, context.canvas.width, context.canvas.height);
    if (!this.batch || !this.tiles) return;
    this.tiles.draw(context, view, ratio);
    dimAround(context, view, ratio, this.tile);
    place(context, view, ratio, 0, 0);
    if (!this.bare) for (const cell of this.tile.cells) this.paintCell(context, view.scale, cell);
    if (this.cursor && !this.all) outline(context, this.cursor.path, view.scale, { colour: "#ffe600", width: 4 });
    if (!this.bare && (NUCLEUS_UM / this.um) * view.scale >= DIGIT_PX) this.paintDigits(context, view, ratio);
  }

  paintCell(context, scale, cell) {
    const word = this.answers.get(cell.row);
    const meant = this.all && word === undefined;
    const casing = word === undefined ? undefined : "#ffffff";
    const width = meant ? 4 : word === undefined ? 1.6 : 2.4;
    outline(context, cell.path, scale, { colour: this.colourOf(word), width, casing });
  }

  /** The key of each answer beside its cell: colours alone would not do. */
  paintDigits(context, view, ratio) {
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.font = "600 10px system-ui, sans-serif";
    context.textAlign = "center";
    context.textBaseline = "middle";
    for (const cell of this.tile.cells) {
      const word = this.answers.get(cell.row);
      if (word === undefined) continue;
      const colour = this.colourOf(word), i = this.batch.classes.findIndex((entry) => entry.name === word);
      const [x, y] = view.toScreen(cell.right, cell.top);
      context.fillStyle = colour;
      context.fillRect(x - 6, y - 7, 12, 13);
      context.fillStyle = inkOn(colour);
      context.fillText(word === UNTOLD ? "×" : i < 9 ? String(i + 1) : "•", x, y);
    }
  }

  scaleBar() {
    if (!this.batch || this.last === this.pan.view.scale) return;
    this.last = this.pan.view.scale;
    showScale(this.um / this.last, 1 / this.last);
  }

  /** Say to those who do not see it which cell it is. */
  tellCell() {
    if (this.cursor) $("#said").textContent = $("#target").innerText.replaceAll("\n", ", ");
  }

  /** Show the picture without outlines, or with them again. */
  hide(bare) {
    this.bare = bare;
    $("#hide").setAttribute("aria-pressed", String(bare));
    this.pan.invalidate();
  }

  retheme() {
    this.ground = null;
    this.pan.invalidate();
  }

  get url() {
    const { cells, seed, number } = this.key;
    return `${groupUrl(this.workspace.group.id)}/blind/${number}?cells=${cells}&seed=${seed}`;
  }
}
