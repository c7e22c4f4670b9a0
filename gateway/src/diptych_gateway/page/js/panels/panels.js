/** The panels of all models on one picture, and a question to all of them. */

import { sentence } from "../common/api.js";
import { askHeld } from "./held.js";
import { Panel } from "./panel.js";
import { readAnswer } from "../canvas/segments.js";
import { make } from "../common/dom.js";
import { modelName, shortName, takesMasks, whyNot } from "../common/tasks.js";
import { noResult } from "../prompt/kept.js";

/** With more models than this the panels are smaller. */
const MANY = 3;
const NO_MASKS = "It takes points and boxes, not masks, so it was not asked.";

/**
 * @typedef {object} Asking
 * @property {string} [resting] what panels say if there is nothing to ask
 * @property {boolean} [keep] earlier answers stay on screen until the new ones come
 * @property {number[]} [objects] the object that each prompt is for
 * @property {(result: any, asked: number[]) => {result: any, asked: number[]}} [amend] what is shown of
 *   an answer, and the object that each of its prompts is for
 * @property {() => void} onAnswer a panel has changed
 * @property {(agreements: any[]) => void} onAgreements
 */

export class Panels {
  #element;
  /** On a narrow screen one model is seen at a time, and this says which. */
  #tabs = make("div", { class: "tabs", role: "group", "aria-label": "Model that is shown" });
  #front = "";
  #viewport;
  #hear;
  #models = [];
  /** @type {Map<string, Panel>} */
  #panels = new Map();
  /** @type {import("../common/picture.js").Picture | null} */
  #picture = null;
  #opacity = 1;
  #look = { grey: false, names: true };
  #asking = new AbortController();
  /** How to show again what is known of each model. @type {Map<string, () => void>} */
  #known = new Map();

