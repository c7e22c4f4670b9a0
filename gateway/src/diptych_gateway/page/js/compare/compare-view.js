/** The view that asks every model for a task, and its choosers. */

import { readState, writeState } from "../common/address.js";
import { Comparison } from "./comparison.js";
import { byId, make } from "../common/dom.js";
import { PICTURE_TASKS, taskName } from "../common/tasks.js";

/** @implements {import("../views.js").View} */
export class CompareView {
  #comparison;
  #models = [];
  #picture = null;
  #seen = false;
  /** The task that was asked for the models and the picture as they are, or "". */
  #asked = "";

  /**
   * @param {import("../canvas/viewport.js").Viewport} viewport
   * @param {(error: Error) => void} onError hears of refused requests
   * @param {(objects: string) => void} onRefine is told an object to point at, as the address has it
   */
  constructor(viewport, onError, onRefine) {
    const refine = async (segment) => onRefine((await import("../prompt/taken.js")).take(segment));
    this.#comparison = new Comparison(viewport, { onError, onRefine: refine });
    for (const input of document.querySelectorAll("input[name=view]")) {
      input.addEventListener("change", () => {
        writeState({ view: input.value }, { step: true });
        this.show(readState());
      });
    }
    this.#showTasks();
  }

  /** @param {import("../common/address.js").PageState} state */
  show({ view, task }) {
    this.#seen = true;
    for (const input of document.querySelectorAll("input[name=view]")) input.checked = input.value === view;
    this.#comparison.view = view;
    this.#comparison.readFilters();
    if (task !== this.#asked) this.#ask();
  }

  hide() {
    this.#seen = false;
  }

  /** @param {import("../views.js").Known} known */
  take({ chosen, picture }) {
    if (chosen !== this.#models) this.#comparison.models = this.#models = chosen;
    if (picture && picture !== this.#picture) this.#comparison.picture = this.#picture = picture;
    this.#ask();
  }

  takeLook(look) {
    this.#comparison.look = look;
  }

  takeOpacity(share) {
    this.#comparison.opacity = share;
  }

  question() {
    return this.#comparison.question();
  }

  answers() {
    return this.#comparison.answers();
  }

  passes(segment) {
    return this.#comparison.passes(segment);
  }

  /** Asks, if anybody sees the answer; else as soon as somebody does. */
  #ask() {
    this.#showTasks();
    this.#asked = this.#seen ? readState().task : "";
    if (this.#seen) this.#comparison.run(this.#asked);
  }

  #showTasks() {
    const { task } = readState();
    const cards = this.#models.map((model) => model.card).filter(Boolean);
    byId("tasks").replaceChildren(
      ...PICTURE_TASKS.map((name) => {
        const doing = cards.filter((card) => card.tasks.includes(name)).length;
        const input = make("input", { type: "radio", name: "task", value: name });
        input.checked = name === task;
        input.disabled = cards.length > 0 && !doing;
        input.addEventListener("change", () => {
          writeState({ task: name }, { step: true });
          this.#asked = name;
          this.#comparison.run(name);
        });
        const note = doing < cards.length ? make("small", {}, `${doing} of ${cards.length} models`) : null;
        return make("label", {}, input, make("span", {}, taskName(name), note));
      }),
    );
  }
}
