/** How many frames of a video were answered, and how fast; which ones were left out. */

const RATE_MS = 3000;

export class Figures {
  #dropped = new Set();
  #times = [];

  answered() {
    this.#times.push(performance.now());
  }

  /** @param {number} from @param {number} to one too far */
  drop(from, to) {
    for (let index = from; index < to; index += 1) this.#dropped.add(index);
  }

  rest() {
    this.#times = [];
  }

  reset() {
    this.rest();
    this.#dropped.clear();
  }

  /** @param {import("./video-record.js").Record} record @param {number} of all frames, 0 if that is not known */
  of(record, of) {
    const now = performance.now();
    this.#times = this.#times.filter((time) => now - time < RATE_MS);
    const span = (this.#times.at(-1) ?? 0) - (this.#times[0] ?? 0);
    const rate = span ? ((this.#times.length - 1) * 1000) / span : 0;
    const dropped = [...this.#dropped].filter((index) => !record.isFresh(index, 1)).length;
    return { answered: record.count, of, dropped, rate, lost: record.lost };
  }
}
