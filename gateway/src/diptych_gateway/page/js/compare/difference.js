/** Where two models agree and where they do not, painted from their matches. */

import { drawNames } from "../canvas/names.js";
import { drawMarks, Sheet } from "../canvas/paint.js";
import { DASH, DIFFERENCE, SLANT } from "../canvas/palette.js";

/** @typedef {{both: boolean, onlyA: boolean, onlyB: boolean}} Shown */

/**
 * Of matched segments, what both have and what one has alone; of the others, everything.
 *
 * What was hidden in one of the panels is hidden here.
 *
 * @param {import("./pair.js").Pair} pair
 * @param {Shown} shown
 * @returns {HTMLCanvasElement}
 */
export function paintDifference({ agreement, a, b, isShownA, isShownB }, shown) {
  const sheet = new Sheet(a.width, a.height);
  const masks = (answer, indices) =>
    indices.map((index) => answer.segments[index]?.mask).filter(Boolean);
  const alone = [
    ...masks(a, agreement.only_a.filter(isShownA)).map((mask) => ({ mask, kind: "onlyA" })),
    ...masks(b, agreement.only_b.filter(isShownB)).map((mask) => ({ mask, kind: "onlyB" })),
  ];
  // A model's background may be one large segment: what lies on it comes later.
  alone.sort((one, other) => size(other.mask) - size(one.mask));
  const fill = (mask, kind, other) =>
    shown[kind] && sheet.fill(mask, DIFFERENCE[kind], { other, within: kind === "both", slant: SLANT[kind] });
  for (const { mask, kind } of alone) fill(mask, kind);
  for (const { index_a: indexA, index_b: indexB } of agreement.matches) {
    const [first, second] = [a.segments[indexA]?.mask, b.segments[indexB]?.mask];
    if (!first || !second || !isShownA(indexA) || !isShownB(indexB)) continue;
    fill(first, "both", second);
    fill(first, "onlyA", second);
    fill(second, "onlyB", first);
  }
  return sheet.finish();
}

/**
 * The boxes of segments without masks, in the same three colours; dashes tell them apart as stripes do masks.
 *
 * @param {CanvasRenderingContext2D} context
 * @param {import("../canvas/stage.js").Frame} frame
 * @param {import("./pair.js").Pair} pair
 * @param {Shown} shown
 * @param {{opacity: number, names: boolean}} look
 */
export function drawDifference(context, frame, pair, shown, { opacity, names }) {
  const sides = sidesOf(pair, shown);
  for (const { answer, kindOf, how } of sides) {
    const dashOf = (index) => DASH[kindOf(index)];
    drawMarks(context, frame, answer, { ...how, dashOf, edges: [], opacity });
  }
  if (!names) return;
  const taken = [];
  for (const { answer, own, kindOf, how } of sides) {
    // What both found is named once, by the first.
    const isShown = (index) => how.isShown(index) && (own === "onlyA" || kindOf(index) === own);
    drawNames(context, frame, answer, { ...how, isShown }, { taken });
  }
}

/** @param {import("./pair.js").Pair} pair @param {Shown} shown */
function sidesOf({ agreement, a, b, isShownA, isShownB }, shown) {
  const side = (answer, indices, own, isListed) => {
    const alone = new Set(indices);
    const kindOf = (index) => (alone.has(index) ? own : "both");
    const isShown = (index) => isListed(index) && shown[kindOf(index)];
    return { answer, own, kindOf, how: { colorOf: (index) => DIFFERENCE[kindOf(index)], isShown, isLit: () => false } };
  };
  return [side(a, agreement.only_a, "onlyA", isShownA), side(b, agreement.only_b, "onlyB", isShownB)];
}

function size(mask) {
  return mask.width * mask.height;
}
