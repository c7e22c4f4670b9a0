/** Objects cut out of the picture: PNG files, transparent where the object is not. */

import { zip } from "./zip.js";

/**
 * One file for one object, a zip for several.
 *
 * @param {ImageBitmap} picture
 * @param {import("../views.js").Shown[]} answers
 * @param {string} stem of the names
 * @returns {Promise<{blob: Blob, name: string} | null>} `null` if nothing that is shown has a mask
 */
export async function cutOuts(picture, answers, stem) {
  const found = answers.flatMap(({ answer, isShown }) =>
    answer.segments
      .filter(({ index, mask }) => isShown(index) && mask?.width)
      .map(({ index, label, mask }) => ({ name: nameOf(stem, answer.modelId, index, label), mask })),
  );
  const files = [];
  for (const { name, mask } of found) files.push({ name, blob: await cutOut(picture, mask) });
  if (files.length < 2) return files[0] ?? null;
  const entries = await Promise.all(
    files.map(async ({ name, blob }) => ({ name, data: new Uint8Array(await blob.arrayBuffer()) })),
  );
  return { blob: zip(entries), name: `${stem}-cut-outs.zip` };
}

/** @param {ImageBitmap} picture @param {import("../canvas/rle.js").Mask} mask @returns {Promise<Blob>} */
function cutOut(picture, { x, y, width, height, data }) {
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(picture, -x, -y);
  const pixels = context.getImageData(0, 0, width, height);
  for (let at = 0; at < data.length; at += 1) if (!data[at]) pixels.data[4 * at + 3] = 0;
  context.putImageData(pixels, 0, 0);
  return new Promise((resolve, reject) =>
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("This object is too large for the browser to write.")))),
  );
}

function nameOf(stem, modelId, index, label) {
  return `${stem}-${modelId}-${index + 1}-${label}`.replace(/[^\p{L}\p{N}._ -]/gu, "_") + ".png";
}
