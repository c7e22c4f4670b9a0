/** One model on the picture: waiting, its answer, or why there is none. */

import { sentence } from "../common/api.js";
import { make } from "../common/dom.js";
import { inWords, Legend } from "./legend.js";
import { Overlay } from "../canvas/overlay.js";
import { drawNames } from "../canvas/names.js";
import { drawMarks } from "../canvas/paint.js";
import { color } from "../canvas/palette.js";
import { segmentAt } from "../canvas/segments.js";
import { Stage } from "../canvas/stage.js";
import { modelName } from "../common/tasks.js";
import { milliseconds, showTimings } from "./timings.js";

/**
 * @typedef {object} Draft
 * @property {number} number of the object
 * @property {(context: CanvasRenderingContext2D, frame: import("../canvas/stage.js").Frame) => void} paint
 */

export class Panel {
  /** @type {import("../canvas/segments.js").Answer | null} */
  answer = null;
  #name;
  #numbers = [];
  #hidden = new Set();
  #lit = null;
  /** What is painted just now, instead of the object of this number. @type {Draft | null} */
  #draft = null;
  #opacity = 1;
  #names = true;
  /** @type {Overlay | null} */
  #overlay = null;
  #edges;
  #onPoint;
  #legend;
  #state;
  #hover;
  #timings;

