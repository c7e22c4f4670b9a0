/** A drag on the picture: what it has taken hold of, and what that would become. */

import { DRAG_PX } from "../canvas/gestures.js";
import { dragged, fine, MIN_BOX_PX, targetAt } from "./targets.js";

/**
 * @typedef {object} Draft
 * @property {number} object
 * @property {import("../prompt/prompts.js").Wanted} wanted the object as it would be
 */

export class Grip {
  /** What is dragged; `null` for a new box. @type {import("./targets.js").Target | null} */
  held = null;
  /** @type {Draft | null} */
  draft = null;
  /** Something is under way. */
  busy = false;

  letGo() {
    this.held = this.draft = null;
    this.busy = false;
  }

  /**
   * @param {import("../canvas/gestures.js").Drag} drag
   * @param {import("./targets.js").Scene} scene
   * @param {import("./targets.js").Near} near
   * @returns {(Draft & {moved: boolean}) | null} what a drag that has ended comes to, if anything
   */
  drag({ from, to, done, fresh = false }, scene, near) {
    const { size } = scene;
    if (!this.busy) this.held = fresh ? null : targetAt(scene, inPixels(from, size), { ...near, drags: true });
    this.busy = true;
    const moved = this.held !== null;
    const least = fresh ? 0 : DRAG_PX * near.grain;
    this.draft = to && (moved ? this.#moved(from, to, scene) : boxed(from, to, least, scene));
    if (!done) return null;
    const { draft } = this;
    this.letGo();
    return draft && { ...draft, moved };
  }

  #moved(from, to, { objects, size }) {
    const way = [(to.x - from.x) * size.width, (to.y - from.y) * size.height];
    const { object } = this.held;
    return { object, wanted: dragged(objects[object], this.held, way, size) };
  }
}

/** Shares to pixels of the picture, clamped into it, as fine as the address has them. */
export function inPixels({ x, y }, { width, height }) {
  const inside = (share, length) => fine(Math.min(Math.max(share, 0), 1) * length);
  return { x: inside(x, width), y: inside(y, height) };
}

/** A new box for the current object; `null` for one that is hardly larger than a click. */
function boxed(from, to, least, { objects, current, size }) {
  const [a, b] = [inPixels(from, size), inPixels(to, size)];
  const box = [Math.min(a.x, b.x), Math.min(a.y, b.y), Math.max(a.x, b.x), Math.max(a.y, b.y)];
  const [width, height] = [box[2] - box[0], box[3] - box[1]];
  if (Math.min(width, height) < MIN_BOX_PX || Math.hypot(width, height) < least) return null;
  return { object: current, wanted: { ...objects[current], box } };
}
