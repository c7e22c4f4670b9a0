/** Choosing a picture: a file, the clipboard, something dropped, or a bundled sample. */

import { decode } from "./decode.js";
import { byId, make } from "./dom.js";

/** Bundled pictures: the name in the address and what a person reads. */
export const SAMPLES = [
  { name: "figure", title: "A figure among shapes" },
  { name: "shapes", title: "Shapes on a plain ground" },
  { name: "crowd", title: "Many shapes" },
];

/**
 * @typedef {object} Picture
 * @property {Blob} file what is sent
 * @property {string} sentAs its format, if it is another than that of the chosen file
 * @property {string} name
 * @property {string} sample name of the bundled picture, or ""
 * @property {ImageBitmap} bitmap upright
 */

/**
 * Listens to everything that brings a picture.
 *
 * @param {(picture: Picture) => void} onPicture
 * @param {(text: string) => void} onProblem a sentence
 */
export function offerPictures(onPicture, onProblem) {
  let newest = 0;
  const take = async (file, name, sample = "") => {
    const turn = ++newest;
    const line = byId("picture-name");
    line.textContent = "Reading the picture …";
    const read = await decode(file).catch((error) => error);
    // A picture that was chosen later may have been read sooner.
    if (turn !== newest) return read.bitmap?.close();
    line.textContent = line.title; // of the picture that is shown still
    if (read.bitmap) onPicture({ name, sample, ...read });
    else onProblem(`“${name}” ${read.message}`);
  };
  const takeSample = async (name) => {
    const answer = await fetch(`samples/${name}.webp`).catch(() => null);
    if (answer?.ok) await take(await answer.blob(), `${name}.webp`, name);
    else onProblem("The sample cannot be loaded: the gateway cannot be reached.");
  };
  listenToFiles((file) => take(file, file.name || "the pasted picture"), onProblem);
  showSamples(takeSample);
  return { take, takeSample };
}

/** @param {(file: File) => void} take @param {(text: string) => void} onProblem */
function listenToFiles(take, onProblem) {
  const input = byId("file");
  input.addEventListener("change", () => {
    if (input.files[0]) take(input.files[0]);
    input.value = ""; // so that the same file can be chosen again
  });
  document.addEventListener("paste", (event) => {
    const file = event.clipboardData?.files[0];
    if (!file) return;
    event.preventDefault();
    take(file);
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
    const file = event.dataTransfer?.files[0];
    if (file) take(file);
    else onProblem("What was dropped is not a file. Drop a picture.");
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
          make("img", { src: `samples/${name}.webp`, alt: title, width: 48, height: 48 }),
        ),
      ),
    ),
  );
}
