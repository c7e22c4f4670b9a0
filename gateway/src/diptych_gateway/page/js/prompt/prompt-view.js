/** The view in which a person points at objects, and every model answers at once. */

import { readState, writeState } from "../common/address.js";
import { describeOverlaps } from "../common/agreement.js";
import { byId } from "../common/dom.js";
import { picksOf } from "./asking.js";
import { Candidates } from "./candidates.js";
import { listenToKeys } from "./keys.js";
import { noResult, withKept } from "./kept.js";
import { Painting } from "./painting.js";
import { Panels } from "../panels/panels.js";
import { Pointing } from "../pointing/pointing.js";
import { listenToObjects, showObjects } from "./prompt-list.js";
import { formatObjects, parseObjects, within } from "./prompt-text.js";
import { asOptions, Prompts } from "./prompts.js";
import { arrives } from "./taken.js";
import { ToolChoice } from "./tool-choice.js";

const TASK = "prompted-segmentation";

/** @implements {import("../views.js").View} */
export class PromptView {
  #prompts = new Prompts();
  #panels;
  #pointing;
  #candidates;
  #painting;
  #tools;
  #models = [];
  /** @type {import("../common/picture.js").Picture | null} */
  #picture = null;
  /** What was pointed at in pictures of the strip. @type {WeakMap<Blob, any[]>} */
  #left = new WeakMap();
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
    this.#candidates = new Candidates(this.#prompts, () => this.#panels, (act) => this.#change(act));
    const hear = { onChange: (act) => this.#change(act), onDraw: () => this.#redraw() };
    this.#painting = new Painting(viewport, this.#prompts, () => this.#panels, hear);
    this.#pointing = new Pointing(viewport, this.#prompts, {
      ...hear,
      onChange: (act) => this.#change(() => this.#painting.correct(act)),
    });
    this.#pointing.under = (context, frame) => this.#painting.draw(context, frame);
    this.#tools = new ToolChoice(this.#pointing, this.#painting, hear.onDraw);
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
    if (objects && objects !== this.#text) this.#point(objects);
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
      if (this.#picture?.source) this.#left.set(this.#picture.source, structuredClone(this.#prompts.objects));
      this.#panels.picture = this.#picture = picture;
      this.#pointing.size = this.#painting.size = picture?.bitmap ?? null;
      this.#candidates.forget();
      const { objects } = readState();
      this.#reset(objects ? parseObjects(objects) : (this.#left.get(picture?.source) ?? []));
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
    // What is hidden is not taken along.
    const seen = this.#candidates.wanted.filter(({ hidden }) => !hidden);
    const question = seen.length ? this.#panels.question(TASK, seen.map(asOptions)) : null;
    const picks = picksOf(seen);
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
    for (const [id, act] of Object.entries(does)) byId(id).addEventListener("click", () => this.#change(act));
    listenToObjects(this.#prompts, (act) => this.#change(act), () => this.#labels());
    listenToKeys({
      isSeen: () => this.#seen,
      next: (step) => this.#change(() => this.#prompts.chooseNext(step)),
      pick: (candidate) => this.#candidates.pick(candidate),
      remove: (element) => this.#remove(element),
      press: (event) => this.#tools.press(event),
    });
  }

  /** What models call what they found. */
  #labels() {
    return this.answers().flatMap(({ answer }) => answer.segments.map(({ document }) => document.label));
  }

  /** What a key takes away: the mark under the pointer, or the object of the button that has the focus. */
  #remove({ dataset: { choose: object } = {} }) {
    if (this.#pointing.removeHovered()) return true;
    if (object === undefined) return false;
    this.#change(() => this.#prompts.removeObject(Number(object)));
    return true;
  }

  /** At what the address says; an object of another view comes beside what is there. */
  #point(text) {
    const [object, ...others] = parseObjects(text);
    if (!arrives(text) || others.length || !object) return this.#reset(parseObjects(text));
    this.#prompts.take(object);
    this.#due = true;
    this.#write();
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
    const before = this.#keys();
    this.#painting.brush.giveUp();
    act();
    this.#write();
    this.#showPrompts();
    const now = this.#keys();
    if (now.asked !== before.asked) this.#ask();
    else if (now.shown !== before.shown) this.#panels.refill();
    this.#hearAnswer();
  }

  /** What the models are asked, and what is shown of their answers and beside them. */
  #keys() {
    const picks = picksOf(this.#candidates.wanted);
    const asked = [this.#prompts.asked(), picks.filter(({ further }) => further)];
    const shown = [picks, this.#prompts.objects.map(({ mask, keep, label, hidden }) => [keep && mask?.counts, label, hidden])];
    return { asked: JSON.stringify(asked), shown: JSON.stringify(shown) };
  }

  #showPrompts() {
    showObjects(this.#prompts, {
      onChoose: (object) => this.#change(() => this.#prompts.choose(object)),
      onRemove: (object) => this.#change(() => this.#prompts.removeObject(object)),
      onRemoveBox: (object) => this.#change(() => this.#prompts.removeBox(object)),
    });
    const able = { undo: this.#prompts.canUndo, redo: this.#prompts.canRedo };
    for (const [id, can] of Object.entries(able)) byId(id).setAttribute("aria-disabled", String(!can));
    this.#candidates.show();
    this.#painting.show();
    this.#redraw();
  }

  #redraw() {
    for (const panel of this.#panels ?? []) panel.stage.draw();
  }

  #ask() {
    this.#due = !this.#seen;
    if (this.#due) return;
    const { prompts, objects } = this.#prompts.asked();
    const answered = (id, result) => withKept(this.#candidates.chosen(id, result), objects, this.#prompts.objects);
    const unasked = (id) => withKept(noResult(id, this.#picture.bitmap), [], this.#prompts.objects);
    this.#panels.ask(TASK, prompts.length ? this.#panels.question(TASK, prompts) : null, {
      resting: "Click on an object, or drag a box around it.",
      keep: true,
      objects,
      amend: (id, result) => (result ? answered(id, result) : unasked(id)),
      send: this.#candidates.asker(),
      onAnswer: () => this.#hearAnswer(),
      onAgreements: () => {},
    });
  }

  #hearAnswer() {
    this.#candidates.show();
    const panels = [...this.#panels];
    if (panels.some((panel) => panel.state === "waiting")) return;
    const shown = this.answers();
    const asked = this.#prompts.asked().objects;
    const texts = shown.flatMap((first, at) =>
      shown.slice(at + 1).map((second) => describeOverlaps(first, second, asked)),
    );
    byId("overlaps").textContent = texts.filter(Boolean).join(" ");
  }
}
