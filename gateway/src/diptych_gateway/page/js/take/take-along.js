/** What is on screen, to take along: files for other tools, cut-outs, code that asks the same. */

import { readState } from "../common/address.js";
import { fetchServer } from "../common/api.js";
import { offerText, saveFile } from "../common/clipboard.js";
import { byId, make } from "../common/dom.js";
import { Collected } from "./collected.js";
import { shortName } from "../common/tasks.js";
import { listFormats, makeFiles, ownFormats } from "./formats.js";
import { asCommand, asCurl, asPython } from "./snippets.js";

const CODE = [
  ["Python", asPython],
  ["command line", asCommand],
  ["curl", asCurl],
];
const EACH = "";
const WAITING = 'main > :not([hidden]) .panel[data-state="waiting"]';

export class TakeAlong {
  /** @type {import("../views.js").View | null} */
  #view = null;
  /** @type {import("../common/picture.js").Picture | null} */
  #picture = null;
  #listed;
  /** @type {import("./formats.js").Format[]} */
  #formats = [];
  #formatsAsked = false;
  #collected = new Collected();

  /** @param {() => {file: Blob, name: string}[]} listed the pictures of the strip, if there is one */
  constructor(listed) {
    this.#listed = listed;
    byId("take-code").prepend(
      "Copy as",
      ...CODE.map(([name, write]) =>
        make("button", { type: "button", "aria-label": `Copy as ${name}`, onclick: () => this.#copy(write) }, name),
      ),
    );
    byId("take-save").addEventListener("click", () => this.#save());
    for (const id of ["take-format", "take-models", "take-pictures"]) {
      byId(id).addEventListener("change", ({ target }) => {
        target.dataset.chosen = target.value;
        this.#explain();
      });
    }
    // Whatever a view is made of, its panels say there how they stand.
    new MutationObserver(() => this.#offer()).observe(byId("main"), {
      subtree: true,
      attributeFilter: ["data-state"],
    });
  }

  /** @param {import("../views.js").View} view the one that is seen now */
  set view(view) {
    this.#view = view;
    this.#offer();
  }

  /** @param {import("../common/picture.js").Picture | null} picture */
  set picture(picture) {
    this.#picture = picture;
    byId("take-sample").hidden = !picture?.sample;
    if (!picture?.sample) return;
    byId("take-sample").href = `samples/${picture.name}`;
    byId("take-sample").textContent = `Save ${picture.name}`;
  }

  /** Asks which formats the gateway writes, as soon as there is something to write: before, a token may be missing. */
  async #ask() {
    this.#formatsAsked = true;
    let problem = "";
    try {
      this.#formats = await listFormats();
    } catch (error) {
      this.#formats = ownFormats();
      this.#formatsAsked = false;
      problem = error.message;
    }
    byId("take-format").replaceChildren(
      ...this.#formats.map(({ name, title }) => make("option", { value: name }, title)),
    );
    this.#explain();
    byId("take-state").textContent = problem;
  }

  #offer() {
    const answers = this.#view?.answers?.() ?? [];
    this.#collect(answers);
    byId("take").hidden = !answers.length;
    if (!answers.length) return;
    if (!this.#formatsAsked) this.#ask();
    byId("take-text").hidden = true;
    byId("take-state").textContent = "";
    const asked = answers.map(({ name, answer }) => ({ model_id: answer.modelId, card: { display_name: name } }));
    const models = asked.map((model) => [model.model_id, shortName(model, asked)]);
    fill(byId("take-models"), answers.length > 1 ? [[EACH, "each model"], ...models] : models);
    const count = this.#answered().length;
    fill(byId("take-pictures"), [
      ["this", "this picture"],
      ["all", `all ${count} answered pictures`],
    ]);
    byId("take-pictures").parentElement.hidden = count < 2;
    this.#explain();
  }

  get #format() {
    return this.#formats.find(({ name }) => name === byId("take-format").value);
  }

