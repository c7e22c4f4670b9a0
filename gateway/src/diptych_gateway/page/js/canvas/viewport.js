/** Which part of the picture all panels show. */

const MAX_ZOOM = 40;

export class Viewport {
  #listeners = new Set();

  constructor() {
    /** 1 shows the whole picture. */
    this.zoom = 1;
    /** The middle of what is seen, as a share of the picture's width and height. */
    this.x = 0.5;
    this.y = 0.5;
  }

  /** @param {() => void} listener called after each change */
  follow(listener) {
    this.#listeners.add(listener);
  }

  /** @param {() => void} listener */
  leave(listener) {
    this.#listeners.delete(listener);
  }

  reset() {
    this.#set(1, 0.5, 0.5);
  }

  /**
   * Zooms around a position, which stays where it is on the screen.
   *
   * @param {number} factor
   * @param {number} [x] share of the picture's width
   * @param {number} [y] share of its height
   */
  zoomAt(factor, x = this.x, y = this.y) {
    const zoom = clamp(this.zoom * factor, 1, MAX_ZOOM);
    const kept = this.zoom / zoom;
    this.#set(zoom, x - (x - this.x) * kept, y - (y - this.y) * kept);
  }

  /** @param {number} x to the right, as a share of the picture's width @param {number} y */
  move(x, y) {
    this.#set(this.zoom, this.x + x, this.y + y);
  }

  #set(zoom, x, y) {
    const margin = 0.5 / zoom;
    this.zoom = zoom;
    this.x = clamp(x, margin, 1 - margin);
    this.y = clamp(y, margin, 1 - margin);
    for (const listener of this.#listeners) listener();
  }
}

function clamp(value, low, high) {
  return Math.min(Math.max(value, low), high);
}
