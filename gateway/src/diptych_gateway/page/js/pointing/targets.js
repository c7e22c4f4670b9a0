/** What of the prompts a press would take hold of: marks of points, handles, edges and the × of boxes. */

/**
 * @typedef {object} Target
 * @property {"point" | "handle" | "edge" | "close"} kind
 * @property {number} object
 * @property {number} [index] of a point
 * @property {[number, number]} [side] of a handle: -1 is left or top, 1 right or bottom, 0 between
 */

/** @typedef {{x: number, y: number}} Pixel of the picture */

const SIDES = [[-1, -1], [0, -1], [1, -1], [1, 0], [1, 1], [0, 1], [-1, 1], [-1, 0]];
/** The × is as far from its corner, in CSS pixels, and as large. */
export const CLOSE_PX = 12;
export const MIN_BOX_PX = 2;

/** @param {import("../prompt/prompts.js").Box} box @returns {(Pixel & {side: [number, number]})[]} */
export function handlesOf([left, top, right, bottom]) {
  const between = (low, high, side) => (low + high + side * (high - low)) / 2;
  return SIDES.map(([across, down]) => ({
    x: between(left, right, across),
    y: between(top, bottom, down),
    side: [across, down],
  }));
}

/**
 * Where the × of a box is: beside its upper right corner, and never outside of the picture.
 *
 * @param {import("../prompt/prompts.js").Box} box
 * @param {{width: number, height: number}} size
 * @param {number} grain pixels of the picture per CSS pixel
 * @returns {Pixel}
 */
export function closeOf([, top, right], { width }, grain) {
  const far = CLOSE_PX * grain;
  return { x: Math.min(right + 1.5 * far, width - far), y: Math.max(top - 1.5 * far, far) };
}

/**
 * @typedef {object} Scene
 * @property {import("../prompt/prompts.js").Wanted[]} objects
 * @property {number} current its box is taken before those of others, and it alone has a ×
 * @property {{width: number, height: number}} size of the picture
 */

/**
 * @typedef {object} Near
 * @property {number} reach how far away a mark may be, in pixels of the picture
 * @property {number} grain pixels of the picture per CSS pixel
 * @property {boolean} [drags] a × takes clicks only, and may lie on a handle
 */

/**
 * @param {Scene} scene
 * @param {Pixel} at
 * @param {Near} near
 * @returns {Target | null} the nearest of its kind; points come first
 */
export function targetAt({ objects, current, size }, at, { reach, grain, drags = false }) {
  const points = objects.flatMap(({ points }, object) =>
    points.map((point, index) => ({ kind: "point", object, index, away: gap(point, at) })),
  );
  const order = [current, ...objects.keys()].filter((object) => objects[object]?.box);
  const own = objects[current]?.box;
  const close = own && !drags ? [{ kind: "close", object: current, away: gap(closeOf(own, size, grain), at) }] : [];
  const handles = (object) =>
    handlesOf(objects[object].box).map(({ side, ...place }) => ({ kind: "handle", object, side, away: gap(place, at) }));
  const edge = (object) => ({ kind: "edge", object, away: fromEdge(objects[object].box, at) });
  const groups = [points, close, ...order.flatMap((object) => [handles(object), [edge(object)]])];
  for (const group of groups) {
    const found = group.filter(({ away }) => away <= reach).toSorted((one, other) => one.away - other.away);
    if (found.length) {
      const { away, ...target } = found[0];
      return target;
    }
  }
  return null;
}

/**
 * An object after one of its marks was dragged.
 *
 * @param {import("../prompt/prompts.js").Wanted} wanted
 * @param {Target} target
 * @param {[number, number]} way to the right and down, in pixels of the picture
 * @param {{width: number, height: number}} size
 * @returns {import("../prompt/prompts.js").Wanted}
 */
export function dragged(wanted, { kind, index, side }, [right, down], size) {
  const { points, box } = wanted;
  if (kind === "point") {
    const { x, y, ...rest } = points[index];
    const moved = { x: fine(clamp(x + right, 0, size.width)), y: fine(clamp(y + down, 0, size.height)), ...rest };
    return { ...wanted, points: points.with(index, moved) };
  }
  const move = (low, high, way, limit, part) => {
    if (kind === "edge") {
      const whole = clamp(way, -low, limit - high);
      return [low + whole, high + whole];
    }
    if (part < 0) return [clamp(low + way, 0, high - MIN_BOX_PX), high];
    if (part > 0) return [low, clamp(high + way, low + MIN_BOX_PX, limit)];
    return [low, high];
  };
  const [left, top, end, bottom] = box;
  const [x0, x1] = move(left, end, right, size.width, side?.[0]).map(fine);
  const [y0, y1] = move(top, bottom, down, size.height, side?.[1]).map(fine);
  return { ...wanted, box: [x0, y0, x1, y1] };
}

/** The cursor over a target. @param {Target | null} target */
export function cursorOf(target) {
  if (target?.kind === "close") return "pointer";
  if (target?.kind === "point") return "grab";
  if (target?.kind === "edge") return "move";
  if (!target) return "";
  const [across, down] = target.side;
  if (!across) return "ns-resize";
  if (!down) return "ew-resize";
  return across === down ? "nwse-resize" : "nesw-resize";
}

/** What a target is, for people who do not see it. @param {Target} target */
export function nameOf({ kind, object, index, side }) {
  const whose = `of object ${object + 1}`;
  if (kind === "point") return `point ${index + 1} ${whose}`;
  if (kind !== "handle") return `box ${whose}`;
  const words = [["top", "", "bottom"][side[1] + 1], ["left", "", "right"][side[0] + 1]];
  return `${words.filter(Boolean).join(" ")} of the box ${whose}`;
}

/** As fine as the address has it. @param {number} pixels */
export function fine(pixels) {
  return Math.round(pixels * 10) / 10;
}

function fromEdge([left, top, right, bottom], { x, y }) {
  const inside = Math.min(x - left, right - x, y - top, bottom - y);
  if (inside >= 0) return inside;
  return Math.hypot(Math.max(left - x, x - right, 0), Math.max(top - y, y - bottom, 0));
}

function gap(one, other) {
  return Math.hypot(one.x - other.x, one.y - other.y);
}

function clamp(value, low, high) {
  return Math.min(Math.max(value, low), high);
}
