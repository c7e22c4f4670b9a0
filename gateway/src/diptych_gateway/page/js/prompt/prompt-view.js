/** The view in which a person points at objects, and every model answers at once. */

import { readState, writeState } from "../common/address.js";
import { describeOverlaps } from "../common/agreement.js";
import { byId } from "../common/dom.js";
import { Panels } from "../panels/panels.js";
import { Pointing } from "../pointing/pointing.js";
import { showObjects } from "./prompt-list.js";
import { formatObjects, parseObjects, within } from "./prompt-text.js";
import { Prompts } from "./prompts.js";

const TASK = "prompted-segmentation";
const REMOVES = ["Delete", "Backspace"];

/** @implements {import("../views.js").View} */
export class PromptView {
  #prompts = new Prompts();
  #panels;
  #pointing;
  #models = [];
  /** @type {import("../common/picture.js").Picture | null} */
  #picture = null;
  /** What the address says of the prompts, or said last. */
  #text = "";
  #seen = false;
  /** Something has changed since the models were asked. */
  #due = true;

  /**
   * @param {import("../canvas/viewport.js").Viewport} viewport
   * @param {(error: Error) => void} onError hears of refused requests
   */
  constructor(viewport, onError) {
    this.#pointing = new Pointing(viewport, this.#prompts, {
      onChange: (act) => this.#change(act),
      onDraw: () => this.#redraw(),
    });
    this.#panels = new Panels(byId("prompt-panels"), viewport, { onError, tool: this.#pointing });
    this.#listen();
    this.#showPrompts();
  }

  /** @param {import("../common/address.js").PageState} state */
  show({ objects }) {
    this.#seen = true;
    // Canvases are made when somebody looks at them.
    if (this.#panels.models !== this.#models) this.#panels.models = this.#models;
    // An address without prompts is not one of none: the browser may have gone back to it.
    if (objects && objects !== this.#text) this.#reset(parseObjects(objects));
    else this.#write();
    this.#showPrompts();
    if (this.#due) this.#ask();
  }

  hide() {
    this.#seen = false;
  }

  /** @param {import("../views.js").Known} known */
  take({ chosen, picture }) {
    if (picture !== this.#picture) {
      this.#panels.picture = this.#picture = picture;
      this.#pointing.size = picture?.bitmap ?? null;
      this.#reset(parseObjects(readState().objects));
    }
    this.#models = chosen;
    this.#due = true;
    if (this.#seen) this.show(readState());
  }

  takeLook(look) {
    this.#panels.look = look;
  }

  takeOpacity(share) {
    this.#panels.opacity = share;
  }

  question() {
    const { prompts } = this.#prompts.asked();
    return prompts.length ? this.#panels.question(TASK, prompts) : null;
  }

  answers() {
    return this.#panels.answers();
  }

  #listen() {
    const does = {
      "new-object": () => this.#prompts.addObject(),
      undo: () => this.#prompts.undo(),
      redo: () => this.#prompts.redo(),
      clear: () => this.#prompts.clear(),
    };
    for (const [id, act] of Object.entries(does)) {
      byId(id).addEventListener("click", () => this.#change(act));
    }
    byId("prompt-view").addEventListener("keydown", (event) => {
      if (event.defaultPrevented) return;
      if (REMOVES.includes(event.key) && this.#remove(event.target)) event.preventDefault();
      const id = shortcut(event);
      if (!id) return;
      event.preventDefault();
      this.#change(does[id]);
    });
  }

  /** What a key takes away: the mark under the pointer, or the object of the button that has the focus. */
  #remove({ dataset: { choose: object } }) {
    if (this.#pointing.removeHovered()) return true;
    if (object === undefined) return false;
    this.#change(() => this.#prompts.removeObject(Number(object)));
    return true;
  }

  #reset(objects) {
    const size = this.#picture?.bitmap;
    this.#prompts.reset(size ? within(objects, size) : objects);
    this.#due = true;
    this.#write();
  }

  #write() {
    this.#text = formatObjects(this.#prompts.objects);
    writeState({ objects: this.#text });
  }

  /** @param {() => void} act */
  #change(act) {
    const before = JSON.stringify(this.#prompts.asked());
    act();
    this.#write();
    this.#showPrompts();
    if (JSON.stringify(this.#prompts.asked()) !== before) this.#ask();
  }

  #showPrompts() {
    showObjects(this.#prompts, {
      onChoose: (object) => this.#change(() => this.#prompts.choose(object)),
      onRemove: (object) => this.#change(() => this.#prompts.removeObject(object)),
      onRemoveBox: (object) => this.#change(() => this.#prompts.removeBox(object)),
    });
    const able = { undo: this.#prompts.canUndo, redo: this.#prompts.canRedo };
    for (const [id, can] of Object.entries(able)) byId(id).setAttribute("aria-disabled", String(!can));
    this.#redraw();
  }

  #redraw() {
    for (const panel of this.#panels) panel.stage.draw();
  }

  #ask() {
    this.#due = !this.#seen;
    if (this.#due) return;
    const question = this.question();
    if (!question) this.#sayOverlaps([]);
    this.#panels.ask(TASK, question, {
      resting: "Click on an object, or drag a box around it.",
      keep: true,
      objects: this.#prompts.asked().objects,
      onAnswer: () => {},
      onAgreements: (agreements) => this.#sayOverlaps(agreements),
    });
  }

  #sayOverlaps(agreements) {
    const texts = agreements.map((one) =>
      describeOverlaps(one, this.#panels.get(one.model_id_a)?.answer, (id) => this.#panels.nameOf(id)),
    );
    byId("overlaps").textContent = texts.filter(Boolean).join(" ");
  }
}

/** The button that a key stands for. @param {KeyboardEvent} event */
function shortcut({ key, ctrlKey, metaKey, shiftKey, altKey }) {
  const name = key.toLowerCase();
  if (altKey) return null;
  if (!ctrlKey && !metaKey) return name === "n" ? "new-object" : null;
  if (name === "z") return shiftKey ? "redo" : "undo";
  return name === "y" ? "redo" : null;
}
