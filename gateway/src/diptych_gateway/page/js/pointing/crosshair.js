/** Pointing at a picture by keys. */

const STEP = 0.01;
const LEAP = 0.1;
const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/**
 * @typedef {object} Act positions are shares of the picture
 * @property {(position: import("../canvas/stage.js").Position, positive: boolean, stage: import("../canvas/stage.js").Stage) => void} onPoint
 * @property {(drag: import("../canvas/gestures.js").Drag, stage: import("../canvas/stage.js").Stage) => void} onDrag
 * @property {(position: import("../canvas/stage.js").Position, stage: import("../canvas/stage.js").Stage) => boolean} canMove
 *   whether there is something to be moved
 * @property {(stage: import("../canvas/stage.js").Stage) => void} onMove it is elsewhere, or gone
 */

export class Crosshair {
  /** `null` until a key was pressed. @type {import("../canvas/stage.js").Position | null} */
  at = null;
  /** What is under way: a box that is drawn if `fresh`, else something that is moved. */
  #drag = null;
  #viewport;
  #act;

  /** @param {import("../canvas/viewport.js").Viewport} viewport @param {Act} act */
  constructor(viewport, act) {
    this.#viewport = viewport;
    this.#act = act;
  }

  /** "box" while one is drawn, "move" while something is moved, else "". */
  get doing() {
    if (!this.#drag) return "";
    return this.#drag.fresh ? "box" : "move";
  }

  hide() {
    this.at = this.#drag = null;
  }

  /** @param {import("../canvas/stage.js").Position} position @param {import("../canvas/stage.js").Stage} stage */
  goTo(position, stage) {
    this.at = position;
    // The picture follows, so that it is always seen.
    const out = (share, middle) => {
      const margin = 0.5 / this.#viewport.zoom;
      return Math.max(share - middle - margin, 0) + Math.min(share - middle + margin, 0);
    };
    this.#viewport.move(out(position.x, this.#viewport.x), out(position.y, this.#viewport.y));
    this.#act.onMove(stage);
  }

  /**
   * @param {KeyboardEvent} event
   * @param {import("../canvas/stage.js").Stage} stage
   * @returns {boolean} whether the key was for it
   */
  press(event, stage) {
    if (event.ctrlKey || event.metaKey) return false;
    const move = MOVES[event.key];
    const key = event.altKey ? "" : event.key.toLowerCase();
    if (move) this.#move(move, event.shiftKey ? LEAP : STEP, stage);
    else if (event.key === "Enter" && this.#drag) this.#drop(stage);
    else if (event.key === "Enter") this.#act.onPoint(this.#position(), !event.shiftKey && !event.altKey, stage);
    else if (event.key === "Escape") return this.#cancel(stage);
    else if (key === "b" || key === "g") return this.#turn(key === "b", stage);
    else return false;
    return true;
  }

  /** Where it is; at first in the middle of what is seen. */
  #position() {
    this.at ??= { x: this.#viewport.x, y: this.#viewport.y };
    return this.at;
  }

  #move([right, down], step, stage) {
    const { zoom } = this.#viewport;
    const { x, y } = this.#position();
    this.goTo({ x: clamp(x + (right * step) / zoom), y: clamp(y + (down * step) / zoom) }, stage);
    if (this.#drag) this.#act.onDrag({ ...this.#drag, to: this.at, done: false }, stage);
  }

  /** Takes hold of something or begins a box; ends what is under way. */
  #turn(fresh, stage) {
    const from = this.#position();
    if (this.#drag) this.#drop(stage);
    else if (fresh || this.#act.canMove(from, stage)) this.#drag = { from, fresh };
    else return false;
    this.#act.onMove(stage);
    return true;
  }

  #drop(stage) {
    const drag = this.#drag;
    this.#drag = null;
    this.#act.onDrag({ ...drag, to: this.at, done: true }, stage);
    this.#act.onMove(stage);
  }

  #cancel(stage) {
    if (!this.at) return false;
    if (this.#drag) {
      const drag = this.#drag;
      this.#drag = null;
      if (!drag.fresh) this.at = drag.from;
      this.#act.onDrag({ ...drag, to: null, done: true }, stage);
    } else this.at = null;
    this.#act.onMove(stage);
    return true;
  }
}

function clamp(share) {
  return Math.min(Math.max(share, 0), 1);
}