  /**
   * @param {{model_id: string, card: any}} model
   * @param {import("../canvas/viewport.js").Viewport} viewport
   * @param {{onPoint: (number: number | null) => void, tool?: import("../canvas/stage.js").Tool}} hear
   *   `onPoint` is told the number of the object pointed at
   */
  constructor(model, viewport, { onPoint, tool }) {
    const name = modelName(model);
    this.modelId = model.model_id;
    this.#name = name;
    this.#onPoint = onPoint;
    this.#edges = model.card?.keypoint_schema?.edges ?? [];
    this.stage = new Stage(viewport, `The picture with what ${name} found`, {
      onHover: (x, y) => this.#point(this.#at(x, y)),
      onLeave: () => this.#point(null),
      onClick: (x, y) => this.#toggle(this.#at(x, y)),
      tool,
    });
    this.stage.marks = (context, frame) => this.#drawMarks(context, frame);
    this.#legend = new Legend(name, {
      onPoint: (index) => this.#point(index),
      onToggle: (index) => this.#toggle(index),
    });
    this.#state = make("p", { class: "state", role: "status" });
    this.#hover = make("p", { class: "hover", "aria-hidden": "true" });
    this.#timings = make("div", { class: "costs" });
    this.element = make(
      "article",
      { class: "panel", "data-model": model.model_id, "aria-label": name },
      make("h2", {}, name),
      make("div", { class: "frame" }, this.stage.element, this.#hover),
      this.#state,
      this.#legend.element,
      this.#timings,
    );
    this.#say("idle", "");
  }

  /** @param {ImageBitmap | null} picture */
  set picture(picture) {
    this.stage.picture = picture;
  }

  /** @param {number} share 0 to 1 */
  set opacity(share) {
    this.#opacity = share;
    this.#layer();
  }

  /** @param {import("../views.js").Look} look */
  set look({ grey, names }) {
    this.stage.grey = grey;
    this.#names = names;
    this.stage.draw();
  }

  /** @param {Draft | null} draft until there is another answer */
  set draft(draft) {
    this.#draft = draft;
    this.#repaint();
  }

  /** @returns {string} "idle", "waiting", "done", "error", "off", or "unable" to do the task */
  get state() {
    return this.element.dataset.state ?? "";
  }

  /** What it says of its state. */
  get said() {
    return this.#state.textContent;
  }

  /** Shows that the model was asked. @param {{keep?: boolean}} [how] `keep`: with its earlier answer */
  wait({ keep = false } = {}) {
    if (!keep) this.#clear();
    this.#say("waiting", "Asking …");
  }

  /** Shows why there is no answer. @param {string} text @param {"error" | "off" | "idle" | "unable"} [kind] */
  fail(text, kind = "error") {
    this.#clear();
    this.#say(kind, text);
  }

  /**
   * @param {import("../canvas/segments.js").Answer} answer
   * @param {number | null} elapsedS `null`: the model was not asked
   */
  fill(answer, elapsedS) {
    this.#clear();
    this.answer = answer;
    this.#overlay = new Overlay(answer);
    const count = answer.segments.filter(({ mask, area }) => area || !mask).length;
    const found = count === 1 ? "1 object" : `${count || "No"} objects`;
    const omitted = answer.omitted ? `, ${answer.omitted} more left out` : "";
    const held = answer.held ? ", encoder not run" : "";
    const warnings = answer.warnings.map((text) => `. ${sentence(text)}`).join("");
    const took = elapsedS === null ? " as painted" : ` in ${milliseconds(elapsedS)}`;
    this.#say("done", `${found}${omitted}${took}${held}${warnings}`);
    this.#legend.segments = answer.segments;
    if (elapsedS !== null) this.#timings.replaceChildren(showTimings(answer.timings, elapsedS, answer.held));
    this.numbers = answer.segments.map(({ object, index }) => object ?? index);
  }

  /** @returns {import("../views.js").Shown | null} the answer, if there is one */
  get shown() {
    const { colorOf, isShown } = this.#looks();
    return this.answer && { name: this.#name, answer: this.answer, edges: this.#edges, colorOf, isShown };
  }

  /** Numbers of the objects, which decide on their colours. @param {number[]} numbers */
  set numbers(numbers) {
    this.#numbers = numbers;
    this.#repaint();
  }

  /** Highlights the object of this number, if the model found it. @param {number | null} number */
  light(number) {
    const index = number === null ? -1 : this.#numbers.indexOf(number);
    const lit = index < 0 ? null : index;
    if (lit === this.#lit) return;
    this.#lit = lit;
    this.#repaint();
  }

  remove() {
    this.stage.remove();
    this.element.remove();
  }

  #clear() {
    this.answer = null;
    this.#overlay = this.#draft = null;
    this.#numbers = [];
    this.#hidden.clear();
    this.#lit = null;
    this.#legend.segments = [];
    this.#timings.replaceChildren();
    this.#hover.textContent = "";
    this.#repaint();
  }

  /** @param {string} state @param {string} text */
  #say(state, text) {
    this.element.dataset.state = state;
    this.element.setAttribute("aria-busy", String(state === "waiting"));
    this.#state.textContent = text;
  }

  #at(x, y) {
    return (this.answer && segmentAt(this.answer, x, y, this.#hidden)?.index) ?? null;
  }

  /** @param {number | null} index */
  #point(index) {
    const segment = index === null ? null : this.answer?.segments[index];
    this.#hover.textContent = segment ? inWords(segment) : "";
    this.#onPoint(segment ? this.#numbers[segment.index] : null);
  }

  /** @param {number | null} index */
  #toggle(index) {
    if (index === null) return;
    if (!this.#hidden.delete(index)) this.#hidden.add(index);
    this.#repaint();
  }

  #looks() {
    return {
      colorOf: (index) => color(this.#numbers[index] ?? index),
      isShown: (index) => !this.#hidden.has(index),
      isLit: (index) => index === this.#lit,
    };
  }

  #repaint() {
    this.#legend.update(this.#looks());
    const { isShown, ...looks } = this.#looks();
    const hidden = this.#draft?.number;
    this.#overlay?.look({ ...looks, isShown: (index) => isShown(index) && this.#numbers[index] !== hidden });
    this.#layer();
  }

  #layer() {
    const painted = [this.#overlay, this.#draft].filter(Boolean);
    const paint = (layer) => (context, frame) => layer.paint(context, frame);
    this.stage.layers = painted.map((layer) => ({ paint: paint(layer), opacity: this.#opacity }));
    this.stage.draw();
  }

  #drawMarks(context, frame) {
    const how = { ...this.#looks(), edges: this.#edges, opacity: this.#opacity };
    if (!this.answer) return;
    drawMarks(context, frame, this.answer, how);
    if (this.#names) drawNames(context, frame, this.answer, how);
  }
}
