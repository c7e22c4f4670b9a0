/** How far two models agree, in words. */

import { grouped } from "./dom.js";

import { overlapOf } from "../canvas/rle.js";

/**
 * One sentence or two for each pair of models.
 *
 * @param {any} agreement
 * @param {(modelId: string) => string} nameOf
 */
export function describeAgreement(agreement, nameOf) {
  const { matches, only_a: onlyA, only_b: onlyB, mean_match_iou: mean } = agreement;
  const [first, second] = [nameOf(agreement.model_id_a), nameOf(agreement.model_id_b)];
  const together = matches.length === 1 ? "1 object" : `${matches.length ? grouped(matches.length) : "no"} objects`;
  const iou = mean === null ? "" : `, mean IoU ${mean.toFixed(2)}`;
  const ground = agreement.foreground_iou;
  const pixels = ground === null ? "" : ` Of all pixels that either calls object, both do for ${Math.round(ground * 100)} %.`;
  return `${first} and ${second} agree on ${together}${iou}. Only ${first}: ${grouped(onlyA.length)}. Only ${second}: ${grouped(onlyB.length)}.${pixels}`;
}

/**
 * One sentence: how much what two models show of each object overlaps.
 *
 * @param {import("../views.js").Shown} first
 * @param {import("../views.js").Shown} second
 * @param {number[]} objects those that models were asked for
 */
export function describeOverlaps(first, second, objects) {
  const partners = new Map(second.answer.segments.map((segment) => [segment.object, segment]));
  const found = first.answer.segments
    .filter(({ mask, object }) => mask && objects.includes(object) && partners.get(object)?.mask)
    .map(({ mask, object }) => `${overlapOf(mask, partners.get(object).mask).toFixed(2)} on object ${object + 1}`);
  return found.length ? `${first.name} and ${second.name}: IoU ${found.join(", ")}.` : "";
}
