/**
 * Which colour each cell is drawn in now, as tables by leaf and by exception: nothing is computed per cell and frame.
 */

import { CHOSEN, NOISE, UNNAMED, packed } from "../ui/colour.js";
import { BY_LEAF, WITHOUT } from "./labels.js";

export class Palette {
  /**
   * @param {import("./labels.js").Labels} labels
   * @param {object} display by ("cluster" or "label"), alone, hideNoise, hideNamed
   * @param {Set<number>|null} emphasis leaves to bring out, null for none
   * @param {Uint8Array} [mask] by row, 1 where a cell is to be brought out, instead of leaves
   */
  constructor(labels, display, emphasis, mask = null) {
    const { cells, classes, clusters } = labels;
    const byLabel = display.by === "label";
    this.labels = labels;
    this.hex = [...classes.map((c) => c.colour), UNNAMED, NOISE, ...clusters.map((c) => c.colour), CHOSEN];
    this.packed = Uint32Array.from(this.hex, packed);
    const unnamed = classes.length, noise = unnamed + 1, first = unnamed + 2, chosen = this.hex.length - 1;
    /** Number of the colour by leaf, -1: not drawn. */
    this.ofLeaf = new Int32Array(cells.leaves + 1);
    /** 1 where a leaf is brought out. */
    this.bright = new Uint8Array(cells.leaves + 1);
    /** 1 where a leaf may be seen at all; its exceptions follow it. */
    this.shown = new Uint8Array(cells.leaves + 1);
    // By label, what has no name is grey: in the colour of its cluster when brought out it would look like a class.
    for (let leaf = 0; leaf <= cells.leaves; leaf++) {
      const at = labels.clusterOf[leaf], name = labels.classOf[leaf];
      const inside = !emphasis || emphasis.has(leaf);
      this.bright[leaf] = emphasis && inside ? 1 : 0;
      this.shown[leaf] = (display.alone && !inside) || (display.hideNoise && at < 0) ? 0 : 1;
      const own =
        at < 0 && !(byLabel && name >= 0) ? noise
        : !byLabel ? first + at
        : name >= 0 ? name
        : emphasis && inside ? chosen
        : unnamed;
      this.ofLeaf[leaf] = !this.shown[leaf] || (display.hideNamed && name >= 0) ? -1 : own;
    }
    this.byLabel = byLabel;
    this.hideNamed = display.hideNamed;
    this.unnamed = unnamed;
    this.mask = mask;
    this.dims = Boolean(mask) || (Boolean(emphasis) && !display.alone);
  }

  /** Does a colour step back while something else is brought out? Those of classes never do: what was done stays. */
  isFaint(colour) {
    return this.dims && !(this.byLabel && colour < this.unnamed);
  }

  /** Is a cell brought out? */
  isBright(row) {
    return this.mask ? this.mask[row] : this.bright[this.labels.cells.leaf[row]];
  }

  /** Number of the colour of a cell with an exception. */
  ofException(exception, leaf) {
    if (!this.shown[leaf] || (this.hideNamed && exception !== WITHOUT)) return -1;
    if (this.byLabel) return exception === WITHOUT ? this.unnamed : exception;
    if (this.ofLeaf[leaf] >= 0) return this.ofLeaf[leaf];
    const at = this.labels.clusterOf[leaf];
    return at < 0 ? this.unnamed + 1 : this.unnamed + 2 + at;
  }

  /** Number of the colour of a cell, -1: not drawn. */
  of(row) {
    const leaf = this.labels.cells.leaf[row], exception = this.labels.exception[row];
    return exception === BY_LEAF ? this.ofLeaf[leaf] : this.ofException(exception, leaf);
  }
}
