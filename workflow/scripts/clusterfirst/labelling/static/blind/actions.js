/** Answers on their way to the server: kept until they are on disk there, as all actions are. */

import { Actions } from "../data/actions.js";
import { groupUrl, post } from "../data/api.js";

export class BlindActions extends Actions {
  /** @param {(told: object, batch: object) => void} answered what the server says of the batch afterwards */
  constructor(store, tells, answered) {
    super(store, tells);
    this.answered = answered;
  }

  key(group) {
    return `clusterfirst:unsent-blind:${group}`;
  }

  async offer({ group, id, action: { batch, ...rest } }) {
    const { number, ...sample } = batch;
    const told = await post(`${groupUrl(group)}/blind/${number}`, { ...sample, id, action: rest });
    // While more is under way, the page knows more than the server.
    if (this.queue.length === 1) this.answered(told, batch);
    return told;
  }
}
