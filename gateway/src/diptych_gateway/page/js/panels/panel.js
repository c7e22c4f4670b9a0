/** One model on the picture: waiting, its answer, or why there is none. */

import { cautionOf } from "../common/demo-weights.js";
import { foundInWords, inWords, Legend } from "./legend.js";
import { Layers } from "./layers.js";
import { layOut } from "./layout.js";
import { drawNames } from "../canvas/names.js";
import { drawMarks } from "../canvas/paint.js";
import { Objects } from "./objects.js";
import { Stage } from "../canvas/stage.js";
import { Status } from "./status.js";
import { modelName } from "../common/tasks.js";
import { showTimings } from "./timings.js";

export class Panel {
  element;
  /** Where candidates are chosen, if they are. */
  aside;
  #model;
  #objects = new Objects();
  #elapsedS = 0;
  #layers = new Layers();
  #names = true;
  #edges;
  #onPoint;
  #onRefine;
  #legend;
  #status;
  #asked;
  #hover;
  #timings;
  #caution;

  /**
   * @param {{model_id: string, card: any}} model
   * @param {import("../canvas/viewport.js").Viewport} viewport
   * @param {{onPoint: (number: number | null) => void, tool?: import("../canvas/stage.js").Tool, onCancel: (modelId: string) => void,
   *   onRetry: (modelId: string) => void, onRefine?: (segment: any) => void}} hear `onPoint` is told an object's number
   */
  constructor(model, viewport, { onPoint, tool, onCancel, onRetry, onRefine }) {
    this.modelId = model.model_id;
    this.#model = model;
    this.#onPoint = onPoint;
    this.#onRefine = onRefine;
    this.#edges = model.card?.keypoint_schema?.edges ?? [];
    this.stage = new Stage(viewport, `The picture with what ${modelName(model)} found`, {
      onHover: (x, y) => {
        this.#point(this.#objects.at(x, y));
        this.#hover.textContent = this.wordsAt(x, y);
      },
      onLeave: () => this.#point(null),
      onClick: (x, y) => {
        this.toggleAt(x, y);
        this.#hover.textContent = this.wordsAt(x, y);
      },
      onDouble: () => this.refineClicked(),
      tool,
    });
    this.stage.marks = (context, frame) => this.#drawMarks(context, frame);
    this.#legend = new Legend(modelName(model), {
      onPoint: (index) => this.#point(index),
      onToggle: (index) => this.#toggle(index),
      onRefine: onRefine && ((index) => onRefine(this.answer.segments[index])),
    });
    this.#asked = { cancel: () => onCancel(this.modelId), retry: () => onRetry(this.modelId) };
    this.#status = new Status(modelName(model));
    const within = { stage: this.stage, status: this.#status, legend: this.#legend, chooses: Boolean(tool) };
    const { element, aside, caution, hover, timings } = layOut(model, within);
    Object.assign(this, { element, aside });
    [this.#caution, this.#hover, this.#timings] = [caution, hover, timings];
    this.#mark("idle");
  }

  get answer() {
    return this.#objects.answer;
  }

  /** @param {import("../common/picture.js").Picture | null} picture */
  set picture(picture) {
    this.stage.picture = picture?.bitmap ?? null;
    this.#caution.textContent = cautionOf(this.#model, picture);
  }

  /** What has to be known before its answer is looked at. */
  get caution() {
    return this.#caution.textContent;
  }

  /** @param {number} share 0 to 1 */
  set opacity(share) {
    this.#layers.opacity = share;
    this.#layer();
  }

  /** @param {import("../views.js").Look} look */
  set look({ grey, names }) {
    this.stage.grey = grey;
    this.#names = names;
    this.#repaint();
  }

  /** @returns {string} "idle", "waiting", "done", "error", "cancelled", "off", or "unable" to do the task */
  get state() {
    return this.element.dataset.state ?? "";
  }

  get said() {
    return this.#status.said;
  }

  /** Shows that the model was asked. @param {{keep?: boolean}} [how] `keep`: with its earlier answer */
  wait({ keep = false } = {}) {
    if (!keep) this.#clear();
    this.#mark("waiting");
    this.#status.wait(this.#asked.cancel);
  }

  /**
   * Shows why there is no answer.
   *
   * @param {string | import("../common/refusals.js").Refusal} what
   * @param {"error" | "off" | "idle" | "unable" | "cancelled"} [kind]
   */
  fail(what, kind = "error") {
    this.#clear();
    this.#mark(kind);
    const again = kind === "cancelled" || (typeof what !== "string" && what.again);
    this.#status.say(what, again ? this.#asked.retry : null);
  }

  /**
   * @param {import("../canvas/segments.js").Answer} answer
   * @param {number | null} elapsedS `null`: the model was not asked
   */
  fill(answer, elapsedS) {
    this.#clear();
    this.#objects.take(answer);
    this.#layers.take(answer);
    this.#elapsedS = elapsedS;
    this.#sayFound();
    this.#legend.segments = answer.segments;
    if (elapsedS !== null) this.#timings.replaceChildren(showTimings(answer.timings, elapsedS, answer.held));
    this.numbers = answer.segments.map(({ object, index }) => object ?? index);
  }

  /** @returns {import("../views.js").Shown | null} the answer, if there is one */
  get shown() {
    const { colorOf, isShown } = this.#objects.looks;
    return this.answer && { name: modelName(this.#model), answer: this.answer, edges: this.#edges, colorOf, isShown };
  }

  /** Which segments are looked at; the others are neither on the picture nor in the legend. */
  set filter(passes) {
    this.#objects.passes = passes;
    if (this.state !== "done") return;
    this.#sayFound();
    this.#repaint();
  }

  /** Numbers of the objects, which decide on their colours. @param {number[]} numbers */
  set numbers(numbers) {
    this.#objects.numbers = numbers;
    this.#repaint();
  }

  /** Highlights the object of this number, if the model found it. @param {number | null} number */
  light(number) {
    const index = number === null ? -1 : this.#objects.numbers.indexOf(number);
    const lit = index < 0 ? null : index;
    if (lit === this.#objects.lit) return;
    this.#objects.lit = lit;
    this.#repaint();
  }

  /** @param {import("./layers.js").Draft | null} draft */
  set draft(draft) {
    this.#layers.draft = draft;
    this.#repaint();
  }

  remove() {
    this.#status.stop();
    this.stage.remove();
    this.element.remove();
  }

  #clear() {
    this.#objects.take(null);
    this.#layers.take(null);
    this.#legend.segments = [];
    this.#timings.replaceChildren();
    this.#hover.textContent = "";
    this.#repaint();
  }

  #mark(state) {
    this.element.dataset.state = state;
    this.element.setAttribute("aria-busy", String(state === "waiting"));
  }

  wordsAt(x, y) {
    return this.#objects.wordsAt(x, y);
  }

  toggleAt(x, y) {
    this.#objects.click(x, y);
    this.#repaint();
  }

  /** Takes along what was clicked twice; that neither hides nor shows anything. */
  refineClicked() {
    const index = this.#objects.unclick();
    this.#repaint();
    if (index !== null) this.#onRefine?.(this.answer.segments[index]);
  }

  #point(index) {
    const segment = index === null ? null : this.answer?.segments[index];
    this.#hover.textContent = segment ? inWords(segment) : "";
    this.#onPoint(segment ? this.#objects.numbers[segment.index] : null);
  }

  #toggle(index) {
    this.#objects.toggle(index);
    this.#repaint();
  }

  #sayFound() {
    this.#mark("done");
    this.#status.say(foundInWords(this.answer, this.#objects.passes, this.#elapsedS));
  }

  #repaint() {
    this.#legend.update(this.#objects.looks);
    this.#layers.look(this.#objects, this.stage.grey);
    this.#layer();
  }

  #layer() {
    this.stage.layers = this.#layers.all;
    this.stage.draw();
  }

  #drawMarks(context, frame) {
    const how = { ...this.#objects.looks, edges: this.#edges, opacity: this.#layers.opacity };
    if (!this.answer) return;
    drawMarks(context, frame, this.answer, how);
    if (this.#names) drawNames(context, frame, this.answer, how);
  }
}
