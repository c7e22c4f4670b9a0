/** One picture, every model: asks, and fills the panels as the answers come. */

import { describeAgreement } from "./agreement.js";
import { sentence, streamCompare } from "./api.js";
import { byId, make } from "./dom.js";
import { PairView } from "./pair.js";
import { sharedNumbers } from "./palette.js";
import { Panel } from "./panel.js";
import { readAnswer } from "./segments.js";
import { modelName, whyNot } from "./tasks.js";

export class Comparison {
  #viewport;
  /** @type {Map<string, Panel>} */
  #panels = new Map();
  #pair;
  #models = [];
  /** @type {import("./picture.js").Picture | null} */
  #picture = null;
  #agreements = [];
  /** @type {Map<string, number[]>} numbers of the objects, by model */
  #numbers = new Map();
  #asking = new AbortController();
  #task = "";
  #view = "side";
  #opacity = 1;
  #onError;

  /**
   * @param {import("./viewport.js").Viewport} viewport
   * @param {(error: Error) => void} onError hears of refused requests
   */
  constructor(viewport, onError) {
    this.#viewport = viewport;
    this.#pair = new PairView(viewport);
    this.#onError = onError;
    byId("pair").append(this.#pair.element);
  }

  /** @param {{model_id: string, card: any, error: any}[]} models in the gateway's order */
  set models(models) {
    this.#models = models;
    for (const panel of this.#panels.values()) panel.remove();
    this.#panels = new Map(
      models.map((model) => [
        model.model_id,
        new Panel(model, this.#viewport, (number) => this.#light(number)),
      ]),
    );
    byId("panels").replaceChildren(...[...this.#panels.values()].map((panel) => panel.element));
    for (const panel of this.#panels.values()) {
      panel.opacity = this.#opacity;
      panel.picture = this.#picture?.bitmap ?? null;
    }
  }

  /** @param {import("./picture.js").Picture} picture */
  set picture(picture) {
    this.#picture = picture;
    for (const panel of this.#panels.values()) panel.picture = picture.bitmap;
    this.#pair.picture = picture.bitmap;
  }

  /** @param {"side" | "wipe" | "difference"} view */
  set view(view) {
    this.#view = view;
    byId("panels").hidden = view !== "side";
    byId("pair").hidden = view === "side";
    this.#showPair();
  }

  /** @param {number} share 0 to 1 */
  set opacity(share) {
    this.#opacity = share;
    this.#pair.opacity = share;
    for (const panel of this.#panels.values()) panel.opacity = share;
  }

  /** Asks every model that does the task; without a picture it only says who would be asked. */
  async run(task) {
    this.#task = task;
    this.#asking.abort();
    this.#asking = new AbortController();
    this.#agreements = [];
    this.#say("");
    for (const model of this.#models) {
      const panel = this.#panels.get(model.model_id);
      const why = whyNot(model, task);
      if (why) panel?.fail(why, model.card ? "off" : "error");
      else if (this.#picture) panel?.wait();
      else panel?.fail("Choose a picture.", "off");
    }
    this.#showPair();
    const question = this.question();
    if (question) await this.#ask(question, this.#asking.signal);
  }

  /** @returns {import("./views.js").Question | null} */
  question() {
    const asked = this.#models.filter((model) => !whyNot(model, this.#task));
    if (!this.#picture || !asked.length) return null;
    return {
      picture: { file: this.#picture.file, name: this.#picture.name },
      options: { task: this.#task, models: asked.map((model) => model.model_id) },
    };
  }

  /** @returns {import("./views.js").Shown[]} */
  answers() {
    return [...this.#panels.values()].map((panel) => panel.shown).filter(Boolean);
  }

  async #ask(question, signal) {
    const hear = {
      onOutcome: (outcome) => !signal.aborted && this.#hearOutcome(outcome),
      onAgreements: (agreements) => !signal.aborted && this.#hearAgreements(agreements),
    };
    try {
      await streamCompare(question, hear, signal);
    } catch (error) {
      if (signal.aborted) return;
      for (const id of question.options.models) {
        const panel = this.#panels.get(id);
        if (panel?.element.dataset.state === "waiting") panel.fail(error.message);
      }
      this.#showPair();
      this.#onError(error);
    }
  }

  #hearOutcome({ model_id: id, result, error, elapsed_s: elapsed }) {
    const panel = this.#panels.get(id);
    if (!panel) return;
    if (result) {
      try {
        panel.fill(readAnswer(result), elapsed);
      } catch (problem) {
        panel.fail(`The answer cannot be drawn: ${problem.message}.`);
      }
    } else panel.fail(sentence(error?.message ?? error?.detail ?? "The model did not answer"));
    this.#renumber();
    this.#showPair();
  }

  #hearAgreements(agreements) {
    this.#agreements = agreements;
    this.#renumber();
    this.#say(agreements.map((one) => describeAgreement(one, (id) => this.#nameOf(id))).join(" "));
    this.#showPair();
  }

  #renumber() {
    const filled = [...this.#panels.values()].filter((panel) => panel.answer);
    const answers = filled.map(({ modelId, answer }) => ({
      model_id: modelId,
      count: answer.segments.length,
    }));
    const numbers = sharedNumbers(answers, this.#agreements);
    for (const panel of filled) panel.numbers = numbers.get(panel.modelId);
    this.#numbers = numbers;
  }

  #showPair() {
    if (this.#view === "side") return;
    const pairs = this.#agreements.map((agreement) => this.#pairOf(agreement)).filter(Boolean);
    this.#pair.show(this.#view, pairs, pairs.length ? "" : this.#whyNoPair());
  }

  /** @returns {import("./pair.js").Pair | null} */
  #pairOf(agreement) {
    const [a, b] = [agreement.model_id_a, agreement.model_id_b].map((id) => this.#panels.get(id));
    if (!a?.answer || !b?.answer) return null;
    const [nameA, nameB] = [a, b].map((panel) => this.#nameOf(panel.modelId));
    const [numbersA, numbersB] = [a, b].map((panel) => this.#numbers.get(panel.modelId));
    return { agreement, a: a.answer, b: b.answer, nameA, nameB, numbersA, numbersB };
  }

  #whyNoPair() {
    const panels = [...this.#panels.values()];
    const waiting = panels.some((panel) => panel.element.dataset.state === "waiting");
    const failed = panels.filter((panel) => ["error", "off"].includes(panel.element.dataset.state));
    if (!this.#picture) return "Choose a picture.";
    if (waiting) return "Asking …";
    const reasons = failed.map((panel) => panel.element.querySelector(".state")?.textContent);
    return `This view needs the answers of two models. ${reasons.join(" ")}`;
  }

  #light(number) {
    for (const panel of this.#panels.values()) panel.light(number);
  }

  #say(text) {
    byId("agreement").replaceChildren(...(text ? [make("span", {}, text)] : []));
  }

  #nameOf(id) {
    return modelName(this.#models.find((model) => model.model_id === id) ?? { model_id: id, card: null });
  }
}
