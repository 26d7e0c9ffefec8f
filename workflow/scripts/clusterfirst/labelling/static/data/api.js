/** Talking to the server. */

/** The server answered, and the answer is no. */
export class Refused extends Error {
  constructor(status, body) {
    super(body?.error ?? `the server answered ${status}`);
    this.status = status;
    this.body = body;
  }
}

const HEADERS = { "X-Clusterfirst": "1", "Content-Type": "application/json" };

export const groupUrl = (group) => `/api/groups/${encodeURIComponent(group)}`;
export const slideUrl = (slide) => `/api/slides/${encodeURIComponent(slide)}`;

/**
 * Of the clustering shown. Browsers keep pictures and outlines by row, and rows are other cells after segmenting anew.
 */
let version = "";
export const setVersion = (fingerprint) => (version = fingerprint.slice(0, 12));

/** A crop around a cell. */
export const cropUrl = (group, row, um = 32) => `${groupUrl(group)}/crops/${row}.jpg?um=${um}&v=${version}`;
export const outlinesUrl = (slide, block) => `${slideUrl(slide)}/outlines/${block}.bin?v=${version}`;

/** An id for a request. Browsers offer `randomUUID` to https and localhost only. */
export const newId = () =>
  crypto.randomUUID?.()
  ?? Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

async function body(answer) {
  const text = await answer.text();
  try {
    return JSON.parse(text);
  } catch {
    return { error: text.slice(0, 300) || answer.statusText };
  }
}

export async function getJson(url) {
  const answer = await fetch(url, { headers: { Accept: "application/json" } });
  if (!answer.ok) throw new Refused(answer.status, await body(answer));
  return answer.json();
}

export async function getBuffer(url) {
  const answer = await fetch(url);
  if (!answer.ok) throw new Refused(answer.status, await body(answer));
  return answer.arrayBuffer();
}

/** Post JSON. A refusal is a `Refused`; anything else that goes wrong (`TypeError`) means that nobody answered. */
export async function post(url, data) {
  const text = typeof data === "string" ? data : JSON.stringify(data);
  const answer = await fetch(url, { method: "POST", headers: HEADERS, body: text });
  if (!answer.ok) throw new Refused(answer.status, await body(answer));
  return answer.json();
}
