/** Answers of the gateway as what the page draws. */

import { covers, decodeMask } from "./rle.js";

/**
 * @typedef {object} Segment
 * @property {number} index in the model's answer
 * @property {number | null} object which of the objects asked for; `null` without prompts
 * @property {string} label what to call it; never empty
 * @property {number} score
 * @property {number} area in pixels
 * @property {[number, number, number, number] | null} box left, top, width, height
 * @property {import("./rle.js").Mask | null} mask
 * @property {{x: number, y: number}[]} keypoints
 * @property {number | null} sourceIou overlap with the outline that a cascade began with
 * @property {any} document as it came: a COCO annotation and more
 */

/**
 * @typedef {object} Answer
 * @property {string} modelId
 * @property {number} width of the picture, in pixels
 * @property {number} height
 * @property {Segment[]} segments
 * @property {any} timings in seconds
 * @property {boolean} held the encoder did not run
 * @property {string} sha256 of the picture file
 * @property {number} omitted
 * @property {string[]} warnings what is wrong with the file, though its pixels are all there
 * @property {Set<number>} hidden indices of objects that a person has hidden; they stay so when an answer is shown again
 * @property {any} document as it came
 */

/** @type {WeakMap<object, Set<number>>} */
const hidden = new WeakMap();

/** @param {any} result as it came @returns {Set<number>} */
function hiddenIn(result) {
  if (!hidden.has(result)) hidden.set(result, new Set());
  return hidden.get(result) ?? new Set();
}

/**
 * @param {any} result
 * @param {number[]} [objects] the object that each prompt was for
 * @returns {Answer}
 * @throws {RangeError} a mask cannot be read
 */
export function readAnswer(result, objects = []) {
  return {
    modelId: result.model_id,
    width: result.image_size.width,
    height: result.image_size.height,
    segments: result.segments.map((document, index) => readSegment(document, index, objects)),
    timings: result.timings ?? {},
    held: result.provenance?.length > 0 && result.provenance.every((entry) => entry.image_cache_hit),
    sha256: result.image_sha256 ?? "",
    omitted: result.omitted ?? 0,
    warnings: result.warnings ?? [],
    hidden: hiddenIn(result),
    document: result,
  };
}

/**
 * The smallest of the segments that are meant, at a position, as that is what a person means who points there.
 *
 * @param {Answer} answer
 * @param {number} x share of the picture's width
 * @param {number} y share of its height
 * @param {(index: number) => boolean} meant
 */
export function segmentAt(answer, x, y, meant) {
  const [column, row] = [Math.floor(x * answer.width), Math.floor(y * answer.height)];
  return answer.segments
    .filter(({ index }) => meant(index))
    .filter(({ mask, box }) => (mask ? covers(mask, column, row) : within(box, column, row)))
    .reduce((best, segment) => (best && best.area <= segment.area ? best : segment), null);
}

/** How far a redrawn outline is that of the detector; "" for one that was not redrawn. */
export function redrawn({ sourceIou }) {
  return sourceIou === null ? "" : `IoU ${sourceIou.toFixed(2)}`;
}

/** A mask as requests have it. @param {Segment} segment with one @returns {import("./rle.js").Rle} */
export function rleOf({ mask: { x, y, width, height }, document: { segmentation }, area }) {
  const { size, counts } = segmentation;
  return { size, counts, box: [x, y, x + width, y + height], area };
}

/** @returns {Segment} */
function readSegment(document, index, objects) {
  const { segmentation, bbox, area, score, label, keypoints, prompt_index: prompt, source_iou } = document;
  const object = objects[prompt] ?? null;
  return {
    index,
    object,
    label: label || unlabelled(object ?? index, object !== null && !area),
    score: score ?? 0,
    area: area ?? 0,
    box: bbox ?? null,
    mask: segmentation?.counts ? decodeMask(segmentation) : null,
    keypoints: points(keypoints ?? []),
    sourceIou: source_iou ?? null,
    document,
  };
}

function unlabelled(number, empty) {
  return `object ${number + 1}${empty ? ": nothing found" : ""}`;
}

/** COCO's flat list of x, y, visibility. */
function points(flat) {
  const found = [];
  for (let at = 0; at + 2 < flat.length; at += 3) found.push({ x: flat[at], y: flat[at + 1] });
  return found;
}

function within(box, x, y) {
  if (!box) return false;
  return x >= box[0] && x < box[0] + box[2] && y >= box[1] && y < box[1] + box[3];
}
