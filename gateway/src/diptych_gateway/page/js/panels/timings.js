/** Where the time of one answer went. */

import { make } from "../common/dom.js";

const STAGES = [
  ["queue_s", "queue"],
  ["decode_s", "decode"],
  ["encode_s", "encode"],
  ["predict_s", "predict"],
  ["postprocess_s", "reply"],
];

/**
 * @param {any} timings in seconds
 * @param {number} elapsedS as the gateway saw it
 * @param {boolean} held the encoder did not run, as the picture was held
 * @returns {HTMLElement}
 */
export function showTimings(timings, elapsedS, held) {
  const bar = make("div", { class: "bar", "aria-hidden": "true" });
  const list = make("dl", { class: "stages" });
  for (const [key, name] of STAGES) {
    const seconds = timings[key] ?? 0;
    const part = make("span", { class: `part ${name}` });
    part.style.flexGrow = String(seconds * 1000); // shares below a sum of 1 would not fill it
    bar.append(part);
    const shown = key === "encode_s" && held ? `${duration(seconds)} (held)` : duration(seconds);
    list.append(make("div", { class: name }, make("dt", {}, name), make("dd", {}, shown)));
  }
  const total = `${duration(elapsedS)} in all, as the gateway saw it`;
  return make("div", { class: "timings" }, make("p", {}, total), bar, list);
}

/** "4.2 ms", "230 ms", from 10 s on "12.3 s". @param {number} seconds */
export function duration(seconds) {
  if (seconds >= 9.9995) return `${seconds.toFixed(1)} s`;
  const value = seconds * 1000;
  return `${value < 10 ? value.toFixed(1) : Math.round(value).toLocaleString("en")} ms`;
}
