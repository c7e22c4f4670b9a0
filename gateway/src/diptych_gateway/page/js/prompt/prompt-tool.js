/** Which tool a press on the picture is for: points and boxes, the brush, or the eraser. */

import { byId } from "../common/dom.js";

const KEYS = { p: "point", m: "brush", e: "eraser" };
const SIZES = { "[": 1 / 1.25, "]": 1.25 };

/** @implements {import("../canvas/stage.js").Tool} */
export class PromptTool {
  help = "prompt-keys";
  #pointing;
  #painting;
  #size = null;
  #onDraw;

  /**
   * @param {import("./pointing.js").Pointing} pointing
   * @param {import("./painting.js").Painting} painting
   * @param {() => void} onDraw
   */
  constructor(pointing, painting, onDraw) {
    this.#pointing = pointing;
    this.#painting = painting;
    this.#onDraw = onDraw;
    for (const input of this.#inputs()) input.addEventListener("change", () => this.#choose(input.value));
    byId("brush-size").addEventListener("input", () => this.#resize());
    this.#resize();
  }

  /** @param {{width: number, height: number} | null} size of another picture, or none */
  set size(size) {
    this.#size = this.#pointing.size = this.#painting.size = size;
  }

  /** @param {KeyboardEvent} event @returns {boolean} whether it was for a choice of tools */
  press({ key, ctrlKey, metaKey, altKey }) {
    const name = key.toLowerCase();
    if (SIZES[key]) {
      const slider = byId("brush-size");
      const wanted = slider.value * SIZES[key];
      slider.value = String(key === "]" ? Math.ceil(wanted) : Math.floor(wanted));
      this.#resize();
    } else if (ctrlKey || metaKey || altKey) return false;
    else if (KEYS[name]) this.#choose(KEYS[name]);
    else if (name === "k") this.#painting.keep(!byId("keep").checked);
    else return false;
    return true;
  }

  onClick(...told) {
    this.#tool.onClick(...told);
  }

  onDrag(...told) {
    this.#tool.onDrag(...told);
  }

  onKey(...told) {
    return this.#tool.onKey(...told);
  }

  onHover(...told) {
    return this.#tool.onHover?.(...told) ?? "";
  }

  draw(context, frame) {
    this.#painting.draw(context, frame);
    this.#pointing.draw(context, frame);
    if (this.#tool !== this.#pointing) this.#tool.draw(context, frame);
  }

  get #tool() {
    return this.#inputs()[0].checked ? this.#pointing : this.#painting.brush;
  }

  #inputs() {
    return [...document.querySelectorAll("input[name=prompt-tool]")];
  }

  #choose(name) {
    for (const input of this.#inputs()) input.checked = input.value === name;
    this.#painting.brush.erases = name === "eraser";
    this.size = this.#size;
    this.#onDraw();
  }

  #resize() {
    const { value } = byId("brush-size");
    this.#painting.brush.diameter = Number(value);
    byId("brush-size-text").textContent = `${value} px`;
    this.#onDraw();
  }
}
