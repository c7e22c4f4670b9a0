/** The list of what one model found: hover highlights, click switches on and off. */

import { make } from "./dom.js";

/** @param {import("./segments.js").Segment} segment */
export function inWords({ label, score, area }) {
  return `${label} · ${score.toFixed(2)} · ${pixels(area)}`;
}

function pixels(area) {
  return `${Math.round(area).toLocaleString("en")} px`;
}

/**
 * @typedef {object} Hear
 * @property {(index: number | null) => void} onPoint the segment under the pointer or focus
 * @property {(index: number) => void} onToggle
 */

export class Legend {
  #rows = [];
  #hear;

  /** @param {string} name @param {Hear} hear */
  constructor(name, hear) {
    this.#hear = hear;
    this.element = make("ul", { class: "legend", "aria-label": `What ${name} found` });
  }

  /** @param {import("./segments.js").Segment[]} segments */
  set segments(segments) {
    this.#rows = segments.map((segment) => this.#row(segment));
    this.element.replaceChildren(...this.#rows.map((row) => make("li", {}, row)));
  }

  /**
   * @param {{colorOf: (index: number) => string, isShown: (index: number) => boolean,
   *   isLit: (index: number) => boolean}} how
   */
  update({ colorOf, isShown, isLit }) {
    this.#rows.forEach((row, index) => {
      row.style.setProperty("--color", colorOf(index));
      row.setAttribute("aria-pressed", String(isShown(index)));
      row.classList.toggle("lit", isLit(index));
    });
  }

  #row({ index, label, score, area }) {
    const { onPoint, onToggle } = this.#hear;
    return make(
      "button",
      {
        type: "button",
        onclick: () => onToggle(index),
        onpointerenter: () => onPoint(index),
        onpointerleave: () => onPoint(null),
        onfocus: () => onPoint(index),
        onblur: () => onPoint(null),
      },
      make("span", { class: "swatch", "aria-hidden": "true" }),
      make("span", { class: "label" }, label),
      make("span", { class: "score" }, score.toFixed(2)),
      make("span", { class: "area" }, pixels(area)),
    );
  }
}
