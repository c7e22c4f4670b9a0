/** What one model says of the frame that is shown: its masks, and figures. */

import { cautionOf } from "../common/demo-weights.js";
import { make } from "../common/dom.js";
import { Overlay } from "../canvas/overlay.js";
import { drawNames } from "../canvas/names.js";
import { drawMarks } from "../canvas/paint.js";
import { color } from "../canvas/palette.js";
import { readAnswer } from "../canvas/segments.js";
import { Stage } from "../canvas/stage.js";
import { modelName } from "../common/tasks.js";
import { isSeen, OWN_IDS } from "./track/video-seeds.js";

export class VideoPanel {
  /** @type {import("./video-frame.js").Frame | null} */
  #frame = null;
  #answer = null;
  #ids = [];
  #opacity = 1;
  #names = true;
  #overlay = null;
  #model;
  #stage;
  #caution = make("p", { class: "caution" });
  #state;
  #again;
  #objects;
  #figures;

  /**
   * @param {{model_id: string, card: any}} model
   * @param {import("../canvas/viewport.js").Viewport} viewport
   * @param {{tool: import("../canvas/stage.js").Tool, onAgain: () => void}} hear
   */
  constructor(model, viewport, { tool, onAgain }) {
    const name = modelName(model);
    this.#model = model;
    this.modelId = model.model_id;
    this.#stage = new Stage(viewport, `The video with what ${name} follows`, { tool });
    this.#stage.marks = (context, frame) => this.#drawMarks(context, frame);
    this.#state = make("p", { class: "state", role: "status" });
    this.#again = make("button", { type: "button", hidden: true, onclick: onAgain }, "Start again");
    this.#objects = make("ul", { class: "followed", "aria-label": `What ${name} follows` });
    this.#figures = make("p", { class: "figures" });
    this.element = make(
      "article",
      { class: "panel", "data-track": model.model_id, "aria-label": name },
      make("div", { class: "named" }, make("h2", {}, name), this.#caution),
      make(
        "div",
        { class: "frame" },
        this.#stage.element,
        make("p", { class: "stale" }, "From before the last change"),
      ),
      make("div", { class: "said" }, this.#state, this.#again),
      this.#objects,
      this.#figures,
    );
    this.say("off", "Choose a clip or the camera.");
  }

  /** @param {"off" | "idle" | "open" | "error" | "unable"} state @param {string} text @param {boolean} [again] */
  say(state, text, again = false) {
    this.element.dataset.state = state;
    if (this.#state.textContent !== text) this.#state.textContent = text;
    this.#again.hidden = !again;
  }

  /** @param {import("./source/clip-source.js").Source | null} source where frames are from */
  set source(source) {
    this.#caution.textContent = cautionOf(this.#model, source);
  }

  /** The frame that is shown; its masks, if any, belong to it. */
  get frame() {
    return this.#frame;
  }

  /** @param {number} share 0 to 1 */
  set opacity(share) {
    this.#opacity = share;
    this.#layer();
  }

  /** @param {import("../views.js").Look} look */
  set look({ grey, names }) {
    this.#stage.grey = grey;
    this.#names = names;
    this.#stage.draw();
  }

  /**
   * @param {import("./video-frame.js").Frame | null} frame
   * @param {any} [answer] what was found on it
   * @param {boolean} [stale] it is from before a prompt that would change it
   */
  show(frame, answer = null, stale = false) {
    frame?.keep();
    this.#stage.picture = frame?.bitmap ?? null;
    if (this.#frame !== frame) this.#frame?.letGo();
    else frame?.letGo();
    this.#frame = frame;
    this.element.toggleAttribute("data-stale", stale);
    this.#ids = answer?.objects.map((found) => found.object_id) ?? [];
    try {
      this.#answer = answer && readAnswer({ ...answer, segments: answer.objects.map(asSegment) });
    } catch (problem) {
      this.#answer = null;
      this.say("open", `The answer cannot be drawn: ${problem.message}.`);
    }
    this.#overlay = this.#answer && new Overlay(this.#answer);
    this.#overlay?.look(this.#looks());
    this.element.dataset.frame = frame?.index ?? "";
    this.#objects.replaceChildren(...(answer?.objects ?? []).map(row));
    this.#layer();
  }

  /** @param {{answered: number, of: number, dropped: number, rate: number, lost: number}} figures `of`: all frames, 0 if that is not known */
  count({ answered, of, dropped, rate, lost }) {
    Object.assign(this.element.dataset, { answered, dropped });
    const frames = of ? `${answered} of ${of} frames` : answered === 1 ? "1 frame" : `${answered} frames`;
    const speed = rate ? `, ${rate.toFixed(1)} frames a second` : "";
    const gone = lost ? `; the oldest ${lost} are not kept any more` : "";
    this.#figures.textContent = answered || dropped ? `${frames} answered, ${dropped} dropped${speed}${gone}` : "";
  }

  redraw() {
    this.#stage.draw();
  }

  remove() {
    this.show(null);
    this.#stage.remove();
    this.element.remove();
  }

  #looks() {
    const colorOf = (index) => color(this.#ids[index] - 1);
    return { colorOf, isShown: () => true, isLit: () => false };
  }

  #layer() {
    const overlay = this.#overlay;
    const paint = (context, frame) => overlay.paint(context, frame);
    this.#stage.layers = overlay ? [{ paint, opacity: this.#opacity }] : [];
    this.#stage.draw();
  }

  /** Boxes of objects without a mask, and names. */
  #drawMarks(context, frame) {
    if (!this.#answer) return;
    const how = { ...this.#looks(), edges: [], opacity: this.#opacity };
    drawMarks(context, frame, this.#answer, how);
    if (this.#names) drawNames(context, frame, this.#answer, how);
  }
}

/** An object of a frame as one of an answer about a picture. */
export function asSegment({ object_id: id, label, presence, ...rest }) {
  return { ...rest, score: presence, label: label || nameOf(id) };
}

/** Objects that a model has found by itself have numbers of their own. */
export function nameOf(id) {
  return id < OWN_IDS ? `object ${id}` : `auto ${id - OWN_IDS}`;
}

function row(found) {
  const { object_id: id, label, presence } = found;
  const seen = isSeen(found) ? presence.toFixed(2) : "hidden";
  const swatch = make("span", { class: "swatch", "aria-hidden": "true" });
  swatch.style.setProperty("--color", color(id - 1));
  return make("li", {}, swatch, `${nameOf(id).replace(/^./, (letter) => letter.toUpperCase())}${label ? `, ${label}` : ""}: ${seen}`);
}
