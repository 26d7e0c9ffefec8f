/** Where one is, in the address: a reload, or a link, comes back to the same place. */

/** @returns {Record<string, string>} */
export function readPlace() {
  return Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
}

let timer;

/** Keep a place; soon, and not in the history. @param {() => Record<string, any>} place */
export function keepPlace(place) {
  clearTimeout(timer);
  timer = setTimeout(() => {
    const entries = Object.entries(place()).filter(([, value]) => value !== null && value !== "" && value !== undefined);
    history.replaceState(null, "", `#${new URLSearchParams(entries)}`);
  }, 200);
}
