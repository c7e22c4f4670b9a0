/** What a press on the picture is for: points and boxes, the brush, or the eraser. */

import { byId } from "../common/dom.js";

const KEYS = { v: "point", d: "brush", e: "eraser" };
const SIZES = { "[": 1 / 1.25, "]": 1.25 };

export class ToolChoice {
  #pointing;
  #painting;
  #onDraw;

  /**
   * @param {import("../pointing/pointing.js").Pointing} pointing
   * @param {import("./painting.js").Painting} painting
   * @param {() => void} onDraw
   */
  constructor(pointing, painting, onDraw) {
    this.#pointing = pointing;
    this.#painting = painting;
    this.#onDraw = onDraw;
    for (const input of inputs()) input.addEventListener("change", () => this.choose(input.value));
    byId("brush-size").addEventListener("input", () => this.#resize());
    this.choose("point");
    this.#resize();
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
    else if (KEYS[name]) this.choose(KEYS[name]);
    else if (name === "k") this.#painting.keep(!byId("keep").checked);
    else return false;
    return true;
  }

  /** @param {"point" | "brush" | "eraser"} name */
  choose(name) {
    const { brush } = this.#painting;
    for (const input of inputs()) input.checked = input.value === name;
    brush.rest();
    brush.erases = name === "eraser";
    this.#pointing.tool = name === "point" ? null : brush;
    this.#onDraw();
  }

  #resize() {
    const { value } = byId("brush-size");
    this.#painting.brush.diameter = Number(value);
    byId("brush-size-text").textContent = `${value} px`;
    this.#onDraw();
  }
}

function inputs() {
  return document.querySelectorAll("input[name=prompt-tool]");
}
