/** Two answers on one canvas: a wipe between them, or their difference. */

import { drawDifference, paintDifference } from "./difference.js";
import { grouped, make } from "../common/dom.js";
import { Grip } from "./grip.js";
import { Overlay } from "../canvas/overlay.js";
import { drawNames } from "../canvas/names.js";
import { drawMarks, FILL, SOLID } from "../canvas/paint.js";
import { color, DIFFERENCE } from "../canvas/palette.js";
import { Stage } from "../canvas/stage.js";

/**
 * @typedef {object} Pair
 * @property {any} agreement
 * @property {import("../canvas/segments.js").Answer} a
 * @property {import("../canvas/segments.js").Answer} b
 * @property {string} nameA
 * @property {string} nameB
 * @property {import("../panels/panel.js").Panel[]} panels of both, which know what is hidden
 * @property {number[]} numbersA which decide on the colours
 * @property {number[]} numbersB
 * @property {(index: number) => boolean} isShownA
 * @property {(index: number) => boolean} isShownB
 */

export class PairView {
  /** @type {Pair[]} */
  #pairs = [];
  /** @type {Pair | null} */
  #pair = null;
  /** The models of the pair that was chosen; another answer of theirs is shown in its place. */
  #chosen = "";
  #view = "wipe";
  #opacity = 1;
  #look = { grey: false, names: true };
  #cut = 0.5;
  #shown = { both: true, onlyA: true, onlyB: true };
  #layers = [];
  #controls;
  #note;
  #caution = make("p", { class: "caution" });
  /** Of which model the last click was. */
  #clicked = /** @type {any} */ (null);
  #hover = make("p", { class: "hover", "aria-hidden": "true" });
  #grip;
  #slider = /** @type {any} */ (null);

  /** @param {import("../canvas/viewport.js").Viewport} viewport */
  constructor(viewport) {
    this.stage = new Stage(viewport, "The picture with what both models found", {
      onHover: (x, y) => this.#say(x, y),
      onLeave: () => (this.#hover.textContent = ""),
      onClick: (x, y) => {
        this.#clicked = this.#sideAt(x);
        this.#clicked?.toggleAt(x, y);
        this.#repaint();
        this.#say(x, y);
      },
      onDouble: () => this.#clicked?.refineClicked(),
    });
    this.#grip = new Grip(this.stage.element, (share) => this.#wipe(share));
    this.stage.marks = (context, frame) => this.#marks(context, frame);
    this.#controls = make("div", { class: "pair-controls" });
    this.#note = make("p", { class: "state", role: "status" });
    this.element = make(
      "article",
      { class: "panel pair" },
      this.#note,
      this.#caution,
      make("div", { class: "frame" }, this.stage.element, this.#grip.element, this.#hover),
      this.#controls,
    );
  }

  /** @param {ImageBitmap | null} picture */
  set picture(picture) {
    this.stage.picture = picture;
  }

  /** @param {import("../views.js").Look} look */
  set look(look) {
    this.#look = look;
    this.#showGrey();
    this.#repaint();
  }

  /** @param {number} share 0 to 1 */
  set opacity(share) {
    this.#opacity = share;
    this.#layer();
  }

  /**
   * @param {"wipe" | "difference"} view
   * @param {Pair[]} pairs to choose from
   * @param {string} note why there is nothing to show, if so
   */
  show(view, pairs, note) {
    this.#view = view;
    this.#showGrey();
    this.#pairs = pairs;
    this.#note.textContent = note;
    this.#choose(this.#chosen);
  }

  /** @param {string} key as `keyOf` makes it; the first pair if there is no such one */
  #choose(key) {
    this.#pair = this.#pairs.find((pair) => keyOf(pair) === key) ?? this.#pairs[0] ?? null;
    this.#caution.textContent = this.#pair?.panels.map(({ caution }) => caution).find(Boolean) ?? "";
    const chooser = this.#pairs.length > 1 ? [this.#chooser()] : [];
    this.#controls.replaceChildren(...chooser, ...(this.#pair ? this.#makeControls(this.#pair) : []));
    this.#repaint();
  }

  #chooser() {
    const options = this.#pairs.map((pair) =>
      make("option", { value: keyOf(pair), selected: pair === this.#pair }, `${pair.nameA} and ${pair.nameB}`),
    );
    const select = make("select", { name: "pair" }, ...options);
    select.addEventListener("change", () => {
      this.#chosen = select.value;
      this.#choose(this.#chosen);
      this.#controls.querySelector("select").focus();
    });
    return make("label", { class: "pairs" }, "Models", select);
  }

  #makeControls({ nameA, nameB, agreement }) {
    if (this.#view === "wipe") return [this.#wiper(nameA, nameB)];
    const kinds = [
      ["both", "Both", agreement.matches.length],
      ["onlyA", `Only ${nameA}`, agreement.only_a.length],
      ["onlyB", `Only ${nameB}`, agreement.only_b.length],
    ];
    return kinds.map(([kind, text, count]) => {
      const input = make("input", { type: "checkbox", name: kind });
      input.checked = this.#shown[kind];
      input.addEventListener("change", () => {
        this.#shown[kind] = input.checked;
        this.#repaint();
      });
      const swatch = make("span", { class: `swatch ${kind}`, "aria-hidden": "true" });
      swatch.style.setProperty("--color", DIFFERENCE[kind]);
      return make("label", {}, input, swatch, `${text} (${grouped(count)})`);
    });
  }

  #wiper(nameA, nameB) {
    const input = make("input", {
      type: "range",
      name: "wipe",
      min: 0,
      max: 100,
      value: Math.round(this.#cut * 100),
      "aria-label": `How much of ${nameA}, from the left; the rest is ${nameB}`,
    });
    input.addEventListener("input", () => this.#wipe(Number(input.value) / 100));
    this.#slider = input;
    return make("div", { class: "wipe" }, make("span", {}, nameA), input, make("span", {}, nameB));
  }

  /** @param {number} share of the canvas that shows the first model */
  #wipe(share) {
    this.#cut = share;
    this.#slider.value = Math.round(share * 100);
    this.#layer();
  }

  /** The panel of the model that a wipe shows there. @param {number} x share of the picture's width */
  #sideAt(x) {
    if (this.#view !== "wipe") return null;
    return this.#pair?.panels[this.stage.across(x) < this.#cut ? 0 : 1] ?? null;
  }

  #say(x, y) {
    this.#hover.textContent = this.#sideAt(x)?.wordsAt(x, y) ?? "";
  }

