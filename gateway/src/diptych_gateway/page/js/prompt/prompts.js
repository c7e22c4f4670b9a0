/**
 * What is pointed at in a picture: objects, each with points and a box, and the way back.
 *
 * States are replaced, never changed, so undo is a step along a list. Coordinates are pixels of the
 * picture.
 */

import { PointedObjects } from "../pointing/pointed.js";

/** @typedef {{x: number, y: number, positive: boolean}} Point positive: on the object */
/** @typedef {[number, number, number, number]} Box left, top, right, bottom */
/**
 * @typedef {object} Wanted one object; whoever changes one keeps what else it has
 * @property {Point[]} points
 * @property {Box | null} box
 * @property {boolean} [hidden] neither its answers nor its marks are seen
 * @property {Record<string, number>} [pick] which candidate for the first point was chosen, by model
 * @property {import("../canvas/rle.js").Rle | null} [mask] that was painted, or is an earlier guess
 * @property {boolean} [keep] the mask is the answer: no model is asked for it
 * @property {boolean} [said] what a person said of keeping it
 * @property {boolean} [rough] the mask was begun from nothing: it is a guess for the models
 * @property {string} [lost] how the address says its mask, which is held elsewhere: its box stands for it
 * @property {string} [label] what it was called where it comes from
 * @property {number} [category] the class' number there
 */

/** @type {Wanted} */
export const EMPTY = { points: [], box: null };
/** An object whose mask is not kept any more. */
export const ASKED = { keep: false, said: undefined, rough: false };
const START = { objects: [EMPTY], current: 0 };
const MAX_STEPS = 200;

/** @param {Wanted} object */
export function isEmpty({ points, box, mask }) {
  return !points.length && !box && !mask;
}

/** A model is not asked for an object of which it only knows what is not on it. @param {Wanted} object */
export function canBeAsked({ points, box, mask, keep }) {
  if (mask) return !keep;
  return box !== null || points.some((point) => point.positive);
}

/** It is only known what is not on it: in a video that corrects what a model follows. @param {Wanted} object */
export function isCorrection(object) {
  return !isEmpty(object) && !object.mask && !canBeAsked(object);
}

/** One point and nothing else may mean a part, a thing or a group. @param {Wanted} object */
export function isLone({ points, box, mask }) {
  return points.length === 1 && points[0].positive && !box && !mask;
}

/** As options of a request. @param {Wanted} object */
export function asOptions({ points, box, mask }) {
  // A mask alone is a vague guess to models: its box says that it is about there.
  const around = box ?? (points.length ? null : mask?.box);
  return {
    points: points.map(({ x, y, positive }) => [x, y, positive]),
    ...(around && { box: around }),
    ...(mask && { mask: { size: mask.size, counts: mask.counts } }),
  };
}

export class Prompts extends PointedObjects {
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

  /** Adds to the newest step. @param {number} object @param {Wanted} wanted */
  amend(object, wanted) {
    this.#states[this.#at] = { objects: this.objects.with(object, wanted), current: this.current };
  }

  /** Says an object anew, in one step. @param {number} object @param {Wanted} wanted */
  put(object, wanted) {
    const { pick, hidden, ...rest } = wanted;
    const { points, box } = this.objects[object];
    // Candidates for another point are other candidates, and what is pointed at is seen.
    if (pick && wanted.points[0] === points[0]) rest.pick = pick;
    if (hidden && wanted.points === points && wanted.box === box) rest.hidden = true;
    this.#step(this.objects.with(object, rest), this.current);
  }

  /** The next points are for the next object of the list, or the one before. @param {1 | -1} step */
  chooseNext(step) {
    this.choose((this.current + step + this.objects.length) % this.objects.length);
  }

  /** The next points are for a new object, or for one that has none yet. */
  addObject() {
    const free = this.objects.findIndex(isEmpty);
    if (free >= 0) this.choose(free);
    else this.#step([...this.objects, EMPTY], this.objects.length);
  }

  /** Adds an object, or chooses it if it is there. @param {Wanted} wanted */
  take(wanted) {
    const kept = this.objects.filter((object) => !isEmpty(object));
    const same = JSON.stringify(wanted);
    const there = kept.findIndex((object) => JSON.stringify(object) === same);
    if (there >= 0) this.choose(this.objects.indexOf(kept[there]));
    else this.#step([...kept, wanted], kept.length);
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
