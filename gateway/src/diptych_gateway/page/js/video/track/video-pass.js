/** One session with one model that goes through a clip in one direction. */

import { VideoSession } from "./video-session.js";

/**
 * @typedef {object} Heard
 * @property {number} index of the frame
 * @property {any} document as it came, with the frame's own number
 * @property {number} bytes of it
 * @property {import("../video-frame.js").Frame | null} frame if it was not answered before
 */

export class Pass {
  /** The frame that was sent last, -1 for none. */
  newest = -1;
  /** Objects that it knows. @type {Set<number>} */
  known = new Set();
  #session;
  #way;
  /** Where the way back begins: a session wants numbers that grow. */
  #base = 0;
  /** Numbers of the frames that were sent, in that order. */
  #sent = [];
  /** Those without an answer. @type {Map<number, import("../video-frame.js").Frame>} */
  #frames = new Map();

  /**
   * @param {string} model
   * @param {1 | -1} way forward, or back
   * @param {{onAnswer: (heard: Heard) => void, onRefused: (error: Error) => void, onEnd: (error: Error, asked: boolean) => void}} hear
   *   `asked`: a frame was on its way
   * @param {any} [options] of the session
   */
  constructor(model, way, { onAnswer, onRefused, onEnd }, options) {
    this.#way = way;
    const hear = {
      onFrame: (answer, bytes) => {
        const index = this.#turned(answer.frame_index);
        const frame = this.#frames.get(index) ?? null;
        onAnswer({ index, document: { ...answer, frame_index: index }, bytes, frame });
        this.#letGo(index);
      },
      onRefused: (error, index) => {
        if (index !== null) this.#letGo(this.#turned(index));
        onRefused(error);
      },
      onEnd: (error) => {
        const asked = this.#frames.size > 0;
        this.#letAllGo();
        onEnd(error, asked);
      },
    };
    this.#session = new VideoSession(model, hear, options);
  }

  get ready() {
    return this.#session.ready;
  }

  get over() {
    return this.#session.over;
  }

  get idle() {
    return this.#session.over || this.#session.idle;
  }

  /** @param {import("../video-frame.js").Frame} frame after `newest` on this way */
  send(frame) {
    if (!this.#sent.length && this.#way < 0) this.#base = frame.index;
    this.newest = frame.index;
    this.#sent.push(frame.index);
    this.#frames.set(frame.index, frame.keep());
    this.#session.sendFrame(this.#turned(frame.index), frame.file);
  }

  /** Whether a frame can be prompted on. @param {number} index */
  holds(index) {
    return !this.over && this.#sent.slice(-Math.min(this.#session.heldFrames, this.#sent.length)).includes(index);
  }

  /** Whether a frame was sent and is not answered. @param {number} index */
  waitsFor(index) {
    return !this.over && this.#frames.has(index);
  }

  /** Whether a frame is after all that were sent. @param {number} index */
  isAhead(index) {
    return !this.#sent.length || (index - this.newest) * this.#way > 0;
  }

  prompt(id, index, prompt) {
    this.known.add(id);
    this.#session.prompt(id, this.#turned(index), prompt);
  }

  /** @param {number} id */
  remove(id) {
    if (this.known.delete(id)) this.#session.remove(id);
  }

  close() {
    this.#session.close();
    this.#letAllGo();
  }

  /** A frame's number in the session, and the other way round. */
  #turned(index) {
    return this.#way > 0 ? index : this.#base - index;
  }

  #letGo(index) {
    this.#frames.get(index)?.letGo();
    this.#frames.delete(index);
  }

  #letAllGo() {
    for (const index of [...this.#frames.keys()]) this.#letGo(index);
  }
}
