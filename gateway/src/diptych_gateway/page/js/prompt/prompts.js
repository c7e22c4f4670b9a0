/**
 * What is pointed at in a picture: objects, each with points and a box, and the way back.
 *
 * States are replaced, never changed, so undo is a step along a list. Coordinates are pixels of the
 * picture.
 */

/** @typedef {{x: number, y: number, positive: boolean}} Point positive: on the object */
/** @typedef {[number, number, number, number]} Box left, top, right, bottom */
/** @typedef {{points: Point[], box: Box | null}} Wanted one object; whoever changes one keeps what else it has */

/** @type {Wanted} */
export const EMPTY = { points: [], box: null };
const START = { objects: [EMPTY], current: 0 };
const MAX_STEPS = 200;

/** @param {Wanted} object */
export function isEmpty({ points, box }) {
  return !points.length && !box;
}

/** A model is not asked for an object of which it only knows what is not on it. @param {Wanted} object */
export function canBeAsked({ points, box }) {
  return box !== null || points.some((point) => point.positive);
}

/** It is only known what is not on it: in a video that corrects what a model follows. @param {Wanted} object */
export function isCorrection(object) {
  return !isEmpty(object) && !canBeAsked(object);
}

/** As options of a request. @param {Wanted} object */
export function asOptions({ points, box }) {
  return { points: points.map(({ x, y, positive }) => [x, y, positive]), ...(box && { box }) };
}

export class Prompts {
  /** @type {{objects: Wanted[], current: number}[]} */
  #states = [START];
  #at = 0;

  /** @returns {Wanted[]} at least one */
  get objects() {
    return this.#states[this.#at].objects;
  }

  /** Which object the next point or box is for. */
  get current() {
    return this.#states[this.#at].current;
  }

  get canUndo() {
    return this.#at > 0;
  }

  get canRedo() {
    return this.#at < this.#states.length - 1;
  }

  /** Begins anew, without a way back. @param {Wanted[]} objects */
  reset(objects) {
    const kept = objects.filter((object) => !isEmpty(object));
    this.#states = [kept.length ? { objects: kept, current: kept.length - 1 } : START];
    this.#at = 0;
  }

  undo() {
    if (this.canUndo) this.#at -= 1;
  }

  redo() {
    if (this.canRedo) this.#at += 1;
  }

  /** @param {Point} point */
  addPoint(point) {
    const object = this.objects[this.current];
    this.put(this.current, { ...object, points: [...object.points, point] });
  }

  /** @param {Box} box instead of the object's earlier one */
  drawBox(box) {
    this.put(this.current, { ...this.objects[this.current], box });
  }

  /** @param {number} object @param {number} index of its points */
  removePoint(object, index) {
    const wanted = this.objects[object];
    this.put(object, { ...wanted, points: wanted.points.toSpliced(index, 1) });
  }

  /** @param {number} object */
  removeBox(object) {
    this.put(object, { ...this.objects[object], box: null });
  }

  /** Says an object anew, in one step. @param {number} object @param {Wanted} wanted */
  put(object, wanted) {
    this.#step(this.objects.with(object, wanted), this.current);
  }

  /** The next points are for a new object, or for one that has none yet. */
  addObject() {
    const free = this.objects.findIndex(isEmpty);
    if (free >= 0) this.choose(free);
    else this.#step([...this.objects, EMPTY], this.objects.length);
  }

  /** @param {number} object */
  removeObject(object) {
    const left = this.objects.toSpliced(object, 1);
    const current = this.current > object ? this.current - 1 : this.current;
    if (left.length) this.#step(left, Math.min(current, left.length - 1));
    else this.clear();
  }

  /** Which object the next points are for; no step of its own. @param {number} object */
  choose(object) {
    this.#states[this.#at] = { objects: this.objects, current: object };
  }

  clear() {
    if (this.objects.some((object) => !isEmpty(object))) this.#step(START.objects, 0);
  }

  /**
   * As options of a request, and the object that each prompt is for.
   *
   * @returns {{prompts: any[], objects: number[]}}
   */
  asked() {
    const objects = [...this.objects.keys()].filter((index) => canBeAsked(this.objects[index]));
    return { prompts: objects.map((index) => asOptions(this.objects[index])), objects };
  }

  #step(objects, current) {
    const states = this.#states.slice(0, this.#at + 1);
    this.#states = [...states, { objects, current }].slice(-MAX_STEPS);
    this.#at = this.#states.length - 1;
  }
}
