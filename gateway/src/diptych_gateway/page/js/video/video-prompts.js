/** What is pointed at on the frame that stands still, and the buttons for that. */

import { byId } from "../common/dom.js";
import { PointedObjects } from "../pointing/pointed.js";
import { Pointing } from "../pointing/pointing.js";
import { EMPTY } from "../prompt/prompts.js";

const ELEMENTS = { help: "video-help", background: "video-background", said: "video-said" };

/** @implements {import("../pointing/pointing.js").Pointed} */
export class VideoPrompts extends PointedObjects {
  #told;
  #frame = -1;
  /** For the stages of the panels. */
  tool;

  /**
   * @param {import("../canvas/viewport.js").Viewport} viewport
   * @param {import("./told.js").Told} told
   * @param {{onChange: (act: () => void) => void, onDraw: () => void}} hear
   */
  constructor(viewport, told, hear) {
    super();
    this.#told = told;
    this.tool = new Pointing(viewport, this, hear, ELEMENTS);
    byId("video-new").addEventListener("click", () => {
      told.add();
      hear.onChange(() => {});
    });
  }

  /** The frame that is pointed at, if any stands still. @param {import("./video-frame.js").Frame | null} frame */
  set frame(frame) {
    this.tool.size = frame;
    this.#frame = frame?.index ?? -1;
  }

  /** On this frame, by number of the object less 1, which decides on its colour. */
  get objects() {
    const objects = [];
    for (const id of this.#told.ids) objects[id - 1] = this.#told.at(id, this.#frame);
    return Array.from(objects, (object) => object ?? EMPTY);
  }

  get current() {
    return this.#told.current - 1;
  }

  /** @param {number} object */
  choose(object) {
    this.#told.current = object + 1;
  }

  put(object, wanted) {
    this.#told.put(object + 1, this.#frame, wanted);
  }
}
