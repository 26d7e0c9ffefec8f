/** The scale bar of a picture. */

import { $, count } from "../ui/dom.js";
import { roundLength } from "./geometry.js";

const LONGEST_PX = 150;

/** @param {number|null} um µm to a screen pixel, if known @param {number} px slide pixels to a screen pixel */
export function showScale(um, px) {
  const unit = um ?? px;
  const length = roundLength(LONGEST_PX * unit);
  $("#scale-bar").style.width = `${length / unit}px`;
  const text = um === null ? `${count(length)} px` : length >= 1000 ? `${length / 1000} mm` : `${length} µm`;
  $("#scale-text").textContent = text;
  $("#scale").setAttribute("aria-label", `Scale bar: ${text}`);
}
