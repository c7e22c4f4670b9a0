/** A canvas that shows the picture and layers over it, in the part that the viewport says. */

import { make } from "../common/dom.js";
import { listenToGestures } from "./gestures.js";

const SMOOTH_BELOW = 3;
/** With less contrast, so that colours over it stay those of the legend. */
const GREY = "grayscale(1) contrast(0.6)";

/**
 * @typedef {object} Layer
 * @property {CanvasImageSource} [image] stretched over the picture
 * @property {(context: CanvasRenderingContext2D, frame: Frame) => void} [paint] instead of an image
 * @property {number} opacity 0 to 1
 * @property {[number, number]} [between] shares of the canvas' width that it may cover
 */

/**
 * @typedef {object} Frame where the picture is on the canvas, in device pixels
 * @property {number} left
 * @property {number} top
 * @property {number} width
 * @property {number} height
 * @property {number} unit one CSS pixel
 */

/** @typedef {{x: number, y: number}} Position shares of the picture's width and height */

/**
 * @typedef {object} Tool what pointing at the picture does instead of naming and moving
 * @property {(position: Position, press: import("./gestures.js").Press, stage: Stage) => void} onClick
 * @property {(drag: import("./gestures.js").Drag, stage: Stage) => void} onDrag of the primary button or
 *   one finger
 * @property {(position: Position | null, pointerType: string, stage: Stage) => string} [onHover] `null`: it
 *   has left; returns the cursor that says what a press would do, or ""
 * @property {(event: KeyboardEvent, stage: Stage) => boolean} onKey whether the tool used it
 * @property {(context: CanvasRenderingContext2D, frame: Frame) => void} draw over everything
 * @property {(context: CanvasRenderingContext2D, frame: Frame) => void} [drawUnder] below names
 * @property {number} [dragPx] from how many CSS pixels a drag is one
 * @property {string} help id of the element that describes the keys
 */

export class Stage {
  #context;
  #viewport;
  #redraw = () => this.draw();
  #pending = 0;
  #sizes;
  #tool;
  #picture = null;
  /** Shows the picture without its own colours. */
  grey = false;
  /** @type {Layer[]} */
  layers = [];
  /** @type {(context: CanvasRenderingContext2D, frame: Frame) => void} drawn last */
  marks = () => {};

  /**
   * @param {import("./viewport.js").Viewport} viewport
   * @param {string} name for people who do not see it
   * @param {{onHover?: (x: number, y: number) => void, onLeave?: () => void,
   *   onClick?: (x: number, y: number) => void, onDouble?: () => void, tool?: Tool}} [hear] shares of the
   *   picture; a double click is told after its two clicks
   */
  constructor(viewport, name, { onHover, onLeave, onClick, onDouble, tool } = {}) {
    this.#viewport = viewport;
    this.#tool = tool;
    this.element = make("canvas", {
      class: tool ? "stage pointing" : "stage",
      tabindex: "0",
      // Screen readers keep the keys of an image to themselves.
      role: tool ? "application" : "img",
      "aria-label": name,
      "aria-describedby": tool?.help,
      "aria-keyshortcuts": "+ - 0 ArrowLeft ArrowRight ArrowUp ArrowDown",
    });
    this.#context = this.element.getContext("2d");
    const toPicture = (x, y) => this.#toPicture(x, y);
    listenToGestures(this.element, viewport, {
      toPicture,
      shown: () => this.#shown(),
      onClick: (x, y, press) => (tool ? tool.onClick({ x, y }, press, this) : onClick?.(x, y)),
      onDrag: tool && ((drag) => tool.onDrag(drag, this)),
      dragPx: () => tool?.dragPx,
      onKey: (event) => tool?.onKey(event, this) ?? false,
    });
    this.element.addEventListener("pointermove", (event) => {
      if (event.buttons) return; // a drag points at nothing
      const { x, y } = toPicture(event.clientX, event.clientY);
      this.element.style.cursor = tool?.onHover?.({ x, y }, event.pointerType, this) ?? "";
      onHover?.(x, y);
    });
    this.element.addEventListener("dblclick", () => onDouble?.());
    this.element.addEventListener("pointerleave", ({ pointerType }) => {
      tool?.onHover?.(null, pointerType, this);
      onLeave?.();
    });
    viewport.follow(this.#redraw);
    this.#sizes = new ResizeObserver(this.#redraw);
    this.#sizes.observe(this.element);
  }

  /** @param {ImageBitmap | null} picture */
  set picture(picture) {
    this.#picture = picture;
    this.element.style.setProperty("--ratio", picture ? String(picture.width / picture.height) : "1");
    this.draw();
  }

  /** Pixels of the picture per CSS pixel. */
  get grain() {
    return (this.#picture?.width ?? 1) / this.#shown().width;
  }

  /** Where a share of the picture's width is, as a share of the canvas' width. @param {number} x */
  across(x) {
    const { left, width } = this.#frame(1);
    return (left + x * width) / (this.element.clientWidth || 1);
  }

  /** Ends what it listens to. */
  remove() {
    this.#viewport.leave(this.#redraw);
    this.#sizes.disconnect();
    cancelAnimationFrame(this.#pending);
    this.element.remove();
  }

  /** Draws before the next frame, however often it is called. */
  draw() {
    cancelAnimationFrame(this.#pending);
    this.#pending = requestAnimationFrame(() => this.#paint());
  }

  #paint() {
    const canvas = this.element;
    const unit = window.devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight].map((n) =>
      Math.max(1, Math.round(n * unit)),
    );
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const context = this.#context;
    context.clearRect(0, 0, width, height);
    canvas.classList.toggle("zoomed", this.#viewport.zoom > 1);
    if (!this.#picture) return;
    const frame = this.#frame(unit);
    const rectangle = [frame.left, frame.top, frame.width, frame.height];
    context.imageSmoothingEnabled = frame.width < SMOOTH_BELOW * this.#picture.width;
    context.filter = this.grey ? GREY : "none";
    context.drawImage(this.#picture, ...rectangle);
    context.filter = "none";
    for (const { image, paint, opacity, between } of this.layers) {
      context.save();
      if (between) {
        const [from, to] = between.map((share) => share * width);
        context.beginPath();
        context.rect(from, 0, to - from, height);
        context.clip();
      }
      context.globalAlpha = opacity;
      if (paint) paint(context, frame);
      else context.drawImage(image, ...rectangle);
      context.restore();
    }
    this.#tool?.drawUnder?.(context, frame);
    this.marks(context, frame);
    this.#tool?.draw(context, frame);
  }

  /** @param {number} unit @returns {Frame} */
  #frame(unit) {
    const { width, height } = this.#shown();
    const left = this.element.clientWidth / 2 - this.#viewport.x * width;
    const top = this.element.clientHeight / 2 - this.#viewport.y * height;
    const scaled = [left, top, width, height].map((n) => n * unit);
    return { left: scaled[0], top: scaled[1], width: scaled[2], height: scaled[3], unit };
  }

  #shown() {
    const { clientWidth, clientHeight } = this.element;
    if (!this.#picture) return { width: clientWidth || 1, height: clientHeight || 1 };
    const { width, height } = this.#picture;
    const scale = Math.min(clientWidth / width, clientHeight / height) * this.#viewport.zoom;
    return { width: width * scale || 1, height: height * scale || 1 };
  }

  #toPicture(clientX, clientY) {
    const box = this.element.getBoundingClientRect();
    const { left, top, width, height } = this.#frame(1);
    const [x, y] = [clientX - box.left - this.element.clientLeft, clientY - box.top - this.element.clientTop];
    return { x: (x - left) / width, y: (y - top) / height };
  }
}
