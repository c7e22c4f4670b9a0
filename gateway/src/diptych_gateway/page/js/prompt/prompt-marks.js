/** Points, boxes and the crosshair, drawn over a picture. */

import { color } from "../canvas/palette.js";

const RADIUS = 7;
const SIGN = 3.5;
const DASH = 6;
const CROSS = 14;

/**
 * @typedef {object} Marks in pixels of the picture
 * @property {{width: number, height: number}} size of the picture
 * @property {import("./prompts.js").Wanted[]} objects
 * @property {number} current
 * @property {import("./prompts.js").Box | null} draft a box that is being drawn
 * @property {{x: number, y: number} | null} crosshair
 */

/**
 * @param {CanvasRenderingContext2D} context
 * @param {import("../canvas/stage.js").Frame} frame
 * @param {Marks} marks
 */
export function drawPrompts(context, frame, { size, objects, current, draft, crosshair }) {
  const [sx, sy] = [frame.width / size.width, frame.height / size.height];
  const at = (x, y) => [frame.left + x * sx, frame.top + y * sy];
  const box = ([left, top, right, bottom]) => [...at(left, top), (right - left) * sx, (bottom - top) * sy];
  context.save();
  objects.forEach((object, index) => {
    if (object.box) drawBox(context, frame.unit, box(object.box), color(index));
    for (const { x, y, positive } of object.points) {
      drawPoint(context, frame.unit, at(x, y), color(index), positive);
    }
  });
  if (draft) drawBox(context, frame.unit, box(draft), color(current));
  if (crosshair) drawCrosshair(context, frame.unit, at(crosshair.x, crosshair.y), color(current));
  context.restore();
}

/** Dashed over white, so that it is seen on every ground. */
function drawBox(context, unit, rectangle, stroke) {
  context.lineWidth = 2 * unit;
  context.setLineDash([]);
  context.strokeStyle = "white";
  context.strokeRect(...rectangle);
  context.setLineDash([DASH * unit, DASH * unit]);
  context.strokeStyle = stroke;
  context.strokeRect(...rectangle);
  context.setLineDash([]);
}

/** A filled disc with a plus, or a white square with a minus: told apart without their colour. */
function drawPoint(context, unit, [x, y], fill, positive) {
  const radius = RADIUS * unit;
  context.beginPath();
  if (positive) context.arc(x, y, radius, 0, 2 * Math.PI);
  else context.rect(x - radius, y - radius, 2 * radius, 2 * radius);
  context.fillStyle = positive ? fill : "white";
  context.fill();
  context.lineWidth = 2 * unit;
  context.strokeStyle = positive ? "white" : fill;
  context.stroke();
  line(context, [x - SIGN * unit, y], [x + SIGN * unit, y]);
  if (positive) line(context, [x, y - SIGN * unit], [x, y + SIGN * unit]);
}

function drawCrosshair(context, unit, [x, y], stroke) {
  for (const [width, style] of [
    [5, "white"],
    [2, stroke],
  ]) {
    context.lineWidth = width * unit;
    context.strokeStyle = style;
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      const at = (reach) => [x + dx * reach * unit, y + dy * reach * unit];
      line(context, at(SIGN), at(CROSS));
    }
  }
}

function line(context, from, to) {
  context.beginPath();
  context.moveTo(...from);
  context.lineTo(...to);
  context.stroke();
}
