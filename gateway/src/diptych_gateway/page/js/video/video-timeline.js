/** The time line: where in the clip one is, and a way to every frame. */

import { byId } from "../common/dom.js";
import { isTyped } from "./video-controls.js";

/** Keys that step, as in tools for cutting films; arrows, Home and End are the slider's own. */
const KEYS = { ",": -1, ".": 1 };

/** @typedef {{count: number, fps: number, exact?: boolean, said?: string}} Frames */

export class Timeline {
  #slider = byId("video-slider");
  /** @type {Frames} */
  #frames = { count: 1, fps: 1 };
  #onSeek;
  /** Where somebody wants to be. @type {number | null} */
  #wanted = null;

  /** @param {(index: number) => Promise<void>} onSeek */
  constructor(onSeek) {
    this.#onSeek = onSeek;
    this.#slider.addEventListener("input", () => this.seek(Number(this.#slider.value)));
    const steps = { first: -Infinity, back: -1, next: 1, last: Infinity };
    for (const [name, by] of Object.entries(steps)) {
      byId(`video-${name}`).addEventListener("click", () => this.#step(by));
    }
    byId("video-view").addEventListener("keydown", (event) => {
      const by = KEYS[event.key];
      if (!by || isTyped(event) || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      this.#step(by);
    });
  }

  /** @param {Frames} frames */
  set frames(frames) {
    this.#frames = frames;
    const { count, exact, said = "" } = frames;
    this.#slider.max = String(Math.max(count - 1, 0));
    byId("video-lanes").style.setProperty("--frames", String(count));
    const about = "This clip's frames come at uneven times; they are numbered as if they did not.";
    byId("video-about").textContent = [exact === false ? about : "", said].join(" ").trim();
  }

  /** To a frame; of several wishes the newest one is carried out. @param {number} index */
  async seek(index) {
    const busy = this.#wanted !== null;
    this.#show((this.#wanted = index));
    while (!busy && this.#wanted !== null) {
      const wanted = this.#wanted;
      await this.#onSeek(wanted);
      if (this.#wanted === wanted) this.#wanted = null;
    }
  }

  /** @param {number} index where one is */
  show(index) {
    if (this.#wanted === null) this.#show(index);
  }

  #show(index) {
    const { count, fps } = this.#frames;
    const time = index / fps;
    this.#slider.value = String(index);
    this.#slider.setAttribute("aria-valuetext", `Frame ${index} of 0 to ${count - 1}, ${time.toFixed(2)} seconds`);
    byId("video-at").textContent = `Frame ${index} / ${count - 1}`;
    byId("video-time").textContent = clock(time);
    byId("video-lanes").style.setProperty("--at", String(index));
  }

  #step(by) {
    const last = this.#frames.count - 1;
    this.seek(Math.min(Math.max(Number(this.#slider.value) + by, 0), last));
  }
}

/** Minutes, seconds and hundredths. @param {number} seconds */
function clock(seconds) {
  const minutes = Math.floor(seconds / 60);
  return `${minutes}:${(seconds - 60 * minutes).toFixed(2).padStart(5, "0")}`;
}
