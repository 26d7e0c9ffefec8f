/** Actions in words: what others did, what was taken back. */

import { plural } from "./dom.js";
import { decodeRanges } from "./ranges.js";

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

/** @returns {[string, string]} "named cluster 7 tumour", "cluster 7 = tumour" */
function both(action, store) {
  switch (action?.do) {
    case "name": {
      const what = called(action.leaves, store);
      return [action.class === null ? `took away the name of ${what}` : `named ${what} ${action.class}`, `${what} = ${action.class ?? "no name"}`];
    }
    case "cells": {
      const what = cellsOf(action);
      if (action.class === null) return [`took away the label of ${what}`, `${what} = label of their cluster`];
      return action.class === "" ? [`left out ${what}`, `${what} left out`] : [`labelled ${what} ${action.class}`, `${what} = ${action.class}`];
    }
    case "confirm": return [`accepted ${cellsOf(action)}`, `${cellsOf(action)} accepted`];
    case "classes": return ["changed the classes", "change of the classes"];
    case "open": return [`opened ${called([action.cluster], store)}`, `${called([action.cluster], store)} opened`];
    case "merge": return [`merged ${called(action.clusters, store)}`, `${called(action.clusters, store)} merged`];
    case "labels": return ["took over labels", "labels taken over"];
    default: return ["changed something", "the last change"];
  }
}

/** What somebody did: "named cluster 7 tumour". @param {object} [turned] the action that an undo or redo concerned */
export function did(action, store, turned) {
  if (action?.do === "undo" || action?.do === "redo") return `${action.do === "undo" ? "took back" : "did again"}${turned ? `: ${thing(turned, store)}` : " an action"}`;
  return both(action, store)[0];
}

/** What an action is about: "cluster 7 = tumour". */
export const thing = (action, store) => both(action, store)[1];
