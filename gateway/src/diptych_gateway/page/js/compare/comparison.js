/** One picture, every model: asks, and shows the answers side by side or over one another. */

import { describeAgreement } from "../common/agreement.js";
import { byId } from "../common/dom.js";
import { showMatrix } from "./matrix.js";
import { PairView } from "./pair.js";
import { sharedNumbers } from "../canvas/palette.js";
import { Panels } from "../panels/panels.js";

export class Comparison {
  #panels;
  #pair;
  /** @type {import("../common/picture.js").Picture | null} */
  #picture = null;
  #agreements = [];
  /** @type {Map<string, number[]>} numbers of the objects, by model */
  #numbers = new Map();
  #task = "";
  /** @type {string[]} ids of the models that were asked */
  #asked = [];
  #view = "side";

  /**
   * @param {import("../canvas/viewport.js").Viewport} viewport
   * @param {(error: Error) => void} onError hears of refused requests
   */
  constructor(viewport, onError) {
    this.#panels = new Panels(byId("panels"), viewport, { onError });
    this.#pair = new PairView(viewport);
    byId("pair").append(this.#pair.element);
  }

  /** @param {{model_id: string, card: any, error: any}[]} models in the gateway's order */
  set models(models) {
    this.#panels.models = models;
  }

  /** @param {import("../common/picture.js").Picture} picture */
  set picture(picture) {
    this.#picture = picture;
    this.#panels.picture = picture;
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
    this.#pair.opacity = share;
    this.#panels.opacity = share;
  }

  /** @param {import("../views.js").Look} look */
  set look(look) {
    this.#pair.look = look;
    this.#panels.look = look;
  }

  /** Asks every model that does the task; without a picture it only says who would be asked. */
  async run(task) {
    this.#task = task;
    this.#agreements = [];
    const question = this.question();
    this.#asked = question?.options.models ?? [];
    this.#say();
    await this.#panels.ask(task, question, {
      onAnswer: () => this.#showAnswers(),
      onAgreements: (agreements) => this.#hearAgreements(agreements),
    });
  }

  /** @returns {import("../views.js").Question | null} */
  question() {
    return this.#panels.question(this.#task);
  }

  /** @returns {import("../views.js").Shown[]} */
  answers() {
    return this.#panels.answers();
  }

  #hearAgreements(agreements) {
    this.#agreements = agreements;
    this.#say();
    this.#showAnswers();
  }

  #showAnswers() {
    const filled = [...this.#panels].filter((panel) => panel.answer);
    const answers = filled.map(({ modelId, answer }) => ({
      model_id: modelId,
      count: answer.segments.length,
    }));
    this.#numbers = sharedNumbers(answers, this.#agreements);
    for (const panel of filled) panel.numbers = this.#numbers.get(panel.modelId);
    this.#showPair();
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
    const [nameA, nameB] = [a, b].map((panel) => this.#panels.shortNameOf(panel.modelId));
    const [numbersA, numbersB] = [a, b].map((panel) => this.#numbers.get(panel.modelId));
    const caution = this.#panels.cautionOf(a.modelId, b.modelId);
    return { agreement, a: a.answer, b: b.answer, nameA, nameB, numbersA, numbersB, caution };
  }

  #whyNoPair() {
    const panels = [...this.#panels];
    if (!this.#picture) return "Choose a picture.";
    if (panels.some((panel) => panel.state === "waiting")) return "Asking …";
    const failed = panels.filter((panel) => ["error", "off", "unable"].includes(panel.state));
    return `This view needs the answers of two models. ${failed.map((panel) => panel.said).join(" ")}`;
  }

  #say() {
    const name = (id) => this.#panels.shortNameOf(id);
    showMatrix(byId("agreement"), this.#asked, this.#agreements, name);
    const lines = this.#agreements.map((one) => describeAgreement(one, name));
    byId("agreement-said").textContent = lines.join(" ");
  }
}
