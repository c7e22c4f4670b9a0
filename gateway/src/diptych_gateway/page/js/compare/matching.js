/** How far two answers agree, from the masks that the page holds: as the gateway computes it. */

import { forEachSpan } from "../canvas/rle.js";
import { assign } from "./assignment.js";

/** @typedef {import("../canvas/segments.js").Answer} Answer */

export class Matching {
  #a;
  #b;
  #byBoxes;
  #sides;
  /** IoU of pairs that were looked at, by `index in A * segments of B + index in B`. @type {Map<number, number>} */
  #known = new Map();
  /** By the segments that it is of. @type {Map<string, number | null>} */
  #grounds = new Map();

  /** @param {Answer} a @param {Answer} b @param {boolean} byBoxes boxes are compared, not masks */
  constructor(a, b, byBoxes) {
    [this.#a, this.#b, this.#byBoxes] = [a, b, byBoxes];
    this.#sides = [a, b].map(({ segments }) => edgesAndAreas(segments, byBoxes));
  }

  /**
   * As an agreement that the gateway sends, about the segments that are wanted.
   *
   * @param {number} matchIou overlap from which two segments match
   * @param {(segment: import("../canvas/segments.js").Segment) => boolean} wanted
   */
  agreement(matchIou, wanted) {
    const [a, b] = [this.#a, this.#b].map(({ segments }) => segments.filter(wanted).map(({ index }) => index));
    const edges = [];
    for (const row of a) {
      for (const column of b) {
        const weight = this.#iou(row, column, matchIou);
        if (weight >= matchIou) edges.push({ row, column, weight });
      }
    }
    const matches = assign(edges).map(({ row, column, weight }) => ({ index_a: row, index_b: column, iou: weight }));
    const [takenA, takenB] = ["index_a", "index_b"].map((key) => new Set(matches.map((match) => match[key])));
    const sum = matches.reduce((total, { iou }) => total + iou, 0);
    return {
      model_id_a: this.#a.modelId,
      model_id_b: this.#b.modelId,
      matches,
      only_a: a.filter((index) => !takenA.has(index)),
      only_b: b.filter((index) => !takenB.has(index)),
      mean_match_iou: matches.length ? sum / matches.length : null,
      foreground_iou: this.#foreground(a, b),
    };
  }

  /** Exact, or 0 where the boxes alone say that it is below `least`. */
  #iou(row, column, least) {
    const [first, second] = this.#sides;
    const [m, n] = [row * 4, column * 4];
    const left = Math.max(first.edges[m], second.edges[n]);
    const width = Math.min(first.edges[m + 2], second.edges[n + 2]) - left;
    if (!(width > 0)) return 0;
    const top = Math.max(first.edges[m + 1], second.edges[n + 1]);
    const height = Math.min(first.edges[m + 3], second.edges[n + 3]) - top;
    if (!(height > 0)) return 0;
    const total = first.areas[row] + second.areas[column];
    if (this.#byBoxes) return (width * height) / (total - width * height);
    const most = Math.min(width * height, first.areas[row], second.areas[column]);
    if (most / (total - most) < least - 1e-9) return 0;
    const key = row * this.#b.segments.length + column;
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const both = shared(this.#a.segments[row].mask, this.#b.segments[column].mask, { left, top, width, height });
    this.#known.set(key, both / (total - both));
    return both / (total - both);
  }

  /** Of all pixels that either calls object, the share of those that both do; `null` without any. */
  #foreground(a, b) {
    const of = `${a}/${b}`;
    const known = this.#grounds.get(of);
    if (known !== undefined) return known;
    const [first, second] = [unionOf(this.#a, a), unionOf(this.#b, b)];
    let [both, either] = [0, 0];
    for (let at = 0; at < first.length; at += 1) {
      both += first[at] & second[at];
      either += first[at] | second[at];
    }
    const share = either ? both / either : null;
    // Everything, and what is looked at.
    if (this.#grounds.size > 1) this.#grounds.delete([...this.#grounds.keys()][1]);
    this.#grounds.set(of, share);
    return share;
  }
}

/** 1 for each pixel of the picture that one of these masks has. */
function unionOf({ segments, width, height }, indices) {
  const sheet = new Uint8Array(width * height);
  for (const index of indices) {
    const { mask } = segments[index];
    if (mask?.width) forEachSpan(mask, (y, left, right) => sheet.fill(1, y * width + left, y * width + right));
  }
  return sheet;
}

/** Left, top, right and bottom of each, NaN for what has none, and its area. */
function edgesAndAreas(segments, byBoxes) {
  const edges = new Float64Array(segments.length * 4).fill(NaN);
  const areas = new Float64Array(segments.length);
  segments.forEach(({ mask, box }, index) => {
    const [x, y, width, height] = byBoxes ? (box ?? []) : mask?.width ? [mask.x, mask.y, mask.width, mask.height] : [];
    if (x === undefined) return;
    edges.set([x, y, x + width, y + height], index * 4);
    areas[index] = byBoxes ? width * height : mask.area;
  });
  return { edges, areas };
}

/** Pixels that two masks share within a rectangle of the picture. */
function shared(a, b, { left, top, width, height }) {
  let both = 0;
  for (let y = top; y < top + height; y += 1) {
    let inA = (y - a.y) * a.width + left - a.x;
    let inB = (y - b.y) * b.width + left - b.x;
    for (const end = inA + width; inA < end; inA += 1, inB += 1) both += a.data[inA] & b.data[inB];
  }
  return both;
}
