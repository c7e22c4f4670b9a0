/** A mask that is painted on, at the picture's own resolution. */

import { decodeMask, encodeMask } from "../canvas/rle.js";

/** A stroke is never thinner than one pixel of the picture. */
const THINNEST = Math.SQRT1_2;

export class MaskSheet {
  /** Row by row: 1 where the mask is. */
  data;
  #size;
  /** Nothing is outside of it. */
  area = { left: Infinity, top: Infinity, right: -Infinity, bottom: -Infinity };

  /**
   * @param {{width: number, height: number}} size of the picture
   * @param {import("../canvas/rle.js").Rle | null} [start] what is there before
   */
  constructor({ width, height }, start = null) {
    this.#size = { width, height };
    this.data = new Uint8Array(width * height);
    if (!start) return;
    const mask = decodeMask(start);
    for (let row = 0; row < mask.height; row += 1) {
      const line = mask.data.subarray(row * mask.width, (row + 1) * mask.width);
      this.data.set(line, (mask.y + row) * width + mask.x);
    }
    this.area = { left: mask.x, top: mask.y, right: mask.x + mask.width, bottom: mask.y + mask.height };
  }

  get width() {
    return this.#size.width;
  }

  get height() {
    return this.#size.height;
  }

  /**
   * Paints everything that is as near to a line. Only rows and columns of the line are looked at.
   *
   * @param {{x: number, y: number}} from in pixels of the picture
   * @param {{x: number, y: number}} to
   * @param {number} radius
   * @param {0 | 1} value 0 erases
   */
  stroke(from, to, radius, value) {
    const { width, height } = this.#size;
    const reach = Math.max(radius, THINNEST);
    const first = Math.max(0, Math.ceil(Math.min(from.y, to.y) - reach - 0.5));
    const last = Math.min(height - 1, Math.floor(Math.max(from.y, to.y) + reach - 0.5));
    for (let row = first; row <= last; row += 1) {
      const [low, high] = across(from, to, reach, row + 0.5);
      const left = Math.max(0, Math.ceil(low - 0.5));
      const right = Math.min(width, Math.floor(high - 0.5) + 1);
      if (left >= right) continue;
      this.data.fill(value, row * width + left, row * width + right);
      if (value) this.#include(left, right, row);
    }
  }

  /** @returns {import("../canvas/rle.js").Rle | null} `null` if nothing is left */
  finish() {
    return this.area.left < this.area.right ? encodeMask(this.data, this.#size, this.area) : null;
  }

  #include(left, right, row) {
    const { area } = this;
    area.left = Math.min(area.left, left);
    area.right = Math.max(area.right, right);
    area.top = Math.min(area.top, row);
    area.bottom = Math.max(area.bottom, row + 1);
  }
}

/** From where to where a row crosses a line with round ends; from beyond to before if it does not. */
function across(from, to, reach, y) {
  let [low, high] = [Infinity, -Infinity];
  const take = (x) => {
    low = Math.min(low, x);
    high = Math.max(high, x);
  };
  for (const end of [from, to]) {
    const half = Math.sqrt(reach * reach - (y - end.y) ** 2);
    if (half >= 0) [end.x - half, end.x + half].forEach(take);
  }
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  const length = Math.hypot(dx, dy);
  if (!length) return [low, high];
  for (const side of [reach, -reach]) {
    const [x, start] = [from.x - (dy / length) * side, from.y + (dx / length) * side];
    const share = (y - start) / dy;
    if (share >= 0 && share <= 1) take(x + share * dx);
    else if (dy === 0 && y === start) [x, x + dx].forEach(take);
  }
  return [low, high];
}
