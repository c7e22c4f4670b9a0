/** What is known of a model's answer, put into its panel. */

import { readAnswer } from "../canvas/segments.js";
import { refusal } from "../common/refusals.js";

const NO_MASKS = "It takes points and boxes, not masks, so it was not asked.";

/**
 * @param {import("./panel.js").Panel} panel
 * @param {any} outcome as the gateway tells it
 * @param {import("./panels.js").Asking} how
 * @param {{width: number, height: number}} [size] of the picture that is shown
 */
export function showOutcome(panel, { result, error, elapsed_s: elapsed }, { objects = [], amend }, size) {
  if (!result) {
    panel.fail(refusal(error ?? {}));
    return;
  }
  try {
    const shown = amend?.(panel.modelId, result) ?? { result, objects };
    panel.fill(fitting(readAnswer(shown.result, shown.objects), size), elapsed);
  } catch (problem) {
    panel.fail(`The answer cannot be drawn: ${problem.message}.`);
  }
}

/**
 * What there is of a model that is not asked.
 *
 * @param {import("./panel.js").Panel} panel
 * @param {import("./panels.js").Asking} how
 */
export function showUnasked(panel, { objects, resting = "", amend }) {
  const why = objects?.length ? NO_MASKS : "";
  const shown = amend?.(panel.modelId, null);
  if (!shown?.result.segments.length) panel.fail(why || resting, "idle");
  else panel.fill(readAnswer({ ...shown.result, warnings: why ? [why] : [] }, shown.objects), null);
}

/** The answer, if it is about the picture that is shown. */
function fitting(answer, { width, height } = answer) {
  if (answer.width === width && answer.height === height) return answer;
  throw new RangeError(`the model read ${answer.width} × ${answer.height} pixels, this browser ${width} × ${height}`);
}
