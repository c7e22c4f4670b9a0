/** The sessions that one model has on a video: one for each way, if any. */

/** @typedef {1 | -1} Way */

export class Passes {
  /** @type {Map<Way, import("./video-pass.js").Pass>} */
  #passes = new Map();
  #onCut;

  /** @param {() => void} onCut a way back was begun and cannot be gone on with */
  constructor(onCut) {
    this.#onCut = onCut;
  }

  /** One that goes on. @param {Way} way */
  get(way) {
    const pass = this.#passes.get(way);
    return pass && !pass.over ? pass : null;
  }

  /** @param {Way} way @param {import("./video-pass.js").Pass} pass */
  put(way, pass) {
    this.close(way);
    this.#passes.set(way, pass);
  }

  /** Everything that was sent is answered. */
  get idle() {
    return [...this.#passes.values()].every((pass) => pass.idle);
  }

  /** @param {number} id of an object */
  remove(id) {
    for (const way of this.#passes.keys()) this.get(way)?.remove(id);
  }

  /** @param {Way} way */
  close(way) {
    const pass = this.#passes.get(way);
    this.#passes.delete(way);
    pass?.close();
    // The way back begins with the prompts alone.
    if (way < 0 && pass && pass.newest > 0) this.#onCut();
  }

  closeAll() {
    for (const way of [...this.#passes.keys()]) this.close(way);
  }
}
