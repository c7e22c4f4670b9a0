/** How far two answers agree, from the masks that the page holds: as the gateway computes it. */

import { assign } from "./assignment.js";

/** @typedef {import("../canvas/segments.js").Answer} Answer */

export class Matching {
  #a;
  #b;
  #edgesOf;
  #areasA;
  #areasB;
  /** IoU of pairs that were looked at, by `index in A * segments of B + index in B`. @type {Map<number, number>} */
  #known = new Map();
  #ground = { of: "", iou: /** @type {number | null} */ (null) };

  /** @param {Answer} a @param {Answer} b @param {boolean} byBoxes boxes are compared, not masks */
  constructor(a, b, byBoxes) {
    [this.#a, this.#b] = [a, b];
    this.#edgesOf = byBoxes ? ({ box }) => box : maskBox;
    const areas = ({ segments }) =>
      segments.map((segment) => (byBoxes ? (segment.box?.[2] ?? 0) * (segment.box?.[3] ?? 0) : maskArea(segment)));
    [this.#areasA, this.#areasB] = [areas(a), areas(b)];
    this.byBoxes = byBoxes;
  }

  /**
   * As an agreement that the gateway sends, about the segments that are wanted.
   *
   * @param {number} matchIou overlap from which two segments match
   * @param {(segment: import("../canvas/segments.js").Segment) => boolean} wanted
   */
  agreement(matchIou, wanted) {
    const [a, b] = [this.#a, this.#b].map(({ segments }) => segments.filter(wanted));
    const edges = [];
    for (const one of a) {
      for (const other of b) {
        const weight = this.#iou(one, other, matchIou);
        if (weight >= matchIou) edges.push({ row: one.index, column: other.index, weight });
      }
    }
    const matches = assign(edges).map(({ row, column, weight }) => ({ index_a: row, index_b: column, iou: weight }));
    const [takenA, takenB] = ["index_a", "index_b"].map((key) => new Set(matches.map((match) => match[key])));
    const indices = (found, taken) => found.map(({ index }) => index).filter((index) => !taken.has(index));
    const sum = matches.reduce((total, { iou }) => total + iou, 0);
    return {
      model_id_a: this.#a.modelId,
      model_id_b: this.#b.modelId,
      matches,
      only_a: indices(a, takenA),
      only_b: indices(b, takenB),
      mean_match_iou: matches.length ? sum / matches.length : null,
      foreground_iou: this.#foreground(a, b),
    };
  }

  /** Exact, or 0 where the boxes alone say that it is below `least`. */
  #iou(one, other, least) {
    const [edgesA, edgesB] = [this.#edgesOf(one), this.#edgesOf(other)];
    if (!edgesA || !edgesB) return 0;
    const left = Math.max(edgesA[0], edgesB[0]);
    const top = Math.max(edgesA[1], edgesB[1]);
    const width = Math.min(edgesA[0] + edgesA[2], edgesB[0] + edgesB[2]) - left;
    const height = Math.min(edgesA[1] + edgesA[3], edgesB[1] + edgesB[3]) - top;
    if (width <= 0 || height <= 0) return 0;
    const [areaA, areaB] = [this.#areasA[one.index], this.#areasB[other.index]];
    const most = this.byBoxes ? width * height : Math.min(width * height, areaA, areaB);
    if (this.byBoxes || most / (areaA + areaB - most) < least - 1e-9) return most / (areaA + areaB - most);
    const key = one.index * this.#b.segments.length + other.index;
    if (!this.#known.has(key)) {
      const both = shared(one.mask, other.mask, { left, top, width, height });
      this.#known.set(key, both / (areaA + areaB - both));
    }
    return this.#known.get(key) ?? 0;
  }

  /** Of all pixels that either calls object, the share of those that both do; `null` without any. */
  #foreground(a, b) {
    const of = JSON.stringify([a, b].map((found) => found.map(({ index }) => index)));
    if (of === this.#ground.of) return this.#ground.iou;
    const { width, height } = this.#a;
    const masks = [a, b].map((found) => found.map(({ mask }) => mask).filter((mask) => mask?.width));
    let [both, either] = [0, 0];
    if (masks[0].length || masks[1].length) {
      const sheet = new Uint8Array(width * height);
      masks.forEach((list, side) => list.forEach((mask) => addTo(sheet, width, mask, side + 1)));
      for (const bits of sheet) {
        if (bits) either += 1;
        if (bits === 3) both += 1;
      }
    }
    this.#ground = { of, iou: either ? both / either : null };
    return this.#ground.iou;
  }
}

function maskBox({ mask }) {
  return mask?.width ? [mask.x, mask.y, mask.width, mask.height] : null;
}

function maskArea({ mask }) {
  let area = 0;
  for (const one of mask?.data ?? []) area += one;
  return area;
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

function addTo(sheet, stride, mask, bit) {
  for (let y = 0, at = 0; y < mask.height; y += 1) {
    const row = (mask.y + y) * stride + mask.x;
    for (let x = 0; x < mask.width; x += 1, at += 1) if (mask.data[at]) sheet[row + x] |= bit;
  }
}