  /**
   * @param {HTMLElement} element
   * @param {import("../canvas/viewport.js").Viewport} viewport
   * @param {{onError: (error: Error) => void, tool?: import("../canvas/stage.js").Tool}} hear `onError`
   *   hears of refused requests
   */
  constructor(element, viewport, hear) {
    this.#element = element;
    this.#viewport = viewport;
    this.#hear = hear;
    element.before(this.#tabs);
  }

  /** @param {{model_id: string, card: any, error: any}[]} models in the gateway's order */
  set models(models) {
    for (const panel of this) panel.remove();
    this.#models = models;
    const onPoint = (number) => {
      for (const panel of this) panel.light(number);
    };
    const { tool } = this.#hear;
    this.#panels = new Map(
      models.map((model) => [model.model_id, new Panel(model, this.#viewport, { onPoint, tool })]),
    );
    this.#element.replaceChildren(...[...this].map((panel) => panel.element));
    this.#showTabs();
    this.opacity = this.#opacity;
    this.look = this.#look;
    this.picture = this.#picture;
  }

  get models() {
    return this.#models;
  }

  /** @param {import("../common/picture.js").Picture | null} picture */
  set picture(picture) {
    this.#picture = picture;
    for (const panel of this) panel.picture = picture?.bitmap ?? null;
  }

  /** @param {number} share 0 to 1 */
  set opacity(share) {
    this.#opacity = share;
    for (const panel of this) panel.opacity = share;
  }

  /** @param {import("../views.js").Look} look */
  set look(look) {
    this.#look = look;
    for (const panel of this) panel.look = look;
  }

  /** In the order of the models. */
  [Symbol.iterator]() {
    return this.#panels.values();
  }

  /** @param {string} id */
  get(id) {
    return this.#panels.get(id);
  }

  /** @param {string} id */
  nameOf(id) {
    return modelName(this.#models.find((model) => model.model_id === id) ?? { model_id: id, card: null });
  }

  /** @param {string} id */
  shortNameOf(id) {
    const model = this.#models.find((one) => one.model_id === id);
    return model ? shortName(model, this.#models) : id;
  }

  /** @returns {import("../views.js").Shown[]} */
  answers() {
    return [...this].map((panel) => panel.shown).filter(Boolean);
  }

  /** Shows what is known once more: what is amended has changed. */
  refill() {
    for (const show of this.#known.values()) show();
  }

  /**
   * To every model that does the task; `null` without a picture or such a model.
   *
   * @param {string} task
   * @param {any[]} [prompts]
   * @returns {import("../views.js").Question | null}
   */
  question(task, prompts) {
    const masked = prompts?.some(({ mask }) => mask);
    const able = this.#models.filter((model) => !whyNot(model, task) && (!masked || takesMasks(model)));
    const models = able.map((model) => model.model_id);
    if (!this.#picture || !models.length) return null;
    const { file, name } = this.#picture;
    return { picture: { file, name }, options: { task, models, ...(prompts && { prompts }) } };
  }

  /**
   * Ends an earlier question and asks this one. Each panel shows that, or why its model is not asked.
   *
   * @param {string} task
   * @param {import("../views.js").Question | null} question
   * @param {Asking} how
   */
  async ask(task, question, how) {
    this.#asking.abort();
    const { signal } = (this.#asking = new AbortController());
    this.#known.clear();
    for (const model of this.#models) {
      const panel = this.#panels.get(model.model_id);
      const why = whyNot(model, task);
      if (why) panel?.fail(why, model.card ? "unable" : "error");
      else if (!this.#picture) panel?.fail("Choose a picture.", "off");
      else if (question?.options.models.includes(model.model_id)) panel?.wait(how);
      else this.#show(model.model_id, () => this.#rest(panel, how));
    }
    this.#showTabs();
    how.onAnswer();
    if (question) await this.#send(question, how, signal);
  }

  /** One tab for each model that is asked; the first one's panel is in front unless another was. */
  #showTabs() {
    const able = [...this].filter((panel) => panel.state !== "unable");
    const front = able.find((panel) => panel.modelId === this.#front) ?? able[0];
    for (const panel of this) panel.element.classList.toggle("behind", panel !== front);
    this.#element.classList.toggle("many", able.length > MANY);
    this.#element.style.setProperty("--count", String(Math.max(able.length, 1)));
    const focused = this.#tabs.contains(document.activeElement);
    const tabs = able.map((panel) =>
      make(
        "button",
        {
          type: "button",
          "aria-pressed": String(panel === front),
          onclick: () => {
            this.#front = panel.modelId;
            this.#showTabs();
          },
        },
        this.shortNameOf(panel.modelId),
      ),
    );
    this.#tabs.replaceChildren(...(able.length > 1 ? tabs : []));
    if (focused) tabs[able.indexOf(front)]?.focus();
  }

  /** Shows what is known of a model, now and when it is amended. */
  #show(id, show) {
    this.#known.set(id, show);
    show();
  }

  /** Of a model that is not asked: what there is without it. */
  #rest(panel, { objects, resting = "", amend }) {
    const why = objects?.length ? NO_MASKS : "";
    const { result, asked } = amend?.(noResult(panel.modelId, this.#picture.bitmap), []) ?? {};
    if (!result?.segments.length) panel.fail(why || resting, "idle");
    else panel.fill(readAnswer({ ...result, warnings: why ? [why] : [] }, asked), null);
  }

  async #send(question, how, signal) {
    const { onAnswer, onAgreements } = how;
    const hear = {
      onOutcome: (outcome) => {
        if (signal.aborted) return;
        this.#show(outcome.model_id, () => this.#fill(outcome, how));
        onAnswer();
      },
      onAgreements: (agreements) => !signal.aborted && onAgreements(agreements),
    };
    try {
      await askHeld(question, hear, signal);
    } catch (error) {
      if (signal.aborted) return;
      for (const panel of this) if (panel.state === "waiting") panel.fail(error.message);
      onAnswer();
      this.#hear.onError(error);
    }
  }

  #fill({ model_id: id, result, error, elapsed_s: elapsed }, { objects = [], amend }) {
    const panel = this.#panels.get(id);
    if (!result) {
      panel?.fail(sentence(error?.message ?? error?.detail ?? "The model did not answer"));
      return;
    }
    try {
      const shown = amend?.(result, objects) ?? { result, asked: objects };
      const answer = readAnswer(shown.result, shown.asked);
      panel?.fill(this.#fitting(answer), elapsed);
    } catch (problem) {
      panel?.fail(`The answer cannot be drawn: ${problem.message}.`);
    }
  }

  /** The answer, if it is about the picture that is shown. */
  #fitting(answer) {
    const { width, height } = this.#picture?.bitmap ?? answer;
    if (answer.width === width && answer.height === height) return answer;
    throw new RangeError(
      `the model read ${answer.width} × ${answer.height} pixels, this browser ${width} × ${height}`,
    );
  }
}
