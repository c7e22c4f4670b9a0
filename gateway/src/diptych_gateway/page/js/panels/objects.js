/** Which objects of an answer are seen, and how: hidden, left out by a filter, lit, in their colours. */

import { color } from "../canvas/palette.js";
import { segmentAt } from "../canvas/segments.js";
import { inWords } from "./legend.js";

export class Objects {
  /** @type {import("../canvas/segments.js").Answer | null} */
  answer = null;
  /** They decide on the colours. @type {number[]} */
  numbers = [];
  /** @type {(segment: import("../canvas/segments.js").Segment) => boolean} */
  passes = () => true;
  /** @type {number | null} */
  lit = null;
  /** What the last two clicks were on. @type {(number | null)[]} */
  #clicked = [];

  /** @param {import("../canvas/segments.js").Answer | null} answer */
  take(answer) {
    this.answer = answer;
    this.numbers = [];
    this.lit = null;
    this.#clicked = [];
  }

  get looks() {
    const isListed = (index) => Boolean(this.answer && this.passes(this.answer.segments[index]));
    return {
      colorOf: (index) => color(this.numbers[index] ?? index),
      isShown: (index) => isListed(index) && !this.answer?.hidden.has(index),
      isLit: (index) => index === this.lit,
      isListed,
    };
  }

  /** What a click at these shares of the picture means: an object that is seen, else one that was hidden there. */
  at(x, y) {
    if (!this.answer) return null;
    const { isShown, isListed } = this.looks;
    const found = segmentAt(this.answer, x, y, isShown) ?? segmentAt(this.answer, x, y, isListed);
    return found?.index ?? null;
  }

  /** What is at these shares of the picture, and what a click there would do. */
  wordsAt(x, y) {
    const index = this.at(x, y);
    if (index === null) return "";
    return `${inWords(this.answer.segments[index])}${this.answer.hidden.has(index) ? " · hidden: a click shows it" : ""}`;
  }

  /** Hides or shows what is at these shares of the picture. */
  click(x, y) {
    const index = this.at(x, y);
    this.#clicked = [...this.#clicked, index].slice(-2);
    this.toggle(index);
  }

  /** Takes the last two clicks back, and returns what the first of them was on. */
  unclick() {
    const [first = null] = this.#clicked;
    for (const index of this.#clicked) this.toggle(index);
    this.#clicked = [];
    return first;
  }

  /** @param {number | null} index */
  toggle(index) {
    const hidden = this.answer?.hidden;
    if (hidden && index !== null && !hidden.delete(index)) hidden.add(index);
  }
}
