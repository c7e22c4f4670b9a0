/** What was answered about a clip as files: a film, lines of JSON, what other tools read. */

import { exportFile } from "../common/api.js";
import { filmFormat, writeFilm } from "./film.js";
import { FilmPage } from "./film-page.js";
import { answeredFrames, jsonLines } from "./json-lines.js";

/** One of them is seen no longer than this, whatever was not answered after it. */
const MOST_SECONDS = 2;

/**
 * @typedef {object} Taken a clip and what is known of it
 * @property {import("../video/source/clip-source.js").Source} source
 * @property {import("./json-lines.js").Followed[]} followed by the models that are chosen
 * @property {{opacity: number, names: boolean}} look
 */

/** @param {Taken} taken */
export function linesFile({ source, followed }) {
  const lines = jsonLines(source.name, followed, (index) => index / source.fps);
  return new Blob(lines, { type: "application/jsonl" });
}

/**
 * @param {Taken} taken
 * @param {{onProgress: (done: number, of: number) => void, signal: AbortSignal}} how
 * @returns {Promise<{blob: Blob, suffix: string}>}
 * @throws {Error} a sentence; DOMException "AbortError" if it was given up
 */
export async function filmFile({ source, followed, look }, { onProgress, signal }) {
  const format = filmFormat();
  if (!format) throw new Error("This browser writes no films. “diptych video … --out film.mp4” does.");
  const frames = answeredFrames(followed);
  const first = await source.grab(frames[0]);
  const page = new FilmPage(first, followed.length, followed.length > 1);
  first.letGo();
  const blob = await writeFilm({
    canvas: page.canvas,
    seconds: frames.map((index, at) => Math.min(MOST_SECONDS, ((frames[at + 1] ?? index + 1) - index) / source.fps)),
    draw: async (at) => {
      signal.throwIfAborted();
      const frame = await source.grab(frames[at]);
      const columns = followed.map(({ name, answers }) => ({ title: name, answer: answers.get(frames[at]) ?? null }));
      page.draw(frame.bitmap, columns, look);
      frame.letGo();
    },
    onProgress: (done) => onProgress(done, frames.length),
    signal,
  });
  return { blob, suffix: format.suffix };
}

/**
 * The answers of one model in a format of the gateway; each frame is a picture.
 *
 * @param {Taken["source"]} source
 * @param {import("./json-lines.js").Followed} followed
 * @param {string} format
 */
export function otherFile(source, { model, answers }, format) {
  const pictures = [...answers].map(([index, { image_size, objects }]) => ({
    name: source.fileOf?.(index) ?? `frame-${String(index).padStart(6, "0")}.jpg`,
    answer: { model_id: model, image_size, segments: objects.filter(({ bbox }) => bbox).map(asSegment) },
  }));
  return exportFile({ format, tolerance: 0, pictures });
}

/** Objects without a class keep their numbers. */
function asSegment({ object_id: id, presence, ...segment }) {
  return { ...segment, label: segment.label || `object ${id}`, score: presence };
}
