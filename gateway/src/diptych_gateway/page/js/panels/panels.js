/** The panels of all models on one picture, and a question to all of them. */

import { showOutcome, showUnasked } from "./answering.js";
import { askMarked } from "./kept.js";
import { Panel } from "./panel.js";
import { modelName, shortName, takesPrompts, whyNot } from "../common/tasks.js";
import { Tabs } from "./tabs.js";
const MANY = 3; // with more models the panels are smaller
const PROMPTED = "prompted-segmentation";

/**
 * @typedef {object} Asking
 * @property {string} [resting] what panels say if there is nothing to ask
 * @property {boolean} [keep] earlier answers stay on screen until the new ones come
 * @property {number[]} [objects] the object that each prompt is for
 * @property {typeof askHeld} [send] asks, instead of one question to all
 * @property {(modelId: string, result: any) => {result: any, objects: number[]}} [amend] what is shown of
 *   an answer, or instead of one, and the object that each of its prompts is for
 * @property {boolean} [alone] one model can be asked again without the others
 * @property {() => void} onAnswer a panel has changed
 * @property {(agreements: any[]) => void} onAgreements
 */

export class Panels {
  #element;
  #tabs = new Tabs();
  #viewport;
  #hear;
  #models = [];
  /** @type {Map<string, Panel>} */
  #panels = new Map();
  /** @type {import("../common/picture.js").Picture | null} */
  #picture = null;
  #opacity = 1;
  #look = { grey: false, names: true };
  #filter = () => true;
  /** Questions under way, and whom each asks. @type {Map<AbortController, string[]>} */
  #asking = new Map();
  #turn = 0;
  /** How to show what is known of each model. @type {Map<string, () => void>} */
  #known = new Map();
  /** @type {{task: string, question: import("../views.js").Question | null, how: Asking} | null} */
  #last = null;

  /**
   * @param {HTMLElement} element
   * @param {import("../canvas/viewport.js").Viewport} viewport
   * @param {{onError: (error: Error) => void, tool?: import("../canvas/stage.js").Tool, onRefine?: (segment: any) => void}} hear
   *   `onError` hears of refused requests, `onRefine` of an object that is to be refined by clicks
   */
  constructor(element, viewport, hear) {
    this.#element = element;
    this.#viewport = viewport;
    this.#hear = hear;
    element.before(this.#tabs.element);
  }

  /** @param {{model_id: string, card: any, error: any}[]} models in the gateway's order */
  set models(models) {
    for (const panel of this) panel.remove();
    this.#models = models;
    const onPoint = (number) => {
      for (const panel of this) panel.light(number);
    };
    const { tool, onRefine } = this.#hear;
    const hear = {
      onPoint,
      tool,
      onRefine: models.some((model) => !whyNot(model, PROMPTED)) ? onRefine : undefined,
      onCancel: (id) => this.#cancel(id),
      onRetry: (id) => this.#retry(id),
    };
    this.#panels = new Map(models.map((model) => [model.model_id, new Panel(model, this.#viewport, hear)]));
    this.#element.replaceChildren(...[...this].map((panel) => panel.element));
    this.#showTabs();
    this.opacity = this.#opacity;
    this.look = this.#look;
    this.filter = this.#filter;
    this.picture = this.#picture;
  }

  get models() {
    return this.#models;
  }

  /** @param {import("../common/picture.js").Picture | null} picture */
  set picture(picture) {
    this.#picture = picture;
    for (const panel of this) panel.picture = picture;
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

  /** @param {(segment: import("../canvas/segments.js").Segment) => boolean} passes which are looked at */
  set filter(passes) {
    this.#filter = passes;
    for (const panel of this) panel.filter = passes;
  }

  /** In the order of the models. */
  [Symbol.iterator]() {
    return this.#panels.values();
  }

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
    const able = this.#models.filter((model) => !whyNot(model, task) && takesPrompts(model, prompts));
    const models = able.map((model) => model.model_id);
    if (!this.#picture || !models.length) return null;
    const { file, name, source } = this.#picture;
    return { picture: { file, name, ...(source && { source }) }, options: { task, models, ...(prompts && { prompts }) } };
  }

  /**
   * Ends an earlier question and asks this one. Each panel shows that, or why its model is not asked.
   *
   * @param {string} task
   * @param {import("../views.js").Question | null} question
   * @param {Asking} how
   * @returns {Promise<boolean>} whether no other question has come since
   */
  async ask(task, question, how) {
    for (const controller of this.#asking.keys()) controller.abort();
    const turn = ++this.#turn;
    this.#last = { task, question, how };
    this.#known.clear();
    for (const model of this.#models) {
      const panel = this.#panels.get(model.model_id);
      const why = whyNot(model, task);
      if (why) panel?.fail(why, model.card ? "unable" : "error");
      else if (!this.#picture) panel?.fail("Choose a picture.", "off");
      else if (question?.options.models.includes(model.model_id)) panel?.wait(how);
      else this.#show(model.model_id, () => showUnasked(panel, how));
    }
    this.#showTabs();
    how.onAnswer();
    if (question) await this.#send(question, how);
    return turn === this.#turn;
  }

  /** Waits for this model no longer; its question ends as soon as nobody else's answer is waited for. */
  #cancel(id) {
    this.#panels.get(id)?.fail("Cancelled.", "cancelled");
    this.#last?.how.onAnswer();
    this.#endIdle();
  }

  #endIdle() {
    for (const [controller, ids] of this.#asking) {
      if (!ids.some((id) => this.#panels.get(id)?.state === "waiting")) controller.abort();
    }
  }

  async #retry(id) {
    if (!this.#last?.question) return;
    const { task, question, how } = this.#last;
    if (!how.alone) return void (await this.ask(task, question, how));
    this.#panels.get(id)?.wait();
    how.onAnswer();
    const picture = { ...question.picture, source: undefined }; // the answer of one model is not kept
    await this.#send({ picture, options: { ...question.options, models: [id] } }, { ...how, onAgreements: () => {} });
  }

  #showTabs() {
    const able = [...this].filter((panel) => panel.state !== "unable");
    this.#element.classList.toggle("many", able.length > MANY);
    this.#element.style.setProperty("--count", String(Math.max(able.length, 1)));
    this.#tabs.show([...this], able, (id) => this.shortNameOf(id));
  }

  async #send(question, how) {
    const { send, onAnswer, onAgreements } = how;
    const controller = new AbortController();
    const { signal } = controller;
    const { models } = question.options;
    this.#asking.set(controller, models);
    const hear = {
      onOutcome: (outcome) => {
        const panel = this.#panels.get(outcome.model_id);
        if (signal.aborted || panel?.state !== "waiting") return;
        this.#show(panel.modelId, () => showOutcome(panel, outcome, how, this.#picture?.bitmap));
        onAnswer();
        if (models.some((id) => this.#panels.get(id)?.state === "cancelled")) this.#endIdle();
      },
      onAgreements: (agreements) => !signal.aborted && onAgreements(agreements),
    };
    try {
      await askMarked(question, hear, signal, send);
    } catch (error) {
      if (signal.aborted) return;
      for (const id of models) {
        const panel = this.#panels.get(id);
        if (panel?.state === "waiting") panel.fail(error);
      }
      onAnswer();
      this.#hear.onError(error);
    } finally {
      this.#asking.delete(controller);
    }
  }

  /** Now, and whenever it is to be shown again. */
  #show(id, show) {
    this.#known.set(id, show);
    show();
  }
}
