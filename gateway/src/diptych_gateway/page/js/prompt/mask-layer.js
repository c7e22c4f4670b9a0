/** One mask on a canvas, at the resolution of the screen: filled while it is painted, or its edge. */

import { FILL, pixel } from "../canvas/paint.js";

const LIGHT = pixel("#ffffff", 255);
const DARK = pixel("#14161a", 255);

/** @typedef {{data: Uint8Array, width: number, height: number, area: {left: number, top: number, right: number, bottom: number}}} Sheet */

export class MaskLayer {
  #canvas = document.createElement("canvas");

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {import("../canvas/stage.js").Frame} frame
   * @param {Sheet} sheet a mask of the whole picture
   * @param {{color: string, filled: boolean}} how
   */
  paint(context, frame, sheet, { color, filled }) {
    const seen = visible(context.canvas, frame, sheet);
    const [width, height] = [seen.right - seen.left, seen.bottom - seen.top];
    if (!(width > 0 && height > 0)) return;
    const columns = sampled(seen.left, width, frame.left, frame.width / sheet.width, sheet.width);
    const rows = sampled(seen.top, height, frame.top, frame.height / sheet.height, sheet.height);
    const covered = sample(sheet, columns, rows);
    const image = new ImageData(width, height);
    const pixels = new Uint32Array(image.data.buffer);
    const [fill, line] = [filled ? pixel(color, FILL) : 0, filled ? DARK : pixel(color, 255)];
    const thick = Math.max(1, Math.round(frame.unit));
    const ends = (at, x, reach) =>
      !(
        (x < reach || covered[at - reach]) &&
        (x + reach >= width || covered[at + reach]) &&
        (at < reach * width || covered[at - reach * width]) &&
        (at + reach * width >= covered.length || covered[at + reach * width])
      );
    for (let at = 0, x = 0; at < covered.length; at += 1, x = x + 1 === width ? 0 : x + 1) {
      if (!covered[at]) continue;
      pixels[at] = !ends(at, x, 2 * thick) ? fill : ends(at, x, thick) ? LIGHT : line;
    }
    Object.assign(this.#canvas, { width, height });
    this.#canvas.getContext("2d").putImageData(image, 0, 0);
    context.drawImage(this.#canvas, seen.left, seen.top);
  }
}

/** Row by row, whether the mask has the pixel that is there. */
function sample({ data, width }, columns, rows) {
  const covered = new Uint8Array(columns.length * rows.length);
  let at = 0;
  for (const y of rows) {
    for (let n = 0; n < columns.length; n += 1, at += 1) {
      if (y >= 0 && columns[n] >= 0) covered[at] = data[y * width + columns[n]];
    }
  }
  return covered;
}

/** What of the screen the mask may be on, with a margin. */
function visible(canvas, frame, { area, width, height }) {
  const [sx, sy] = [frame.width / width, frame.height / height];
  return {
    left: Math.max(0, Math.floor(frame.left + area.left * sx) - 2),
    top: Math.max(0, Math.floor(frame.top + area.top * sy) - 2),
    right: Math.min(canvas.width, Math.ceil(frame.left + area.right * sx) + 2),
    bottom: Math.min(canvas.height, Math.ceil(frame.top + area.bottom * sy) + 2),
  };
}

/** For each pixel of the screen, the one of the picture there; -1 outside. */
function sampled(first, count, start, scale, pixels) {
  return Int32Array.from({ length: count }, (_, n) => {
    const index = Math.floor((first + n + 0.5 - start) / scale);
    return index < pixels ? Math.max(index, -1) : -1;
  });
}
