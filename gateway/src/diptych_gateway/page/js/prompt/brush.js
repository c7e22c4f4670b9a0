/** A brush and an eraser: strokes by mouse, pen, finger and keys. */

import { Crosshair } from "../pointing/crosshair.js";

const DASH = 5;
/** They are for boxes and marks, which are another tool's. */
const KEYS_OF_MARKS = ["b", "g", "t", "delete", "backspace"];

/**
 * @typedef {object} Canvas what is painted on
 * @property {(stage: import("../canvas/stage.js").Stage, erasing: boolean) => import("./mask-sheet.js").MaskSheet | null} begin
 *   `null`: there is nothing to paint on
 * @property {(erasing: boolean) => void} end a stroke is done
 * @property {() => void} giveUp a stroke is taken back
 * @property {() => void} onDraw
 * @property {(text: string) => void} say where the keys are
 */

export class Brush {
  /** A stroke begins at once. */
  dragPx = 1;
  /** Of the tip, in CSS pixels. */
  diameter = 24;
  erases = false;
  #canvas;
  #crosshair;
  /** Of the picture. @type {{width: number, height: number} | null} */
  #size = null;
  /** The stroke that is under way. */
  #stroke = null;
  /** Where the tip is. @type {import("../canvas/stage.js").Position | null} */
  #tip = null;

  /** @param {import("../canvas/viewport.js").Viewport} viewport @param {Canvas} canvas */
  constructor(viewport, canvas) {
    this.#canvas = canvas;
    this.#crosshair = new Crosshair(viewport, {
      onPoint: (position, positive, stage) => this.#press(position, positive, stage),
      onDrag: () => {},
      canMove: () => false,
      onMove: () => this.#follow(),
    });
  }

  /** Another picture, or none. */
  set size(size) {
    this.rest();
    this.#size = size;
  }

  /** What was begun is forgotten. */
  rest() {
    this.giveUp();
    this.#tip = null;
    this.#crosshair.hide();
  }

  giveUp() {
    if (!this.#stroke) return;
    this.#stroke = null;
    this.#canvas.giveUp();
  }

  onClick(position, { other }, stage) {
    this.#crosshair.hide();
    this.giveUp();
    if (!this.#begin(position, stage, this.erases || other)) return;
    this.#line(position);
    this.#end();
  }

  onDrag({ from, to, done }, stage) {
    if (!to) return this.giveUp();
    this.#crosshair.hide();
    this.#tip = to;
    if (!this.#stroke && !this.#begin(from, stage, this.erases)) return;
    this.#line(to);
    if (done) this.#end();
  }

  onHover(position) {
    this.#tip = position;
    this.#canvas.onDraw();
    return position ? "none" : "";
  }

  onKey(event, stage) {
    if (!this.#size) return false;
    if (KEYS_OF_MARKS.includes(event.key.toLowerCase())) return true;
    if (event.key !== "Escape" || !this.#stroke) return this.#crosshair.press(event, stage);
    this.giveUp();
    return true;
  }

  /** A ring as large as the tip; dashed, if it erases. */
  draw(context, frame) {
    const at = this.#crosshair.at ?? this.#tip;
    if (!at || !this.#size) return;
    const { unit } = frame;
    context.save();
    for (const [width, style] of [
      [3, "white"],
      [1, "black"],
    ]) {
      context.lineWidth = width * unit;
      context.strokeStyle = style;
      if (this.erases && width === 1) context.setLineDash([DASH * unit, DASH * unit]);
      context.beginPath();
      const place = [frame.left + at.x * frame.width, frame.top + at.y * frame.height];
      context.arc(...place, Math.max(1, (this.diameter / 2) * unit), 0, 2 * Math.PI);
      context.stroke();
    }
    context.restore();
  }

  /** The first key puts the brush down, the second one lifts it. */
  #press(position, positive, stage) {
    if (this.#stroke) return this.#end();
    if (this.#begin(position, stage, this.erases || !positive)) this.#line(position);
    this.#follow();
  }

  #follow() {
    const { at } = this.#crosshair;
    if (at && this.#stroke) this.#line(at);
    const { x, y } = at ? this.#pixel(at) : { x: 0, y: 0 };
    const does = this.#stroke ? (this.#stroke.value ? "Painting" : "Erasing") : "Brush";
    this.#canvas.say(at ? `${does} at ${Math.round(x)}, ${Math.round(y)}` : "");
    this.#canvas.onDraw();
  }

  #begin(position, stage, erasing) {
    const sheet = this.#size && this.#canvas.begin(stage, erasing);
    if (!sheet) return false;
    this.#stroke = { sheet, value: erasing ? 0 : 1, last: position, radius: (this.diameter / 2) * stage.grain };
    return true;
  }

  #line(to) {
    const { sheet, value, last, radius } = this.#stroke;
    sheet.stroke(this.#pixel(last), this.#pixel(to), radius, value);
    this.#stroke.last = to;
    this.#canvas.onDraw();
  }

  #end() {
    const { value } = this.#stroke;
    this.#stroke = null;
    this.#canvas.end(!value);
  }

  #pixel({ x, y }) {
    return { x: x * this.#size.width, y: y * this.#size.height };
  }
}
