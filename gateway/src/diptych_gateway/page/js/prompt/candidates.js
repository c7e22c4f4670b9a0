/** The candidates for an object, as buttons below a model's picture. */

import { make } from "../common/dom.js";

/**
 * @param {HTMLElement} element whose room is there before
 * @param {{name: string, scores: number[], chosen: number}} what
 * @param {(candidate: number) => void} onPick
 */
export function showCandidates(element, { name, scores, chosen }, onPick) {
  const focused = [...element.children].indexOf(document.activeElement);
  element.replaceChildren(
    ...scores.map((score, at) =>
      make(
        "button",
        {
          type: "button",
          "aria-label": `Candidate ${at + 1} for ${name}, score ${score.toFixed(2)}`,
          "aria-pressed": String(at === chosen),
          "aria-keyshortcuts": String(at + 1),
          onclick: () => onPick(at),
        },
        make("kbd", {}, String(at + 1)),
        ` ${score.toFixed(2).replace(/^0/, "")}`,
      ),
    ),
  );
  element.children[focused]?.focus();
}
