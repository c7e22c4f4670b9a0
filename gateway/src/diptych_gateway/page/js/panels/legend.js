/** The list of what one model found: hover highlights, click switches on and off. */

import { grouped, make } from "../common/dom.js";
import { redrawn } from "../canvas/segments.js";
import { sentence } from "../common/api.js";
import { duration } from "./timings.js";

/** @param {import("../canvas/segments.js").Segment} segment */
export function inWords(segment) {
  const { label, score, area } = segment;
  const overlap = redrawn(segment);
  const parts = [label, score.toFixed(2), pixels(area), overlap && `${overlap} with the outline before`];
  return parts.filter(Boolean).join(" · ");
}

/**
 * How much was found, of which how much is shown, and how long that took.
 *
 * @param {import("../canvas/segments.js").Answer} answer
 * @param {(segment: import("../canvas/segments.js").Segment) => boolean} passes
 * @param {number | null} elapsedS `null`: no model was asked
 */
export function foundInWords({ segments, omitted, held, warnings }, passes, elapsedS) {
  const found = segments.filter(({ mask, area }) => area || !mask);
  const listed = found.filter(passes).length;
  const objects = found.length === 1 ? "1 object" : `${found.length ? grouped(found.length) : "No"} objects`;
  return [
    listed === found.length ? objects : `${grouped(listed)} of ${objects} shown`,
    omitted ? `, ${grouped(omitted)} more left out` : "",
    elapsedS === null ? " as painted" : ` in ${duration(elapsedS)}`,
    held ? ", encoder not run" : "",
    ...warnings.map((text) => `. ${sentence(text)}`),
  ].join("");
}

function pixels(area) {
  return `${grouped(area)} px`;
}

/**
 * @typedef {object} Hear
 * @property {(index: number | null) => void} onPoint the segment under the pointer or focus
 * @property {(index: number) => void} onToggle
 * @property {(index: number) => void} [onRefine]
 */

export class Legend {
  #rows = [];
  #hear;

  /** @param {string} name @param {Hear} hear */
  constructor(name, hear) {
    this.#hear = hear;
    this.element = make("ul", { class: "legend", "aria-label": `What ${name} found` });
  }

  /** @param {import("../canvas/segments.js").Segment[]} segments */
  set segments(segments) {
    this.#rows = segments.map((segment) => this.#row(segment));
    this.element.replaceChildren(
      ...this.#rows.map((row, index) => make("li", {}, row, this.#refine(segments[index]))),
    );
  }

  #refine({ index, label, mask, box }) {
    const { onRefine } = this.#hear;
    if (!onRefine || !(mask?.width || box)) return null;
    const name = `Refine ${label} by clicks`;
    const attributes = { type: "button", class: "refine", "aria-label": name, title: name };
    return make("button", { ...attributes, onclick: () => onRefine(index) }, "Refine");
  }

  /**
   * @param {{colorOf: (index: number) => string, isShown: (index: number) => boolean,
   *   isLit: (index: number) => boolean, isListed: (index: number) => boolean}} how
   */
  update({ colorOf, isShown, isLit, isListed }) {
    this.#rows.forEach((row, index) => {
      const look = `${colorOf(index)} ${isShown(index)} ${isLit(index)} ${isListed(index)}`;
      // Of a thousand rows, pointing at one changes two.
      if (row.dataset.look === look) return;
      row.dataset.look = look;
      row.style.setProperty("--color", colorOf(index));
      row.setAttribute("aria-pressed", String(isShown(index)));
      row.classList.toggle("lit", isLit(index));
      row.parentElement.hidden = !isListed(index);
    });
  }

  #row(segment) {
    const { index, label, score, area } = segment;
    const overlap = redrawn(segment);
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
      make("span", { class: "label" }, label, overlap && make("small", {}, ` ${overlap}`)),
      make("span", { class: "score" }, score.toFixed(2)),
      make("span", { class: "area" }, pixels(area)),
    );
  }
}
