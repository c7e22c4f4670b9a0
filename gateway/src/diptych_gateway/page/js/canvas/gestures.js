/** Wheel, drag, pinch and keys of one canvas, turned into changes of the viewport or told to a tool. */

const KEY_STEP = 0.1;
const KEY_ZOOM = 1.25;
/** From where it began: a hand that shakes has clicked. */
export const DRAG_PX = 8;
const LONG_PRESS_MS = 500;

const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/**
 * @typedef {object} Drag
 * @property {import("./stage.js").Position} from
 * @property {import("./stage.js").Position | null} to `null`: given up
 * @property {boolean} done
 * @property {string} [pointerType] "mouse", "touch" or "pen"; without one, keys
 * @property {boolean} [fresh] it draws, whatever is where it begins
 */

/**
 * @typedef {object} Press
 * @property {string} pointerType "mouse", "touch" or "pen"
 * @property {boolean} other with the right button, with Alt, or a long touch
 */

/**
 * @typedef {object} Surface
 * @property {(clientX: number, clientY: number) => import("./stage.js").Position} toPicture outside the
 *   picture, shares are below 0 or above 1
 * @property {() => {width: number, height: number}} shown size of the whole picture on screen, in CSS pixels
 * @property {(x: number, y: number, press: Press) => void} onClick
 * @property {(drag: Drag) => void} [onDrag] takes drags of the primary button; two fingers, the
 *   middle button or the space bar still move the picture
 * @property {() => number | undefined} [dragPx] from how far a drag is one
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
  /** Where the first one went down. */
  #origin = [0, 0];
  #dragging = false;
  /** Where a drag for the tool began. @type {import("./stage.js").Position | null} */
  #from = null;
  #clicks = false;
  #other = false;
  #timer = 0;
  #viewport;
  #surface;
  /** The space bar is down: drags move the picture. */
  moving = false;

  constructor(canvas, viewport, surface) {
    this.#viewport = viewport;
    this.#surface = surface;
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button > (surface.onDrag ? 2 : 1)) return;
      canvas.setPointerCapture(event.pointerId);
      this.#press(event);
    });
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    canvas.addEventListener("pointerup", (event) => this.#release(event));
    canvas.addEventListener("pointercancel", (event) => this.#release(event));
    canvas.addEventListener("mousedown", (event) => {
      if (event.button === 1) event.preventDefault(); // the browser's own scrolling
    });
    canvas.addEventListener("contextmenu", (event) => {
      if (!surface.onDrag) return;
      event.preventDefault();
      this.#other = true; // on a Mac, Control and a click is a right click
    });
  }

  /** Ends a drag for the tool without a result; returns whether there was one. */
  giveUp() {
    const from = this.#dragging ? this.#from : null;
    this.#clicks = false;
    this.#from = null;
    clearTimeout(this.#timer);
    if (from) this.#surface.onDrag?.({ from, to: null, done: true });
    return from !== null;
  }

  #press(event) {
    const { pointerId, pointerType, button, clientX, clientY } = event;
    if (this.#down.size) this.giveUp();
    else {
      this.#origin = [clientX, clientY];
      this.#dragging = false;
      this.#other = button === 2 || event.altKey;
      this.#clicks = button !== 1 && !this.moving;
      const draws = this.#clicks && button === 0 && this.#surface.onDrag;
      this.#from = draws ? this.#surface.toPicture(clientX, clientY) : null;
      if (draws && pointerType === "touch") {
        this.#timer = setTimeout(() => this.#pressLong(pointerId), LONG_PRESS_MS);
      }
    }
    this.#down.set(pointerId, [clientX, clientY]);
  }

  /** A finger that stays where it is says what the right button says; what it does then is nothing. */
  #pressLong(pointerId) {
    this.#other = true;
    this.#click("touch");
    this.#down.delete(pointerId);
    this.giveUp();
  }

  #click(pointerType) {
    const { x, y } = this.#surface.toPicture(...this.#origin);
    this.#surface.onClick(x, y, { pointerType, other: this.#other });
  }

  #move({ pointerId, pointerType, clientX, clientY }) {
    const before = this.#down.get(pointerId);
    if (!before) return;
    const now = [clientX, clientY];
    if (!this.#dragging && this.#down.size === 1) {
      if (gap(this.#origin, now) < (this.#surface.dragPx?.() ?? DRAG_PX)) return;
      this.#dragging = true;
      clearTimeout(this.#timer);
    }
    const spread = distance(this.#down);
    this.#down.set(pointerId, now);
    const position = this.#surface.toPicture(clientX, clientY);
    if (this.#from) {
      this.#surface.onDrag?.({ from: this.#from, to: position, done: false, pointerType });
      return;
    }
    const size = this.#surface.shown();
    const count = this.#down.size;
    const [dx, dy] = [clientX - before[0], clientY - before[1]];
    this.#viewport.move(-dx / size.width / count, -dy / size.height / count);
    if (spread) this.#viewport.zoomAt(distance(this.#down) / spread, position.x, position.y);
  }

  #release(event) {
    const { pointerId, pointerType, clientX, clientY } = event;
    if (!this.#down.delete(pointerId) || this.#down.size) return;
    clearTimeout(this.#timer);
    const from = this.#dragging ? this.#from : null;
    if (event.type !== "pointerup") this.giveUp();
    else if (from) {
      const to = this.#surface.toPicture(clientX, clientY);
      this.#surface.onDrag?.({ from, to, done: true, pointerType });
    } else if (this.#clicks && !this.#dragging) this.#click(pointerType);
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
  const hold = (moving) => {
    pointers.moving = moving;
    canvas.classList.toggle("held", moving);
  };
  const move = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return false;
    const step = MOVES[event.key];
    if (step && viewport.zoom > 1) {
      viewport.move((step[0] * KEY_STEP) / viewport.zoom, (step[1] * KEY_STEP) / viewport.zoom);
    } else if (event.key === "+" || event.key === "=") viewport.zoomAt(KEY_ZOOM);
    else if (event.key === "-") viewport.zoomAt(1 / KEY_ZOOM);
    else if (event.key === "0") viewport.reset();
    else if (event.key === " " && onDrag) hold(true);
    else return false;
    return true;
  };
  canvas.addEventListener("keydown", (event) => {
    const used = (event.key === "Escape" && pointers.giveUp()) || onKey?.(event) || move(event);
    if (used) event.preventDefault();
  });
  canvas.addEventListener("keyup", (event) => event.key === " " && hold(false));
  canvas.addEventListener("blur", () => hold(false));
}

/** Between two fingers, in CSS pixels; 0 if there are not two. */
function distance(pointers) {
  if (pointers.size !== 2) return 0;
  return gap(...pointers.values());
}

function gap([ax, ay], [bx, by]) {
  return Math.hypot(ax - bx, ay - by);
}
