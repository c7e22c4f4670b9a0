/** How far each two models agree, as a table with a row for each pair. */

import { grouped, make } from "../common/dom.js";

const WAITING = "…";

/**
 * Shows it. Pairs whose figures are still to come have their rows already, so that nothing moves.
 *
 * @param {HTMLElement} element that it fills
 * @param {string[]} asked ids of the models, in the gateway's order
 * @param {any[]} agreements
 * @param {(modelId: string) => string} nameOf
 * @param {boolean} ended no further ones come
 */
export function showMatrix(element, asked, agreements, nameOf, ended) {
  const pairs = asked.flatMap((a, at) => asked.slice(at + 1).map((b) => [a, b]));
  element.hidden = !pairs.length;
  if (!pairs.length) {
    element.replaceChildren();
    return;
  }
  const head = ["Models", "Agree on", "Mean IoU", "Only the first", "Only the second", "Pixels in both"];
  const rows = pairs.map(([a, b]) => {
    const found = agreements.find((one) => one.model_id_a === a && one.model_id_b === b);
    const figures = found ? figuresOf(found) : Array(5).fill(ended ? "–" : WAITING);
    const cells = figures.map((figure) => make("td", {}, figure));
    return make("tr", {}, make("th", { scope: "row" }, `${nameOf(a)} and ${nameOf(b)}`), ...cells);
  });
  element.replaceChildren(
    make(
      "table",
      { class: "matrix" },
      make("thead", {}, make("tr", {}, ...head.map((text) => make("th", { scope: "col" }, text)))),
      make("tbody", {}, ...rows),
    ),
  );
}

/** "–" where there is nothing to compute a figure from. */
function figuresOf({ matches, only_a, only_b, mean_match_iou: mean, foreground_iou: ground }) {
  const counts = [matches, only_a, only_b].map((list) => grouped(list.length));
  const iou = mean === null ? "–" : mean.toFixed(2);
  const pixels = ground === null ? "–" : `${Math.round(ground * 100)} %`;
  return [counts[0], iou, counts[1], counts[2], pixels];
}