  #showGrey() {
    this.stage.grey = this.#look.grey || this.#view === "difference";
    this.stage.draw();
  }

  #repaint() {
    const pair = this.#pair;
    if (!pair) this.#layers = [];
    else if (this.#view === "wipe") {
      this.#layers = sides(pair).map(({ answer, how }) => {
        const overlay = new Overlay(answer);
        overlay.look({ ...how, fill: this.#look.grey ? SOLID : FILL });
        return { paint: (context, frame) => overlay.paint(context, frame) };
      });
    } else this.#layers = [{ image: paintDifference(pair, this.#shown) }];
    this.#layer();
  }

  #layer() {
    this.#grip.element.hidden = !this.#pair || this.#view !== "wipe";
    this.stage.layers = this.#layers.map((layer, side) => ({
      ...layer,
      opacity: this.#opacity,
      between: this.#view === "wipe" ? this.#half(side) : undefined,
    }));
    this.stage.draw();
  }

  /** @param {number} side @returns {[number, number]} */
  #half(side) {
    return side ? [this.#cut, 1] : [0, this.#cut];
  }

  #marks(context, frame) {
    if (!this.#pair) return;
    if (this.#view === "difference") {
      drawDifference(context, frame, this.#pair, this.#shown, { opacity: this.#opacity, names: this.#look.names });
      return;
    }
    this.#grip.at = this.#cut;
    const { width, height } = context.canvas;
    sides(this.#pair).forEach(({ answer, how }, side) => {
      const [from, to] = this.#half(side);
      context.save();
      context.beginPath();
      context.rect(from * width, 0, (to - from) * width, height);
      context.clip();
      drawMarks(context, frame, answer, { ...how, edges: [], opacity: this.#opacity });
      if (this.#look.names) drawNames(context, frame, answer, how, { between: [from * width, to * width] });
      context.restore();
    });
    context.fillStyle = "white";
    context.fillRect(this.#cut * width - frame.unit, 0, 2 * frame.unit, height);
  }
}

/** @param {Pair} pair */
function keyOf({ agreement }) {
  return `${agreement.model_id_a} ${agreement.model_id_b}`;
}

/** @param {Pair} pair */
function sides({ a, b, numbersA, numbersB, isShownA, isShownB }) {
  return [
    [a, numbersA, isShownA],
    [b, numbersB, isShownB],
  ].map(([answer, numbers, isShown]) => ({
    answer,
    how: { colorOf: (index) => color(numbers[index]), isShown, isLit: () => false },
  }));
}
