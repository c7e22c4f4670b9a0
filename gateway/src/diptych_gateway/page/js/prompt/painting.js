/** Masks that a person paints: on what an object has, for the models to refine or to keep as they are. */

import { byId } from "../common/dom.js";
import { color } from "../canvas/palette.js";
import { rleOf } from "../canvas/segments.js";
import { takesMasks } from "../common/tasks.js";
import { Brush } from "./brush.js";
import { MaskLayer } from "./mask-layer.js";
import { MaskSheet } from "./mask-sheet.js";
import { ASKED, EMPTY, isCorrection } from "./prompts.js";

const RULE =
  "What is painted on an answer is kept as painted, as in CVAT and Label Studio; what is painted from nothing is " +
  "refined by the models.";
const LOST = "Addresses do not hold masks: boxes stand for those that were painted.";
const KEPT = "stays as it was painted. A point or a box asks the models to correct it.";

export class Painting {
  brush;
  #prompts;
  #panels;
  #hear;
  #layer = new MaskLayer();
  /** @type {MaskSheet | null} */
  #sheet = null;
  /** What the stroke began with. @type {import("../canvas/rle.js").Rle | null} */
  #base = null;
  #size = null;
  /** The mask that was drawn last as the prompt, and its pixels. */
  #outlined = { mask: null, sheet: null };

  /**
   * @param {import("../canvas/viewport.js").Viewport} viewport
   * @param {import("./prompts.js").Prompts} prompts
   * @param {() => import("../panels/panels.js").Panels} panels
   * @param {{onChange: (act: () => void) => void, onDraw: () => void}} hear
   */
  constructor(viewport, prompts, panels, hear) {
    this.#prompts = prompts;
    this.#panels = panels;
    this.#hear = hear;
    this.brush = new Brush(viewport, {
      begin: (stage, erasing) => this.#begin(stage, erasing),
      end: (erasing) => this.#end(erasing),
      giveUp: () => this.#draft(null),
      onDraw: hear.onDraw,
      say: (text) => {
        byId("prompt-said").textContent = text;
      },
    });
    byId("keep").addEventListener("change", () => this.keep(byId("keep").checked));
  }

  /** @param {{width: number, height: number} | null} size of another picture, or none */
  set size(size) {
    this.#size = this.brush.size = size;
    this.#outlined = { mask: null, sheet: null };
  }

  get #current() {
    return this.#prompts.objects[this.#prompts.current];
  }

  /** Whether the object's mask is the answer. @param {boolean} keep */
  keep(keep) {
    if (!this.#current.mask) return;
    this.#hear.onChange(() => this.#put({ ...this.#current, keep, said: keep }));
  }

  /**
   * Points at an object. That corrects a mask that was kept; and where nothing is left but what is not
   * on the object, its answer.
   *
   * @param {() => void} act
   */
  correct(act) {
    const before = this.#prompts.objects;
    act();
    const object = this.#current;
    const { points, box } = before[this.#prompts.current] ?? EMPTY;
    const pointed = object.points !== points && object.points.length >= points.length;
    const mask = isCorrection(object) && this.#answer();
    if (mask) this.#amend({ ...object, mask });
    else if (object.keep && (pointed || (object.box && object.box !== box))) this.#amend({ ...object, ...ASKED });
  }

  /** Says what becomes of the mask. */
  show() {
    const { mask, keep, lost } = this.#current;
    const name = `Object ${this.#prompts.current + 1}`;
    byId("keep").checked = Boolean(mask && keep);
    byId("keep").disabled = !mask;
    if (isCorrection(this.#current)) {
      this.#say(`There is nothing to correct in ${name.toLowerCase()} yet: add a point on it, a box, or paint it.`);
    } else this.#say(lost ? LOST : mask && keep ? `${name} ${KEPT}` : RULE);
  }

  /** The mask that models are asked with is outlined. */
  draw(context, frame) {
    const { mask, keep } = this.#current;
    if (!mask || keep || this.#sheet || !this.#size) return;
    if (this.#outlined.mask !== mask) this.#outlined = { mask, sheet: new MaskSheet(this.#size, mask) };
    this.#layer.paint(context, frame, this.#outlined.sheet, { color: color(this.#prompts.current), filled: false });
  }

  #begin(stage, erasing) {
    this.#base = this.#startOf(stage);
    if (erasing && !this.#base) {
      this.#say(`There is nothing to erase in object ${this.#prompts.current + 1}.`);
      return null;
    }
    const sheet = new MaskSheet(this.#size, this.#base);
    const how = { color: color(this.#prompts.current), filled: true };
    this.#draft(sheet, (context, frame) => this.#layer.paint(context, frame, sheet, how));
    return sheet;
  }

  #end(erasing) {
    const mask = this.#sheet.finish();
    this.#sheet = null;
    if (mask?.counts === this.#base?.counts) this.#draft(null);
    else this.#hear.onChange(() => this.#put(this.#painted(mask, erasing)));
  }

  /** @returns {import("./prompts.js").Wanted} the object with this mask, or with nothing */
  #painted(mask, erasing) {
    if (!mask) return EMPTY;
    const object = this.#current;
    const rough = !erasing && (!this.#base || Boolean(object.rough));
    return { ...object, mask, rough, keep: object.said ?? !rough, lost: "" };
  }

  #amend(object) {
    this.#prompts.amend(this.#prompts.current, object);
  }

  #put(object) {
    this.#prompts.put(this.#prompts.current, object);
  }

  /** Shows what is painted instead of what models say, in every panel. */
  #draft(sheet, paint) {
    this.#sheet = sheet;
    const draft = sheet && { number: this.#prompts.current, paint };
    for (const panel of this.#panels()) panel.draft = draft;
  }

  /** What a stroke begins with: the mask that is seen where it is made. */
  #startOf(stage) {
    const { mask, keep } = this.#current;
    const panels = [...this.#panels()];
    if (mask && (keep || panels.some((panel) => panel.state === "waiting"))) return mask;
    return this.#seen(panels.find((panel) => panel.stage === stage)) ?? mask ?? this.#answer();
  }

  /** What a model says of the object; rather one that can be asked with a mask. */
  #answer() {
    const models = this.#panels().models.toSorted((a, b) => Number(takesMasks(b)) - Number(takesMasks(a)));
    return models.map((model) => this.#seen(this.#panels().get(model.model_id))).find(Boolean) ?? null;
  }

  /** @returns {import("../canvas/rle.js").Rle | null} */
  #seen(panel) {
    const found = panel?.answer?.segments.find(({ object }) => object === this.#prompts.current);
    return found?.mask?.width ? rleOf(found) : null;
  }

  #say(text) {
    byId("paint-said").textContent = text;
  }
}
