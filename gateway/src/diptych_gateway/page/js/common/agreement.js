/** How far two models agree, in words. */

/**
 * One sentence or two for each pair of models.
 *
 * @param {any} agreement
 * @param {(modelId: string) => string} nameOf
 */
export function describeAgreement(agreement, nameOf) {
  const { matches, only_a: onlyA, only_b: onlyB, mean_match_iou: mean } = agreement;
  const [first, second] = [nameOf(agreement.model_id_a), nameOf(agreement.model_id_b)];
  const together = matches.length === 1 ? "1 object" : `${matches.length || "no"} objects`;
  const iou = mean === null ? "" : `, mean IoU ${mean.toFixed(2)}`;
  const ground = agreement.foreground_iou;
  const pixels = ground === null ? "" : ` Of all pixels that either calls object, both do for ${Math.round(ground * 100)} %.`;
  return `${first} and ${second} agree on ${together}${iou}. Only ${first}: ${onlyA.length}. Only ${second}: ${onlyB.length}.${pixels}`;
}

/**
 * One sentence: how much the answers to each prompt overlap.
 *
 * @param {any} agreement
 * @param {import("../canvas/segments.js").Answer | null | undefined} first the first model's
 * @param {(modelId: string) => string} nameOf
 */
export function describeOverlaps({ model_id_a: a, model_id_b: b, matches }, first, nameOf) {
  const found = matches
    .filter(({ index_a: index }) => first?.segments[index])
    .map(({ index_a: index, iou }) => `${iou.toFixed(2)} on object ${first.segments[index].object + 1}`);
  return found.length ? `${nameOf(a)} and ${nameOf(b)}: IoU ${found.join(", ")}.` : "";
}
