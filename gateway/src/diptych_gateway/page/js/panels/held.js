/** Questions about a picture that the gateway has seen before: its digest goes instead of the file. */

import { ApiError, streamCompare } from "../common/api.js";

const NOT_HELD = "IMAGE_NOT_HELD";

/** SHA-256 of files, as an answer named it. @type {WeakMap<Blob, string>} */
const digests = new WeakMap();

/**
 * `streamCompare`, which sends a file once. If it is not held any more, it is sent again.
 *
 * @param {import("../views.js").Question} question
 * @param {Parameters<typeof streamCompare>[1]} hear
 * @param {AbortSignal} signal
 * @throws {ApiError} the request was refused, or the stream broke off
 */
export async function askHeld({ picture, options }, hear, signal) {
  const sha256 = digests.get(picture.file);
  if (sha256) {
    const onOutcome = (outcome) => {
      if (outcome.error?.reason === NOT_HELD) throw new ApiError(NOT_HELD, { reason: NOT_HELD });
      hear.onOutcome(outcome);
    };
    try {
      await streamCompare({ picture: { sha256 }, options }, { ...hear, onOutcome }, signal);
      return;
    } catch (error) {
      if (error.reason !== NOT_HELD || signal.aborted) throw error;
    }
  }
  const onOutcome = (outcome) => {
    if (outcome.result?.image_sha256) digests.set(picture.file, outcome.result.image_sha256);
    hear.onOutcome(outcome);
  };
  await streamCompare({ picture, options }, { ...hear, onOutcome }, signal);
}
