/** The models of the video view: their panels side by side, one at a time where it is narrow. */

import { byId, make } from "../common/dom.js";
import { findsByItself, shortName, whyNot } from "../common/tasks.js";
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
  #front = "";
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
  }

  /** @returns {Track[]} */
  get tracks() {
    return this.#rows.flatMap(({ track }) => track ?? []);
  }

  /** Names and records of those that can be asked. */
  get answering() {
    const models = this.#rows.map(({ model }) => model);
    return this.#rows
      .filter(({ track }) => track)
      .map(({ model, track }) => ({ model, name: shortName(model, models), record: track.record }));
  }

  /** @param {import("./source/clip-source.js").Source | null} source */
  set source(source) {
    this.#source = source;
    for (const track of this.tracks) track.source = source;
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
    if (track) track.source = this.#source;
    if (this.#all) track?.followAll(true, findsByItself(model));
    return { model, panel, track };
  }

  #showTabs() {
    const able = this.#rows.filter(({ track }) => track);
    const models = this.#rows.map(({ model }) => model);
    const front = able.find(({ model }) => model.model_id === this.#front) ?? able[0];
    for (const row of this.#rows) row.panel.element.classList.toggle("behind", row !== front);
    byId("video-panels").style.setProperty("--count", String(Math.max(able.length, 1)));
    const tabs = able.map((row) =>
      make(
        "button",
        {
          type: "button",
          "aria-pressed": String(row === front),
          onclick: () => {
            this.#front = row.model.model_id;
            this.#showTabs();
            byId("video-tabs").querySelector('[aria-pressed="true"]')?.focus();
          },
        },
        shortName(row.model, models),
      ),
    );
    byId("video-tabs").replaceChildren(...(able.length > 1 ? tabs : []));
  }
}
