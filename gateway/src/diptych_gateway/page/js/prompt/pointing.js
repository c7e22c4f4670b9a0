/** Clicks, drags and keys on the pictures, turned into points and boxes. */

import { Crosshair } from "./crosshair.js";
import { byId } from "../common/dom.js";
import { drawPrompts } from "./prompt-marks.js";
import { nearestPoint } from "./prompts.js";

const REACH_PX = { mouse: 9, touch: 18 };
const MIN_BOX_PX = 2;

/**
 * @typedef {object} Pointed what is pointed at
 * @property {import("./prompts.js").Wanted[]} objects
 * @property {number} current index of the one that the next point is for
 * @property {(point: import("./prompts.js").Point) => void} addPoint
 * @property {(box: import("./prompts.js").Box) => void} drawBox
 * @property {(object: number, index: number) => void} removePoint
 */

/** Ids of what explains the keys, makes points be not on the object, says where the crosshair is. */
const ELEMENTS = { help: "prompt-keys", background: "background", said: "prompt-said" };

/** @implements {import("../canvas/stage.js").Tool} */
export class Pointing {
  #elements;
  #prompts;
  #hear;
  #crosshair;
  /** A box that is being drawn. @type {import("./prompts.js").Box | null} */
  #draft = null;
  /** Of the picture. @type {{width: number, height: number} | null} */
  #size = null;

  /**
   * @param {import("../canvas/viewport.js").Viewport} viewport
   * @param {Pointed} prompts
   * @param {{onChange: (act: () => void) => void, onDraw: () => void}} hear `onChange` carries out a
   *   change of the prompts
   * @param {typeof ELEMENTS} [elements]
   */
  constructor(viewport, prompts, hear, elements = ELEMENTS) {
    this.#elements = elements;
    this.help = elements.help;
    this.#prompts = prompts;
    this.#hear = hear;
    this.#crosshair = new Crosshair(viewport, {
      onPoint: (position, positive, stage) => this.#point(position, positive, REACH_PX.mouse * stage.grain),
      onBox: (drag) => this.onDrag(drag),
      onMove: () => this.#tellCrosshair(),
    });
  }

  /** Another picture, or none: what was begun on the earlier one is forgotten. */
  set size(size) {
    this.#size = size;
    this.#draft = null;
    this.#crosshair.hide();
  }

  /** Adds a point; where there is one, takes it away. */
  onClick(position, { altKey, pointerType }, stage) {
    this.#crosshair.hide();
    const reach = pointerType === "touch" ? REACH_PX.touch : REACH_PX.mouse;
    this.#point(position, !altKey, reach * stage.grain);
  }

  /** @param {import("../canvas/gestures.js").Drag} drag */
  onDrag({ from, to, done }) {
    if (!this.#size) return;
    const [a, b] = [this.#pixel(from), to && this.#pixel(to)];
    const box = b && [Math.min(a.x, b.x), Math.min(a.y, b.y), Math.max(a.x, b.x), Math.max(a.y, b.y)];
    this.#draft = done ? null : box;
    if (done && box && Math.min(box[2] - box[0], box[3] - box[1]) >= MIN_BOX_PX) {
      this.#hear.onChange(() => this.#prompts.drawBox(box));
    } else this.#hear.onDraw();
  }

  onKey(event, stage) {
    return this.#size !== null && this.#crosshair.press(event, stage);
  }

  draw(context, frame) {
    if (!this.#size) return;
    const { objects, current } = this.#prompts;
    const { at } = this.#crosshair;
    const crosshair = at && this.#pixel(at);
    drawPrompts(context, frame, { size: this.#size, objects, current, draft: this.#draft, crosshair });
  }

  #point(position, positive, reach) {
    if (!this.#size || Math.min(position.x, position.y) < 0 || Math.max(position.x, position.y) > 1) return;
    const pixel = this.#pixel(position);
    const there = nearestPoint(this.#prompts.objects, pixel, reach);
    this.#hear.onChange(() => {
      if (there) this.#prompts.removePoint(there.object, there.index);
      else this.#prompts.addPoint({ ...pixel, positive: positive && !byId(this.#elements.background).checked });
    });
  }

  /** Shares to pixels of the picture, clamped into it, as fine as the address has them. */
  #pixel({ x, y }) {
    const fine = (share, size) => Math.round(Math.min(Math.max(share, 0), 1) * size * 10) / 10;
    return { x: fine(x, this.#size.width), y: fine(y, this.#size.height) };
  }

  #tellCrosshair() {
    const { at, drawing } = this.#crosshair;
    const { x, y } = this.#pixel(at ?? { x: 0, y: 0 });
    byId(this.#elements.said).textContent = at ? `${drawing ? "Box to" : "At"} ${x}, ${y}` : "";
    this.#hear.onDraw();
  }
}
