/** Lists of rows as text, "0-5,9,12-40": what the journal and the wire carry. */

/** Encode rows (any order, duplicates allowed). @param {Iterable<number>} rows @returns {string} */
export function encodeRanges(rows) {
  const sorted = Uint32Array.from(rows).sort();
  const parts = [];
  for (let i = 0; i < sorted.length; ) {
    const start = sorted[i];
    let end = start;
    while (i < sorted.length && sorted[i] <= end + 1) end = sorted[i++];
    parts.push(start === end ? `${start}` : `${start}-${end}`);
  }
  return parts.join(",");
}

/** Call `visit(start, end)` for every range, both ends included. @param {string} text */
export function eachRange(text, visit) {
  if (!text) return;
  for (const part of text.split(",")) {
    const [start, end = start] = part.split("-").map(Number);
    const isRange = Number.isInteger(start) && Number.isInteger(end) && end >= start;
    if (!isRange) throw new RangeError(`not a range: "${part}"`);
    visit(start, end);
  }
}

/** Decode to a list of rows. @param {string} text @returns {number[]} */
export function decodeRanges(text) {
  const rows = [];
  eachRange(text, (start, end) => {
    for (let row = start; row <= end; row++) rows.push(row);
  });
  return rows;
}
