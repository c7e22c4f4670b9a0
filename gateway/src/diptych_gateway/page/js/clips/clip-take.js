/** What was followed through a clip, to take along: files, and code that does the same. */

import { readState } from "../common/address.js";
import { fetchFormats, fetchServer } from "../common/api.js";
import { offerText, saveFile } from "../common/clipboard.js";
import { byId, make } from "../common/dom.js";
import { filmFile, linesFile, otherFile } from "./clip-files.js";
import { filmFormat } from "./film.js";
import { asVideoCommand, asVideoPython } from "./video-snippets.js";

const CODE = [
  ["Python", asVideoPython],
  ["command line", asVideoCommand],
];
const ALL = "";

/**
 * @typedef {object} Clip
 * @property {import("../video/source/clip-source.js").Source} source
 * @property {{object_id: number, frame_index: number}[]} prompts every one that was told, in order
 * @property {boolean} both ways
 * @property {{model: any, name: string, record: import("../video/track/video-record.js").Record}[]} models
 * @property {boolean} all everything is followed that a model finds
 */

export class ClipTake {
  #clip;
  #formats = [];
  #asked = false;
  /** Of which model, or all. */
  #chosen = ALL;
  /** Of the film that is being written. @type {AbortController | null} */
  #writing = null;

  /** @param {() => Clip | null} clip */
  constructor(clip) {
    this.#clip = clip;
    const film = filmFormat();
    this.#formats = [
      { name: "lines", title: "JSON lines", says: "A line for each frame and model, as “diptych video … --json” prints them." },
      {
        name: "film",
        title: `Film (${film?.name ?? "MP4"})`,
        says: `Every answered frame with its masks, at the clip's speed. Writing takes as long as the film.`,
      },
    ];
    byId("clip-code").prepend(
      "Copy as",
      ...CODE.map(([name, write]) =>
        make("button", { type: "button", "aria-label": `Copy as ${name}`, onclick: () => this.#copy(write) }, name),
      ),
    );
    byId("clip-save").addEventListener("click", () => this.#save());
    byId("clip-cancel").addEventListener("click", () => this.#writing?.abort());
    byId("clip-format").addEventListener("change", () => this.#explain());
    byId("clip-models").addEventListener("change", ({ target }) => (this.#chosen = target.value));
    this.#list();
  }

  /** There may be more to take, or nothing any more. @param {string} kind of what goes on with the clip, if anything */
  show(kind) {
    const models = this.#models().map(({ model, name }) => [model.model_id, name]);
    byId("clip-take").hidden = !models.length;
    // A film needs the clip for itself.
    if (!models.length || kind) this.#writing?.abort();
    if (!models.length) return;
    byId("clip-sample").hidden = !this.#clip()?.source.sample;
    if (!this.#asked) this.#ask();
    const choices = models.length > 1 ? [[ALL, "all models"], ...models] : models;
    const select = byId("clip-models");
    if (choices.map(String).join() === [...select.options].map(({ value, text }) => `${value},${text}`).join()) return;
    select.replaceChildren(...choices.map(([id, name]) => make("option", { value: id }, name)));
    if (choices.some(([id]) => id === this.#chosen)) select.value = this.#chosen;
  }

  async #ask() {
    this.#asked = true;
    const others = await fetchFormats().catch(() => null);
    this.#asked = others !== null; // else once more, when there is more to take
    this.#formats = [...this.#formats, ...(others ?? [])];
    this.#list();
  }

  #list() {
    const select = byId("clip-format");
    const { value } = select;
    select.replaceChildren(...this.#formats.map(({ name, title }) => make("option", { value: name }, title)));
    if (value) select.value = value;
    this.#explain();
  }

  #explain() {
    byId("clip-says").textContent = this.#format.says;
  }

  get #format() {
    return this.#formats.find(({ name }) => name === byId("clip-format").value) ?? this.#formats[0];
  }

  /** @param {string} [chosen] a model, or all that have answered something */
  #models(chosen = ALL) {
    const models = this.#clip()?.models ?? [];
    return models.filter(({ model, record }) => record.count && (chosen === ALL || model.model_id === chosen));
  }

  /** @returns {import("./json-lines.js").Followed[]} what the chosen models answered */
  #followed() {
    return this.#models(byId("clip-models").value).map(({ model, name, record }) => ({
      model: model.model_id,
      name,
      answers: new Map(record.frames.map((index) => [index, record.get(index)])),
    }));
  }

  async #save() {
    if (this.#writing) return;
    const { source } = this.#clip();
    const followed = this.#followed();
    const { name: format } = this.#format;
    const stem = source.name.replace(/\.[^.]*$/, "") || "clip";
    this.#busy(new AbortController(), format === "film");
    let said;
    try {
      if (format === "lines") {
        said = this.#saved([[linesFile({ source, followed }), `${stem}.jsonl`]]);
      } else if (format === "film") {
        const { opacity, names } = readState();
        const look = { opacity: opacity / 100, names: names === "1" };
        const onProgress = (done, of) => Object.assign(byId("clip-progress"), { value: done, max: of });
        const how = { onProgress, signal: this.#writing.signal };
        const { blob, suffix } = await filmFile({ source, followed, look }, how);
        said = this.#saved([[blob, `${stem}-followed.${suffix}`]]);
      } else {
        const files = [];
        for (const one of followed) {
          const { blob, suffix } = await otherFile(source, one, format);
          files.push([blob, `${stem}-${one.model}.${suffix}`]);
        }
        said = this.#saved(files);
      }
    } catch (error) {
      said = error.name === "AbortError" ? "Given up: nothing was saved." : error.message;
    }
    this.#busy(null, false);
    byId("clip-state").textContent = said;
  }

  #saved(files) {
    for (const [blob, name] of files) saveFile(blob, name);
    return `Saved ${files.map(([, name]) => name).join(", ")}.`;
  }

  #busy(writing, film) {
    this.#writing = writing;
    byId("clip-save").disabled = Boolean(writing);
    byId("clip-progress").hidden = byId("clip-cancel").hidden = !film;
    byId("clip-progress").value = 0;
    if (writing) byId("clip-state").textContent = "Writing …";
  }

  async #copy(write) {
    const [box, state] = [byId("clip-text"), byId("clip-state")];
    box.hidden = true;
    try {
      const text = write(await this.#question(), await fetchServer());
      await offerText(text, { box, state }, "Copied. The clip has to lie where the code runs.");
    } catch (error) {
      state.textContent = error.message;
    }
  }

  /** @returns {Promise<import("./video-snippets.js").Asked>} */
  async #question() {
    const { source, prompts, both, all } = this.#clip();
    const models = this.#models(byId("clip-models").value);
    const frame = await source.grab(0);
    const sent = [frame.width, frame.height];
    frame.letGo();
    return {
      source: source.name,
      fps: source.stored ? source.fps : null,
      size: source.size ?? sent,
      sent,
      models: models.map(({ model }) => model.model_id),
      all,
      direction: both && !all ? "both" : "forward",
      told: prompts.map(({ object_id, frame_index, ...prompt }) => ({ object: object_id, frame: frame_index, prompt })),
    };
  }
}
