/** Masks are too long for an address: it has their box and a short name, and they are kept here. */

/** @type {Map<string, import("../canvas/rle.js").Rle>} */
const held = new Map();
const MOST = 1000;

/**
 * @param {import("../canvas/rle.js").Rle} mask
 * @returns {string} what stands for it, beside its box
 */
export function hold(mask) {
  const name = hashed(`${mask.size} ${mask.counts}`);
  if (!held.has(name) && held.size === MOST) held.delete(held.keys().next().value);
  held.set(name, mask);
  return name;
}

/** @param {string} name */
export function heldMask(name) {
  return held.get(name) ?? null;
}

/** FNV-1a: short, and the same each time. */
function hashed(text) {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at += 1) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  return (hash >>> 0).toString(36);
}
