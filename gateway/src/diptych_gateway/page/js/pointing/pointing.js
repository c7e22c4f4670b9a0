/** Clicks, drags and keys on the pictures, turned into points and boxes, and changes of them. */

import { Crosshair } from "./crosshair.js";
import { byId } from "../common/dom.js";
import { Grip, inPixels } from "./grip.js";
import { EMPTY } from "../prompt/prompts.js";
import { drawBoxes, drawPrompts } from "./prompt-marks.js";
import { cursorOf, fine, handlesOf, nameOf, targetAt } from "./targets.js";

/** How far from a mark it is taken hold of, in CSS pixels. */
const REACH_PX = { mouse: 9, pen: 12, touch: 22 };

/**
 * @typedef {object} Pointed what is pointed at
 * @property {import("../prompt/prompts.js").Wanted[]} objects
 * @property {number} current index of the one that the next point is for
 * @property {(point: import("../prompt/prompts.js").Point) => void} addPoint
 * @property {(box: import("../prompt/prompts.js").Box) => void} drawBox
 * @property {(object: number, index: number) => void} removePoint
 * @property {(object: number) => void} removeBox
 * @property {(object: number, wanted: import("../prompt/prompts.js").Wanted) => void} put
 * @property {(object: number) => void} [choose]
 */

/** Ids of what explains the keys, makes points be not on the object, says where the crosshair is. */
const ELEMENTS = { help: "prompt-keys", background: "background", said: "prompt-said" };

