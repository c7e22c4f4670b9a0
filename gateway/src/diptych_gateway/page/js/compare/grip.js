/** The handle on the line of a wipe, to be dragged on the picture itself; keys have the slider below. */

import { make } from "../common/dom.js";

export class Grip {
  #canvas;

  /**
   * @param {HTMLCanvasElement} canvas that it lies over, in the same positioned element
   * @param {(share: number) => void} onMove 0 to 1 of the canvas' width
   */
  constructor(canvas, onMove) {
    this.#canvas = canvas;
    this.element = make("div", { class: "grip", "aria-hidden": "true" });
    this.element.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      event.preventDefault();
      this.element.setPointerCapture(event.pointerId);
    });
    this.element.addEventListener("pointermove", (event) => {
      if (!this.element.hasPointerCapture(event.pointerId)) return;
      const { left, width } = canvas.getBoundingClientRect();
      onMove(Math.min(Math.max((event.clientX - left) / width, 0), 1));
    });
    // Whoever zooms at the line means the picture.
    this.element.addEventListener(
      "wheel",
      (event) => {
        if (!canvas.dispatchEvent(new WheelEvent("wheel", event))) event.preventDefault();
      },
      { passive: false },
    );
  }

  /** @param {number} share of the canvas' width */
  set at(share) {
    const { offsetLeft, clientLeft, clientWidth } = this.#canvas;
    this.element.style.left = `${offsetLeft + clientLeft + share * clientWidth}px`;
  }
}
