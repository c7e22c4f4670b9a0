/** One model on a video: its sessions, what it has answered, and what its panel shows of that. */

import { Patience } from "../../clips/patience.js";
import { Figures } from "./video-figures.js";
import { Passes } from "./passes.js";
import { TrackSays } from "./track-says.js";
import { Pass } from "./video-pass.js";
import { Record } from "./video-record.js";
import { framesBefore, OWN_IDS, seeds, tell } from "./video-seeds.js";

export class Track {
  /** Of further options of the sessions. */
  options = {};
  patience = new Patience();
  /** @type {import("../source/clip-source.js").Source | null} */
  source = null;
  #told;
  #panel;
  #says;
  #hear;
  #passes = new Passes(() => this.record.ageBack());
  #opening = false;
  #turn = 0;
  #failed = false;
  /** The panel shows what is answered last; else it stands still. */
  #follows = false;
  #figures = new Figures();
  /** Who waits for answers. */
  #waiting = [];

  /**
   * @param {string} model id
   * @param {import("../video-panel.js").VideoPanel} panel
   * @param {import("../told.js").Told} told
   * @param {{onError: (error: Error) => void, onChange: () => void}} hear of sessions that were refused; of answers
   */
  constructor(model, panel, told, hear) {
    this.model = model;
    this.record = new Record(told);
    this.#panel = panel;
    this.#says = new TrackSays(panel);
    this.#told = told;
    this.#hear = hear;
  }

  /** It follows something, or finds it by itself. */
  get asks() {
    return !this.#failed && (this.options.track_all || this.#told.known.length > 0);
  }

  /** Whether a frame has to be sent. @param {number} index @param {1 | -1} way */
  wants(index, way) {
    return this.asks && !this.patience.waits && !this.record.isFresh(index, way) && !this.#passes.get(way)?.waitsFor(index);
  }

