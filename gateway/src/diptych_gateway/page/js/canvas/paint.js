/** What masks look like; parts of them painted at the picture's size; boxes and body points as lines. */

/** Opacities of 0 to 255: of a mask, of one that others outshine, of one on a grey picture, where colours count. */
export const FILL = 150;
export const FAINT = 40;
export const SOLID = 255;

/** Stripes tell who has a pixel without its colour, with white between; so many across the longer side. */
const STRIPES = 48;

/** Pixels of the picture's size that masks are painted into. */
export class Sheet {
  #canvas;
  #context;
  #image;
  #pixels;

  /** @param {number} width @param {number} height */
  constructor(width, height) {
    this.#canvas = Object.assign(document.createElement("canvas"), { width, height });
    this.#context = this.#canvas.getContext("2d");
    this.#image = this.#context.createImageData(width, height);
    this.#pixels = new Uint32Array(this.#image.data.buffer);
  }

  /**
   * Fills the pixels of a mask; with a second mask those that it has too, or has not.
   *
   * @param {import("./rle.js").Mask} mask
   * @param {string} color
   * @param {object} [how]
   * @param {import("./rle.js").Mask} [how.other]
   * @param {boolean} [how.within] whether the pixels of the other are meant, or all but those
   * @param {number} [how.slant] 1 for stripes that fall to the left, -1 to the right, 0 for none
   */
  fill(mask, color, { other, within = false, slant = 0 } = {}) {
    const { width: stride, height } = this.#canvas;
    const period = Math.max(4, 2 * Math.round(Math.max(stride, height) / STRIPES / 2));
    const values = [pixel(color, SOLID), slant ? pixel("#ffffff", SOLID) : 0];
    for (let y = 0, at = 0; y < mask.height; y += 1) {
      const row = (mask.y + y) * stride + mask.x;
      const otherY = other ? mask.y + y - other.y : -1;
      const meets = other !== undefined && otherY >= 0 && otherY < other.height;
      const beside = meets ? otherY * other.width + mask.x - other.x : 0;
      for (let x = 0; x < mask.width; x += 1, at += 1) {
        if (!mask.data[at]) continue;
        if (other) {
          const otherX = mask.x + x - other.x;
          const has = meets && otherX >= 0 && otherX < other.width && other.data[beside + x] === 1;
          if (has !== within) continue;
        }
        // As many periods as there are rows keep it positive.
        const along = slant && (mask.x + x + slant * (mask.y + y) + period * height) % period;
        this.#pixels[row + x] = values[along * 2 < period ? 0 : 1];
      }
    }
  }

  /** @returns {HTMLCanvasElement} with everything that was painted */
  finish() {
    this.#context.putImageData(this.#image, 0, 0);
    return this.#canvas;
  }
}

/**
 * Draws what has no mask: boxes, and body points with the lines between them.
 *
 * @param {CanvasRenderingContext2D} context
 * @param {import("./stage.js").Frame} frame
 * @param {import("./segments.js").Answer} answer
 * @param {{colorOf: (index: number) => string, isShown: (index: number) => boolean,
 *   isLit: (index: number) => boolean, edges: [number, number][], opacity: number,
 *   dashOf?: (index: number) => number[]}} how `dashOf`: of a box, in CSS pixels; solid if left out
 */
export function drawMarks(context, frame, answer, { colorOf, isShown, isLit, edges, opacity, dashOf }) {
  const [sx, sy] = [frame.width / answer.width, frame.height / answer.height];
  const at = ({ x, y }) => [frame.left + x * sx, frame.top + y * sy];
  context.save();
  context.globalAlpha = opacity;
  for (const { index, mask, box, keypoints } of answer.segments.filter((s) => isShown(s.index))) {
    context.strokeStyle = context.fillStyle = colorOf(index);
    context.lineWidth = (isLit(index) ? 4 : 2) * frame.unit;
    if (box && !mask) {
      const [x, y] = at({ x: box[0], y: box[1] });
      context.setLineDash((dashOf?.(index) ?? []).map((length) => length * frame.unit));
      context.strokeRect(x, y, box[2] * sx, box[3] * sy);
      context.setLineDash([]);
    }
    for (const [from, to] of edges) {
      if (!keypoints[from] || !keypoints[to]) continue;
      context.beginPath();
      context.moveTo(...at(keypoints[from]));
      context.lineTo(...at(keypoints[to]));
      context.stroke();
    }
    for (const point of keypoints) {
      context.beginPath();
      context.arc(...at(point), 3 * frame.unit, 0, 2 * Math.PI);
      context.fill();
    }
  }
  context.restore();
}

/**
 * The mean of four colours as `pixel` makes them, each by its opacity.
 *
 * @param {number} a @param {number} b @param {number} c @param {number} d
 */
export function mixed(a, b, c, d) {
  const [p, q, r, s] = [a >>> 24, b >>> 24, c >>> 24, d >>> 24];
  const alpha = p + q + r + s;
  if (!alpha) return 0;
  const mean = (shift) =>
    (p * ((a >> shift) & 255) + q * ((b >> shift) & 255) + r * ((c >> shift) & 255) + s * ((d >> shift) & 255)) /
    alpha;
  return (((alpha >> 2) << 24) | (mean(16) << 16) | (mean(8) << 8) | mean(0)) >>> 0;
}

/**
 * A colour as canvas memory has it on little-endian machines.
 *
 * @param {string} color `#rrggbb`
 * @param {number} alpha 0 to 255
 */
export function pixel(color, alpha) {
  const value = Number.parseInt(color.slice(1), 16);
  const [red, green, blue] = [value >> 16, (value >> 8) & 255, value & 255];
  return ((alpha << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}
