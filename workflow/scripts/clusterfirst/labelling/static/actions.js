/**
 * What a person does, sent one after the other and kept until the server has it on disk.
 *
 * Every action has an id of its own, so that sending it twice is the same as once: when the connection is lost it stays
 * in the queue (and in the browser's session) and is sent again.
 */

import { Refused, groupUrl, post } from "./api.js";

const LONGEST_WAIT_S = 10;

export class Actions {
  /**
   * @param {import("./store.js").Store} store
   * @param {object} tells `waiting(number, retryNow)`, `connected()`, `refused(error)`, `conflict(conflict) → Promise<boolean>`
   *   (true: do it all the same), `reload() → Promise` (fetch the whole state)
   */
  constructor(store, tells) {
    this.store = store;
    this.tells = tells;
    this.queue = [];
    this.running = false;
  }

  /** Take up what an earlier page of this tab could not send. */
  resume() {
    this.queue = JSON.parse(sessionStorage.getItem(this.key) ?? "[]").map((item) => ({ ...item, done: () => {} }));
    if (this.queue.length) this.run();
  }

  get key() {
    return `clusterfirst:unsent:${this.store.group.id}`;
  }

  /**
   * Do an action.
   * @param {object} action
   * @param {object} how `base`: what the person had seen, by default everything up to now; `yields`: if somebody else
   *   was faster theirs is as good
   * @returns {Promise<boolean>} whether it was done
   */
  do(action, { base = this.store.doc.seq, yields = false } = {}) {
    return new Promise((done) => {
      this.queue.push({ group: this.store.group.id, id: crypto.randomUUID(), base, yields, action, done });
      this.remember();
      this.run();
    });
  }

  remember() {
    sessionStorage.setItem(this.key, JSON.stringify(this.queue.map(({ group, id, base, yields, action }) => ({ group, id, base, yields, action }))));
  }

  async run() {
    if (this.running) return;
    this.running = true;
    while (this.queue.length) {
      const done = await this.send(this.queue[0]);
      this.queue.shift().done(done);
      this.remember();
    }
    this.running = false;
    this.tells.connected();
  }

  /** Send until there is an answer. */
  async send(item) {
    for (let tried = 0; ; tried++) {
      try {
        return await this.offer(item);
      } catch (error) {
        if (error instanceof Refused && error.status < 500) {
          this.tells.refused(error);
          return false;
        }
        await this.pause(Math.min(2 ** tried, LONGEST_WAIT_S));
      }
    }
  }

  async offer(item) {
    const url = `${groupUrl(item.group)}/actions`;
    const message = { base: item.base, id: item.id, action: item.action, force: Boolean(item.force) };
    try {
      const { seq, state } = await post(url, message);
      if (item.group === this.store.group.id) this.store.apply({ ...state, seq });
      return true;
    } catch (error) {
      if (!(error instanceof Refused && error.status === 409 && error.body?.conflict)) throw error;
      return this.settle(item, error.body.conflict);
    }
  }

  /** Somebody else changed the same cells: a person decides. */
  async settle(item, conflict) {
    const mine = item.yields || (await this.tells.conflict(conflict, item.action));
    await this.tells.reload();
    if (item.yields || !mine) return mine;
    Object.assign(item, { id: crypto.randomUUID(), force: true });
    return this.send(item);
  }

  pause(seconds) {
    return new Promise((go) => {
      const timer = setTimeout(go, 1000 * seconds);
      this.tells.waiting(this.queue.length, seconds, () => {
        clearTimeout(timer);
        go();
      });
    });
  }
}
