/** What was found in the pictures of the strip, so that all of it can be saved at once. */

/** Of run lengths and what else an answer holds, as text. */
const MAX_TEXT = 64 * 2 ** 20;
const SEGMENT_TEXT = 300;

/**
 * @typedef {object} Held an answer without its masks as pixels, which are a hundred times as large
 * @property {string} modelId
 * @property {any} document as it came
 * @property {{score: number, document: any}[]} segments
 * @property {Set<number>} hidden
 */
/** @typedef {{answers: Held[], size: number}} Found */

export class Collected {
  /** By what was asked and the file, the newest last. @type {Map<string, Map<Blob, Found>>} */
  #found = new Map();

  /**
   * Keeps what is shown of a picture, in place of what was.
   *
   * @param {string} asked what it is an answer to: only those to the same are saved together
   * @param {Blob} source
   * @param {import("../canvas/segments.js").Answer[]} answers none: nothing is shown any more
   */
  note(asked, source, answers) {
    const found = this.of(asked);
    found.delete(source);
    if (answers.length) found.set(source, { answers: answers.map(held), size: sizeOf(answers) });
    let total = [...found.values()].reduce((sum, { size }) => sum + size, 0);
    for (const [oldest, { size }] of found) {
      if (total <= MAX_TEXT || oldest === source) break;
      found.delete(oldest);
      total -= size;
    }
  }

  /** @param {string} asked @returns {Map<Blob, Found>} */
  of(asked) {
    if (!this.#found.has(asked)) this.#found.set(asked, new Map());
    return this.#found.get(asked) ?? new Map();
  }
}

/** @returns {Held} */
function held({ modelId, document, segments, hidden }) {
  return { modelId, document, hidden, segments: segments.map(({ score, document: own }) => ({ score, document: own })) };
}

function sizeOf(answers) {
  const segments = answers.flatMap(({ document }) => document.segments);
  return segments.reduce((sum, { segmentation }) => sum + SEGMENT_TEXT + (segmentation?.counts?.length ?? 0), 0);
}
