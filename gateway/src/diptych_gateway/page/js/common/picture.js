/** Choosing a picture: a file, the clipboard, something dropped, or a bundled sample. */

import { SAMPLES } from "./address.js";
import { decode } from "./decode.js";
import { byId, make } from "./dom.js";
import { askedEarly } from "../early.js";
import { mark } from "./marks.js";

/** Kept for the way back; what was pasted lies in memory. */
const MAX_BROUGHT = 20;

/**
 * @typedef {object} Picture
 * @property {Blob} file what is sent
 * @property {string} sentAs its format, if it is another than that of the chosen file
 * @property {string} name
 * @property {string} sample name of the bundled picture, or ""
 * @property {number} [number] of one that a person brought
 * @property {File} [source] what was chosen, of one in the strip
 * @property {ImageBitmap} bitmap upright
 */

/**
 * Listens to everything that brings a picture.
 *
 * @param {(picture: Picture, back: boolean) => void} onPicture is told whether the browser went back to it
 * @param {(text: string) => void} onProblem a sentence
 * @param {(files: File[], entries: any[]) => void} onSeveral several files, or what was dropped with folders
 */
export function offerPictures(onPicture, onProblem, onSeveral) {
  let newest = 0;
  let done = 0;
  /** Those that a person brought, so that the browser can go back to them. */
  const brought = new Map();
  /** Those of the strip, by their numbers. @type {Map<number, any>} */
  let listed = new Map();
  let number = Date.now(); // unlike those of before the page was loaded anew
  const open = async (turn, { file, ...rest }, back) => {
    const line = byId("picture-name");
    line.textContent = "Reading the picture …";
    const read = await decode(file).catch((error) => error);
    // A picture that was chosen later may have been read sooner.
    if (turn !== newest) return read.bitmap?.close();
    line.textContent = line.title; // of the picture that is shown still
    done = turn;
    if (read.bitmap) onPicture({ ...rest, ...read }, back);
    else {
      if (rest.source) mark(rest.source, "failed");
      onProblem(`“${rest.name}” ${read.message}`);
    }
  };
  const take = async (file, name) => {
    const picture = { file, name, sample: "", number: ++number };
    brought.set(number, picture).delete(number - MAX_BROUGHT);
    await open(++newest, picture, false);
  };
  const takeSample = async (name, back = false) => {
    const turn = ++newest;
    const answer = await askedEarly(`samples/${name}.webp`).catch(() => null);
    const file = answer?.ok ? await answer.blob().catch(() => null) : null;
    if (file) await open(turn, { file, name: `${name}.webp`, sample: name }, back);
    else if (turn === newest) {
      done = turn;
      onProblem("The sample cannot be loaded: the gateway cannot be reached.");
    }
  };
  /** Takes the picture of a step that the browser went back to. */
  const takeAgain = async (sample, known) => {
    if (SAMPLES.some(({ name }) => name === sample)) await takeSample(sample, true);
    else if (listed.has(known)) await open(++newest, listed.get(known), true);
    else if (brought.has(known)) await open(++newest, brought.get(known), true);
    else if (known) onProblem("The picture that was here is not kept. Choose it again.");
  };
  /** Numbers the pictures of a strip. @param {{file: File, name: string}[]} found */
  const list = (found) => {
    listed = new Map(found.map((one) => [++number, { ...one, source: one.file, sample: "", number }]));
    return [...listed.values()];
  };
  const bring = (files, entries = []) => {
    const folders = entries.some((entry) => entry?.isDirectory);
    const [file] = files;
    if (folders || files.length > 1) onSeveral([...files], folders ? entries : []);
    else if (file) take(file, file.name || "the pasted picture");
    else onProblem("What was dropped is not a file. Drop a picture.");
  };
  listenToFiles(bring);
  showSamples(takeSample);
  return {
    take,
    takeAgain,
    list,
    /** @param {any} one of the strip */
    takeListed: (one) => open(++newest, one, false),
    /** One is on its way. */
    get busy() {
      return done !== newest;
    },
  };
}

/** @param {(files: ArrayLike<File>, entries?: any[]) => void} bring */
function listenToFiles(bring) {
  for (const input of [byId("file"), byId("folder")]) {
    input.addEventListener("change", () => {
      if (input.files.length) bring([...input.files]);
      input.value = ""; // so that the same file can be chosen again
    });
  }
  document.addEventListener("paste", (event) => {
    const files = event.clipboardData?.files ?? [];
    if (!files.length) return;
    event.preventDefault();
    bring(files);
  });
  const body = document.body;
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    body.classList.add("dropping");
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) body.classList.remove("dropping");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    body.classList.remove("dropping");
    const dropped = event.dataTransfer;
    // Folders have to be asked for at once: they are gone after the event.
    bring(dropped?.files ?? [], [...(dropped?.items ?? [])].map((item) => item.webkitGetAsEntry?.()).filter(Boolean));
  });
}

/** @param {(name: string) => void} take */
function showSamples(take) {
  byId("samples").append(
    ...SAMPLES.map(({ name, title }) =>
      make(
        "li",
        {},
        make(
          "button",
          { type: "button", "data-sample": name, title, onclick: () => take(name) },
          make("img", { src: `samples/small/${name}.webp`, alt: title, width: 48, height: 48 }),
        ),
      ),
    ),
  );
}
