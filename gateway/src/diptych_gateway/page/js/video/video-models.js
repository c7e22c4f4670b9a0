/** The models of the video view: their panels side by side, one at a time where it is narrow. */

import { byId } from "../common/dom.js";
import { findsByItself, shortName, whyNot } from "../common/tasks.js";
import { Tabs } from "../panels/tabs.js";
import { VideoPanel } from "./video-panel.js";
import { Track } from "./track/video-track.js";

const TASK = "video-segmentation";

/** @typedef {{model: any, panel: VideoPanel, track: Track | null}} Row `track` of a model that can be asked */

export class VideoModels {
  #viewport;
  #told;
  #hear;
  /** @type {Row[]} */
  #rows = [];
  #tabs = new Tabs();
  #opacity = 1;
  #all = false;
  #look = { grey: false, names: true };
  /** @type {import("./source/clip-source.js").Source | null} */
  #source = null;

  /**
   * @param {import("../canvas/viewport.js").Viewport} viewport
   * @param {import("./told.js").Told} told
   * @param {{tool: import("../canvas/stage.js").Tool, onError: (error: Error) => void, onChange: () => void}} hear
   */
  constructor(viewport, told, hear) {
    this.#viewport = viewport;
    this.#told = told;
    this.#hear = hear;
    this.#tabs.element.hidden = true;
    byId("video-panels").before(this.#tabs.element);
  }

  /** @returns {Track[]} */
  get tracks() {
    return this.#rows.flatMap(({ track }) => track ?? []);
  }

  /** Names and records of those that can be asked. */
  get answering() {
    return this.#rows
      .filter(({ track }) => track)
      .map(({ model, track }) => ({ model, name: this.#nameOf(model.model_id), record: track.record }));
  }

  /** @param {import("./source/clip-source.js").Source | null} source */
  set source(source) {
    this.#source = source;
    this.#tabs.element.hidden = !source;
    for (const { panel, track } of this.#rows) {
      if (track) panel.source = track.source = source;
    }
  }

  /** Everything is followed, or only what is pointed at. @param {boolean} all */
  set all(all) {
    this.#all = all;
    for (const { model, track } of this.#rows) track?.followAll(all, findsByItself(model));
  }

  /** @param {number} share 0 to 1 */
  set opacity(share) {
    this.#opacity = share;
    for (const { panel } of this.#rows) panel.opacity = share;
  }

  /** @param {import("../views.js").Look} look */
  set look(look) {
    this.#look = look;
    for (const { panel } of this.#rows) panel.look = look;
  }

  redraw() {
    for (const { panel } of this.#rows) panel.redraw();
  }

  /** Other models; what is known of those that stay, stays. @param {any[]} models */
  take(models) {
    const before = new Map(this.#rows.map((row) => [row.model.model_id, row]));
    this.#rows = models.map((model) => {
      const row = before.get(model.model_id);
      if (!row || Boolean(row.track) !== !whyNot(model, TASK)) return this.#row(model);
      before.delete(model.model_id);
      return { ...row, model };
    });
    for (const { panel, track } of before.values()) (track ?? panel).remove();
    byId("video-panels").replaceChildren(...this.#rows.map(({ panel }) => panel.element));
    this.opacity = this.#opacity;
    this.look = this.#look;
    this.#showTabs();
  }

  #row(model) {
    const why = whyNot(model, TASK);
    const panel = new VideoPanel(model, this.#viewport, { tool: this.#hear.tool, onAgain: () => track?.resume() });
    if (why) panel.say(model.card ? "unable" : "error", why);
    const track = why ? null : new Track(model.model_id, panel, this.#told, this.#hear);
    if (track) panel.source = track.source = this.#source;
    if (this.#all) track?.followAll(true, findsByItself(model));
    return { model, panel, track };
  }

  #showTabs() {
    const able = this.#rows.filter(({ track }) => track).map(({ panel }) => panel);
    byId("video-panels").style.setProperty("--count", String(Math.max(able.length, 1)));
    this.#tabs.show(this.#rows.map(({ panel }) => panel), able, (id) => this.#nameOf(id));
  }

  #nameOf(id) {
    const models = this.#rows.map(({ model }) => model);
    return shortName(models.find((model) => model.model_id === id), models);
  }
}
