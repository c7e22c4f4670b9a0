/**
 * Prompts as text of the address: `120,80;-200,90;b10,10,50,60/40,50`.
 *
 * Objects are apart by `/`, their points and box by `;`. A point off the object has a minus, a box
 * a `b` and left, top, right, bottom.
 */

import { EMPTY, isEmpty } from "./prompts.js";

const NUMBER = "(\\d{1,6}(?:\\.\\d{1,2})?)";
const POINT = new RegExp(`^(-?)${NUMBER},${NUMBER}$`);
const BOX = new RegExp(`^b${NUMBER},${NUMBER},${NUMBER},${NUMBER}$`);

/** @param {import("./prompts.js").Wanted[]} objects */
export function formatObjects(objects) {
  return objects
    .filter((object) => !isEmpty(object))
    .map(({ points, box }) => {
      const parts = points.map(({ x, y, positive }) => `${positive ? "" : "-"}${x},${y}`);
      return (box ? [...parts, `b${box}`] : parts).join(";");
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
  return objects.map(({ points, box, ...rest }) => ({
    ...rest,
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
    if (point) object.points.push({ x: Number(point[2]), y: Number(point[3]), positive: !point[1] });
    else if (box && box[0] < box[2] && box[1] < box[3]) object.box = box;
  }
  return object;
}
