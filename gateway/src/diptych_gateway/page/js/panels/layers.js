/** What lies over a picture: an answer's masks, and what is painted just now. */

import { Overlay } from "../canvas/overlay.js";
import { FILL, SOLID } from "../canvas/paint.js";

/**
 * @typedef {object} Draft what is painted instead of an object, until there is another answer
 * @property {number} number of the object
 * @property {(context: CanvasRenderingContext2D, frame: import("../canvas/stage.js").Frame) => void} paint
 */

export class Layers {
  opacity = 1;
  /** @type {Draft | null} */
  draft = null;
  /** @type {Overlay | null} */
  #overlay = null;

  /** @param {import("../canvas/segments.js").Answer | null} answer */
  take(answer) {
    this.#overlay = answer && new Overlay(answer);
    this.draft = null;
  }

  /** @param {import("./objects.js").Objects} objects @param {boolean} grey the picture has no colours */
  look({ looks, numbers }, grey) {
    const isShown = (index) => looks.isShown(index) && numbers[index] !== this.draft?.number;
    this.#overlay?.look({ ...looks, isShown, fill: grey ? SOLID : FILL });
  }

  /** @returns {import("../canvas/stage.js").Layer[]} */
  get all() {
    const layers = [this.#overlay, this.draft].filter(Boolean);
    return layers.map((layer) => ({ paint: (context, frame) => layer.paint(context, frame), opacity: this.opacity }));
  }
}
