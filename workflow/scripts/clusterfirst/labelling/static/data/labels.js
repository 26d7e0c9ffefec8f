/** The label of every cell: its exception, else the name of its leaf, else none. */

import { eachRange } from "./ranges.js";

/** No exception; the cell takes the name of its leaf. */
export const BY_LEAF = 0xffff;
/** Marked by a person as being without label. */
export const WITHOUT = 0xfffe;

export class Labels {
  /** @param {import("./cells.js").Cells} cells */
  constructor(cells) {
    this.cells = cells;
    this.classes = [];
    this.clusters = [];
    /** Position in `clusters` by leaf; -1 for noise and what no cluster has. */
    this.clusterOf = new Int32Array(cells.leaves + 1).fill(-1);
    /** Class by leaf; -1 without a name. */
    this.classOf = new Int32Array(cells.leaves + 1).fill(-1);
    /** Class by row, or BY_LEAF, or WITHOUT. */
    this.exception = new Uint16Array(cells.n).fill(BY_LEAF);
  }

  /** Take over what the server says. @param {object} doc the whole state @param {Set<string>} keys what is new in it */
  update(doc, keys) {
    this.classes = doc.classes;
    if (keys.has("clusters")) {
      this.clusters = doc.clusters;
      this.clusterOf.fill(-1);
      doc.clusters.forEach((cluster, i) => cluster.leaves.forEach((leaf) => (this.clusterOf[leaf] = i)));
    }
    if (keys.has("clusters") || keys.has("classes")) this.nameLeaves(doc);
    if (keys.has("exceptions") || keys.has("classes")) this.readExceptions(doc.exceptions);
  }

  nameLeaves(doc) {
    const number = new Map(doc.classes.map((c, i) => [c.name, i]));
    this.classOf.fill(-1);
    for (const cluster of doc.clusters) {
      cluster.leaves.forEach((leaf, i) => {
        // A mixed cluster says the name of each of its leaves.
        this.classOf[leaf] = number.get(cluster.mixed ? cluster.names[i] : cluster.name) ?? -1;
      });
    }
  }

  readExceptions(exceptions) {
    this.exception.fill(BY_LEAF);
    for (const [key, ranges] of Object.entries(exceptions ?? {})) {
      const value = key === "" || Number(key) < 0 ? WITHOUT : Number(key);
      eachRange(ranges, (start, end) => this.exception.fill(value, start, end + 1));
    }
  }

  /** Class of a cell, -1 for none. */
  of(row) {
    const own = this.exception[row];
    return own === BY_LEAF ? this.classOf[this.cells.leaf[row]] : own === WITHOUT ? -1 : own;
  }

  /** Is the label of a cell its own, not its leaf's? */
  isException(row) {
    return this.exception[row] !== BY_LEAF;
  }

  /** The cluster of a cell, or undefined for noise. */
  clusterAt(row) {
    return this.clusters[this.clusterOf[this.cells.leaf[row]]];
  }

  /** Cells of each class; the last number counts those without. */
  tally() {
    const counts = new Uint32Array(this.classes.length + 1);
    for (let row = 0; row < this.cells.n; row++) {
      const number = this.of(row);
      counts[number < 0 ? this.classes.length : number]++;
    }
    return counts;
  }
}