  get #all() {
    return byId("take-pictures").value === "all";
  }

  #explain() {
    const format = this.#format;
    const { pixels = false, polygons = false, says = "" } = format ?? {};
    const unfit = this.#all && pixels;
    byId("take-tolerance").parentElement.hidden = !polygons;
    byId("take-save").setAttribute("aria-disabled", String(!format || unfit));
    byId("take-says").textContent = unfit ? `${says} Only of the picture that is shown.` : says;
  }

  /** Notes what is shown, unless more is on its way. */
  #collect(answers) {
    const source = this.#picture?.source;
    if (!source || document.querySelector(WAITING)) return;
    this.#collected.note(this.#asked, source, answers.map(({ answer }) => answer));
  }

  /** What views ask for; answers to other things are not saved together. */
  get #asked() {
    const { view, task } = readState();
    return view === "prompt" ? view : task;
  }

  /** Pictures of the strip with what was found in them, in its order. */
  #answered() {
    const found = this.#collected.of(this.#asked);
    return this.#listed()
      .filter(({ file }) => found.has(file))
      .map(({ file, name }) => ({ name, answers: found.get(file)?.answers ?? [] }));
  }

  async #save() {
    const button = byId("take-save");
    if (button.getAttribute("aria-disabled") === "true") return;
    const state = byId("take-state");
    button.setAttribute("aria-disabled", "true");
    state.textContent = "Writing …";
    try {
      const files = await makeFiles({
        format: this.#format,
        tolerance: Math.max(0, Number(byId("take-tolerance").value) || 0),
        stem: this.#all ? "pictures" : this.#stem(),
        here: { picture: this.#picture, shown: this.#shown() },
        answers: this.#answers(),
      });
      for (const { blob, name } of files) saveFile(blob, name);
      state.textContent = `Saved ${files.map(({ name }) => name).join(", ")}.`;
    } catch (error) {
      state.textContent = error.message;
    }
    this.#explain();
  }

  /** Of the models that are chosen. */
  #shown() {
    const chosen = byId("take-models").value;
    const shown = this.#view?.answers?.() ?? [];
    return shown.filter(({ answer }) => chosen === EACH || answer.modelId === chosen);
  }

  /** What is shown of each model's answer, or would be: hidden and filtered objects are left out. */
  #answers() {
    const answered = this.#answered();
    return this.#shown().map(({ answer: { modelId, document }, isShown }) => {
      if (!this.#all) {
        return { modelId, pictures: [{ name: this.#picture.name, answer: reduced(document, (_, index) => isShown(index)) }] };
      }
      const pictures = answered.flatMap(({ name, answers }) =>
        answers
          .filter((one) => one.modelId === modelId)
          .map((one) => ({ name, answer: reduced(one.document, (_, index) => this.#passes(one, index)) })),
      );
      return { modelId, pictures };
    });
  }

  #passes({ segments, hidden }, index) {
    return !hidden.has(index) && (this.#view?.passes?.(segments[index]) ?? true);
  }

  #stem() {
    return this.#picture.name.replace(/^.*\//, "").replace(/\.[^.]*$/, "") || "picture";
  }

  async #copy(write) {
    const state = byId("take-state");
    const box = byId("take-text");
    state.textContent = "";
    box.hidden = true;
    try {
      const question = this.#view.question();
      if (!question) throw new Error("No model was asked: what was painted is in the files above.");
      const text = write(question, await fetchServer());
      await offerText(text, { box, state }, "Copied. The picture has to lie where the code runs.");
    } catch (error) {
      state.textContent = error.message;
    }
  }
}

/** A model's answer without the segments that are not meant. */
function reduced(document, meant) {
  return { ...document, segments: document.segments.filter(meant) };
}

/** Options of a chooser; what a person chose stays, if it is still there. */
function fill(select, options) {
  const before = select.dataset.chosen;
  select.replaceChildren(...options.map(([value, text]) => make("option", { value }, text)));
  if (options.some(([value]) => value === before)) select.value = before;
}
