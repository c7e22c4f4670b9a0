/** Wheel, drag, pinch and keys of one canvas, turned into changes of the viewport or told to a tool. */

const KEY_STEP = 0.1;
const KEY_ZOOM = 1.25;
const DRAG_PX = 4;

const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/**
 * @typedef {object} Drag
 * @property {import("./stage.js").Position} from
 * @property {import("./stage.js").Position | null} to `null`: given up
 * @property {boolean} done
 */

/**
 * @typedef {object} Surface
 * @property {(clientX: number, clientY: number) => import("./stage.js").Position} toPicture outside the
 *   picture, shares are below 0 or above 1
 * @property {() => {width: number, height: number}} shown size of the whole picture on screen, in CSS pixels
 * @property {(x: number, y: number, event: PointerEvent) => void} onClick
 * @property {(drag: Drag) => void} [onDrag] takes drags of the primary button; two fingers, the
 *   middle button or the space bar still move the picture
 * @property {(event: KeyboardEvent) => boolean} [onKey] is asked first; whether it used the key
 */

/**
 * @param {HTMLCanvasElement} canvas
 * @param {import("./viewport.js").Viewport} viewport
 * @param {Surface} surface
 */
export function listenToGestures(canvas, viewport, surface) {
  listenToWheel(canvas, viewport, surface);
  const pointers = new Pointers(canvas, viewport, surface);
  listenToKeys(canvas, viewport, pointers, surface);
}

/** What fingers and buttons on the canvas do, from the first one down to the last one up. */
class Pointers {
  /** Where each is, in CSS pixels. @type {Map<number, [number, number]>} */
  #down = new Map();
  #travelled = 0;
  /** Where a drag for the tool began. @type {import("./stage.js").Position | null} */
  #from = null;
  #clicks = false;
  #viewport;
  #surface;
  /** The space bar is down: drags move the picture. */
  moving = false;

  constructor(canvas, viewport, surface) {
    this.#viewport = viewport;
    this.#surface = surface;
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button > 1) return;
      canvas.setPointerCapture(event.pointerId);
      this.#press(event);
    });
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    canvas.addEventListener("pointerup", (event) => this.#release(event));
    canvas.addEventListener("pointercancel", (event) => this.#release(event));
    canvas.addEventListener("mousedown", (event) => {
      if (event.button === 1) event.preventDefault(); // the browser's own scrolling
    });
  }

  /** Ends a drag for the tool without a result; returns whether there was one. */
  giveUp() {
    const from = this.#dragging();
    this.#clicks = false;
    this.#from = null;
    if (from) this.#surface.onDrag?.({ from, to: null, done: true });
    return from !== null;
  }

  #dragging() {
    return this.#travelled >= DRAG_PX ? this.#from : null;
  }

  #press(event) {
    if (this.#down.size) this.giveUp();
    else {
      this.#travelled = 0;
      this.#clicks = event.button === 0 && !this.moving;
      const draws = this.#clicks && this.#surface.onDrag;
      this.#from = draws ? this.#surface.toPicture(event.clientX, event.clientY) : null;
    }
    this.#down.set(event.pointerId, [event.clientX, event.clientY]);
  }

  #move(event) {
    const before = this.#down.get(event.pointerId);
    if (!before) return;
    const [dx, dy] = [event.clientX - before[0], event.clientY - before[1]];
    const spread = distance(this.#down);
    this.#down.set(event.pointerId, [event.clientX, event.clientY]);
    this.#travelled += Math.hypot(dx, dy);
    if (this.#travelled < DRAG_PX) return;
    const position = this.#surface.toPicture(event.clientX, event.clientY);
    const from = this.#dragging();
    if (from) {
      this.#surface.onDrag?.({ from, to: position, done: false });
      return;
    }
    const size = this.#surface.shown();
    const count = this.#down.size;
    this.#viewport.move(-dx / size.width / count, -dy / size.height / count);
    if (spread) this.#viewport.zoomAt(distance(this.#down) / spread, position.x, position.y);
  }

  #release(event) {
    if (!this.#down.delete(event.pointerId) || this.#down.size) return;
    const from = this.#dragging();
    const { x, y } = this.#surface.toPicture(event.clientX, event.clientY);
    if (event.type !== "pointerup") this.giveUp();
    else if (from) this.#surface.onDrag?.({ from, to: { x, y }, done: true });
    else if (this.#clicks && this.#travelled < DRAG_PX) this.#surface.onClick(x, y, event);
    this.#from = null;
  }
}

function listenToWheel(canvas, viewport, { toPicture }) {
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
}

function listenToKeys(canvas, viewport, pointers, { onDrag, onKey }) {
  const move = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return false;
    const step = MOVES[event.key];
    if (step && viewport.zoom > 1) {
      viewport.move((step[0] * KEY_STEP) / viewport.zoom, (step[1] * KEY_STEP) / viewport.zoom);
    } else if (event.key === "+" || event.key === "=") viewport.zoomAt(KEY_ZOOM);
    else if (event.key === "-") viewport.zoomAt(1 / KEY_ZOOM);
    else if (event.key === "0") viewport.reset();
    else if (event.key === " " && onDrag) pointers.moving = true;
    else return false;
    return true;
  };
  canvas.addEventListener("keydown", (event) => {
    const used = (event.key === "Escape" && pointers.giveUp()) || onKey?.(event) || move(event);
    if (used) event.preventDefault();
  });
  const stop = () => {
    pointers.moving = false;
  };
  canvas.addEventListener("keyup", (event) => event.key === " " && stop());
  canvas.addEventListener("blur", stop);
}

/** Between two fingers, in CSS pixels; 0 if there are not two. */
function distance(pointers) {
  if (pointers.size !== 2) return 0;
  const [[ax, ay], [bx, by]] = pointers.values();
  return Math.hypot(ax - bx, ay - by);
}
