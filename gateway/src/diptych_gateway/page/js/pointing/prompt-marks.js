/** Points, boxes and the crosshair, drawn over a picture. */

import { color } from "../canvas/palette.js";
import { CLOSE_PX, closeOf, handlesOf } from "./targets.js";

const RADIUS = 7;
const SIGN = 3.5;
const DASH = 6;
const CROSS = 14;
const HANDLE = 4;
const RING = 5;
const GROUND = "rgb(20 22 26 / 85%)";

/**
 * @typedef {object} Marks in pixels of the picture
 * @property {{width: number, height: number}} size of the picture
 * @property {import("../prompt/prompts.js").Wanted[]} objects
 * @property {number} current
 * @property {{x: number, y: number} | null} crosshair
 * @property {import("./targets.js").Target | null} marked what a press would take hold of, or is held
 * @property {boolean} busy something is dragged
 */

/**
 * The lines of boxes, which names may cover.
 *
 * @param {CanvasRenderingContext2D} context
 * @param {import("../canvas/stage.js").Frame} frame
 * @param {Marks} marks
 */
export function drawBoxes(context, frame, { size, objects }) {
  const at = placed(frame, size);
  context.save();
  objects.forEach(({ box }, index) => {
    if (!box) return;
    const [[left, top], [right, bottom]] = [at(box[0], box[1]), at(box[2], box[3])];
    drawBox(context, frame.unit, [left, top, right - left, bottom - top], color(index));
  });
  context.restore();
}

/** All else. @param {CanvasRenderingContext2D} context @param {import("../canvas/stage.js").Frame} frame @param {Marks} marks */
export function drawPrompts(context, frame, { size, objects, current, crosshair, marked, busy }) {
  const at = placed(frame, size);
  context.save();
  objects.forEach((object, index) => {
    if (object.box && (index === current || (index === marked?.object && marked.kind !== "point"))) {
      for (const { x, y } of handlesOf(object.box)) drawHandle(context, frame.unit, at(x, y), color(index));
    }
    object.points.forEach(({ x, y, positive }, point) => {
      const lit = marked?.kind === "point" && marked.object === index && marked.index === point;
      drawPoint(context, frame.unit, at(x, y), color(index), positive, lit);
    });
  });
  const own = objects[current]?.box;
  if (own && !busy) {
    const { x, y } = closeOf(own, size, (frame.unit * size.width) / frame.width);
    drawClose(context, frame.unit, at(x, y), marked?.kind === "close");
  }
  if (crosshair) drawCrosshair(context, frame.unit, at(crosshair.x, crosshair.y), color(current));
  context.restore();
}

/** Pixels of the picture to places on the canvas. */
function placed({ left, top, width, height }, size) {
  return (x, y) => [left + (x * width) / size.width, top + (y * height) / size.height];
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
function drawPoint(context, unit, [x, y], fill, positive, lit) {
  const radius = (RADIUS + (lit ? RING / 2 : 0)) * unit;
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

function drawHandle(context, unit, [x, y], stroke) {
  const half = HANDLE * unit;
  context.fillStyle = "white";
  context.fillRect(x - half, y - half, 2 * half, 2 * half);
  context.lineWidth = 1.5 * unit;
  context.strokeStyle = stroke;
  context.strokeRect(x - half, y - half, 2 * half, 2 * half);
}

/** The × that takes a box away. */
function drawClose(context, unit, [x, y], lit) {
  context.beginPath();
  context.arc(x, y, (CLOSE_PX - 1) * unit, 0, 2 * Math.PI);
  context.fillStyle = lit ? "#b3261e" : GROUND;
  context.fill();
  context.lineWidth = 2 * unit;
  context.strokeStyle = "white";
  const far = SIGN * unit;
  line(context, [x - far, y - far], [x + far, y + far]);
  line(context, [x - far, y + far], [x + far, y - far]);
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
