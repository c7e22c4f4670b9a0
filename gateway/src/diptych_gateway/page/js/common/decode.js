/** A file as upright pixels, and as a file that services read. */

import { findBlocks, kindOf, orientationOf } from "./orientation.js";

/** Of a request of 32 MiB, which has options besides. */
const MAX_FILE_BYTES = 31 * 2 ** 20;
const QUALITIES = [0.95, 0.9, 0.8, 0.65, 0.5, 0.35, 0.2];
/** What a stored column and row become: EXIF 2.3, table "Orientation". */
const TURNS = {
  2: (w) => [-1, 0, 0, 1, w, 0],
  3: (w, h) => [-1, 0, 0, -1, w, h],
  4: (w, h) => [1, 0, 0, -1, 0, h],
  5: () => [0, 1, 1, 0, 0, 0],
  6: (w, h) => [0, 1, -1, 0, h, 0],
  7: (w, h) => [0, -1, -1, 0, h, w],
  8: (w) => [0, -1, 1, 0, 0, w],
};
const UNREADABLE = "is not a picture that can be read. Take a JPEG, PNG or WebP file.";
const OTHERS = [
  [/^....ftyp(?:.{8}(?:.{4})*)?avi[fs]/s, "AVIF"],
  [/^....ftyp(?:.{8}(?:.{4})*)?(?:hei[cxms]|hev[cx]|mif1|msf1)/s, "HEIC"],
  [/^(?:II[*+]\0|MM\0[*+])/, "TIFF"],
  [/^GIF8/, "GIF"],
  [/^BM/, "BMP"],
];

/**
 * @param {Blob} file
 * @returns {Promise<{bitmap: ImageBitmap, file: Blob, sentAs: string}>} upright; `file` is what is to
 *   be sent, and `sentAs` its format if it had to be converted, else ""
 * @throws {Error} says what is wrong with it: a sentence without its subject
 */
export async function decode(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  if (!kindOf(bytes)) return await convert(file, bytes);
  const blocks = await findBlocks(bytes);
  const stored = await bitmapOf(blocks.length ? without(bytes, blocks) : file);
  const orientation = orientationOf(blocks);
  if (orientation === 1) return { bitmap: stored, file, sentAs: "" };
  const [w, h] = [stored.width, stored.height];
  const canvas = canvasOf(...(orientation >= 5 ? [h, w] : [w, h]));
  const context = canvas.getContext("2d");
  context.setTransform(...TURNS[orientation](w, h));
  context.drawImage(stored, 0, 0);
  stored.close();
  return { bitmap: await createImageBitmap(canvas), file, sentAs: "" };
}

/** The file without the blocks by which a browser, or not, turns it. */
function without(bytes, blocks) {
  if (kindOf(bytes) === "WebP") {
    const copy = bytes.slice(); // its header counts all chunks, so one is renamed
    for (const { start } of blocks) copy.set([88, 88, 88, 88], start);
    return new Blob([copy]);
  }
  const edges = [0, ...blocks.flatMap(({ start, end }) => [start, end]), bytes.length];
  const kept = [];
  for (let at = 0; at < edges.length; at += 2) kept.push(bytes.subarray(edges[at], edges[at + 1]));
  return new Blob(kept);
}

async function convert(file, bytes) {
  const head = new TextDecoder("latin1").decode(bytes.subarray(0, 256));
  const kind = OTHERS.find(([start]) => start.test(head))?.[1];
  const problem = kind
    ? `is a ${kind} file, which this browser cannot read. “diptych compare” can, and every browser JPEG, PNG and WebP.`
    : UNREADABLE;
  const bitmap = await bitmapOf(file, problem);
  const canvas = canvasOf(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d");
  context.drawImage(bitmap, 0, 0);
  const png = await blobOf(canvas, "image/png");
  if (png && png.size <= MAX_FILE_BYTES) return { bitmap, file: png, sentAs: "PNG" };
  // Behind what is there: JPEG has no transparency, and services lay it on white.
  context.globalCompositeOperation = "destination-over";
  context.fillStyle = "white";
  context.fillRect(0, 0, canvas.width, canvas.height);
  for (const quality of QUALITIES) {
    const jpeg = await blobOf(canvas, "image/jpeg", quality);
    if (jpeg && jpeg.size <= MAX_FILE_BYTES) return { bitmap, file: jpeg, sentAs: "JPEG" };
  }
  throw new Error("is too large to be sent, as JPEG too.");
}

async function bitmapOf(file, problem = UNREADABLE) {
  try {
    return await createImageBitmap(file);
  } catch {
    throw new Error(problem);
  }
}

function canvasOf(width, height) {
  return Object.assign(document.createElement("canvas"), { width, height });
}

function blobOf(canvas, type, quality) {
  return new Promise((resolve) => canvas.toBlob(resolve, type, quality));
}
