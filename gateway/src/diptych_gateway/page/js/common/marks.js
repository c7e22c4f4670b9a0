/** How the newest question about each picture of the strip went. */

/** @typedef {"asking" | "done" | "failed" | ""} Mark */

/** @type {WeakMap<Blob, Mark>} */
const marks = new WeakMap();
/** @type {Set<() => void>} */
const listeners = new Set();

/** @param {() => void} listener a mark has changed */
export function onMark(listener) {
  listeners.add(listener);
}

/** @param {Blob} source @returns {Mark} "" if it was not asked about */
export function markOf(source) {
  return marks.get(source) ?? "";
}

/** @param {Blob} source @param {Mark} value */
export function mark(source, value) {
  marks.set(source, value);
  for (const listener of listeners) listener();
}
