/** What of the answers is looked at: scores, classes, and from which overlap two objects match. */

import { readState, writeState } from "../common/address.js";
import { byId, grouped, make } from "../common/dom.js";

/** What the gateway matches by unless told otherwise. */
export const MATCH_IOU = 0.5;
/** Scores come as floats of 32 bits, in which 0.95 is a little less. */
const ROUNDING = 1e-6;
/** In the address and as a value: segments without a class, as those of SAM 2. */
const NONE = "~";

/** @typedef {import("../canvas/segments.js").Segment} Segment */

export class Filters {
  #onChange;
  /** Segments by class, as far as they are known. @type {Map<string, number>} */
  #counts = new Map();
  #classes = new Set();
  #pending = 0;
  minScore = 0;
  matchIou = MATCH_IOU;

  /** @param {() => void} onChange something else is to be seen */
  constructor(onChange) {
    this.#onChange = onChange;
    const changes = {
      "least-score": (value) => ({ score: value / 100 }),
      "match-iou": (value) => ({ iou: value / 100 }),
    };
    for (const [id, change] of Object.entries(changes)) {
      byId(id).addEventListener("input", () => this.#write(change(Number(byId(id).value))));
    }
    byId("all-seen").addEventListener("click", () => this.#write({ score: 0, iou: MATCH_IOU, classes: "" }));
    const chooser = byId("classes");
    chooser.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !chooser.open) return;
      chooser.open = false;
      chooser.querySelector("summary").focus();
    });
    document.addEventListener("pointerdown", (event) => {
      if (!chooser.contains(event.target)) chooser.open = false;
    });
    this.read();
  }

  /** Takes what the address says. @returns {boolean} whether that is something else than before */
  read() {
    const { score, iou, classes } = readState();
    const before = this.#text();
    this.minScore = score;
    this.matchIou = iou;
    this.#classes = new Set(classes.split(",").filter(Boolean).map(decoded));
    const same = before === this.#text();
    if (!same) this.#show();
    return !same;
  }

  /** Offers the classes of these. @param {Segment[]} segments */
  set segments(segments) {
    this.#counts = new Map();
    for (const segment of segments) {
      const name = classOf(segment);
      this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1);
    }
    this.#show();
  }

  /** Whether segments may be left out. */
  get active() {
    return this.minScore > 0 || this.#classes.size > 0;
  }

  /** Whether a segment is looked at. @param {Segment} segment */
  passes = (segment) =>
    segment.score >= this.minScore - ROUNDING && (!this.#classes.size || this.#classes.has(classOf(segment)));

  #text() {
    return JSON.stringify([this.minScore, this.matchIou, ...this.#classes]);
  }

  #write(change) {
    writeState(change);
    if (!this.read()) return;
    // A slider tells more often than anybody sees.
    cancelAnimationFrame(this.#pending);
    this.#pending = requestAnimationFrame(() => this.#onChange());
  }

  #show() {
    const values = { "least-score": this.minScore, "match-iou": this.matchIou };
    for (const [id, value] of Object.entries(values)) {
      byId(id).value = Math.round(value * 100);
      byId(`${id}-text`).textContent = value.toFixed(2);
    }
    byId("all-seen").disabled = !this.active && this.matchIou === MATCH_IOU;
    const chosen = [...this.#classes].map(inWords);
    byId("classes-text").textContent = chosen.length > 1 ? `${chosen.length} classes` : (chosen[0] ?? "All classes");
    const names = [...new Set([...this.#counts.keys(), ...this.#classes])];
    const order = (name) => [name === NONE ? 1 : 0, -(this.#counts.get(name) ?? 0)];
    names.sort((one, other) => order(one)[0] - order(other)[0] || order(one)[1] - order(other)[1]);
    this.#offer(names);
  }

  /** Boxes that are there already stay, so that one that has the focus keeps it. */
  #offer(names) {
    const list = byId("class-list");
    const known = new Map([...list.querySelectorAll("input")].map((input) => [input.value, input.parentElement]));
    const lines = names.map((name) => {
      const line = known.get(name) ?? this.#line(name);
      line.querySelector("input").checked = this.#classes.has(name);
      line.querySelector("small").textContent = grouped(this.#counts.get(name) ?? 0);
      return line;
    });
    const same = lines.length === list.childElementCount && lines.every((line, at) => line === list.children[at]);
    if (!same) list.replaceChildren(...(lines.length ? lines : [make("p", {}, "Nothing found yet.")]));
  }

  #line(name) {
    const input = make("input", { type: "checkbox", name: "class", value: name });
    input.addEventListener("change", () => {
      const classes = new Set(this.#classes);
      if (!classes.delete(name)) classes.add(name);
      this.#write({ classes: [...classes].map(encodeURIComponent).join(",") });
    });
    return make("label", {}, input, make("span", {}, inWords(name)), make("small", {}));
  }
}

/** @param {Segment} segment */
function classOf({ document }) {
  return document.label || NONE;
}

function inWords(name) {
  return name === NONE ? "without a class" : name;
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
