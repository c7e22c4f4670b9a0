/** Under the time line: what each model has answered, and where each object is seen. */

import { byId, make } from "../common/dom.js";
import { color } from "../canvas/palette.js";
import { isSeen } from "./track/video-seeds.js";

/**
 * @typedef {object} Answering one model
 * @property {string} name
 * @property {import("./track/video-record.js").Record} record
 */

/**
 * @typedef {object} Hear
 * @property {(id: number) => void} onChoose
 * @property {(id: number) => void} onRemove
 * @property {(index: number) => void} onSeek
 */

/** Shares of the height of a strip: seen; hidden, or answered before a change. */
const [SEEN, THIN] = [1, 0.25];

export class Lanes {
  #told;
  #hear;
  /** @type {Answering[]} */
  #models = [];
  #count = 1;
  #due = 0;
  /** The prompts whose rows are there. */
  #rows = "";

  /** @param {import("./told.js").Told} told @param {Hear} hear */
  constructor(told, hear) {
    this.#told = told;
    this.#hear = hear;
    new ResizeObserver(() => this.draw()).observe(byId("video-lanes"));
  }

  /** @param {Answering[]} models */
  set models(models) {
    this.#models = models;
    const rows = models.map(({ name }) =>
      make("li", {}, make("span", { class: "lane-name", title: name }, name), strip()),
    );
    byId("video-answered").replaceChildren(...rows);
    this.draw();
  }

  /** @param {number} count of the clip's frames */
  set count(count) {
    this.#count = count;
    this.draw();
  }

  /** Draws before the next frame of the screen, however often it is called. */
  draw() {
    cancelAnimationFrame(this.#due);
    this.#due = requestAnimationFrame(() => this.#drawAll());
  }

  #drawAll() {
    this.#showObjects();
    const strips = byId("video-answered").querySelectorAll("canvas");
    this.#models.forEach(({ record, name }, n) => {
      paint(strips[n], this.#count, [runs(record, () => "answered")]);
      strips[n].setAttribute("aria-label", `${name} has answered ${record.count} of ${this.#count} frames`);
    });
    for (const id of this.#told.ids) this.#drawObject(id);
  }

  #drawObject(id) {
    const canvas = byId("video-objects").querySelector(`[data-object="${id}"] canvas`);
    const found = this.#models.map(({ record }) => runs(record, (objects) => state(objects, id)));
    canvas.style.setProperty("--color", color(id - 1));
    paint(canvas, this.#count, found);
    const words = this.#models.map(({ name }, n) => `${name} sees it on ${total(found[n], "seen")} frames`);
    canvas.setAttribute("aria-label", `Object ${id}: ${words.join(", ")}`);
  }

  #showObjects() {
    const { ids, current } = this.#told;
    const rows = JSON.stringify([ids.map((id) => [id, this.#told.framesOf(id)]), this.#count]);
    const list = byId("video-objects");
    if (rows !== this.#rows) {
      const focused = document.activeElement;
      const name = list.contains(focused) ? focused.getAttribute("aria-label") : "";
      this.#rows = rows;
      list.replaceChildren(...ids.map((id) => this.#row(id)));
      if (name) list.querySelector(`[aria-label="${name}"]`)?.focus();
    }
    for (const input of list.querySelectorAll("input")) {
      const isCurrent = Number(input.value) === current;
      if (isCurrent && !input.checked) input.closest("li").scrollIntoView({ block: "nearest" });
      input.checked = isCurrent;
    }
  }

  #row(id) {
    const swatch = make("span", { class: "swatch", "aria-hidden": "true" });
    const choose = make("input", {
      type: "radio",
      name: "video-object",
      value: id,
      "aria-label": `Object ${id}`,
      onchange: () => this.#hear.onChoose(id),
    });
    const marks = this.#told.framesOf(id).map((frame) => {
      const about = `Object ${id} is pointed at on frame ${frame}`;
      const mark = make("button", { type: "button", class: "mark", "aria-label": about, title: about });
      mark.style.setProperty("--frame", String(frame));
      mark.addEventListener("click", () => this.#hear.onSeek(frame));
      return mark;
    });
    const remove = make(
      "button",
      { type: "button", class: "remove", "aria-label": `Remove object ${id}`, onclick: () => this.#hear.onRemove(id) },
      "×",
    );
    const row = make(
      "li",
      { "data-object": id },
      make("label", { class: "lane-name" }, choose, swatch, make("span", {}, `Object ${id}`)),
      make("div", { class: "marked" }, strip(), ...marks),
      remove,
    );
    row.style.setProperty("--color", color(id - 1));
    return row;
  }
}

function strip() {
  return make("canvas", { class: "strip", role: "img" });
}

/** @returns {"seen" | "hidden" | ""} */
function state(objects, id) {
  const found = objects.find((one) => one.object_id === id);
  if (!found) return "";
  return isSeen(found) ? "seen" : "hidden";
}

/**
 * Frames in a row of which the same is to be said.
 *
 * @param {import("./track/video-record.js").Record} record
 * @param {(objects: any[]) => string} stateOf "" for nothing
 * @returns {{from: number, to: number, state: string, stale: boolean}[]} `to` is one too far
 */
function runs(record, stateOf) {
  const found = [];
  for (const index of record.frames) {
    const [what, stale] = [stateOf(record.get(index).objects), record.isStale(index)];
    const last = found.at(-1);
    if (!what) continue;
    if (last?.to === index && last.state === what && last.stale === stale) last.to += 1;
    else found.push({ from: index, to: index + 1, state: what, stale });
  }
  return found;
}

function total(found, what) {
  return found.filter((one) => one.state === what).reduce((sum, { from, to }) => sum + to - from, 0);
}

/** Models one below the other. @param {HTMLCanvasElement} canvas */
function paint(canvas, count, rows) {
  const unit = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight].map((n) => Math.max(1, Math.round(n * unit)));
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, width, height);
  const gap = unit;
  const room = (height - gap * (rows.length - 1)) / rows.length;
  context.fillStyle = getComputedStyle(canvas).color;
  rows.forEach((found, n) => {
    for (const { from, to, state: what, stale } of found) {
      const left = Math.round((from / count) * width);
      const wide = Math.max(1, Math.round((to / count) * width) - left);
      const tall = Math.max(1, room * (what === "hidden" ? THIN : SEEN));
      context.globalAlpha = stale ? 0.35 : 1;
      context.fillRect(left, n * (room + gap) + (room - tall) / 2, wide, tall);
    }
  });
}
