/**
 * Prompts as text of the address: `120,80;-200,90;b10,10,50,60/40,50`.
 *
 * Objects are apart by `/`, their points and box by `;`. A point off the object has a minus, a box
 * a `b` and left, top, right, bottom. A mask is too long: it has an `m`, or a `k` if it is kept as it
 * is, its box and the name that it is held by. Where nobody holds it, its box is left of it. What an
 * object is called has an `n` and the number of its class. `c2-MODEL` says which candidate was chosen, `h`
 * that it is hidden.
 */

import { heldMask, hold } from "./held-masks.js";
import { EMPTY, isEmpty } from "./prompts.js";

const NUMBER = "(\\d{1,6}(?:\\.\\d{1,2})?)";
const POINT = new RegExp(`^(-?)${NUMBER},${NUMBER}$`);
const PICK = /^c([1-9])-(.+)$/;
const BOX = new RegExp(`^b${NUMBER},${NUMBER},${NUMBER},${NUMBER}$`);
const NAME = /^n(\d{1,9}),(\S{1,200})$/;
const MASK = new RegExp(`^([mk])${NUMBER},${NUMBER},${NUMBER},${NUMBER},(\\w{1,7})$`);

/** @param {import("./prompts.js").Wanted[]} objects */
export function formatObjects(objects) {
  return objects
    .filter((object) => !isEmpty(object))
    .map(({ points, box, mask, keep, lost, label, category, hidden, pick = {} }) => {
      const parts = points.map(({ x, y, positive }) => `${positive ? "" : "-"}${x},${y}`);
      if (lost?.slice(1).startsWith(`${box},`)) parts.push(lost);
      else if (box) parts.push(`b${box}`);
      if (mask) parts.push(`${keep ? "k" : "m"}${mask.box},${hold(mask)}`);
      if (label) parts.push(`n${category ?? 0},${encodeURIComponent(label)}`);
      if (hidden) parts.push("h");
      for (const [model, at] of Object.entries(pick)) parts.push(`c${at + 1}-${encodeURIComponent(model)}`);
      return parts.join(";");
    })
    .join("/");
}

/**
 * What of a text can be used.
 *
 * @param {string} text
 * @returns {import("./prompts.js").Wanted[]}
 */
export function parseObjects(text) {
  return text
    .split("/")
    .map(parseObject)
    .filter((object) => !isEmpty(object));
}

/**
 * Leaves out what is not in a picture; boxes are cut by it.
 *
 * @param {import("./prompts.js").Wanted[]} objects
 * @param {{width: number, height: number}} size
 * @returns {import("./prompts.js").Wanted[]}
 */
export function within(objects, { width, height }) {
  return objects.map(({ points, box, mask, ...rest }) => ({
    ...rest,
    mask: mask?.size[0] === height && mask.size[1] === width ? mask : null,
    points: points.filter(({ x, y }) => x <= width && y <= height),
    box: box && box[0] < width && box[1] < height ? [...box.slice(0, 2), Math.min(box[2], width), Math.min(box[3], height)] : null,
  }));
}

/** @returns {import("./prompts.js").Wanted} */
function parseObject(text) {
  const object = { ...EMPTY, points: [] };
  for (const part of text.split(";")) {
    const point = POINT.exec(part);
    const box = BOX.exec(part)?.slice(1).map(Number);
    const mask = MASK.exec(part);
    const pick = PICK.exec(part);
    const name = NAME.exec(part);
    if (point) object.points.push({ x: Number(point[2]), y: Number(point[3]), positive: !point[1] });
    else if (box && box[0] < box[2] && box[1] < box[3]) object.box = box;
    else if (part === "h") object.hidden = true;
    else if (mask) recall(object, mask);
    else if (pick) object.pick = { ...object.pick, [decoded(pick[2])]: pick[1] - 1 };
    else if (name && decoded(name[2])) Object.assign(object, { label: decoded(name[2]), category: Number(name[1]) });
  }
  return object;
}

function recall(object, [text, kind, left, top, right, bottom, name]) {
  const known = heldMask(name);
  if (known) Object.assign(object, { mask: known, keep: kind === "k" });
  else {
    object.box ??= [left, top, right, bottom].map(Number);
    object.lost = text;
  }
}

/** "" where somebody has cut the address. */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return "";
  }
}
