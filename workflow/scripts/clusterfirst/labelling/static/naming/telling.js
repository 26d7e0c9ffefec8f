/** One's own actions in words: what was taken back, what is not done yet. What others did is said by the server. */

import { plural } from "../ui/dom.js";
import { decodeRanges } from "../data/ranges.js";

const MOST = 4;

/** Clusters, as they are now, that have some of the leaves. */
export function clustersOf(leaves, store) {
  const wanted = new Set(leaves);
  return store.clusters.filter((cluster) => cluster.leaves.some((leaf) => wanted.has(leaf)));
}

/** "cluster 3", "clusters 3a and 7", "12 clusters" */
function called(leaves, store) {
  const titles = clustersOf(leaves, store).map((cluster) => cluster.title);
  if (!titles.length || titles.length > MOST) return plural(titles.length, "cluster");
  const last = titles.pop();
  return titles.length ? `clusters ${titles.join(", ")} and ${last}` : `cluster ${last}`;
}

/** Long lists are told as their number alone. */
const cellsOf = ({ rows, cells }) => plural(rows === undefined ? cells : decodeRanges(rows).length, "cell");

/** What an action is about: "cluster 7 = tumour". */
export function thing(action, store) {
  switch (action?.do) {
    case "name": return `${called(action.leaves, store)} = ${action.class ?? "no name"}`;
    case "cells": {
      const label = action.class === "" ? "left out" : `= ${action.class ?? "label of their cluster"}`;
      return `${cellsOf(action)} ${label}`;
    }
    case "confirm": return `${cellsOf(action)} accepted`;
    case "classes": return "change of the classes";
    case "open": return `${called([action.cluster], store)} opened`;
    case "merge": return `${called(action.clusters, store)} merged`;
    case "labels": return `labels taken over${action.source ? ` (${action.source})` : ""}`;
    case "undo": case "redo": return `${action.do} of your last action`;
    default: return "the last change";
  }
}
