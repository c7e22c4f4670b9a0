/** What is pointed at on the frame that is held. Objects keep their numbers from frame to frame. */

import { byId, make } from "../common/dom.js";
import { color } from "../canvas/palette.js";
import { Pointing } from "../pointing/pointing.js";
import { asOptions, canBeAsked, EMPTY, isCorrection } from "../prompt/prompts.js";

const ELEMENTS = { help: "video-help", background: "video-background", said: "video-said" };

/** @implements {import("../pointing/pointing.js").Pointed} */
export class VideoPrompts {
  /** On this frame, by number of the object less 1. @type {import("../prompt/prompts.js").Wanted[]} */
  objects = [EMPTY];
  current = 0;
  /** Numbers are not used again: a session knows what was forgotten. */
  #forgotten = new Set();
  /** Those that models follow: clicks beside them alone are corrections. */
  #asked = new Set();
  #hear;
  /** For the stages of the panels. */
  tool;

  /**
   * @param {import("../canvas/viewport.js").Viewport} viewport
   * @param {{onPrompt: (object: number, prompt: any) => void, onForget: (object: number) => void,
   *   onDraw: () => void}} hear objects are numbered from 1
   */
  constructor(viewport, hear) {
    this.#hear = hear;
    const act = { onChange: (change) => this.#change(change), onDraw: hear.onDraw };
    this.tool = new Pointing(viewport, this, act, ELEMENTS);
    byId("video-new").addEventListener("click", () => this.#add());
    byId("video-forget").addEventListener("click", () => this.#forget());
    this.#show();
  }

  /** Another frame, or none, on which nothing is said yet. @param {import("./video-frame.js").Frame | null} frame */
  set frame(frame) {
    this.tool.size = frame;
    this.objects = this.objects.map(() => EMPTY);
    this.#hear.onDraw();
  }

  reset() {
    this.objects = [EMPTY];
    this.current = 0;
    this.#forgotten.clear();
    this.#asked.clear();
    this.frame = null;
    this.#show();
  }

  addPoint(point) {
    const object = this.objects[this.current];
    this.put(this.current, { ...object, points: [...object.points, point] });
  }

  drawBox(box) {
    this.put(this.current, { ...this.objects[this.current], box });
  }

  removePoint(object, index) {
    const wanted = this.objects[object];
    this.put(object, { ...wanted, points: wanted.points.toSpliced(index, 1) });
  }

  removeBox(object) {
    this.put(object, { ...this.objects[object], box: null });
  }

  put(object, wanted) {
    this.objects = this.objects.with(object, wanted);
  }

  #change(change) {
    const before = this.objects;
    change();
    this.objects.forEach((object, index) => {
      if (object === before[index]) return;
      if (!canBeAsked(object) && !(isCorrection(object) && this.#asked.has(index))) return;
      this.#asked.add(index);
      this.#hear.onPrompt(index + 1, asOptions(object));
    });
    this.#hear.onDraw();
  }

  #add() {
    this.objects = [...this.objects, EMPTY];
    this.current = this.objects.length - 1;
    this.#show();
  }

  #forget() {
    const gone = this.current;
    this.#forgotten.add(gone);
    this.#asked.delete(gone);
    this.put(gone, EMPTY);
    this.#hear.onForget(gone + 1);
    const left = [...this.objects.keys()].filter((object) => !this.#forgotten.has(object));
    this.current = left.at(-1) ?? 0;
    if (left.length) this.#show();
    else this.#add();
    this.#hear.onDraw();
  }

  #show() {
    const objects = [...this.objects.keys()].filter((object) => !this.#forgotten.has(object));
    byId("video-objects").replaceChildren(
      ...objects.map((object) => {
        const input = make("input", { type: "radio", name: "video-object", value: object });
        input.checked = object === this.current;
        input.addEventListener("change", () => {
          this.current = object;
          this.#hear.onDraw();
        });
        const swatch = make("span", { class: "swatch", "aria-hidden": "true" });
        swatch.style.setProperty("--color", color(object));
        return make("label", {}, input, make("span", {}, swatch, ` Object ${object + 1}`));
      }),
    );
  }
}
