/** Answers about the pictures of a folder, kept so that going back to one is instant. */

import { mark } from "../common/marks.js";
import { askHeld } from "./held.js";

/** Of the text of answers; one of a hundred objects has some 200 kB. */
const MAX_KEPT = 64 * 2 ** 20;

/**
 * @typedef {object} Kept
 * @property {Blob} source the file that was chosen
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
 * `askHeld`; a question about a picture of the strip that was answered before is not asked again.
 *
 * @type {typeof askHeld}
 */
export async function askOnce(question, hear, signal) {
  const { source } = question.picture;
  if (!source) return await askHeld(question, hear, signal);
  const key = keyOf(source, question.options);
  const known = kept.get(key);
  if (known) {
    keep(key, known);
    for (const outcome of known.outcomes) hear.onOutcome(outcome);
    return hear.onAgreements(known.agreements);
  }
  const found = { source, outcomes: [], agreements: [], size: 0 };
  const onOutcome = (outcome) => {
    found.outcomes.push(outcome);
    hear.onOutcome(outcome);
  };
  await askHeld(question, { onOutcome, onAgreements: (told) => hear.onAgreements((found.agreements = told)) }, signal);
  const good = found.outcomes.every(({ result }) => result);
  if (good) keep(key, { ...found, size: JSON.stringify(found.outcomes).length });
}

/**
 * Asks, and marks the picture of the strip with how it goes.
 *
 * @param {import("../views.js").Question} question
 * @param {Parameters<typeof askHeld>[1]} hear
 * @param {AbortSignal} signal
 * @param {typeof askHeld} [send]
 */
export async function askMarked(question, hear, signal, send = askOnce) {
  const { source } = question.picture;
  if (!source) return await send(question, hear, signal);
  const tell = (state) => last.get(source) === question && mark(source, state);
  last.set(source, question);
  tell("asking");
  let good = true;
  const onOutcome = (outcome) => {
    good &&= Boolean(outcome.result);
    hear.onOutcome(outcome);
  };
  try {
    await send(question, { ...hear, onOutcome }, signal);
  } catch (error) {
    tell(signal.aborted ? "" : "failed");
    throw error;
  }
  tell(good ? "done" : "failed");
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
