/** What a panel is made of, from the top to the bottom. */

import { make } from "../common/dom.js";
import { modelName } from "../common/tasks.js";

/**
 * @param {{model_id: string, card: any}} model
 * @param {{stage: any, status: any, legend: any, chooses: boolean}} parts `chooses`: there is room for candidates
 */
export function layOut(model, { stage, status, legend, chooses }) {
  const name = modelName(model);
  const caution = make("p", { class: "caution" });
  const hover = make("p", { class: "hover", "aria-hidden": "true" });
  const timings = make("div", { class: "costs" });
  const aside = chooses ? make("div", { class: "candidates", role: "group", "aria-label": `Candidates of ${name}` }) : null;
  const element = make(
    "article",
    { class: "panel", "data-model": model.model_id, "aria-label": name },
    make("div", {}, make("h2", {}, name), caution),
    make("div", { class: "frame" }, stage.element, hover),
    aside,
    status.element,
    legend.element,
    timings,
  );
  return { element, aside, caution, hover, timings };
}
