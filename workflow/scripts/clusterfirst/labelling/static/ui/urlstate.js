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
    const isSet = (value) => value !== null && value !== "" && value !== undefined;
    const entries = Object.entries(place()).filter(([, value]) => isSet(value));
    history.replaceState(null, "", `#${new URLSearchParams(entries)}`);
  }, 200);
}
