/** One frame of a film: what each model says of it, side by side. */

import { drawNames } from "../canvas/names.js";
import { Overlay } from "../canvas/overlay.js";
import { drawMarks } from "../canvas/paint.js";
import { color } from "../canvas/palette.js";
import { readAnswer } from "../canvas/segments.js";
import { asSegment } from "../video/video-panel.js";

/** Encoders take no more. */
const [MAX_WIDTH, MAX_HEIGHT] = [3840, 2160];
const INK = "#14161a";

/**
 * @typedef {object} Column
 * @property {string} title "" for none
 * @property {any} answer the document of the frame; `null` if there is none
 */

export class FilmPage {
  canvas = document.createElement("canvas");
  #panel = document.createElement("canvas");
  #title;

  /** @param {{width: number, height: number}} size of a frame @param {number} columns @param {boolean} titled */
  constructor({ width, height }, columns, titled) {
    const bar = titled ? Math.max(24, Math.round(height / 16)) : 0;
    const scale = Math.min(1, MAX_WIDTH / (width * columns), MAX_HEIGHT / (height + bar));
    this.#title = even(bar * scale);
    Object.assign(this.#panel, { width: even(width * scale), height: even(height * scale) });
    this.canvas.width = this.#panel.width * columns;
    this.canvas.height = this.#panel.height + this.#title;
  }

  /**
   * @param {ImageBitmap} bitmap
   * @param {Column[]} columns
   * @param {{opacity: number, names: boolean}} look
   */
  draw(bitmap, columns, look) {
    const context = this.canvas.getContext("2d");
    const { width } = this.#panel;
    context.fillStyle = INK;
    context.fillRect(0, 0, this.canvas.width, this.canvas.height);
    context.font = `${Math.round(this.#title * 0.6)}px system-ui, sans-serif`;
    context.textBaseline = "middle";
    columns.forEach(({ title, answer }, at) => {
      this.#drawPanel(bitmap, answer, look);
      context.drawImage(this.#panel, at * width, this.#title);
      context.fillStyle = "white";
      const left = Math.round(this.#title / 3);
      if (this.#title) context.fillText(title, at * width + left, this.#title / 2, width - 2 * left);
    });
  }

  #drawPanel(bitmap, document, { opacity, names }) {
    const { width, height } = this.#panel;
    const context = this.#panel.getContext("2d");
    context.drawImage(bitmap, 0, 0, width, height);
    if (!document) return;
    const answer = readAnswer({ ...document, segments: document.objects.map(asSegment) });
    const colorOf = (index) => color(document.objects[index].object_id - 1);
    const how = { colorOf, isShown: () => true, isLit: () => false, edges: [], opacity };
    const frame = { left: 0, top: 0, width, height, unit: Math.max(1, Math.max(width, height) / 800) };
    const overlay = new Overlay(answer);
    overlay.look(how);
    context.globalAlpha = opacity;
    overlay.paint(context, frame);
    context.globalAlpha = 1;
    drawMarks(context, frame, answer, how);
    if (names) drawNames(context, frame, answer, how);
  }
}

/** Encoders want even sides. @param {number} length */
function even(length) {
  return 2 * Math.round(length / 2);
}
