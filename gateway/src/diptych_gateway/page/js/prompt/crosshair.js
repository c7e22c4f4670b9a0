/** Pointing at a picture by keys. */

const STEP = 0.01;
const LEAP = 0.1;
const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/**
 * @typedef {object} Act positions are shares of the picture
 * @property {(position: import("../canvas/stage.js").Position, positive: boolean, stage: import("../canvas/stage.js").Stage) => void} onPoint
 * @property {(drag: import("../canvas/gestures.js").Drag) => void} onBox
 * @property {() => void} onMove it is elsewhere, or gone
 */

export class Crosshair {
  /** `null` until a key was pressed. @type {import("../canvas/stage.js").Position | null} */
  at = null;
  /** Where a box begins. @type {import("../canvas/stage.js").Position | null} */
  #corner = null;
  #viewport;
  #act;

  /** @param {import("../canvas/viewport.js").Viewport} viewport @param {Act} act */
  constructor(viewport, act) {
    this.#viewport = viewport;
    this.#act = act;
  }

  /** Whether a box has one corner. */
  get drawing() {
    return this.#corner !== null;
  }

  hide() {
    this.at = this.#corner = null;
  }

  /**
   * @param {KeyboardEvent} event
   * @param {import("../canvas/stage.js").Stage} stage
   * @returns {boolean} whether the key was for it
   */
  press(event, stage) {
    if (event.ctrlKey || event.metaKey) return false;
    const move = MOVES[event.key];
    if (move) this.#move(move, event.shiftKey ? LEAP : STEP);
    else if (event.key === "Enter") this.#act.onPoint(this.#position(), !event.shiftKey && !event.altKey, stage);
    else if (event.key === "Escape") return this.#cancel();
    else if (event.key.toLowerCase() === "b" && !event.altKey) this.#turnBox();
    else return false;
    return true;
  }

  /** Where it is; at first in the middle of what is seen. */
  #position() {
    this.at ??= { x: this.#viewport.x, y: this.#viewport.y };
    return this.at;
  }

  #move([right, down], step) {
    const { zoom } = this.#viewport;
    const { x, y } = this.#position();
    this.at = { x: clamp(x + (right * step) / zoom), y: clamp(y + (down * step) / zoom) };
    // The picture follows, so that it is always seen.
    const out = (position, middle) => {
      const margin = 0.5 / zoom;
      return Math.max(position - middle - margin, 0) + Math.min(position - middle + margin, 0);
    };
    this.#viewport.move(out(this.at.x, this.#viewport.x), out(this.at.y, this.#viewport.y));
    if (this.#corner) this.#act.onBox({ from: this.#corner, to: this.at, done: false });
    this.#act.onMove();
  }

  #turnBox() {
    const to = this.#position();
    const from = this.#corner;
    this.#corner = from ? null : to;
    if (from) this.#act.onBox({ from, to, done: true });
    this.#act.onMove();
  }

  #cancel() {
    if (!this.at) return false;
    if (this.#corner) {
      this.#act.onBox({ from: this.#corner, to: null, done: true });
      this.#corner = null;
    } else this.at = null;
    this.#act.onMove();
    return true;
  }
}

function clamp(share) {
  return Math.min(Math.max(share, 0), 1);
}
