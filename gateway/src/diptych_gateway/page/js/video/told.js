/**
 * What was said of objects on the frames of a video, and the way back.
 *
 * States are replaced, never changed. Objects keep their number from frame to frame; a number is not
 * used again, because a session knows what was forgotten.
 */

import { asOptions, canBeAsked, EMPTY, isCorrection, isEmpty } from "../prompt/prompts.js";

const MAX_STEPS = 100;

/** @typedef {import("../prompt/prompts.js").Wanted} Wanted */

/** @typedef {{id: number, on: Map<number, Wanted>}} Followed `on`: by the number of the frame */

export class Told {
  /** `frame`: where the change was made that led to it. @type {{step: number, objects: Followed[], frame: number}[]} */
  #states = [];
  #at = 0;
  #step = 0;
  #last = 0;
  /** Which object the next point is for. */
  current = 0;

  constructor() {
    this.reset();
  }

  reset() {
    this.#last = this.current = 1;
    this.#at = 0;
    this.#states = [{ step: ++this.#step, objects: [{ id: 1, on: new Map() }], frame: 0 }];
  }

  /** Names the state. */
  get step() {
    return this.#states[this.#at].step;
  }

  get canUndo() {
    return this.#at > 0;
  }

  get canRedo() {
    return this.#at < this.#states.length - 1;
  }

  /** Of all objects, in their order; at least one. @returns {number[]} */
  get ids() {
    return this.#objects.map(({ id }) => id);
  }

  /** Of those that models can follow. @returns {number[]} */
  get known() {
    return this.ids.filter((id) => Number.isFinite(this.first(id)));
  }

  /** The first frame that shows an object; Infinity if none does. @param {number} id */
  first(id) {
    const shown = [...this.#of(id)].filter(([, wanted]) => canBeAsked(wanted)).map(([frame]) => frame);
    return Math.min(...shown, Infinity);
  }

  /** Frames with prompts of an object that models can follow, in their order. @returns {number[]} */
  get frames() {
    const known = new Set(this.known);
    const all = this.#objects.filter(({ id }) => known.has(id)).flatMap(({ on }) => [...on.keys()]);
    return [...new Set(all)].sort((a, b) => a - b);
  }

  /** What is said of an object on a frame. @param {number} id @param {number} frame @returns {Wanted} */
  at(id, frame) {
    return this.#of(id).get(frame) ?? EMPTY;
  }

  /** Frames on which something is said of an object. @param {number} id @returns {number[]} */
  framesOf(id) {
    return [...this.#of(id).keys()].sort((a, b) => a - b);
  }

  /**
   * What models are told on a frame, as options of a request. What only says where an object is not counts
   * where it is followed already.
   *
   * @param {number} frame
   * @returns {{id: number, prompt: any, corrects: boolean}[]}
   */
  prompts(frame) {
    return this.#objects
      .map(({ id, on }) => ({ id, wanted: on.get(frame) ?? EMPTY }))
      .filter(({ id, wanted }) => canBeAsked(wanted) || (isCorrection(wanted) && this.first(id) <= frame))
      .map(({ id, wanted }) => ({ id, prompt: asOptions(wanted), corrects: isCorrection(wanted) }));
  }

  /** Each change of what is said now, one after the other: a further click refines what the one before has found. */
  get steps() {
    const path = this.#states.slice(0, this.#at + 1);
    return path.flatMap(({ objects }, at) =>
      objects.flatMap(({ id, on }) => {
        const before = path[at - 1]?.objects.find((one) => one.id === id)?.on;
        return [...on]
          .filter(([frame, wanted]) => this.ids.includes(id) && wanted !== before?.get(frame))
          .filter(([, wanted]) => canBeAsked(wanted) || isCorrection(wanted))
          .map(([frame, wanted]) => ({ object_id: id, frame_index: frame, ...asOptions(wanted) }));
      }),
    );
  }

  /** @param {number} id @param {number} frame @param {Wanted} wanted instead of what was said of it there */
  put(id, frame, wanted) {
    this.#change(frame, (objects) =>
      objects.map((one) => {
        if (one.id !== id) return one;
        const on = new Map(one.on);
        if (isEmpty(wanted)) on.delete(frame);
        else on.set(frame, wanted);
        return { id, on };
      }),
    );
  }

  /** The next points are for a new object, or for one of which nothing is said yet. */
  add() {
    const free = this.#objects.find(({ on }) => !on.size);
    if (!free) this.#states[this.#at] = { ...this.#states[this.#at], objects: [...this.#objects, this.#fresh()] };
    this.current = free?.id ?? this.#last;
  }

  /** @param {number} id @param {number} frame where somebody is */
  remove(id, frame) {
    this.#change(frame, (objects) => {
      const left = objects.filter((one) => one.id !== id);
      return left.length ? left : [this.#fresh()];
    });
  }

  /** @returns {number} the frame where the change was made that is undone */
  undo() {
    const { frame } = this.#states[this.#at];
    this.#at -= 1;
    this.#choose();
    return frame;
  }

  redo() {
    this.#at += 1;
    this.#choose();
    return this.#states[this.#at].frame;
  }

  get #objects() {
    return this.#states[this.#at].objects;
  }

  #of(id) {
    return this.#objects.find((one) => one.id === id)?.on ?? new Map();
  }

  #fresh() {
    this.#last += 1;
    return { id: this.#last, on: new Map() };
  }

  #change(frame, change) {
    const state = { step: ++this.#step, objects: change(this.#objects), frame };
    this.#states = [...this.#states.slice(0, this.#at + 1), state].slice(-MAX_STEPS);
    this.#at = this.#states.length - 1;
    this.#choose();
  }

  #choose() {
    if (!this.ids.includes(this.current)) this.current = this.ids.at(-1) ?? 0;
  }
}
