/** What a visitor sees first is asked for while the rest of the page is still on its way. */

import { readState, SAMPLES } from "./common/address.js";

/** Where the token of this tab is kept. */
export const TOKEN = "diptych-token";

/** @type {Map<string, Promise<Response>>} */
const early = new Map();

/** @param {string} path */
function ask(path) {
  const asked = fetch(path);
  asked.catch(() => {}); // whoever takes it hears of it
  early.set(path, asked);
}

/**
 * The answer, asked for anew if it was taken already.
 *
 * @param {string} path
 * @param {RequestInit} [init] anything in it makes it another request
 */
export function askedEarly(path, init) {
  const asked = init ? undefined : early.get(path);
  if (asked) early.delete(path);
  return asked ?? fetch(path, init);
}

if (sessionStorage.getItem(TOKEN) === null) ask("api/models");
const { view, sample } = readState();
if (view === "side" && SAMPLES.some(({ name }) => name === sample)) ask(`samples/${sample}.webp`);