/** @implements {import("../canvas/stage.js").Tool} */
export class Pointing {
  /**
   * Does what it can instead of points and boxes; what it draws is drawn over them.
   *
   * @type {Partial<import("../canvas/stage.js").Tool> | null}
   */
  tool = null;
  /** Draws below the marks. @type {import("../canvas/stage.js").Tool["draw"] | null} */
  under = null;
  #elements;
  #prompts;
  #hear;
  #crosshair;
  #grip = new Grip();
  /** Where the pointer or the crosshair is. @type {{at: {x: number, y: number}, near: any} | null} */
  #over = null;
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
      onPoint: (position, positive, stage) => {
        this.#point(position, positive, nearBy("mouse", stage));
        this.#tellCrosshair(stage);
      },
      onDrag: (drag, stage) => this.#drag(drag, nearBy("mouse", stage)),
      canMove: (position, stage) => this.#targetAt(position, { ...nearBy("mouse", stage), drags: true }) !== null,
      onMove: (stage) => this.#tellCrosshair(stage),
    });
  }

  /** Another picture, or none: what was begun on the earlier one is forgotten. */
  set size(size) {
    this.#size = size;
    this.#over = null;
    this.#grip.letGo();
    this.#crosshair.hide();
  }

  get dragPx() {
    return this.tool?.dragPx;
  }

  /** Adds a point; where there is one, takes it away, and with its × a box. */
  onClick(position, press, stage) {
    this.#crosshair.hide();
    if (this.tool?.onClick) this.tool.onClick(position, press, stage);
    else this.#point(position, !press.other, nearBy(press.pointerType, stage));
  }

  onDrag(drag, stage) {
    this.#crosshair.hide();
    if (this.tool?.onDrag) this.tool.onDrag(drag, stage);
    else this.#drag(drag, nearBy(drag.pointerType ?? "mouse", stage));
  }

  onHover(position, pointerType, stage) {
    const before = JSON.stringify(this.#marked());
    const inside = position && this.#size && isInside(position);
    const near = nearBy(pointerType, stage);
    if (inside && !this.tool?.onHover) this.#over = { at: inPixels(position, this.#size), near };
    else if (!this.#crosshair.at) this.#over = null;
    const target = this.#marked();
    if (JSON.stringify(target) !== before) this.#hear.onDraw();
    if (this.tool?.onHover) return this.tool.onHover(position, pointerType, stage);
    return inside ? cursorOf(target) : "default";
  }

  onKey(event, stage) {
    if (!this.#size) return false;
    if (this.tool?.onKey?.(event, stage) || this.#crosshair.press(event, stage)) return true;
    if (event.key === "Delete" || event.key === "Backspace") return this.#removeMarked();
    const plain = !event.ctrlKey && !event.metaKey && !event.altKey;
    return plain && event.key.toLowerCase() === "t" && this.#nextMark(event.shiftKey ? -1 : 1, stage);
  }

  /** Takes away the point or the box that the pointer is on; returns whether there was one. */
  removeHovered() {
    return !this.#crosshair.at && this.#removeMarked();
  }

  #removeMarked() {
    const target = this.#grip.busy ? null : this.#marked();
    if (target) this.#hear.onChange(() => this.#remove(target));
    return target !== null;
  }

  drawUnder(context, frame) {
    if (this.#size) drawBoxes(context, frame, this.#marks());
  }

  draw(context, frame) {
    if (!this.#size) return;
    this.under?.(context, frame);
    drawPrompts(context, frame, this.#marks());
    this.tool?.draw?.(context, frame);
  }

  #marks() {
    const { current } = this.#prompts;
    const { draft, busy, held } = this.#grip;
    const seen = this.#scene().objects;
    const objects = draft ? seen.with(draft.object, draft.wanted) : seen;
    const crosshair = this.#crosshair.at && inPixels(this.#crosshair.at, this.#size);
    const marked = busy ? held : this.#marked();
    return { size: this.#size, objects, current, crosshair, marked, busy };
  }

  #scene() {
    const { objects, current } = this.#prompts;
    const seen = objects.map((object) => (object.hidden ? EMPTY : object));
    return { objects: seen, current, size: this.#size };
  }

  #targetAt(position, near) {
    return targetAt(this.#scene(), inPixels(position, this.#size), near);
  }

  #marked() {
    return this.#over && targetAt(this.#scene(), this.#over.at, this.#over.near);
  }

  #remove({ kind, object, index }) {
    if (kind === "point") this.#prompts.removePoint(object, index);
    else this.#prompts.removeBox(object);
  }

  #point(position, positive, near) {
    if (!this.#size || !isInside(position)) return;
    const target = this.#targetAt(position, near);
    const on = positive && !byId(this.#elements.background).checked;
    this.#hear.onChange(() => {
      if (target?.kind === "point" || target?.kind === "close") this.#remove(target);
      else this.#prompts.addPoint({ ...inPixels(position, this.#size), positive: on });
    });
  }

  /** Of a mark where it begins on one, else of a new box. Nothing is asked before it ends. */
  #drag(drag, near) {
    if (!this.#size) return;
    const result = this.#grip.drag(drag, this.#scene(), near);
    if (this.#over && drag.to) this.#over = { ...this.#over, at: inPixels(drag.to, this.#size) };
    if (!result) return this.#hear.onDraw();
    const { object, wanted, moved } = result;
    this.#hear.onChange(() => {
      if (object !== this.#prompts.current) this.#prompts.choose?.(object);
      if (moved) this.#prompts.put(object, wanted);
      else this.#prompts.drawBox(wanted.box);
    });
  }

  /** The crosshair goes to the next point of the current object, then along the handles of its box. */
  #nextMark(step, stage) {
    const { points, box } = this.#prompts.objects[this.#prompts.current];
    const marks = [...points, ...(box ? handlesOf(box) : [])];
    if (!marks.length) return false;
    const here = this.#crosshair.at && inPixels(this.#crosshair.at, this.#size);
    const at = marks.findIndex(({ x, y }) => here && fine(x) === here.x && fine(y) === here.y);
    const next = at < 0 && step < 0 ? marks.length - 1 : (at + step + marks.length) % marks.length;
    const { x, y } = marks[next];
    this.#crosshair.goTo({ x: x / this.#size.width, y: y / this.#size.height }, stage);
    return true;
  }

  #tellCrosshair(stage) {
    const { at, doing } = this.#crosshair;
    this.#over = at && { at: inPixels(at, this.#size), near: nearBy("mouse", stage) };
    const target = doing ? null : this.#marked();
    const verb = { box: "Box to", move: "Moved to" }[doing] ?? "At";
    const place = this.#over && `${verb} ${this.#over.at.x}, ${this.#over.at.y}`;
    byId(this.#elements.said).textContent = [place, target && nameOf(target)].filter(Boolean).join(": ");
    this.#hear.onDraw();
  }
}

function nearBy(pointerType, { grain }) {
  return { reach: (REACH_PX[pointerType] ?? REACH_PX.mouse) * grain, grain };
}

function isInside({ x, y }) {
  return Math.min(x, y) >= 0 && Math.max(x, y) <= 1;
}
