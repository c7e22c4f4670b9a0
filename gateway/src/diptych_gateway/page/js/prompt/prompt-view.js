/** The view in which a person points at objects, and every model answers at once. */

import { readState, writeState } from "../common/address.js";
import { describeOverlaps } from "../common/agreement.js";
import { byId } from "../common/dom.js";
import { Asking, picksOf } from "./asking.js";
import { showCandidates } from "./candidates.js";
import { Panels } from "../panels/panels.js";
import { Pointing } from "../pointing/pointing.js";
import { showObjects } from "./prompt-list.js";
import { formatObjects, parseObjects, within } from "./prompt-text.js";
import { Prompts } from "./prompts.js";

const TASK = "prompted-segmentation";
const TYPED = "textarea, select, input:not([type=checkbox], [type=radio], [type=range], [type=file])";
const REMOVES = ["Delete", "Backspace"];

/** @implements {import("../views.js").View} */
export class PromptView {
  #prompts = new Prompts();
  #panels;
  #pointing;
  #asking = new Asking();
  /** Which objects were asked last. @type {number[]} */
  #asked = [];
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
      this.#asking.forget();
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
    const question = prompts.length ? this.#panels.question(TASK, prompts) : null;
    const picks = picksOf(this.#wanted()).filter(({ candidate, further }) => candidate || further);
    return question && { ...question, ...(picks.length && { picks }) };
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
    // Wherever the focus is: who points with one hand has the other one on the keys.
    document.addEventListener("keydown", (event) => {
      if (!this.#seen || event.defaultPrevented || event.target.closest?.(TYPED)) return;
      if (REMOVES.includes(event.key) && this.#remove(event.target)) event.preventDefault();
      if (isPlain(event) && this.#pick(Number(event.key) - 1)) event.preventDefault();
      const id = shortcut(event);
      if (!id) return;
      event.preventDefault();
      this.#change(does[id]);
    });
  }

  /** What a key takes away: the mark under the pointer, or the object of the button that has the focus. */
  #remove({ dataset: { choose: object } = {} }) {
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
    const [asked, picked] = this.#keys();
    act();
    this.#write();
    const [askedNow, pickedNow] = this.#keys();
    if (askedNow !== asked) this.#ask();
    else if (pickedNow !== picked) this.#asking.choose(this.#wanted());
    this.#showPrompts();
  }

  /** What the models are asked, and what is shown of their answers. */
  #keys() {
    const picks = picksOf(this.#wanted());
    const goingOn = picks.filter(({ further }) => further);
    return [[this.#prompts.asked(), goingOn], picks].map((part) => JSON.stringify(part));
  }

  /** The objects that the models are asked for. */
  #wanted() {
    return this.#prompts.asked().objects.map((index) => this.#prompts.objects[index]);
  }

  /** Chooses a candidate for the current object, where there are so many; returns whether there are. */
  #pick(candidate, models = [...this.#panels].map((panel) => panel.modelId)) {
    const { current, objects } = this.#prompts;
    const at = this.#asked.indexOf(current);
    const able = models.filter((model) => at >= 0 && this.#asking.candidates(model, at)[candidate] !== undefined);
    if (!able.length) return false;
    const pick = { ...objects[current].pick, ...Object.fromEntries(able.map((model) => [model, candidate])) };
    this.#change(() => this.#prompts.put(current, { ...objects[current], pick }));
    return true;
  }

  #showCandidates() {
    const { current, objects } = this.#prompts;
    const at = this.#asked.indexOf(current);
    for (const { aside, modelId } of this.#panels) {
      const scores = at < 0 ? [] : this.#asking.candidates(modelId, at);
      const chosen = objects[current].pick?.[modelId] ?? 0;
      showCandidates(aside, { name: `object ${current + 1}`, scores, chosen }, (candidate) => this.#pick(candidate, [modelId]));
    }
  }

  #showPrompts() {
    showObjects(this.#prompts, {
      onChoose: (object) => this.#change(() => this.#prompts.choose(object)),
      onRemove: (object) => this.#change(() => this.#prompts.removeObject(object)),
      onRemoveBox: (object) => this.#change(() => this.#prompts.removeBox(object)),
    });
    const able = { undo: this.#prompts.canUndo, redo: this.#prompts.canRedo };
    for (const [id, can] of Object.entries(able)) byId(id).setAttribute("aria-disabled", String(!can));
    this.#showCandidates();
    this.#redraw();
  }

  #redraw() {
    for (const panel of this.#panels) panel.stage.draw();
  }

  #ask() {
    this.#due = !this.#seen;
    if (this.#due) return;
    const { prompts, objects } = this.#prompts.asked();
    this.#asked = objects;
    const wanted = this.#wanted();
    this.#panels.ask(TASK, prompts.length ? this.#panels.question(TASK, prompts) : null, {
      resting: "Click on an object, or drag a box around it.",
      keep: true,
      objects,
      send: (question, hear, signal) => this.#asking.send(question, wanted, hear, signal),
      onAnswer: () => this.#hearAnswer(),
      onAgreements: () => {},
    });
  }

  #hearAnswer() {
    this.#showCandidates();
    const panels = [...this.#panels];
    if (panels.some((panel) => panel.state === "waiting")) return;
    const shown = this.answers();
    const texts = shown.flatMap((first, at) => shown.slice(at + 1).map((second) => describeOverlaps(first, second)));
    byId("overlaps").textContent = texts.filter(Boolean).join(" ");
  }
}

function isPlain({ ctrlKey, metaKey, altKey }) {
  return !ctrlKey && !metaKey && !altKey;
}

/** The button that a key stands for. @param {KeyboardEvent} event */
function shortcut({ key, ctrlKey, metaKey, shiftKey, altKey }) {
  const name = key.toLowerCase();
  if (altKey) return null;
  if (!ctrlKey && !metaKey) return name === "n" ? "new-object" : null;
  if (name === "z") return shiftKey ? "redo" : "undo";
  return name === "y" ? "redo" : null;
}
