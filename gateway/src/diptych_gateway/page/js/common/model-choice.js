/** Which models are looked at: check boxes, kept in the address. */

import { readState, writeState } from "./address.js";
import { byId, make } from "./dom.js";
import { shortName } from "./tasks.js";

/** @typedef {{model_id: string, card: any, error: any}} Model */

export class ModelChoice {
  #onChange;
  /** @type {Model[]} */
  #models = [];
  /** @type {Model[]} */
  #chosen = [];

  /** @param {() => void} onChange another choice was made */
  constructor(onChange) {
    this.#onChange = onChange;
  }

  /** Offers these, if there is anything to choose. @param {Model[]} models */
  show(models) {
    const fieldset = byId("model-choice");
    fieldset.hidden = models.length === 1;
    const without = left();
    const ticks = models.map((model) => {
      const input = make("input", { type: "checkbox", value: model.model_id, onchange: () => this.#write() });
      input.checked = !without.has(model.model_id);
      return make("label", {}, input, shortName(model, models));
    });
    fieldset.querySelector("div").replaceChildren(...ticks);
  }

  /** @param {Model[]} models @returns {Model[]} those that are looked at; the same list while they are */
  chosen(models) {
    const without = left();
    const chosen = models.filter((model) => !without.has(model.model_id));
    const same = models === this.#models && String(ids(chosen)) === String(ids(this.#chosen));
    if (!same) [this.#models, this.#chosen] = [models, chosen];
    return this.#chosen;
  }

  #write() {
    const inputs = [...byId("model-choice").querySelectorAll("input")];
    const without = inputs.filter((input) => !input.checked).map((input) => input.value);
    writeState({ without: without.join(",") });
    this.#onChange();
  }
}

function ids(models) {
  return models.map((model) => model.model_id);
}

function left() {
  return new Set(readState().without.split(",").filter(Boolean));
}
