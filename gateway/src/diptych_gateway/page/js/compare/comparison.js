/** One picture, every model: asks, and shows the answers side by side or over one another. */

import { describeAgreement } from "../common/agreement.js";
import { byId } from "../common/dom.js";
import { Filters, MATCH_IOU } from "./filters.js";
import { Matching } from "./matching.js";
import { showMatrix } from "./matrix.js";
import { PairView } from "./pair.js";
import { sharedNumbers } from "../canvas/palette.js";
import { Panels } from "../panels/panels.js";

/** The task whose answers are matched by masks; others have boxes. */
const BY_MASKS = "instance-segmentation";

export class Comparison {
  #panels;
  #pair;
  /** @type {import("../common/picture.js").Picture | null} */
  #picture = null;
  #filters = new Filters(() => this.#showAnswers());
  /** As the gateway sent them, for every pair that answered. */
  #sent = [];
  /** As they are shown. */
  #agreements = [];
  /** By pair of models. @type {Map<string, Matching>} */
  #matchings = new Map();
  /** The overlap by which the gateway matches. */
  #askedIou = MATCH_IOU;
  #ended = false;
  /** @type {Map<string, number[]>} numbers of the objects, by model */
  #numbers = new Map();
  #task = "";
  /** @type {string[]} ids of the models that were asked */
  #asked = [];
  #view = "side";

  /**
   * @param {import("../canvas/viewport.js").Viewport} viewport
   * @param {{onError: (error: Error) => void, onRefine: (segment: import("../canvas/segments.js").Segment) => void}} hear
   */
  constructor(viewport, hear) {
    this.#panels = new Panels(byId("panels"), viewport, hear);
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
    byId("click-hint").hidden = view === "difference";
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
    this.#sent = [];
    this.#matchings.clear();
    this.#ended = false;
    const question = this.question();
    this.#askedIou = this.#filters.matchIou;
    this.#asked = question?.options.models ?? [];
    const latest = await this.#panels.ask(task, question, {
      alone: true,
      onAnswer: () => this.#showAnswers(),
      onAgreements: (agreements) => {
        this.#sent = agreements;
      },
    });
    if (!latest) return;
    this.#ended = true;
    this.#showAnswers();
  }

  /** Looks at what the address says of filters. */
  readFilters() {
    if (this.#filters.read()) this.#showAnswers();
  }

  /** @returns {import("../views.js").Question | null} */
  question() {
    const question = this.#panels.question(this.#task);
    const { matchIou } = this.#filters;
    if (question && matchIou !== MATCH_IOU) question.options.match_iou = matchIou;
    return question;
  }

  /** @returns {import("../views.js").Shown[]} */
  answers() {
    return this.#panels.answers();
  }

  /** Whether filters let this be seen. */
  passes(segment) {
    return this.#filters.passes(segment);
  }

  #showAnswers() {
    const filled = [...this.#panels].filter((panel) => panel.answer);
    const answers = filled.map(({ modelId, answer }) => ({
      model_id: modelId,
      count: answer.segments.length,
    }));
    this.#filters.segments = filled.flatMap(({ answer }) => answer.segments);
    this.#panels.filter = this.#filters.passes;
    const pairs = this.#ended ? filled.flatMap((a, at) => filled.slice(at + 1).map((b) => [a, b])) : [];
    const { active, passes } = this.#filters;
    const whole = pairs.map(([a, b]) => this.#agreementOf(a, b));
    this.#agreements = active ? pairs.map(([a, b]) => this.#agreementOf(a, b, passes)) : whole;
    // Of everything, so that no colour depends on what is left out.
    this.#numbers = sharedNumbers(answers, whole);
    for (const panel of filled) panel.numbers = this.#numbers.get(panel.modelId);
    this.#say();
    this.#showPair();
  }

  /** What the gateway said of two answers, or what it would say with this overlap, or of a part of them. */
  #agreementOf(a, b, passes) {
    const { matchIou } = this.#filters;
    const sent = this.#sent.find((one) => one.model_id_a === a.modelId && one.model_id_b === b.modelId);
    if (sent && !passes && matchIou === this.#askedIou) return sent;
    const key = `${a.modelId} ${b.modelId}`;
    const matching = this.#matchings.get(key) ?? new Matching(a.answer, b.answer, this.#task !== BY_MASKS);
    this.#matchings.set(key, matching);
    return matching.agreement(matchIou, passes ?? (() => true));
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
    const [isShownA, isShownB] = [a, b].map((panel) => panel.shown.isShown);
    return { agreement, a: a.answer, b: b.answer, nameA, nameB, numbersA, numbersB, isShownA, isShownB, panels: [a, b] };
  }

  #whyNoPair() {
    const panels = [...this.#panels];
    if (!this.#picture) return "Choose a picture.";
    if (panels.some((panel) => panel.state === "waiting")) return "Asking …";
    const failed = panels.filter((panel) => ["error", "cancelled", "off", "unable"].includes(panel.state));
    return `This view needs the answers of two models. ${failed.map(
      ({ modelId, said }) => `${this.#panels.shortNameOf(modelId)}: ${said}`,
    ).join(" ")}`;
  }

  #say() {
    const name = (id) => this.#panels.shortNameOf(id);
    showMatrix(byId("agreement"), this.#asked, this.#agreements, name, this.#ended);
    const lines = this.#agreements.map((one) => describeAgreement(one, name));
    byId("agreement-said").textContent = lines.join(" ");
  }
}
