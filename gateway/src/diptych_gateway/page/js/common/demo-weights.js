/** Weights that are there to try the services, and what their answers are worth. */

import { byId } from "./dom.js";
import { shortName } from "./tasks.js";

const DISMISSED = "diptych-demo-dismissed";

/** @param {{card: any}} model */
function hasDemoWeights({ card }) {
  return (card?.weights ?? []).some(({ name }) => /(^|-)demo$/.test(name));
}

/**
 * What has to be said beside a model's answer about a picture or a clip; "" if nothing.
 *
 * @param {{card: any}} model
 * @param {{sample?: unknown} | null} picture samples are drawn as what these weights were trained on
 */
export function cautionOf(model, picture) {
  if (!picture || picture.sample || !hasDemoWeights(model)) return "";
  return "Demo weights: masks mean nothing on photographs.";
}

/** Says it once for all, until it is dismissed in this tab. @param {{model_id: string, card: any}[]} models */
export function showDemoStrip(models) {
  const demo = models.filter(hasDemoWeights);
  const which = demo.length < models.length ? ` of ${demo.map((model) => shortName(model, models)).join(", ")}` : "";
  byId("demo-which").textContent = `Demo weights${which}`;
  byId("demo").hidden = !demo.length || sessionStorage.getItem(DISMISSED) !== null;
}

export function listenToDemoStrip() {
  byId("demo-close").addEventListener("click", () => {
    sessionStorage.setItem(DISMISSED, "1");
    byId("demo").hidden = true;
  });
}
