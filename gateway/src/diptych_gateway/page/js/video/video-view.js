/** The view that follows objects through a clip or the camera, with every model side by side. */

import { ClipTake } from "../clips/clip-take.js";
import { byId } from "../common/dom.js";
import { offerVideos } from "./source/video-choice.js";
import { Told } from "./told.js";
import { isLive, listenToControls, showControls, wantsAll, wantsBoth } from "./video-controls.js";
import { Lanes } from "./video-lanes.js";
import { VideoModels } from "./video-models.js";
import { VideoPrompts } from "./video-prompts.js";
import { Run } from "./video-run.js";
import { askAgain, change, remove, step } from "./video-steps.js";
import { Timeline } from "./video-timeline.js";
import { describe, legsOf, worthSeeing } from "./video-ways.js";

/** @implements {import("../views.js").View} */
export class VideoView {
  viewport;
  #told = new Told();
  #prompts;
  #models;
  #timeline;
  #lanes;
  #run;
  #take = new ClipTake(() => this.clip);
  /** @type {import("./source/clip-source.js").Source | null} */
  #source = null;
  /** The frame that the video stands still on. @type {import("./video-frame.js").Frame | null} */
  #held = null;
  #index = 0;
  #turn = 0;
  #opening = false;

  /**
   * @param {import("../canvas/viewport.js").Viewport} viewport
   * @param {(error: Error) => void} onError hears of refused sessions
   */
  constructor(viewport, onError) {
    this.viewport = viewport;
    this.#prompts = new VideoPrompts(viewport, this.#told, {
      onChange: (act) => this.#change(act),
      onDraw: () => this.#models.redraw(),
    });
    const hear = { tool: this.#prompts.tool, onError, onChange: () => this.#show() };
    this.#models = new VideoModels(viewport, this.#told, hear);
    this.#timeline = new Timeline(async (index) => {
      if (this.#run.kind) await this.#halt();
      if (this.#source) await this.#stand(index);
    });
    this.#lanes = new Lanes(this.#told, {
      onChoose: (id) => this.#change(() => (this.#told.current = id)),
      onRemove: (id) => this.#remove(id),
      onSeek: (index) => this.#timeline.seek(index),
    });
    const hearRun = { onAt: (index) => this.#at(index), onEnd: (problem) => this.#pause(problem) };
    this.#run = new Run(() => this.#models.tracks, hearRun);
    offerVideos((open) => this.#open(open), (text) => this.#lose(text));
    listenToControls({
      track: () => (this.#run.kind ? this.#pause() : this.#track()),
      play: () => (this.#run.kind ? this.#pause() : this.#replay()),
      undo: () => this.#step("undo"),
      redo: () => this.#step("redo"),
      restart: () => this.#restart(),
      stop: () => this.#close(""),
      onMode: () => this.#show(),
      onAll: (all) => this.#change(() => (this.#models.all = all)),
      onRate: (fps) => this.#change(() => Object.assign(this.#source ?? {}, { fps })),
    });
    this.#show();
  }

  show() {}

  /** The camera is not left on unseen; what it has shown stays. */
  hide() {
    if (this.#run.kind) this.#pause();
    if (this.#source?.live) this.#end();
  }

  /** @param {import("../views.js").Known} known */
  take({ chosen }) {
    this.#models.take(chosen);
    this.#lanes.models = this.#models.answering;
    if (this.#held) for (const track of this.#models.tracks) track.look(this.#held);
    this.#show();
  }

  takeOpacity(share) {
    this.#models.opacity = share;
  }

  takeLook(look) {
    this.#models.look = look;
  }

  /** What there is to take along. @returns {import("../clips/clip-take.js").Clip | null} */
  get clip() {
    if (!this.#source) return null;
    return { source: this.#source, prompts: this.#told.steps, both: wantsBoth(), all: wantsAll(), models: this.#models.answering };
  }

  /** @param {import("./source/video-choice.js").Open} open */
  async #open(open) {
    this.#close("");
    const turn = this.#turn;
    this.#opening = true;
    byId("video-tools").hidden = false; // while hidden it presents no frames
    try {
      const source = await open(byId("video-live"));
      if (turn !== this.#turn) return source.close?.();
      this.#opening = false;
      this.#source = this.#models.source = source;
      byId("video-mode").value = source.live ? "live" : "every";
      await this.#stand(source.live ? source.count - 1 : 0);
      byId("video-panels").scrollIntoView(); // with the dock below it
    } catch (error) {
      if (turn === this.#turn) this.#close(error.message);
    }
  }

  /** @param {number} index @param {{hold?: boolean}} [how] `hold`: models are asked about that frame too */
  async #stand(index, { hold = false } = {}) {
    const turn = ++this.#turn;
    this.#at(index);
    const frame = await this.#source.grab(index).catch((error) => error);
    if (turn !== this.#turn) return frame.letGo?.();
    byId("video-problem").textContent = frame.bitmap ? "" : frame.message;
    if (frame.bitmap) {
      this.#letGo();
      this.#held = this.#prompts.frame = frame;
      for (const track of this.#models.tracks) {
        if (hold) track.hold(frame);
        else track.look(frame);
        track.rest();
      }
    }
    this.#show();
  }

  /** Shows where one is. @param {number} index */
  #at(index) {
    this.#index = index;
    if (this.#source.live) this.#timeline.frames = this.#source;
    this.#timeline.show(index);
  }

  #track() {
    this.#letGo();
    if (isLive()) this.#run.live(this.#source, this.#index);
    else this.#run.every(this.#source, (source) => legsOf(source, this.#told, this.#models.tracks));
    this.#show();
  }

  #replay() {
    const from = this.#index < this.#source.count - 1 ? this.#index : 0;
    this.#letGo();
    this.#run.replay(this.#source, from, worthSeeing(this.#models.answering));
    this.#show();
  }

  /** Stands still on the frame that is seen. @param {string} [problem] a sentence */
  async #pause(problem = "") {
    const hold = this.#run.kind === "live";
    const index = (await this.#halt()) ?? this.#index;
    if (!this.#source) return;
    await this.#stand(index, { hold });
    if (problem) byId("video-problem").textContent = problem;
  }

  #halt() {
    return this.#run.pause(this.#source);
  }

  /** @param {() => void} act changes what is said */
  #change(act) {
    change(this.#told, this.#models.tracks, this.#held, act);
    this.#show();
  }

  async #remove(id) {
    if (this.#run.kind) await this.#pause();
    remove(this.#told, this.#models.tracks, id, this.#index);
    await this.#stand(this.#index);
    byId("video-new").focus();
  }

  /** @param {"undo" | "redo"} way */
  async #step(way) {
    if (this.#run.kind) await this.#pause();
    await this.#stand(step(this.#told, this.#models.tracks, way));
    if (this.#held) askAgain(this.#told, this.#models.tracks, this.#held);
  }

  async #restart() {
    if (this.#run.kind) await this.#halt();
    this.#clear();
    await this.#stand(this.#source.live ? this.#source.count - 1 : 0);
  }

  /** @param {string} problem a sentence, or "" */
  #close(problem) {
    this.#turn += 1;
    this.#opening = false;
    if (this.#run.kind) this.#halt();
    this.#source?.close?.();
    this.#source = this.#models.source = null;
    this.#clear();
    byId("video-problem").textContent = problem;
    this.#show();
  }

  /** A camera is gone: what it has shown stays. */
  async #lose(text) {
    if (!this.#source?.live) return;
    const pausing = this.#run.kind ? this.#pause() : Promise.resolve();
    this.#end();
    await pausing;
    byId("video-problem").textContent = text;
    this.#show();
  }

  #end() {
    this.#source.end?.();
    byId("video-mode").value = "every";
  }

  #clear() {
    this.#letGo();
    this.#told.reset();
    for (const track of this.#models.tracks) track.reset();
    this.viewport.reset();
  }

  #letGo() {
    this.#held?.letGo();
    this.#held = this.#prompts.frame = null;
  }

  #show() {
    const [source, kind, { tracks }] = [this.#source, this.#run.kind, this.#models];
    const next = describe(kind || !source ? [] : legsOf(source, this.#told, tracks), tracks, kind);
    showControls({ kind, source, opening: this.#opening, held: this.#held !== null, told: this.#told, next });
    this.#models.redraw();
    this.#take.show(kind);
    if (!source) return;
    this.#timeline.frames = source;
    this.#timeline.show(this.#index);
    this.#lanes.count = source.count;
  }
}
