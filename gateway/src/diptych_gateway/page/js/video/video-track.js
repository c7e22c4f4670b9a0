/** One model on a video: its session, the frames on their way, what it was told of objects. */

import { VideoSession } from "./video-session.js";

const RATE_MS = 3000;

/**
 * @typedef {object} Told
 * @property {number} frame index
 * @property {any} prompt as options of a request
 */

export class Track {
  #model;
  #panel;
  #onError;
  /** @type {VideoSession | null} */
  #session = null;
  /** Frames without an answer, by index. @type {Map<number, import("./video-frame.js").Frame>} */
  #sent = new Map();
  /** The newest prompt of each object. @type {Map<number, Told>} */
  #told = new Map();
  /** Where each object was last seen, as left, top, right, bottom. @type {Map<number, number[]>} */
  #seen = new Map();
  #answered = 0;
  #dropped = 0;
  #times = [];

  /**
   * @param {string} model
   * @param {import("./video-panel.js").VideoPanel} panel
   * @param {(error: Error) => void} onError hears of sessions that were refused
   */
  constructor(model, panel, onError) {
    this.#model = model;
    this.#panel = panel;
    this.#onError = onError;
  }

  /** A frame of a video that plays: it is sent, or dropped if others are on their way. */
  offer(frame) {
    if (!this.#session) this.#panel.show(frame);
    else if (this.#session.ready) this.#send(frame);
    else this.drop();
  }

  drop() {
    if (!this.#session || this.#session.over) return;
    this.#dropped += 1;
    this.#count();
  }

  /** What to say as long as there is no session. @param {string} text */
  rest(text) {
    if (!this.#session) this.#panel.say("idle", text);
  }

  /** A frame to stand still on: it is never dropped. */
  hold(frame) {
    this.#panel.show(frame);
    if (this.#session && !this.#session.over) this.#send(frame);
  }

  /** Says where an object is on the frame that is held. @param {number} id */
  point(id, frame, prompt) {
    this.#told.set(id, { frame: frame.index, prompt });
    if (!this.#session) this.#open(frame);
    else if (!this.#session.over) this.#session.prompt(id, frame.index, prompt);
  }

  /** @param {number} id */
  forget(id) {
    this.#seen.delete(id);
    if (!this.#told.delete(id) || !this.#session || this.#session.over) return;
    this.#session.remove(id);
    this.#panel.forget(id);
  }

  /** Goes on where a session was lost, with the objects where they were told to be or last seen. */
  resume() {
    const frame = this.#panel.frame;
    this.#end();
    if (frame && this.#told.size) this.#open(frame);
  }

  /** As at the start. */
  reset() {
    this.#end();
    this.#told.clear();
    this.#seen.clear();
    this.#answered = this.#dropped = 0;
    this.#count();
    this.#panel.show(null);
  }

  remove() {
    this.#end();
    this.#panel.remove();
  }

  #open(frame) {
    this.#panel.say("open", "Opening a session …");
    this.#session = new VideoSession(this.#model, {
      onFrame: (answer) => this.#take(answer),
      onRefused: (error, index) => {
        this.#letGo(index);
        this.#panel.say("open", error.message);
      },
      onEnd: (error) => {
        this.#panel.say("error", error.message, true);
        this.#onError(error);
      },
    });
    this.#send(frame);
    for (const [id, { frame: index, prompt }] of this.#told) {
      const seen = this.#seen.get(id);
      const corrected = prompt.box || prompt.points.some(([, , positive]) => positive) ? {} : { box: seen };
      if (index === frame.index) this.#session.prompt(id, index, { ...prompt, ...corrected });
      else if (seen) this.#session.prompt(id, frame.index, { box: seen });
    }
  }

  #send(frame) {
    this.#sent.set(frame.index, frame.keep());
    this.#session?.sendFrame(frame);
  }

  #take(answer) {
    const { frame_index: index, revision, objects } = answer;
    const frame = this.#sent.get(index) ?? this.#panel.frame;
    if (frame?.index === index && index >= (this.#panel.frame?.index ?? 0)) {
      try {
        this.#panel.show(frame, answer);
      } catch (problem) {
        this.#panel.say("open", `The answer cannot be drawn: ${problem.message}.`);
      }
    }
    for (const { object_id: id, bbox } of objects) {
      if (bbox) this.#seen.set(id, [bbox[0], bbox[1], bbox[0] + bbox[2], bbox[1] + bbox[3]]);
    }
    if (revision) return this.#panel.say("open", this.#following());
    this.#letGo(index);
    this.#answered += 1;
    const now = performance.now();
    this.#times = [...this.#times.filter((time) => now - time < RATE_MS), now];
    this.#count();
  }

  #following() {
    const count = this.#told.size;
    return count === 1 ? "Following 1 object" : `Following ${count} objects`;
  }

  #count() {
    const span = (this.#times.at(-1) ?? 0) - (this.#times[0] ?? 0);
    const rate = span ? ((this.#times.length - 1) * 1000) / span : 0;
    this.#panel.count({ answered: this.#answered, dropped: this.#dropped, rate });
  }

  #letGo(index) {
    this.#sent.get(index)?.letGo();
    this.#sent.delete(index);
  }

  #end() {
    this.#session?.close();
    this.#session = null;
    for (const frame of this.#sent.values()) frame.letGo();
    this.#sent.clear();
    this.#times = [];
  }
}
