/** Where two models agree and where they do not, painted from their matches. */

import { drawMarks, Sheet } from "../canvas/paint.js";
import { DASH, DIFFERENCE, SLANT } from "../canvas/palette.js";
import { covers } from "../canvas/rle.js";

/** @typedef {{both: boolean, onlyA: boolean, onlyB: boolean}} Shown */

/**
 * Of matched segments, what both have and what one has alone; of the others, everything.
 *
 * @param {any} agreement
 * @param {import("../canvas/segments.js").Answer} a
 * @param {import("../canvas/segments.js").Answer} b
 * @param {Shown} shown
 * @returns {HTMLCanvasElement}
 */
export function paintDifference(agreement, a, b, shown) {
  const sheet = new Sheet(a.width, a.height);
  const masks = (answer, indices) =>
    indices.map((index) => answer.segments[index]?.mask).filter(Boolean);
  const alone = [
    ...masks(a, agreement.only_a).map((mask) => ({ mask, kind: "onlyA" })),
    ...masks(b, agreement.only_b).map((mask) => ({ mask, kind: "onlyB" })),
  ];
  // A model's background may be one large segment: what lies on it comes later.
  alone.sort((one, other) => size(other.mask) - size(one.mask));
  const fill = (mask, kind, wanted) =>
    shown[kind] && sheet.fill(mask, DIFFERENCE[kind], { wanted, slant: SLANT[kind] });
  for (const { mask, kind } of alone) fill(mask, kind);
  for (const { index_a: indexA, index_b: indexB } of agreement.matches) {
    const [first, second] = [a.segments[indexA]?.mask, b.segments[indexB]?.mask];
    if (!first || !second) continue;
    const inFirst = (x, y) => covers(first, x, y);
    const inSecond = (x, y) => covers(second, x, y);
    fill(first, "both", inSecond);
    fill(first, "onlyA", (x, y) => !inSecond(x, y));
    fill(second, "onlyB", (x, y) => !inFirst(x, y));
  }
  return sheet.finish();
}

/**
 * The boxes of segments without masks, in the same three colours; dashes tell them apart as stripes do masks.
 *
 * @param {CanvasRenderingContext2D} context
 * @param {import("../canvas/stage.js").Frame} frame
 * @param {{agreement: any, a: import("../canvas/segments.js").Answer, b: import("../canvas/segments.js").Answer}} pair
 * @param {Shown} shown
 * @param {number} opacity
 */
export function drawDifference(context, frame, { agreement, a, b }, shown, opacity) {
  const sides = [
    [a, agreement.only_a, "onlyA"],
    [b, agreement.only_b, "onlyB"],
  ];
  for (const [answer, alone, kind] of sides) {
    const kindOf = (index) => (alone.includes(index) ? kind : "both");
    drawMarks(context, frame, answer, {
      colorOf: (index) => DIFFERENCE[kindOf(index)],
      isShown: (index) => shown[kindOf(index)],
      isLit: () => false,
      dashOf: (index) => DASH[kindOf(index)],
      edges: [],
      opacity,
    });
  }
}

function size(mask) {
  return mask.width * mask.height;
}
