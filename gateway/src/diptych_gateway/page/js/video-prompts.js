/** Pointing at objects on the frame that is held: clicks, boxes, which object is meant. */

import { byId, make } from "./dom.js";
import { color } from "./palette.js";

const MARK_PX = 6;

/** @typedef {{points: [number, number, boolean][], box: number[] | null}} Prompt in pixels of the frame */

/** @implements {import("./stage.js").Tool} */
export class VideoPrompts {
  help = "video-help";
  /** Of this frame, by object. @type {Map<number, Prompt>} */
  #prompts = new Map();
  #objects = [1];
  #current = 1;
  /** @type {import("./video-frame.js").Frame | null} */
  #frame = null;
  /** @type {number[] | null} while it is drawn */
  #drawn = null;
  #hear;

  /**
   * @param {{onPrompt: (object: number, prompt: Prompt) => void, onForget: (object: number) => void,
   *   onDraw: () => void}} hear
   */
  constructor(hear) {
    this.#hear = hear;
    byId("video-new").addEventListener("click", () => this.#choose(Math.max(0, ...this.#objects) + 1));
    byId("video-forget").addEventListener("click", () => this.#forget());
    this.#show();
  }

  /** The frame that can be pointed at; earlier ones keep what was said. */
  set frame(frame) {
    this.#frame = frame;
    this.#prompts.clear();
    this.#show();
  }

  reset() {
    this.#objects = [1];
    this.#current = 1;
    this.frame = null;
  }

  onClick = (place, event) => {
    const at = this.#pixel(place);
    if (at) this.#add([...at, !event.altKey && !event.ctrlKey]);
  };

  onDrag = ({ from, to, done }) => {
    const corners = to && [from, to].map((place) => this.#pixel(place, true));
    const box = corners?.every(Boolean) ? boxOf(corners) : null;
    this.#drawn = done ? null : box;
    const [left, top, right, bottom] = box ?? [0, 0, 0, 0];
    if (done && right > left && bottom > top) {
      const { points } = this.#prompt();
      this.#tell({ points, box });
    } else this.#hear.onDraw();
  };

  onKey = (event, stage) => {
    if (!["Enter", "Backspace"].includes(event.key)) return false;
    if (event.key === "Backspace") this.#takeBack();
    else this.onClick(stage.middle ?? { x: 0.5, y: 0.5 }, event);
    return true;
  };

  draw = (context, { left, top, width, height, unit }) => {
    if (!this.#frame) return;
    const [sx, sy] = [width / this.#frame.width, height / this.#frame.height];
    context.save();
    context.lineWidth = 2 * unit;
    for (const [object, { points, box }] of this.#prompts) {
      context.strokeStyle = context.fillStyle = color(object - 1);
      if (box) strokeBox(context, box, left, top, sx, sy);
      for (const [x, y, positive] of points) {
        context.beginPath();
        context.arc(left + x * sx, top + y * sy, MARK_PX * unit, 0, 2 * Math.PI);
        context.fillStyle = positive ? color(object - 1) : "white";
        context.fill();
        context.stroke();
      }
    }
    context.strokeStyle = color(this.#current - 1);
    if (this.#drawn) strokeBox(context, this.#drawn, left, top, sx, sy);
    context.restore();
  };

  #prompt() {
    return this.#prompts.get(this.#current) ?? { points: [], box: null };
  }

  #add(point) {
    const { points, box } = this.#prompt();
    this.#tell({ points: [...points, point], box });
  }

  #takeBack() {
    const { points, box } = this.#prompt();
    if (points.length > 1 || (points.length && box)) this.#tell({ points: points.slice(0, -1), box });
  }

  #tell(prompt) {
    this.#prompts.set(this.#current, prompt);
    this.#hear.onPrompt(this.#current, prompt);
    this.#show();
  }

  #choose(object) {
    if (!this.#objects.includes(object)) this.#objects.push(object);
    this.#current = object;
    this.#show();
  }

  #forget() {
    const gone = this.#current;
    this.#objects = this.#objects.filter((object) => object !== gone);
    this.#prompts.delete(gone);
    this.#hear.onForget(gone);
    // Ids are not used again within a session.
    this.#choose(this.#objects.at(-1) ?? gone + 1);
  }

  /** @returns {[number, number] | null} */
  #pixel({ x, y }, clamped = false) {
    if (!this.#frame) return null;
    if (!clamped && (x < 0 || y < 0 || x >= 1 || y >= 1)) return null;
    const within = (share, size) => Math.min(Math.max(share, 0), 1) * size;
    return [within(x, this.#frame.width), within(y, this.#frame.height)];
  }

  #show() {
    byId("video-objects").replaceChildren(
      ...this.#objects.map((object) => {
        const input = make("input", { type: "radio", name: "video-object", value: object });
        input.checked = object === this.#current;
        input.addEventListener("change", () => this.#choose(object));
        const swatch = make("span", { class: "swatch", "aria-hidden": "true" });
        swatch.style.setProperty("--color", color(object - 1));
        return make("label", {}, input, make("span", {}, swatch, ` Object ${object}`));
      }),
    );
    this.#hear.onDraw();
  }
}

function boxOf([[ax, ay], [bx, by]]) {
  return [Math.min(ax, bx), Math.min(ay, by), Math.max(ax, bx), Math.max(ay, by)];
}

function strokeBox(context, [x0, y0, x1, y1], left, top, sx, sy) {
  context.strokeRect(left + x0 * sx, top + y0 * sy, (x1 - x0) * sx, (y1 - y0) * sy);
}
