/** The candidates for the current object, as buttons below each model's picture, and the choice among them. */

import { make } from "../common/dom.js";
import { Asking } from "./asking.js";

export class Candidates {
  #asking = new Asking();
  #prompts;
  #panels;
  #onChange;
  /** Which objects were asked last. @type {number[]} */
  #asked = [];

  /**
   * @param {import("./prompts.js").Prompts} prompts
   * @param {() => import("../panels/panels.js").Panels} panels
   * @param {(act: () => void) => void} onChange carries out a change of the prompts
   */
  constructor(prompts, panels, onChange) {
    this.#prompts = prompts;
    this.#panels = panels;
    this.#onChange = onChange;
  }

  /** Another picture: nothing is known of it. */
  forget() {
    this.#asking.forget();
    this.#asked = [];
  }

  /** The objects that the models are asked for. */
  get wanted() {
    return this.#prompts.asked().objects.map((index) => this.#prompts.objects[index]);
  }

  /** Asks for the objects as they are now; as `askHeld`. */
  asker() {
    this.#asked = this.#prompts.asked().objects;
    const wanted = this.wanted;
    return (question, hear, signal) => this.#asking.send(question, wanted, hear, signal);
  }

  /** An answer with what was chosen of it. @param {string} model @param {any} result */
  chosen(model, result) {
    return this.#asking.chosen(model, result, this.wanted);
  }

  /** Chooses for the current object, where there are so many; returns whether there are. */
  pick(candidate, models = this.#meant()) {
    const { current, objects } = this.#prompts;
    const able = models.filter((model) => this.#scores(model)[candidate] !== undefined);
    if (!able.length) return false;
    const pick = { ...objects[current].pick, ...Object.fromEntries(able.map((model) => [model, candidate])) };
    this.#onChange(() => this.#prompts.put(current, { ...objects[current], pick }));
    return true;
  }

  /** The model whose panel has the focus, if it offers something; else all. */
  #meant() {
    const focused = document.activeElement?.closest(".panel")?.dataset.model;
    if (focused && this.#scores(focused).length) return [focused];
    return [...this.#panels()].map((panel) => panel.modelId);
  }

  show() {
    const { current, objects } = this.#prompts;
    for (const { aside, modelId } of this.#panels()) {
      const chosen = objects[current].pick?.[modelId] ?? 0;
      const focused = [...aside.children].indexOf(document.activeElement);
      const buttons = this.#scores(modelId).map((score, at) => this.#button(modelId, at, score, at === chosen));
      aside.replaceChildren(...(buttons.length ? [make("span", {}, "It may be"), ...buttons] : []));
      aside.children[focused]?.focus();
    }
  }

  #button(model, at, score, pressed) {
    return make(
      "button",
      {
        type: "button",
        "aria-label": `Candidate ${at + 1} for object ${this.#prompts.current + 1}, score ${score.toFixed(2)}`,
        "aria-pressed": String(pressed),
        "aria-keyshortcuts": String(at + 1),
        onclick: () => this.pick(at, [model]),
      },
      make("kbd", {}, String(at + 1)),
      ` ${score.toFixed(2).replace(/^0/, "")}`,
    );
  }

  #scores(model) {
    const at = this.#asked.indexOf(this.#prompts.current);
    return at < 0 ? [] : this.#asking.scores(model, at);
  }
}
