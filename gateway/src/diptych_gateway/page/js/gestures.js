/** Wheel, drag, pinch and keys of one canvas, turned into changes of the viewport. */

const KEY_STEP = 0.1;
const KEY_ZOOM = 1.25;
const DRAG_PX = 4;

const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/**
 * @param {HTMLCanvasElement} canvas
 * @param {import("./viewport.js").Viewport} viewport
 * @param {object} place
 * @param {(clientX: number, clientY: number) => {x: number, y: number}} place.toPicture shares of
 *   width and height; outside the picture they are below 0 or above 1
 * @param {() => {width: number, height: number}} place.shown size of the whole picture on screen, in CSS pixels
 * @param {(x: number, y: number, event: PointerEvent) => void} place.onClick
 */
export function listenToGestures(canvas, viewport, { toPicture, shown, onClick }) {
  const pointers = new Map();
  let travelled = 0;

  canvas.addEventListener(
    "wheel",
    (event) => {
      // At the whole picture the wheel scrolls the page on.
      if (viewport.zoom === 1 && event.deltaY > 0) return;
      event.preventDefault();
      const { x, y } = toPicture(event.clientX, event.clientY);
      viewport.zoomAt(2 ** (-event.deltaY / 300), x, y);
    },
    { passive: false },
  );

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    if (!pointers.size) travelled = 0;
    pointers.set(event.pointerId, [event.clientX, event.clientY]);
    canvas.setPointerCapture(event.pointerId);
  });

  canvas.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) return;
    const [dx, dy] = [event.clientX - before[0], event.clientY - before[1]];
    const spread = distance(pointers);
    pointers.set(event.pointerId, [event.clientX, event.clientY]);
    travelled += Math.hypot(dx, dy);
    if (travelled < DRAG_PX) return;
    const size = shown();
    viewport.move(-dx / size.width / pointers.size, -dy / size.height / pointers.size);
    if (spread) {
      const { x, y } = toPicture(event.clientX, event.clientY);
      viewport.zoomAt(distance(pointers) / spread, x, y);
    }
  });

  const release = (event) => {
    if (!pointers.delete(event.pointerId)) return;
    if (event.type !== "pointerup" || pointers.size || travelled >= DRAG_PX) return;
    const { x, y } = toPicture(event.clientX, event.clientY);
    onClick(x, y, event);
  };
  canvas.addEventListener("pointerup", release);
  canvas.addEventListener("pointercancel", release);

  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const move = MOVES[event.key];
    if (move && viewport.zoom > 1) {
      viewport.move((move[0] * KEY_STEP) / viewport.zoom, (move[1] * KEY_STEP) / viewport.zoom);
    } else if (event.key === "+" || event.key === "=") viewport.zoomAt(KEY_ZOOM);
    else if (event.key === "-") viewport.zoomAt(1 / KEY_ZOOM);
    else if (event.key === "0") viewport.reset();
    else return;
    event.preventDefault();
  });
}

/** Between two fingers, in CSS pixels; 0 if there are not two. */
function distance(pointers) {
  if (pointers.size !== 2) return 0;
  const [[ax, ay], [bx, by]] = pointers.values();
  return Math.hypot(ax - bx, ay - by);
}