  /** Sends a frame if it is wanted, when there is room. @param {import("../video-frame.js").Frame} frame @param {1 | -1} way */
  async advance(frame, way) {
    if (!this.wants(frame.index, way)) return;
    this.#follows = true;
    const pass = this.#passes.get(way);
    if (!pass || frame.index !== pass.newest + way) return this.#open(frame, way);
    while (!pass.ready && !pass.over) await new Promise((resolve) => this.#waiting.push(resolve));
    if (pass === this.#passes.get(way)) tell(pass, frame, this.#told);
  }

  /** A frame of a video that plays: it is sent, or dropped if others are on their way. */
  offer(frame) {
    this.#follows = true;
    const pass = this.#passes.get(1);
    if (!this.asks || this.patience.waits) this.#show(frame);
    else if (!pass) this.#open(frame, 1);
    else if (!this.#opening && pass.ready && pass.isAhead(frame.index)) this.#play(pass, frame);
  }

  /** The frame that a video was stopped on is never dropped. */
  hold(frame) {
    this.look(frame);
    const pass = this.#passes.get(1);
    if (this.asks && pass && !this.#opening && pass.isAhead(frame.index)) this.#play(pass, frame);
  }

  /** Only looks at a frame and what is known of it. */
  look(frame) {
    this.#follows = false;
    this.#show(frame);
  }

  /** Something is said of an object on the frame that is seen. @param {number} id */
  point(id, frame) {
    this.#failed = false;
    if (!this.#told.known.includes(id)) {
      this.#closeAll(); // its number may be used again, but not in this session
      this.forget(id);
      return this.look(frame);
    }
    this.record.age(frame.index);
    this.#passes.close(-1);
    if (this.#opening) return; // it reads what is said when it begins
    const pass = this.#passes.get(1);
    const said = this.#told.prompts(frame.index).find((one) => one.id === id);
    if (said && pass?.holds(frame.index)) pass.prompt(id, frame.index, said.prompt);
    else if (said && pass?.isAhead(frame.index)) tell(pass, frame, this.#told);
    else this.#open(frame, 1, id);
  }

  /** @param {number} id */
  forget(id) {
    this.#passes.remove(id);
    this.record.forget(id);
    this.rest();
    this.#count();
  }

  /** Things are as they were at another step of the prompts. @param {number} step */
  back(step) {
    this.#closeAll();
    this.record.back(step);
    this.#count();
  }

  /** Everything that was sent is answered, or never will be. */
  async idle() {
    while (this.#opening || this.patience.waits || !this.#passes.idle) await new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Goes on where a session was lost, with the objects where they were told to be or last seen. */
  resume() {
    this.patience.skip();
    this.#failed = false;
    this.#passes.close(1);
    const { frame } = this.#panel;
    if (frame && this.asks) this.#open(frame, 1);
    else this.rest();
    this.#hear.onChange();
  }

  /** Follows everything, or only what is pointed at. @param {boolean} all @param {boolean} able it finds objects by itself */
  followAll(all, able) {
    this.#closeAll();
    this.#says.unable = all && !able;
    this.options = all && able ? { track_all: true } : {};
    if (able) this.record.age(0);
    if (!this.asks) this.record.clear();
    if (this.#panel.frame) this.look(this.#panel.frame);
    this.rest();
    this.#count();
  }

  rest() {
    if (!this.asks && !this.#failed) this.#says.rest();
  }

  /** As at the start. */
  reset() {
    this.#closeAll();
    this.record.clear();
    this.#figures.reset();
    this.#failed = false;
    this.#panel.show(null);
    this.#panel.say("off", "Choose a clip or the camera.");
    this.#count();
  }

  remove() {
    this.#closeAll();
    this.#panel.remove();
  }

  /** A new session, which is told of every object where it was seen last. @param {number} [anew] see `seeds` */
  async #open(frame, way, anew) {
    this.#passes.close(way);
    const turn = ++this.#turn;
    this.#opening = true;
    frame.keep();
    this.#panel.say("open", "Opening a session …");
    const known = seeds(frame.index, way, this.#told, this.record, { here: this.source?.playing, anew });
    const earlier = await framesBefore(frame, known, this.source);
    if (turn === this.#turn) {
      const pass = this.#pass(way, frame.index);
      this.#passes.put(way, pass);
      for (const one of earlier) tell(pass, one, this.#told, known.get(one.index));
      tell(pass, frame, this.#told, known.get(frame.index));
      this.#opening = false;
    }
    for (const one of [frame, ...earlier]) one.letGo();
    this.#wake();
  }

  /** @param {1 | -1} way @param {number} from answers of earlier frames are known */
  #pass(way, from) {
    const onAnswer = (heard) => ((heard.index - from) * way >= 0 ? this.#take(heard, way) : this.#wake());
    const onRefused = (error) => {
      this.#panel.say("open", error.message);
      this.#wake();
    };
    return new Pass(this.model, way, { onAnswer, onRefused, onEnd: (...how) => this.#lose(way, ...how) }, this.options);
  }

  /** Frames that were left out meanwhile are dropped. */
  #play(pass, frame) {
    this.#figures.drop(pass.newest + 1, frame.index);
    tell(pass, frame, this.#told);
  }

  #take({ index, document, bytes, frame }, way) {
    const objects = document.objects.filter(({ object_id: id }) => id >= OWN_IDS || this.#told.ids.includes(id));
    this.patience.reward();
    if (frame && !this.record.isFresh(index, way)) this.#figures.answered();
    this.record.put(index, way, { ...document, objects }, bytes);
    const shown = this.#follows && frame ? frame : this.#panel.frame;
    if (shown?.index === index) this.#show(shown);
    this.#says.follow(this.#told.known.length, this.options.track_all ? objects.length : null);
    this.#count();
    this.#wake();
  }

  /** @param {boolean} asked something was on its way; else nothing is lost, as all that was answered stays */
  #lose(way, error, asked) {
    this.#passes.close(way);
    // While all frames are gone through the next one that is missing opens a session.
    const onTry = () => (this.#follows ? this.#wake() : this.resume());
    this.#failed = (asked || this.#follows) && !this.patience.after(error, onTry);
    this.#says.lost(error, { waits: this.patience.waits, failed: this.#failed });
    this.#wake();
    this.#hear.onError(error);
  }

  #show(frame) {
    this.#panel.show(frame, this.record.get(frame.index), this.record.isStale(frame.index));
  }

  #count() {
    const of = this.source && !this.source.live ? this.source.count : 0;
    this.#panel.count(this.#figures.of(this.record, of));
    this.#hear.onChange();
  }

  #wake() {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  #closeAll() {
    this.patience.stop();
    this.#opening = false;
    this.#turn += 1;
    this.#passes.closeAll();
    this.#figures.rest();
    this.#wake();
  }
}
