/**
 * What a person does, sent one after the other and kept until the server has it on disk.
 *
 * Every action has an id of its own, so that sending it twice is the same as once: when the connection is lost it stays
 * in the queue (and in the browser's session) and is sent again.
 */

import { Refused, groupUrl, newId, post } from "./api.js";

const LONGEST_WAIT_S = 10;

/** No token any more (the server was started again), or another server holds the labels: what waits is not given up. */
const LATER = new Set([401, 423]);

export class Actions {
  /**
   * @param {import("./store.js").Store} store
   * @param {object} tells `waiting(number, seconds, retryNow, why)`, `connected()`, `refused(error)`,
   *   `conflict(conflict, action) → Promise<boolean>` (true: do it all the same), `reload() → Promise` (fetch the whole
   *   state)
   */
  constructor(store, tells) {
    this.store = store;
    this.tells = tells;
    this.queue = [];
    this.running = false;
    this.idle = null;
  }

  /** Take up what an earlier page of this tab could not send. What waits for another group goes on waiting. */
  resume() {
    const waiting = new Set(this.queue.map((item) => item.id));
    const kept = JSON.parse(sessionStorage.getItem(this.key(this.store.group.id)) ?? "[]");
    this.queue.push(...kept.filter((item) => !waiting.has(item.id)).map((item) => ({ ...item, done: () => {} })));
    this.tells.queued?.(this.queue.length);
    if (this.queue.length) this.run();
  }

  key(group) {
    return `clusterfirst:unsent:${group}`;
  }

  /**
   * Do an action.
   * @param {object} action
   * @param {object} how `base`: what the person had seen, by default everything up to now; `yields`: if somebody else
   *   was faster theirs is as good
   * @returns {Promise<object|false>} what the server answered; false if it was not done
   */
  do(action, { base = this.store.doc.seq, yields = false } = {}) {
    const group = this.store.group.id, { fingerprint } = this.store.doc;
    return new Promise((done) => {
      this.queue.push({ group, id: newId(), base, fingerprint, yields, action, done });
      this.remember(group);
      this.run();
    });
  }

  remember(group) {
    this.tells.queued?.(this.queue.length);
    const own = this.queue.filter((item) => item.group === group);
    try {
      sessionStorage.setItem(this.key(group), JSON.stringify(own.map(({ done, ...item }) => item)));
    } catch {
      // No room for so much: it is sent all the same, only a reload would lose it.
    }
  }

  run() {
    if (!this.running) this.idle = this.sendAll();
  }

  async sendAll() {
    this.running = true;
    while (this.queue.length) {
      const [item] = this.queue;
      const done = await this.send(item);
      this.queue.splice(this.queue.indexOf(item), 1);
      this.remember(item.group);
      item.done(done);
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
        const answered = error instanceof Refused;
        if (answered && error.status < 500 && !LATER.has(error.status)) {
          this.tells.refused(error);
          return false;
        }
        await this.pause(Math.min(2 ** tried, LONGEST_WAIT_S), answered ? error.message : "Connection lost");
      }
    }
  }

  async offer(item) {
    const url = `${groupUrl(item.group)}/actions`;
    const { base, id, action, fingerprint, overrules = 0 } = item;
    try {
      const answer = await post(url, { base, id, action, fingerprint, overrules });
      const { seq, state } = answer;
      // The whole state may have come meanwhile, and be newer.
      if (item.group === this.store.group.id && seq >= this.store.doc.seq) this.store.apply({ ...state, seq });
      return answer;
    } catch (error) {
      if (!(error instanceof Refused && error.status === 409 && error.body?.conflict)) throw error;
      return this.settle(item, error.body.conflict);
    }
  }

  /** Somebody else changed the same cells: a person decides. What comes after that is a conflict of its own. */
  async settle(item, conflict) {
    const mine = !item.yields && (await this.tells.conflict(conflict, item.action));
    await this.tells.reload();
    if (!mine) return item.yields && {};
    Object.assign(item, { id: newId(), overrules: conflict.seq });
    this.remember(item.group);
    return this.send(item);
  }

  pause(seconds, why) {
    return new Promise((go) => {
      const timer = setTimeout(go, 1000 * seconds);
      this.tells.waiting(this.queue.length, seconds, () => {
        clearTimeout(timer);
        go();
      }, why);
    });
  }
}

/** Let the browser ask before a page is closed that has not sent everything. */
export function warnBeforeLeaving(actions) {
  addEventListener("beforeunload", (event) => actions.queue.length && event.preventDefault());
}
