/** Changes of what is said, carried to the models, and the way back. */

import { isLive } from "./video-controls.js";

/** @typedef {import("./track/video-track.js").Track} Track */

/**
 * @param {import("./told.js").Told} told
 * @param {Track[]} tracks
 * @param {import("./video-frame.js").Frame | null} frame that stands still
 * @param {() => void} act changes what is said on it
 */
export function change(told, tracks, frame, act) {
  const said = () => new Map(frame ? told.prompts(frame.index).map(({ id, prompt }) => [id, JSON.stringify(prompt)]) : []);
  const [step, before] = [told.step, said()];
  act();
  if (!frame || told.step === step) return;
  const after = said();
  for (const track of tracks) track.record.mark(step);
  for (const id of told.ids) {
    if (before.get(id) !== after.get(id)) for (const track of tracks) track.point(id, frame);
  }
}

/** @param {import("./told.js").Told} told @param {Track[]} tracks @param {number} id of an object @param {number} index */
export function remove(told, tracks, id, index) {
  const { step } = told;
  told.remove(id, index);
  for (const track of tracks) {
    track.record.mark(step);
    track.forget(id);
  }
}

/**
 * @param {import("./told.js").Told} told
 * @param {Track[]} tracks
 * @param {"undo" | "redo"} way
 * @returns {number} the frame where that was said
 */
export function step(told, tracks, way) {
  for (const track of tracks) track.record.mark(told.step);
  const index = told[way]();
  for (const track of tracks) track.back(told.step);
  return index;
}

/** What was undone before it was answered would never be. @param {import("./told.js").Told} told */
export function askAgain(told, tracks, frame) {
  if (isLive() || !told.prompts(frame.index).length) return;
  for (const track of tracks) track.advance(frame, 1);
}
