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
let count = 0;
let total = 0;
/** Keys of the questions that were asked last, by task. @type {WeakMap<Blob, Record<string, string>>} */
const newest = new WeakMap();

/** What was answered last of this task about each file. @param {string} task @returns {Map<Blob, Kept>} */
export function answersFor(task) {
  const last = [...kept].filter(([key, { source }]) => newest.get(source)?.[task] === key);
  return new Map(last.map(([, one]) => [one.source, one]));
}

/** Nothing is asked any more. @param {Blob} source @param {string} task */
export function forget(source, task) {
  const asked = newest.get(source);
  if (!asked?.[task]) return;
  delete asked[task];
  mark(source, "");
}

/**
 * `askHeld`; a question about a file of a folder that was answered before is not asked again.
 *
 * @param {import("../views.js").Question} question
 * @param {Parameters<typeof askHeld>[1]} hear
 * @param {AbortSignal} signal
 */
export async function askKept(question, hear, signal) {
  const { source } = question.picture;
  if (!source) return await askHeld(question, hear, signal);
  const key = keyOf(source, question.options);
  newest.set(source, { ...newest.get(source), [question.options.task]: key });
  const known = kept.get(key);
  if (known) {
    keep(key, known);
    for (const outcome of known.outcomes) hear.onOutcome(outcome);
    hear.onAgreements(known.agreements);
    return mark(source, "done");
  }
  mark(source, "asking");
  const found = { source, options: question.options, outcomes: [], agreements: [], size: 0 };
  try {
    await askHeld(
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
    if (!signal.aborted) mark(source, "failed");
    else if (newest.get(source)?.[question.options.task] === key) mark(source, "");
    throw error;
  }
  const good = found.outcomes.every(({ result }) => result);
  if (good) keep(key, { ...found, size: JSON.stringify(found.outcomes).length });
  mark(source, good ? "done" : "failed");
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
