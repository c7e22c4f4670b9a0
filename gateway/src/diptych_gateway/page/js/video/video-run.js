/** Goes through a video: every frame to the models, as it plays, or only what was answered. */

/** A clip of which so many frames cannot be read is none. */
const MOST_LEFT_OUT = 50;

export class Run {
  #turn = 0;
  /** What goes on: "every", "live", "replay", or "" while the video stands still. */
  kind = "";
  #tracks;
  #hear;
  #ended = Promise.resolve();
  /** Why frames were, by number. @type {Map<number, string>} */
  #leftOut = new Map();

  /**
   * @param {() => import("./track/video-track.js").Track[]} tracks
   * @param {{onAt: (index: number) => void, onEnd: (problem?: string) => void}} hear `onAt`: this frame is
   *   sent or shown; `onEnd`: there is no more, or it cannot go on
   */
  constructor(tracks, hear) {
    this.#tracks = tracks;
    this.#hear = hear;
  }

  /**
   * Every frame is answered, none dropped: the next one is taken when all models have room.
   *
   * @param {import("./source/clip-source.js").Source} source
   * @param {(source: import("./source/clip-source.js").Source) => import("./video-ways.js").Leg[]} legs
   */
  every(source, legs) {
    const turn = this.#begin("every");
    this.#leftOut.clear();
    this.#ended = this.#through(source, legs, turn).then(
      () => this.#end(turn, summary([...this.#leftOut.values()])),
      (error) => this.#end(turn, error.message),
    );
  }

  /** As it plays; models drop what comes while they are busy. @param {number} from */
  live(source, from) {
    const turn = this.#begin("live");
    const onFrame = (frame) => {
      for (const track of this.#tracks()) track.offer(frame);
      this.#hear.onAt(frame.index);
    };
    source.play(from, { onFrame, onEnd: (problem) => this.#end(turn, problem) });
  }

  /** Shows what was answered. @param {number} from @param {(index: number) => boolean} isWorthIt a frame that is shown */
  replay(source, from, isWorthIt) {
    const turn = this.#begin("replay");
    const onFrame = (frame) => {
      if (!isWorthIt(frame.index)) return;
      for (const track of this.#tracks()) track.look(frame);
      this.#hear.onAt(frame.index);
    };
    if (source.play && !source.kept) {
      source.play(from, { onFrame, onEnd: (problem) => this.#end(turn, problem) }, { file: false });
      return;
    }
    this.#ended = this.#page(source, from, { onFrame, isWorthIt }, turn).then(
      () => this.#end(turn),
      (error) => this.#end(turn, error.message),
    );
  }

  /** Stands still. @returns {Promise<number | null>} the frame that a source was stopped on, if it played */
  async pause(source) {
    const played = source.playing;
    this.#turn += 1;
    this.kind = "";
    const index = played ? await source.pause() : null;
    await this.#ended;
    return index;
  }

  #begin(kind) {
    this.kind = kind;
    return ++this.#turn;
  }

  #end(turn, problem) {
    if (turn === this.#turn) this.#hear.onEnd(problem);
  }

  async #through(source, legs, turn) {
    do {
      await this.#idle();
      await this.#round(source, legs(source), turn);
      if (turn !== this.#turn) return;
      await this.#idle();
      // What a model missed that was away for a while.
    } while (turn === this.#turn && this.#tracks().filter(({ patience }) => patience.cameBack()).length);
  }

  async #round(source, legs, turn) {
    for (const { from, to, way } of legs) {
      for (let index = from; (to - index) * way >= 0; index += way) {
        const asked = this.#tracks().filter((track) => track.wants(index, way));
        if (!asked.length) {
          if (!this.#tracks().some((track) => track.asks)) return;
          continue;
        }
        const frame = await source.grab(index).catch((error) => this.#leaveOut(source, index, error));
        if (turn === this.#turn && frame) {
          this.#hear.onAt(index);
          await Promise.all(asked.map((track) => track.advance(frame, way)));
        }
        frame?.letGo();
        if (turn !== this.#turn) return;
      }
    }
  }

  /** One file of many that cannot be read costs its own frame. */
  #leaveOut(source, index, error) {
    if (source.live || this.#leftOut.size > MOST_LEFT_OUT) throw error;
    this.#leftOut.set(index, error.message);
    return null;
  }

  #idle() {
    return Promise.all(this.#tracks().map((track) => track.idle()));
  }

  /** By taking one frame after the other, no faster than they should come. */
  async #page(source, from, { onFrame, isWorthIt }, turn) {
    let due = performance.now();
    for (let index = from; index < source.count && turn === this.#turn; index += 1) {
      due += 1000 / source.fps;
      if (!isWorthIt(index)) continue;
      const frame = await source.grab(index);
      if (turn === this.#turn) onFrame(frame);
      frame.letGo();
      await new Promise((resolve) => setTimeout(resolve, due - performance.now()));
    }
  }
}

/** @param {string[]} problems of frames */
function summary([first, ...others]) {
  const left = others.length ? `${others.length + 1} frames were` : "That frame was";
  return first ? `${first} ${left} left out.` : "";
}
