/**
 * The masks of one answer on a canvas, at the resolution of the screen.
 *
 * A map says for each pixel of the picture which segment is on top; a table says its colour. Drawing
 * looks both up for each pixel of the screen, so it costs the same whatever the picture's size and the
 * number of masks, and pointing at a segment or giving it another colour changes only the table.
 */

import { FAINT, FILL, mixed, pixel } from "./paint.js";
import { covers, forEachSpan } from "./rle.js";

/** From as many segments the map needs larger numbers. */
const FEW = 0x7fff;
/** Two lines, each one CSS pixel wide, so that one of them is seen on every ground. */
const LIGHT = pixel("#ffffff", 255);
const DARK = pixel("#14161a", 255);
/** Samples for each pixel of a coarse screen, in both directions, where the picture is shrunk. */
const SAMPLES = 2;

export class Overlay {
  #answer;
  /** Segments with masks, large ones first, so that small ones stay on top. */
  #masked;
  #shown = new Set();
  #lit = null;
  /** By pixel of the picture: 0, or index + 1 of the segment on top. */
  #labels;
  /** By label, as canvas memory has it. */
  #colors;
  #canvas = document.createElement("canvas");
  #image = null;
  /** By pixel of the screen, as `#labels`. */
  #tops = new Uint32Array(0);

  /** @param {import("./segments.js").Answer} answer */
  constructor(answer) {
    const { width, height, segments } = answer;
    this.#answer = answer;
    this.#masked = segments.filter(({ mask }) => mask?.width).toSorted((a, b) => b.area - a.area);
    this.#labels = new (segments.length < FEW ? Uint16Array : Uint32Array)(width * height);
    this.#colors = new Uint32Array(segments.length + 1);
  }

