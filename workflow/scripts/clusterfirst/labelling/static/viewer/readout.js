/** Magnification and scale of the slide. */

import { $ } from "../ui/dom.js";
import { showScale } from "./scalebar.js";

/** µm to a screen pixel that microscopists call 40×. */
const UM_AT_40 = 0.25;

export class Readout {
  constructor(slideView) {
    this.slideView = slideView;
  }

  moved() {
    const { info, view } = this.slideView;
    if (!info || (this.info === info && this.scale === view.scale)) return;
    Object.assign(this, { info, scale: view.scale });
    const um = info.mpp ? info.mpp / view.scale : null;
    showScale(um, 1 / view.scale);
    $("#readout").textContent = um === null ? `${(100 * view.scale).toFixed(0)} %` : magnification(um);
  }
}

/** "20× · 0.50 µm/px" */
function magnification(um) {
  const times = (40 * UM_AT_40) / um;
  return `${times >= 10 ? times.toFixed(0) : times.toFixed(1)}× · ${um < 1 ? um.toFixed(2) : um.toFixed(1)} µm/px`;
}
