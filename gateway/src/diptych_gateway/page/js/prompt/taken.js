/** An object of an answer, taken along to be refined by clicks. */

import { rleOf } from "../canvas/segments.js";
import { formatObjects } from "./prompt-text.js";

let underWay = "";

/** Whether this is the object that is on its way here; only once. @param {string} text */
export function arrives(text) {
  const here = text === underWay;
  underWay = "";
  return here;
}

/**
 * @param {import("../canvas/segments.js").Segment} segment
 * @returns {string} as the address has it: its mask, or else its box, and what it is called
 */
export function take(segment) {
  const { mask, box, document } = segment;
  const [left, top, width, height] = (box ?? [0, 0, 0, 0]).map((edge) => Math.round(edge * 10) / 10);
  const seen = mask?.width
    ? { box: null, mask: rleOf(segment) }
    : { box: box && [left, top, left + width, top + height].map((edge) => Math.round(edge * 10) / 10) };
  underWay = formatObjects([{ points: [], ...seen, label: document.label, category: document.category_id }]);
  return underWay;
}
