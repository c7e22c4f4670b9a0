/** Which frames are still to be answered, and what to say of that. */

import { isLive, wantsBoth } from "./video-controls.js";

/** @typedef {{from: number, to: number, way: 1 | -1}} Leg `to` is the last one */

/**
 * Forward from the first frame with a prompt; back from the last one to the start, as the client's
 * `track_clip` does.
 *
 * @param {import("./source/clip-source.js").Source} source
 * @param {import("./told.js").Told} told
 * @param {import("./track/video-track.js").Track[]} tracks
 * @returns {Leg[]}
 */
export function legsOf({ count }, told, tracks) {
  const asking = tracks.filter((track) => track.asks);
  const firsts = told.known.map((id) => told.first(id));
  const start = asking.some(({ options }) => options.track_all) ? 0 : Math.min(...firsts, count);
  const legs = [];
  const find = (from, to, way) => {
    for (let index = from; (to - index) * way >= 0; index += way) {
      if (asking.some((track) => track.wants(index, way))) return legs.push({ from: index, to, way });
    }
  };
  find(start, count - 1, 1);
  if (wantsBoth() && Math.max(...firsts, 0) > 0) find(told.frames.at(-1), 0, -1);
  return legs;
}

/**
 * @param {Leg[]} legs
 * @param {import("./track/video-track.js").Track[]} tracks
 * @param {string} kind of what goes on, "" for nothing
 * @returns {{label: string, note: string, can: boolean}} of the button that goes on
 */
export function describe(legs, tracks, kind) {
  const asks = tracks.some((track) => track.asks);
  if (kind) return { label: "Track", note: "", can: false };
  if (isLive()) return { label: "Track live", note: "", can: asks };
  const [leg] = legs;
  if (!leg) return { label: "Track", note: asks ? "Every frame is answered." : "", can: false };
  const stale = tracks.some(({ record }) => record.isStale(leg.from));
  const from = leg.way > 0 ? `from frame ${leg.from}` : `back from frame ${leg.from}`;
  const note = stale ? "What is pale is from before your last change." : "";
  return { label: `Track ${stale ? "again " : ""}${from}`, note, can: true };
}

/**
 * Where frames were dropped, a replay shows those that some model has answered.
 *
 * @param {{record: import("./track/video-record.js").Record}[]} models
 * @returns {(index: number) => boolean}
 */
export function worthSeeing(models) {
  const answered = new Set(models.flatMap(({ record }) => record.frames));
  const [first, last] = [...answered].reduce(([a, b], n) => [Math.min(a, n), Math.max(b, n)], [Infinity, -Infinity]);
  return (index) => index < first || index > last || answered.has(index);
}
