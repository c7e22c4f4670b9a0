/** Names and scores of segments on the picture, where they do not cover one another. */

const FONT = 12;
const HEIGHT = 18;
const PAD = 5;
const BAR = 4;
const GROUND = "rgb(20 22 26 / 85%)";

/**
 * Writes a name and a score beside each segment; one without room is left out, the surest come first.
 *
 * @param {CanvasRenderingContext2D} context
 * @param {import("./stage.js").Frame} frame
 * @param {import("./segments.js").Answer} answer
 * @param {{colorOf: (index: number) => string, isShown: (index: number) => boolean,
 *   isLit: (index: number) => boolean}} how
 * @param {object} [where]
 * @param {{x: number, y: number, width: number, height: number}[]} [where.taken] have a name; new ones are added
 * @param {[number, number]} [where.between] columns of the canvas that names stay between
 */
export function drawNames(context, frame, answer, { colorOf, isShown, isLit }, { taken = [], between } = {}) {
  const { unit } = frame;
  const [from, to] = between ?? [0, context.canvas.width];
  const room = { from, to, height: context.canvas.height };
  context.save();
  context.globalAlpha = 1;
  context.font = `${FONT * unit}px system-ui, sans-serif`;
  context.textBaseline = "middle";
  const rank = ({ index, score }) => (isLit(index) ? 2 : score);
  const wanted = answer.segments.filter((s) => isShown(s.index) && (s.area || !s.mask));
  for (const segment of wanted.toSorted((one, other) => rank(other) - rank(one))) {
    const edges = edgesOf(segment, frame, answer);
    if (!edges) continue;
    const text = `${segment.label} ${segment.score.toFixed(2)}`;
    const width = context.measureText(text).width + (2 * PAD + BAR) * unit;
    const place = freePlace(edges, [width, HEIGHT * unit], room, taken);
    if (!place) continue;
    taken.push(place);
    const { x, y, height } = place;
    context.fillStyle = GROUND;
    context.fillRect(x, y, width, height);
    context.fillStyle = colorOf(segment.index);
    context.fillRect(x, y, BAR * unit, height);
    context.fillStyle = "white";
    context.fillText(text, x + (BAR + PAD) * unit, y + height / 2);
  }
  context.restore();
}

/** A segment's edges on the canvas: of its mask, its box, or its body points; `null` if it has none. */
function edgesOf({ mask, box, keypoints = [] }, frame, { width, height }) {
  const [x, y, w, h] = mask?.width ? [mask.x, mask.y, mask.width, mask.height] : (box ?? around(keypoints));
  if (!Number.isFinite(x)) return null;
  const [sx, sy] = [frame.width / width, frame.height / height];
  const [left, top] = [frame.left + x * sx, frame.top + y * sy];
  return { left, top, right: left + w * sx, bottom: top + h * sy };
}

function around(points) {
  const [xs, ys] = [points.map(({ x }) => x), points.map(({ y }) => y)];
  const [left, top] = [Math.min(...xs), Math.min(...ys)];
  return [left, top, Math.max(...xs) - left, Math.max(...ys) - top];
}

/** Above, below or at the top inside of a segment, wholly where there is room; `null` where nothing is free. */
function freePlace({ left, top, right, bottom }, [width, height], room, taken) {
  if (left > room.to || right < room.from || bottom < 0 || top > room.height) return null;
  if (width > room.to - room.from) return null;
  const x = Math.max(room.from, Math.min(left, room.to - width));
  return (
    [top - height, bottom, top]
      .map((y) => ({ x, y, width, height }))
      .filter(({ y }) => y >= 0 && y + height <= room.height)
      .find((place) => !taken.some((other) => overlap(place, other))) ?? null
  );
}

function overlap(a, b) {
  return a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;
}
