/**
 * COCO's compressed run lengths to masks, and back.
 *
 * Run lengths go column by column, background first. In the string a length becomes chunks of
 * 5 bits, lowest first, each plus 48, with bit 5 set while more follow; from the fourth length on,
 * the difference to the one two before is written instead.
 */

const CHUNK = 32;
const MORE = 0x20;
const SIGN = 0x10;
const OFFSET = 48;
const MAX_CHUNKS = 7;

/**
 * The part of a picture that holds all pixels of a mask.
 *
 * @typedef {object} Mask
 * @property {number} x left edge in the picture, in pixels
 * @property {number} y top edge
 * @property {number} width 0 if the mask is empty
 * @property {number} height
 * @property {Uint8Array} data row by row: 1 where the mask is
 * @property {number} area pixels that it has
 */

/**
 * A mask as a request has it, and where it is.
 *
 * @typedef {object} Rle
 * @property {[number, number]} size height and width of the picture
 * @property {string} counts
 * @property {[number, number, number, number]} box left, top, right, bottom of its pixels
 * @property {number} area in pixels
 */

/**
 * @param {string} text
 * @param {number} pixels how many pixels the lengths have to add up to
 * @returns {number[]}
 * @throws {RangeError} no mask of that size has this string
 */
function decodeCounts(text, pixels) {
  const counts = [];
  let value = 0;
  let chunks = 0;
  for (const character of text) {
    const chunk = character.charCodeAt(0) - OFFSET;
    if (chunk < 0 || chunk >= 2 * MORE || chunks === MAX_CHUNKS) {
      throw new RangeError(`run lengths: cannot read ${JSON.stringify(character)}`);
    }
    value += (chunk & (MORE - 1)) * CHUNK ** chunks;
    chunks += 1;
    if (chunk & MORE) continue;
    if (chunk & SIGN) value -= CHUNK ** chunks;
    if (counts.length > 2) value += counts[counts.length - 2];
    if (value < 0 || value > pixels) {
      throw new RangeError(`run lengths: expected 0 to ${pixels}, got ${value}`);
    }
    counts.push(value);
    value = 0;
    chunks = 0;
  }
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (chunks || total !== pixels) {
    throw new RangeError(`run lengths: expected a sum of ${pixels}, got ${total}`);
  }
  return counts;
}

/**
 * @param {{size: [number, number], counts: string}} rle size is height, width
 * @returns {Mask}
 * @throws {RangeError} the string does not fit the size
 */
export function decodeMask({ size: [height, width], counts: text }) {
  const counts = decodeCounts(text, height * width);
  const box = extent(counts, height);
  const mask = { ...box, data: new Uint8Array(box.width * box.height), area: 0 };
  forEachRun(counts, (start, end) => {
    mask.area += end - start;
    for (let at = start; at < end; ) {
      const column = Math.floor(at / height);
      const stop = Math.min(end, (column + 1) * height);
      let index = (at - column * height - mask.y) * mask.width + column - mask.x;
      for (; at < stop; at += 1, index += mask.width) mask.data[index] = 1;
    }
  });
  return mask;
}

/**
 * @param {Uint8Array} data of the whole picture, row by row: 1 where the mask is
 * @param {{width: number, height: number}} size
 * @param {{left: number, top: number, right: number, bottom: number}} area nothing is outside of it
 * @returns {Rle | null} `null` for a mask without pixels
 */
export function encodeMask(data, { width, height }, { left, top, right, bottom }) {
  const counts = [];
  let [last, value, area] = [0, 0, 0];
  const turn = (at) => {
    counts.push(at - last);
    if (value) area += at - last;
    [last, value] = [at, 1 - value];
  };
  for (let x = left; x < right; x += 1) {
    const column = x * height;
    if (value && top > 0) turn(column);
    for (let y = top, at = top * width + x; y < bottom; y += 1, at += width) {
      if (data[at] !== value) turn(column + y);
    }
    if (value && bottom < height) turn(column + bottom);
  }
  if (value) turn(right * height);
  if (!area) return null;
  if (last < width * height) counts.push(width * height - last);
  const { x, y, width: wide, height: high } = extent(counts, height);
  return { size: [height, width], counts: writeCounts(counts), box: [x, y, x + wide, y + high], area };
}

function writeCounts(counts) {
  let text = "";
  counts.forEach((count, index) => {
    let rest = index > 2 ? count - counts[index - 2] : count;
    let more = true;
    while (more) {
      const chunk = rest & (CHUNK - 1);
      rest >>= 5;
      more = rest !== (chunk & SIGN ? -1 : 0);
      text += String.fromCharCode(OFFSET + chunk + (more ? MORE : 0));
    }
  });
  return text;
}

/**
 * Whether a mask has the pixel at these coordinates of the picture.
 *
 * @param {Mask} mask
 * @param {number} x
 * @param {number} y
 */
export function covers(mask, x, y) {
  const column = x - mask.x;
  const row = y - mask.y;
  if (column < 0 || row < 0 || column >= mask.width || row >= mask.height) return false;
  return mask.data[row * mask.width + column] === 1;
}

/**
 * Goes through a mask row by row.
 *
 * @param {Mask} mask
 * @param {(y: number, left: number, right: number) => void} visit pixels of the picture side by side
 */
export function forEachSpan({ x, y, width, data }, visit) {
  for (let from = data.indexOf(1); from >= 0; ) {
    const row = Math.floor(from / width);
    const end = (row + 1) * width;
    const length = data.subarray(from, end).indexOf(0);
    const to = length < 0 ? end : from + length;
    visit(y + row, x + from - row * width, x + to - row * width);
    from = data.indexOf(1, to);
  }
}

/**
 * Intersection over union; 0 if both are empty.
 *
 * @param {Mask} one
 * @param {Mask} other
 */
export function overlapOf(one, other) {
  const [left, top] = [Math.max(one.x, other.x), Math.max(one.y, other.y)];
  const right = Math.min(one.x + one.width, other.x + other.width);
  const bottom = Math.min(one.y + one.height, other.y + other.height);
  let both = 0;
  for (let y = top; y < bottom; y += 1) {
    let [a, b] = [one, other].map((mask) => (y - mask.y) * mask.width + left - mask.x);
    for (let x = left; x < right; x += 1) both += one.data[a++] & other.data[b++];
  }
  return both && both / (one.area + other.area - both);
}

/**
 * @param {number[]} counts
 * @param {(start: number, end: number) => void} visit column-major positions of a foreground run
 */
function forEachRun(counts, visit) {
  let start = 0;
  counts.forEach((count, index) => {
    if (index % 2 === 1 && count > 0) visit(start, start + count);
    start += count;
  });
}

/** The smallest rectangle around all runs. */
function extent(counts, height) {
  let [left, top, right, bottom] = [Infinity, Infinity, -1, -1];
  forEachRun(counts, (start, end) => {
    const first = Math.floor(start / height);
    const last = Math.floor((end - 1) / height);
    left = Math.min(left, first);
    right = Math.max(right, last);
    top = Math.min(top, first === last ? start % height : 0);
    bottom = Math.max(bottom, first === last ? (end - 1) % height : height - 1);
  });
  if (right < 0) return { x: 0, y: 0, width: 0, height: 0 };
  return { x: left, y: top, width: right - left + 1, height: bottom - top + 1 };
}