  /**
   * @param {object} how
   * @param {(index: number) => string} how.colorOf `#rrggbb` of a segment
   * @param {(index: number) => boolean} how.isShown
   * @param {(index: number) => boolean} how.isLit it comes on top and the others become faint
   * @param {number} [how.fill] opacity of the others, 0 to 255
   */
  look({ colorOf, isShown, isLit, fill = FILL }) {
    const changed = this.#masked.filter(({ index }) => isShown(index) !== this.#shown.has(index));
    for (const { index } of changed) if (!this.#shown.delete(index)) this.#shown.add(index);
    if (changed.length) this.#label(changed.map(({ mask }) => mask));
    this.#lit = this.#masked.find(({ index }) => isShown(index) && isLit(index)) ?? null;
    for (const segment of this.#masked) {
      const { index } = segment;
      const faint = this.#lit !== null && segment !== this.#lit;
      this.#colors[index + 1] = pixel(colorOf(index), faint ? FAINT : fill);
    }
  }

  /** Draws all of it. @param {CanvasRenderingContext2D} context @param {import("./stage.js").Frame} frame */
  paint(context, frame) {
    if (!this.#shown.size) return;
    const { width, height } = context.canvas;
    if (this.#image?.width !== width || this.#image.height !== height) {
      Object.assign(this.#canvas, { width, height });
      this.#image = new ImageData(width, height);
      this.#tops = new Uint32Array(width * height);
    }
    const samples = this.#answer.width > frame.width && frame.unit < SAMPLES ? SAMPLES : 1;
    const columns = sampledPixels(frame.left, frame.width, this.#answer.width, width * samples, samples);
    const rows = sampledPixels(frame.top, frame.height, this.#answer.height, height * samples, samples);
    const pixels = new Uint32Array(this.#image.data.buffer);
    if (samples === 1) this.#paintPlainly(pixels, columns, rows);
    else this.#paintSmoothly(pixels, columns, rows);
    this.#outline(pixels, width, Math.max(1, Math.round(frame.unit)));
    const sheet = this.#canvas.getContext("2d");
    sheet.putImageData(this.#image, 0, 0);
    context.drawImage(this.#canvas, 0, 0);
  }

  #paintPlainly(pixels, columns, rows) {
    const [colors, labels, stride] = [this.#colors, this.#labels, this.#answer.width];
    let at = 0;
    for (const y of rows) {
      const row = y * stride;
      for (let n = 0; n < columns.length; n += 1, at += 1) {
        const x = columns[n];
        this.#tops[at] = x < 0 || y < 0 ? 0 : this.#top(labels[row + x], x, y);
        pixels[at] = colors[this.#tops[at]];
      }
    }
  }

  #paintSmoothly(pixels, columns, rows) {
    const [colors, labels, stride] = [this.#colors, this.#labels, this.#answer.width];
    let at = 0;
    for (let line = 0; line < rows.length; line += 2) {
      const top = rows[line];
      const bottom = rows[line + 1];
      for (let n = 0; n < columns.length; n += 2, at += 1) {
        const left = columns[n];
        const right = columns[n + 1];
        if (top < 0 || bottom < 0 || left < 0 || right < 0) {
          pixels[at] = this.#tops[at] = 0;
          continue;
        }
        const a = this.#top(labels[top * stride + left], left, top);
        const b = this.#top(labels[top * stride + right], right, top);
        const c = this.#top(labels[bottom * stride + left], left, bottom);
        const d = this.#top(labels[bottom * stride + right], right, bottom);
        this.#tops[at] = a;
        const same = a === b && a === c && a === d;
        pixels[at] = same ? colors[a] : mixed(colors[a], colors[b], colors[c], colors[d]);
      }
    }
  }

  /** The label to show where the map has `label`: the lit segment is over all others. */
  #top(label, x, y) {
    // Where no mask is at all, the lit one is not either.
    if (this.#lit === null || label === 0) return label;
    return covers(this.#lit.mask, x, y) ? this.#lit.index + 1 : label;
  }

  /**
   * Draws a light line inside of each segment's edge and a dark one inside of that.
   *
   * @param {Uint32Array} pixels of the screen
   * @param {number} width of the screen
   * @param {number} thick pixels of each line
   */
  #outline(pixels, width, thick) {
    const tops = this.#tops;
    const lit = this.#lit && this.#lit.index + 1;
    const ends = (at, x, reach) => {
      const label = tops[at];
      const rows = reach * width;
      return (
        (x >= reach && tops[at - reach] !== label) ||
        (x + reach < width && tops[at + reach] !== label) ||
        (at >= rows && tops[at - rows] !== label) ||
        (at + rows < tops.length && tops[at + rows] !== label)
      );
    };
    for (let at = 0, x = 0; at < tops.length; at += 1, x = x + 1 === width ? 0 : x + 1) {
      if (!tops[at] || (lit && tops[at] !== lit) || !ends(at, x, 2 * thick)) continue;
      pixels[at] = ends(at, x, thick) ? LIGHT : DARK;
    }
  }

  /** Makes the map anew where these masks are. @param {import("./rle.js").Mask[]} masks */
  #label(masks) {
    const stride = this.#answer.width;
    const area = around(masks);
    for (let y = area.top; y < area.bottom; y += 1) {
      this.#labels.fill(0, y * stride + area.left, y * stride + area.right);
    }
    for (const { index, mask } of this.#masked) {
      if (!this.#shown.has(index) || !meet(mask, area)) continue;
      forEachSpan(mask, (y, left, right) => {
        if (y < area.top || y >= area.bottom) return;
        const [from, to] = [Math.max(left, area.left), Math.min(right, area.right)];
        if (from < to) this.#labels.fill(index + 1, y * stride + from, y * stride + to);
      });
    }
  }
}

function meet({ x, y, width, height }, area) {
  return x < area.right && x + width > area.left && y < area.bottom && y + height > area.top;
}

/** The smallest rectangle around all of these. @param {import("./rle.js").Mask[]} masks */
function around(masks) {
  return {
    left: Math.min(...masks.map(({ x }) => x)),
    top: Math.min(...masks.map(({ y }) => y)),
    right: Math.max(...masks.map(({ x, width }) => x + width)),
    bottom: Math.max(...masks.map(({ y, height }) => y + height)),
  };
}

/** For each sample along one side of the screen, the pixel of the picture there; -1 outside. */
function sampledPixels(start, length, pixels, count, samples) {
  return Int32Array.from({ length: count }, (_, n) => {
    const index = Math.floor((((n + 0.5) / samples - start) * pixels) / length);
    return index >= 0 && index < pixels ? index : -1;
  });
}
