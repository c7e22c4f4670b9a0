/** Answers about the pictures of a folder, kept so that going back to one is instant. */

import { mark } from "../common/marks.js";
import { askHeld } from "./held.js";

/** Of the text of answers; one of a hundred objects has some 200 kB. */
const MAX_KEPT = 64 * 2 ** 20;

/**
 * @typedef {object} Kept
 * @property {Blob} source the file that was chosen
 * @property {any} options of the question
 * @property {any[]} outcomes
 * @property {any[]} agreements
 * @property {number} size
 */

/** The newest last. @type {Map<string, Kept>} */
const kept = new Map();
/** @type {WeakMap<Blob, number>} */
const numbers = new WeakMap();
/** The newest question about a file. @type {WeakMap<Blob, object>} */
const last = new WeakMap();
let count = 0;
let total = 0;

/**
 * `askHeld`; a question about a file of a folder that was answered before is not asked again.
 *
 * @param {import("../views.js").Question} question
 * @param {Parameters<typeof askHeld>[1]} hear
 * @param {AbortSignal} signal
 * @param {typeof askHeld} [send] asks in another way; then nothing is kept
 */
export async function askKept(question, hear, signal, send) {
  const { source } = question.picture;
  if (!source) return await (send ?? askHeld)(question, hear, signal);
  const key = keyOf(source, question.options);
  const known = !send && kept.get(key);
  if (known) {
    keep(key, known);
    for (const outcome of known.outcomes) hear.onOutcome(outcome);
    hear.onAgreements(known.agreements);
    return mark(source, "done");
  }
  mark(source, "asking");
  last.set(source, question);
  const found = { source, options: question.options, outcomes: [], agreements: [], size: 0 };
  try {
    await (send ?? askHeld)(
      question,
      {
        onOutcome: (outcome) => {
          found.outcomes.push(outcome);
          hear.onOutcome(outcome);
        },
        onAgreements: (agreements) => hear.onAgreements((found.agreements = agreements)),
      },
      signal,
    );
  } catch (error) {
    if (last.get(source) === question) mark(source, signal.aborted ? "" : "failed");
    throw error;
  }
  const good = found.outcomes.every(({ result }) => result);
  if (good && !send) keep(key, { ...found, size: JSON.stringify(found.outcomes).length });
  if (last.get(source) === question) mark(source, good ? "done" : "failed");
}

function keep(key, one) {
  total += one.size - (kept.get(key)?.size ?? 0);
  kept.delete(key);
  kept.set(key, one);
  for (const [oldest, { size, source }] of kept) {
    if (total <= MAX_KEPT || oldest === key) break;
    kept.delete(oldest);
    total -= size;
    mark(source, "");
  }
}

function keyOf(source, options) {
  if (!numbers.has(source)) numbers.set(source, ++count);
  return `${numbers.get(source)} ${JSON.stringify(options)}`;
}
